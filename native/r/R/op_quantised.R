# Quantised operators: whole numbers that stand for scale x (number - zero point). Sums of products of bytes are exact in
# doubles. Where a quotient is rounded to a whole number it is first rounded to the type in which the standard computes it, so
# that ties fall alike.

quantised_dtypes <- c("uint8", "int8", "uint16", "int16")

refuse_quantised <- function(node) {
  code <- node$attributes$output_dtype
  if (!is.null(code) && code != 0 && !isTRUE(dtype_names[code] %in% c(quantised_dtypes, "float32", "float16", "bfloat16"))) {
    return(paste("output_dtype", code))
  }
  precision <- node$attributes$precision
  if (!is.null(precision) && !precision %in% c(0, 1, 10, 11, 16)) return(paste("precision", precision))
  NULL
}

#' Scales or zero points for every element of a tensor: one for all, one for each place of an axis, or one for each block
#' @return data in the order of the tensor's.
#' @noRd
spread_parameter <- function(parameter, x, axis, block) {
  if (length(parameter$data) == 1L && block == 0) return(parameter$data)
  rank <- length(x$shape)
  axis <- resolve_axis(axis, rank) + 1
  wrong <- function() {
    stop_bad_input("a scale or zero point of shape ", shape_text(parameter$shape), " does not fit a tensor of shape ",
                   shape_text(x$shape), " along axis ", axis - 1)
  }
  if (block == 0) {
    if (length(parameter$shape) != 1L || parameter$shape != x$shape[axis]) wrong()
    parameter$shape <- replace(rep(1, rank), axis, parameter$shape)
  } else {
    expected <- replace(x$shape, axis, ceiling(x$shape[axis] / block))
    if (!identical(as.double(parameter$shape), as.double(expected))) wrong()
    places <- lapply(x$shape, seq_len)
    places[[axis]] <- (seq_len(x$shape[axis]) - 1) %/% block + 1
    parameter <- take_per_axis(parameter, places)
  }
  broadcast_data(parameter, x$shape)
}

# Floating-point values as the type holds them; under "float64" they stay as they are.
held_as <- function(values, dtype, node) {
  if (node$precision == "float64" || !is_floating(dtype)) values else round_to_dtype(values, dtype)
}

saturated <- function(values, dtype) {
  if (anyNA(values)) stop_unsupported("NaN has no whole number")
  pmin.int(pmax.int(values, integer_lowest[[dtype]]), integer_highest[[dtype]])
}

op_quantize_linear <- function(inputs, node) {
  x <- inputs[[1L]]
  scale <- inputs[[2L]]
  zero <- optional_input(inputs, 3L)
  attributes <- node$attributes
  stated <- if (attributes$output_dtype != 0) dtype_names[attributes$output_dtype]
  dtype <- if (!is.null(zero)) zero$dtype else if (!is.null(stated)) stated else "uint8"
  if (!is.null(stated) && stated != dtype) stop_bad_input("output_dtype is ", stated, ", the zero point ", dtype)
  if (!dtype %in% quantised_dtypes) stop_unsupported("quantisation to ", dtype, " is not supported")
  kind <- if (attributes$precision != 0) dtype_names[attributes$precision] else scale$dtype
  scale$data <- held_as(scale$data, scale$dtype, node)
  divisor <- spread_parameter(scale, x, attributes$axis, attributes$block_size)
  quotient <- held_as(held_as(x$data, kind, node) / divisor, kind, node)
  shift <- if (is.null(zero)) 0 else spread_parameter(zero, x, attributes$axis, attributes$block_size)
  tensor(saturated(round(quotient) + shift, dtype), x$shape, dtype)
}

op_dequantize_linear <- function(inputs, node) {
  x <- inputs[[1L]]
  scale <- inputs[[2L]]
  zero <- optional_input(inputs, 3L)
  attributes <- node$attributes
  if (!is.null(zero) && zero$dtype != x$dtype) stop_bad_input("the zero point is ", zero$dtype, ", the input ", x$dtype)
  dtype <- if (attributes$output_dtype != 0) dtype_names[attributes$output_dtype] else scale$dtype
  values <- x$data
  if (!is.null(zero)) values <- values - spread_parameter(zero, x, attributes$axis, attributes$block_size)
  tensor(held_as(values, "float32", node) * spread_parameter(scale, x, attributes$axis, attributes$block_size), x$shape, dtype)
}

#' DynamicQuantizeLinear: bytes whose scale and zero point follow from the extent of the values and 0
#' @noRd
op_dynamic_quantize_linear <- function(inputs, node) {
  x <- inputs[[1L]]
  single <- function(values) held_as(values, "float32", node)
  values <- single(x$data)
  extent <- range(c(0, values))
  scale <- single((if (extent[1L] == extent[2L]) 1 else single(extent[2L] - extent[1L])) / 255)
  zero <- round(saturated(single(0 - single(extent[1L] / scale)), "uint8"))
  list(
    tensor(saturated(round(single(values / scale)) + zero, "uint8"), x$shape, "uint8"), tensor(scale, double(), "float32"),
    tensor(zero, double(), "uint8")
  )
}

