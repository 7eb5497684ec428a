# Arithmetic, comparison and choice, with numpy's broadcasting.

# Two tensors over their common shape; what R recycles by itself stays short.
aligned <- function(a, b) {
  if (a$dtype != b$dtype) {
    stop_bad_input("the inputs have different dtypes, ", a$dtype, " and ", b$dtype)
  }
  aligned_any(a, b)
}

aligned_any <- function(a, b) {
  shape <- if (identical(a$shape, b$shape)) a$shape else broadcast_shape(a$shape, b$shape)
  if (prod(shape) == 0) return(list(shape = shape, x = a$data[0L], y = b$data[0L]))
  # One of the two must have full length, or the result would be too short.
  x <- broadcast_data(a, shape, recycle = TRUE)
  y <- broadcast_data(b, shape, recycle = TRUE)
  if (length(x) < prod(shape) && length(y) < prod(shape)) x <- rep_len(x, prod(shape))
  list(shape = shape, x = x, y = y)
}

# The result of arithmetic, wrapped where the dtype is an integer.
arithmetic_result <- function(data, shape, dtype) {
  if (is_integer(dtype)) data <- wrap_integer(data, dtype)
  tensor(data, shape, dtype)
}

# A table entry for a function of two numbers.
arithmetic <- function(f) {
  force(f)
  function(inputs, node) {
    pair <- aligned(inputs[[1L]], inputs[[2L]])
    arithmetic_result(f(pair$x, pair$y), pair$shape, inputs[[1L]]$dtype)
  }
}

# A table entry for a function of two numbers applied to any number of inputs.
variadic <- function(f) {
  two <- arithmetic(f)
  function(inputs, node) Reduce(function(a, b) two(list(a, b), node), inputs)
}

op_mean <- function(inputs, node) {
  total <- variadic(`+`)(inputs, node)
  total$data <- total$data / length(inputs)
  total
}

op_mul <- function(inputs, node) {
  pair <- aligned(inputs[[1L]], inputs[[2L]])
  dtype <- inputs[[1L]]$dtype
  x <- pair$x
  if (dtype %in% c("int32", "uint32") && length(x) && max(abs(x)) * max(abs(pair$y)) > 2^53) {
    # The product of two 32-bit numbers needs 64 bits; only the lower 32 are kept.
    high <- floor(x / 65536)
    low <- x - high * 65536
    product <- ((high * pair$y) %% 2^32 * 65536 + low * pair$y) %% 2^32
    return(arithmetic_result(product, pair$shape, dtype))
  }
  arithmetic_result(x * pair$y, pair$shape, dtype)
}

op_div <- function(inputs, node) {
  pair <- aligned(inputs[[1L]], inputs[[2L]])
  dtype <- inputs[[1L]]$dtype
  quotient <- pair$x / pair$y
  arithmetic_result(if (is_integer(dtype)) trunc(quotient) else quotient, pair$shape, dtype)
}

# Base and exponent may differ in dtype; the base decides.
# IEEE 754 has a power of minus infinity for exponents that are no whole numbers, R has NaN.
ieee_power <- function(x, y) {
  power <- x^y
  odd <- is.nan(power) & !is.nan(x) & !is.nan(y)
  if (any(odd)) {
    infinite <- odd & x == -Inf
    power[infinite] <- ifelse(rep_len(y, length(power))[infinite] > 0, Inf, 0)
  }
  power
}

op_pow <- function(inputs, node) {
  pair <- aligned_any(inputs[[1L]], inputs[[2L]])
  dtype <- inputs[[1L]]$dtype
  power <- ieee_power(pair$x, pair$y)
  arithmetic_result(if (is_integer(dtype)) trunc(power) else power, pair$shape, dtype)
}

# The sign of the divisor, or with fmod = 1 that of the dividend as in C.
op_mod <- function(inputs, node) {
  pair <- aligned(inputs[[1L]], inputs[[2L]])
  dtype <- inputs[[1L]]$dtype
  remainder <- if (node$attributes$fmod == 1) {
    sign(pair$x) * (abs(pair$x) %% abs(pair$y))
  } else {
    pair$x %% pair$y
  }
  arithmetic_result(remainder, pair$shape, dtype)
}

# NaN compares as false, as in IEEE 754, where R would say NA.
comparison <- function(f) {
  force(f)
  function(inputs, node) {
    pair <- aligned(inputs[[1L]], inputs[[2L]])
    result <- f(pair$x, pair$y)
    result[is.na(result)] <- FALSE
    tensor(result, pair$shape, "bool")
  }
}

# A table entry for a yes-or-no question about one value.
predicate <- function(f) {
  force(f)
  function(inputs, node) tensor(f(inputs[[1L]]$data), inputs[[1L]]$shape, "bool")
}

op_is_inf <- function(inputs, node) {
  x <- inputs[[1L]]
  found <- (x$data == Inf & node$attributes$detect_positive == 1) |
    (x$data == -Inf & node$attributes$detect_negative == 1)
  found[is.na(found)] <- FALSE
  tensor(found, x$shape, "bool")
}

op_where <- function(inputs, node) {
  condition <- inputs[[1L]]
  yes <- inputs[[2L]]
  no <- inputs[[3L]]
  if (yes$dtype != no$dtype) stop_bad_input("the inputs have different dtypes, ", yes$dtype, " and ", no$dtype)
  shape <- broadcast_shape(condition$shape, broadcast_shape(yes$shape, no$shape))
  result <- broadcast_data(no, shape)
  chosen <- which(broadcast_data(condition, shape))
  result[chosen] <- broadcast_data(yes, shape)[chosen]
  tensor(result, shape, yes$dtype)
}

# Bounds are attributes before opset 11, optional inputs after.
op_clip <- function(inputs, node) {
  x <- inputs[[1L]]
  bound <- function(position, name) {
    given <- if (length(inputs) >= position) inputs[[position]]
    if (!is.null(given)) {
      if (length(given$data) != 1L) stop_bad_input("a bound is not a scalar")
      return(given$data)
    }
    node$attributes[[name]]
  }
  lowest <- bound(2L, "min")
  highest <- bound(3L, "max")
  if (!is.null(lowest)) x$data <- pmax.int(x$data, lowest)
  if (!is.null(highest)) x$data <- pmin.int(x$data, highest)
  x
}
