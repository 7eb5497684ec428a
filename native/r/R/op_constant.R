# Casts between dtypes, and tensors made from nothing.

cast_values <- function(x, to, precision) {
  if ("string" %in% c(x$dtype, to)) return(cast_texts(x, to))
  data <- x$data
  if (to == "bool") {
    data <- if (is.logical(data)) data else is.nan(data) | data != 0
  } else if (is_integer(to)) {
    data <- as.double(data)
    if (is_floating(x$dtype)) data <- trunc(data)
    data <- if (is_integer(x$dtype) && is_integer(to) && !to %in% c("int64", "uint64")) {
      wrap_integer(data, to)
    } else {
      float_to_integer(data, to)
    }
  } else {
    data <- as.double(data)
    # A double oracle is not to be rounded to float32 half-way; the narrow
    # formats are part of what the graph says.
    if (to %in% c("float16", "bfloat16") || precision == "float32") data <- round_to_dtype(data, to)
  }
  tensor(data, x$shape, to)
}

# A text to a number and back, as far as both say it in one way.
cast_texts <- function(x, to) {
  if (x$dtype == to) return(x)
  if (to == "string") {
    if (!is_integer(x$dtype)) stop_unsupported("a cast from ", x$dtype, " to string is not supported")
    return(tensor(format(x$data, scientific = FALSE, trim = TRUE), x$shape, to))
  }
  values <- suppressWarnings(as.double(x$data))
  if (anyNA(values[!tolower(trimws(x$data)) %in% c("nan", "+nan", "-nan")])) stop_bad_input("a text that is no number")
  if (to == "bool") stop_unsupported("a cast from string to bool is not supported")
  if (is_integer(to)) values <- wrap_integer(trunc(values), to) else values <- round_to_dtype(values, to)
  tensor(values, x$shape, to)
}

# Out of range is undefined in ONNX; most runtimes give the lowest value for NaN and infinity of signed types.
float_to_integer <- function(data, to) {
  impossible <- !is.finite(data)
  data[impossible] <- integer_lowest[[to]]
  if (any(impossible)) return(data)
  wrap_integer(data, to)
}

refuse_cast <- function(node) {
  code <- node$attributes$to
  dtype <- if (code >= 1 && code <= length(dtype_names)) dtype_names[code] else paste("number", code)
  if (!dtype %in% held_dtypes()) paste("a cast to", dtype)
}

op_cast <- function(inputs, node) {
  cast_values(inputs[[1L]], dtype_of_code(node$attributes$to, "the cast"), node$precision)
}

op_cast_like <- function(inputs, node) cast_values(inputs[[1L]], inputs[[2L]]$dtype, node$precision)

op_constant <- function(inputs, node) {
  attributes <- node$attributes
  if (!is.null(attributes$value)) return(decode_tensor(attributes$value))
  if (!is.null(attributes$value_float)) return(tensor(attributes$value_float, double(), "float32"))
  if (!is.null(attributes$value_int)) return(tensor(attributes$value_int, double(), "int64"))
  if (!is.null(attributes$value_string)) return(tensor(attributes$value_string, double(), "string"))
  if (!is.null(attributes$value_strings)) {
    return(tensor(attributes$value_strings, as.double(length(attributes$value_strings)), "string"))
  }
  if (!is.null(attributes$value_floats)) {
    return(tensor(attributes$value_floats, as.double(length(attributes$value_floats)), "float32"))
  }
  if (!is.null(attributes$value_ints)) {
    return(tensor(attributes$value_ints, as.double(length(attributes$value_ints)), "int64"))
  }
  stop_bad_input("no value is given")
}

op_constant_of_shape <- function(inputs, node) {
  shape <- inputs[[1L]]$data
  value <- if (is.null(node$attributes$value)) tensor(0, 1, "float32") else decode_tensor(node$attributes$value)
  if (length(value$data) != 1L) stop_bad_input("the value is not a single one")
  tensor(rep(value$data, element_count(shape, "the constant")), shape, value$dtype)
}

op_range <- function(inputs, node) {
  start <- inputs[[1L]]$data
  step <- inputs[[3L]]$data
  if (step == 0) stop_bad_input("a step of 0")
  count <- max(ceiling((inputs[[2L]]$data - start) / step), 0)
  element_count(count, "the range")
  tensor(start + (seq_len(count) - 1) * step, count, inputs[[1L]]$dtype)
}

op_eye_like <- function(inputs, node) {
  x <- inputs[[1L]]
  if (length(x$shape) != 2L) stop_bad_input("the input is not a matrix")
  code <- node$attributes$dtype
  dtype <- if (is.null(code)) x$dtype else dtype_of_code(code, "the result")
  rows <- rep(seq_len(x$shape[1L]), each = x$shape[2L])
  columns <- rep(seq_len(x$shape[2L]), x$shape[1L])
  tensor(as_stored(columns - rows == node$attributes$k, dtype), x$shape, dtype)
}

# What is wrong with a Dropout that is switched on.
drawing_words <- "training mode, which draws at random, is not supported; export the model in evaluation mode"

#' Dropout at inference: the input, and a mask of what was kept, which is all
#' @noRd
op_dropout <- function(inputs, node) {
  x <- inputs[[1L]]
  input <- function(position) if (length(inputs) >= position) inputs[[position]]
  ratio <- if (is.null(input(2L))) 0.5 else input(2L)$data
  if (isTRUE(input(3L)$data) && ratio > 0) stop_unsupported(drawing_words)
  mask_dtype <- if (node$since < 10) x$dtype else "bool"
  list(x, tensor(rep(as_stored(1, mask_dtype), length(x$data)), x$shape, mask_dtype))
}