# A tensor of bytes less its zero point, as whole numbers: of a matrix one for each of its rows, or each of its columns.
centred <- function(x, zero, along) {
  if (!is.null(zero)) {
    rank <- length(x$shape)
    if (zero$dtype != x$dtype) stop_bad_input("the zero point is ", zero$dtype, ", the input ", x$dtype)
    if (length(zero$data) > 1L && length(zero$shape) == 1L) {
      axis <- switch(along, rows = rank - 1L, columns = rank, filters = 1L)
      if (zero$shape != x$shape[axis]) stop_bad_input("a zero point of shape ", shape_text(zero$shape), " does not fit ", shape_text(x$shape))
      zero$shape <- replace(rep(1, rank), axis, zero$shape)
    } else if (length(zero$data) == 1L) {
      zero$shape <- double()
    }
    x$data <- x$data - broadcast_data(zero, x$shape)
  }
  x$dtype <- "float64"
  x
}

op_matmul_integer <- function(inputs, node) {
  a <- centred(inputs[[1L]], optional_input(inputs, 3L), "rows")
  b <- centred(inputs[[2L]], optional_input(inputs, 4L), "columns")
  y <- op_matmul(list(a, b), node)
  tensor(wrap_integer(y$data, "int32"), y$shape, "int32")
}

op_conv_integer <- function(inputs, node) {
  x <- centred(inputs[[1L]], optional_input(inputs, 3L), "filters")
  weight <- centred(inputs[[2L]], optional_input(inputs, 4L), "filters")
  y <- settled(op_conv(list(x, weight), node))
  tensor(wrap_integer(y$data, "int32"), y$shape, "int32")
}

# Sums as bytes of another scale: `factor` is the product of the inputs' scales.
requantised <- function(sums, factor, scale, zero, node) {
  factor <- held_as(held_as(factor, "float32", node) / scale$data, "float32", node)
  saturated(round(sums * factor) + zero$data, zero$dtype)
}

check_quantised <- function(...) {
  for (x in list(...)) {
    if (!x$dtype %in% c("uint8", "int8")) stop_unsupported("products of ", x$dtype, " are not supported")
  }
}

op_qlinear_matmul <- function(inputs, node) {
  check_quantised(inputs[[1L]], inputs[[4L]], inputs[[8L]])
  a <- centred(inputs[[1L]], inputs[[3L]], "rows")
  b <- centred(inputs[[4L]], inputs[[6L]], "columns")
  y <- op_matmul(list(a, b), node)
  per <- function(scale, axis) {
    if (length(scale$data) == 1L) return(scale$data)
    if (length(scale$shape) == 1L) scale$shape <- replace(rep(1, length(y$shape)), axis, scale$shape)
    broadcast_data(scale, y$shape)
  }
  rank <- length(y$shape)
  if (length(inputs[[7L]]$data) != 1L || length(inputs[[8L]]$data) != 1L) stop_unsupported("several scales of the result are not supported")
  tensor(
    requantised(y$data, per(inputs[[2L]], rank - 1L) * per(inputs[[5L]], rank), inputs[[7L]], inputs[[8L]], node), y$shape,
    inputs[[8L]]$dtype
  )
}

op_qlinear_conv <- function(inputs, node) {
  check_quantised(inputs[[1L]], inputs[[4L]], inputs[[8L]])
  x <- centred(inputs[[1L]], inputs[[3L]], "filters")
  weight <- centred(inputs[[4L]], inputs[[6L]], "filters")
  bias <- optional_input(inputs, 9L)
  if (!is.null(bias)) bias$dtype <- "float64"
  y <- settled(op_conv(list(x, weight, bias), node))
  of_filters <- inputs[[5L]]
  filters <- weight$shape[1L]
  if (!length(of_filters$data) %in% c(1L, filters)) stop_bad_input("the weight has ", length(of_filters$data), " scales for ", filters, " filters")
  if (length(inputs[[7L]]$data) != 1L || length(inputs[[8L]]$data) != 1L) stop_bad_input("the result has one scale and one zero point")
  factor <- rep(rep_len(of_filters$data, filters), each = prod(y$shape[-(1:2)])) * inputs[[2L]]$data
  tensor(requantised(y$data, factor, inputs[[7L]], inputs[[8L]], node), y$shape, inputs[[8L]]$dtype)
}

# A double does not hold every integer of 64 bits.
refuse_bit_cast <- function(node) {
  if (node$attributes$to %in% match(c("int64", "uint64", "float64"), dtype_names)) "a bit cast of 64 bits"
}

# The same bits as another type of the same width.
op_bit_cast <- function(inputs, node) {
  x <- inputs[[1L]]
  to <- dtype_of_code(node$attributes$to, "the cast")
  if (dtype_bytes[[to]] != dtype_bytes[[x$dtype]]) stop_bad_input("a bit cast from ", x$dtype, " to ", to, ", which has another width")
  if (anyNA(x$data)) stop_unsupported("the bits of NaN are not supported: R does not keep them")
  if (is_floating(x$dtype) && node$precision == "float64") stop_unsupported("the bits of ", x$dtype, " under precision 'float64' are not supported")
  tensor(decode_values(encode_values(x$data, x$dtype), to), x$shape, to)
}
