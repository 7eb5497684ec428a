# Operators of the domain com.microsoft on quantised values: what onnxruntime's quantiser writes for an operator of the standard
# between DequantizeLinear and QuantizeLinear. That is what is computed here; onnxruntime's own kernels, which multiply in single
# precision, may differ from it by one step where a quotient is a tie.

# Value, scale and zero point from position `at` on, as numbers.
dequantised <- function(op, inputs, at) {
  op("DequantizeLinear", inputs[[at]], inputs[[at + 1L]], optional_input(inputs, at + 2L))
}

# A value with its scale and zero point, as the operator of the standard of that name has them.
scaled_as_standard <- function(operator) {
  force(operator)
  function(op, inputs, node) {
    op(operator, inputs[[1L]], inputs[[2L]], optional_input(inputs, 3L), with = node$attributes)
  }
}

# Numbers in the scale and zero point from position `at` on; without a zero point as `dtype`.
requantised_at <- function(op, x, inputs, at, dtype) {
  if (is.null(optional_input(inputs, at))) stop_bad_input("the scale of the result is left out")
  zero <- optional_input(inputs, at + 1L)
  if (is.null(zero)) zero <- tensor(0, double(), dtype)
  op("QuantizeLinear", x, inputs[[at]], zero)
}

# One quantised input, the scale and zero point of the output behind it.
quantised_unary <- function(compute) {
  force(compute)
  function(op, inputs, node) {
    requantised_at(op, compute(op, dequantised(op, inputs, 1L), node), inputs, 4L, inputs[[1L]]$dtype)
  }
}

quantised_binary <- function(operator) {
  force(operator)
  function(op, inputs, node) {
    y <- op(operator, dequantised(op, inputs, 1L), dequantised(op, inputs, 4L))
    requantised_at(op, y, inputs, 7L, inputs[[1L]]$dtype)
  }
}

build_qlinear_concat <- function(op, inputs, node) {
  if (length(inputs) %% 3 != 2) stop_bad_input("each input has a scale and a zero point; ", length(inputs), " inputs are given")
  parts <- lapply(seq(3L, length(inputs), by = 3L), function(at) dequantised(op, inputs, at))
  y <- do.call(op, c(list("Concat"), parts, list(with = list(axis = node$attributes$axis))))
  requantised_at(op, y, inputs, 1L, inputs[[3L]]$dtype)
}

# A pool of images whose channels are the last axis where `channels_last` says so.
quantised_pool <- function(operator, attributes = character()) {
  force(operator)
  quantised_unary(function(op, x, node) {
    pool <- function(x) op(operator, x, with = node$attributes[attributes])
    if (node$attributes$channels_last == 0) return(pool(x))
    rank <- length(sizes_of(x))
    y <- pool(op("Transpose", x, with = list(perm = c(0, rank - 1, seq_len(rank - 2L)))))
    op("Transpose", y, with = list(perm = c(0, seq_len(rank - 2L) + 1, 1)))
  })
}

# `opset` says whose Softmax it is: before 13 it is one over all axes from `axis` on. onnxruntime multiplies by the whole part of
# 1 / scale (254 for a scale of 1 / 255 in float32), and so does this.
build_qlinear_softmax <- function(op, inputs, node) {
  scale <- optional_input(inputs, 4L)
  if (is.null(scale)) stop_bad_input("the scale of the result is left out")
  y <- softmax_of_opset(op, dequantised(op, inputs, 1L), node$attributes)
  inputs[[4L]]$data <- 1
  requantised_at(op, op("Mul", y, number_like(floor(1 / scale$data), y, node)), inputs, 4L, inputs[[1L]]$dtype)
}

softmax_of_opset <- function(op, x, attributes) {
  if (attributes$opset >= 13) return(op("Softmax", x, with = list(axis = attributes$axis)))
  shape <- sizes_of(x)
  inner <- prod(shape[seq_along(shape) > resolve_axis(attributes$axis, length(shape))])
  flat <- op("Reshape", x, whole_numbers_of(c(prod(shape) / inner, inner)))
  op("Reshape", op("Softmax", flat, with = list(axis = 1)), whole_numbers_of(shape))
}

#' QGemm: alpha A' B' + C of whole numbers, quantised again where a scale of the result is given, else as numbers
#'
#' C has the scale of the product.
#' @noRd
build_qgemm <- function(op, inputs, node) {
  attributes <- node$attributes
  turned <- function(x, exchange) if (exchange != 0) op("Transpose", x, with = list(perm = c(1, 0))) else x
  sums <- op("MatMulInteger", turned(inputs[[1L]], attributes$transA), turned(inputs[[4L]], attributes$transB), inputs[[3L]],
             inputs[[6L]])
  sums <- plus(op, sums, optional_input(inputs, 7L))
  y <- scaled_sums(op, sums, inputs[[2L]], inputs[[5L]])
  if (attributes$alpha != 1) y <- op("Mul", y, number_like(attributes$alpha, y, node))
  if (is.null(optional_input(inputs, 8L))) y else requantised_at(op, y, inputs, 8L, inputs[[1L]]$dtype)
}

scaled_sums <- function(op, sums, left_scale, right_scale) {
  op("Mul", op("Cast", sums, with = list(to = match(left_scale$dtype, dtype_names))), op("Mul", left_scale, right_scale))
}

build_matmul_integer_to_float <- function(op, inputs, node) {
  sums <- op("MatMulInteger", inputs[[1L]], inputs[[2L]], optional_input(inputs, 5L), optional_input(inputs, 6L))
  plus(op, scaled_sums(op, sums, inputs[[3L]], inputs[[4L]]), optional_input(inputs, 7L))
}

# The left factor is quantised here, as DynamicQuantizeLinear does it.
build_dynamic_quantize_matmul <- function(op, inputs, node) {
  left <- op_dynamic_quantize_linear(inputs[1L], node)
  sums <- op("MatMulInteger", left[[1L]], inputs[[2L]], left[[3L]], optional_input(inputs, 4L))
  plus(op, scaled_sums(op, sums, left[[2L]], inputs[[3L]]), optional_input(inputs, 5L))
}
