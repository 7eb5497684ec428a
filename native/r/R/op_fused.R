# Operators of the domain com.microsoft that onnxruntime's optimiser writes in place of several operators of the standard. Each
# is put together from those again, see compose.R, so that plain arrays and torch share it and autograd follows. Formulas are
# those of onnxruntime's ContribOperators.md and, where that says nothing, of its kernels for CPUs.

# Each activation with the attributes of the operator that stand for the numbers of a fused one, in their order.
fused_activations <- list(
  Relu = character(), Sigmoid = character(), Tanh = character(), Softplus = character(), Softsign = character(),
  LeakyRelu = "alpha", Elu = "alpha", ThresholdedRelu = "alpha", HardSigmoid = c("alpha", "beta"), Selu = c("alpha", "gamma"),
  Clip = c("min", "max")
)

refuse_fused <- function(node) {
  activation <- node$attributes$activation
  if (!is.null(activation) && !activation %in% names(fused_activations)) paste("the activation", activation)
}

#' The activation of a fused node
#'
#' @param numbers named list of what the node says of the activation; what it leaves out is the operator's default.
#' @noRd
activated <- function(op, x, activation, numbers, node) {
  if (is.null(activation)) return(x)
  numbers <- numbers[!vapply(numbers, is.null, NA)]
  if (activation == "Clip") return(op("Clip", x, number_like(numbers$min, x, node), number_like(numbers$max, x, node)))
  op(activation, x, with = numbers[intersect(names(numbers), fused_activations[[activation]])])
}

#' FusedConv: activation(Conv(x, weight, bias) + added)
#' @noRd
build_fused_conv <- function(op, inputs, node) {
  attributes <- node$attributes
  y <- op("Conv", inputs[[1L]], inputs[[2L]], optional_input(inputs, 3L),
          with = attributes[setdiff(names(attributes), c("activation", "activation_params"))])
  added <- optional_input(inputs, 4L)
  if (!is.null(added)) y <- op("Add", y, added)
  if (is.null(attributes$activation)) return(y)
  names <- fused_activations[[attributes$activation]]
  given <- attributes$activation_params
  if (length(given) > length(names)) {
    stop_bad_input("activation_params has ", length(given), " numbers; ", attributes$activation, " takes ", length(names))
  }
  if (attributes$activation == "Clip" && length(given) != 2L) stop_bad_input("activation_params of Clip are its two limits")
  activated(op, y, attributes$activation, stats::setNames(as.list(given), names[seq_along(given)]), node)
}

#' FusedGemm: activation(Gemm(a, b, c))
#' @noRd
build_fused_gemm <- function(op, inputs, node) {
  attributes <- node$attributes
  y <- op("Gemm", inputs[[1L]], inputs[[2L]], optional_input(inputs, 3L),
          with = attributes[c("alpha", "beta", "transA", "transB")])
  numbers <- list(alpha = attributes$activation_alpha, beta = attributes$activation_beta, gamma = attributes$activation_gamma)
  activated(op, y, attributes$activation, numbers, node)
}

# Clip takes two limits, which FusedGemm has no attributes for.
refuse_fused_gemm <- function(node) {
  if (identical(node$attributes$activation, "Clip")) "the activation Clip" else refuse_fused(node)
}

#' FusedMatMul: alpha A' B'
#'
#' `transA` exchanges the last two axes, `transBatchA` moves the first axis before the last; the same for B.
#' @noRd
build_fused_matmul <- function(op, inputs, node) {
  attributes <- node$attributes
  a <- turned_factor(op, inputs[[1L]], attributes$transA != 0, attributes$transBatchA != 0)
  b <- turned_factor(op, inputs[[2L]], attributes$transB != 0, attributes$transBatchB != 0)
  y <- op("MatMul", a, b)
  if (attributes$alpha == 1) y else op("Mul", y, number_like(attributes$alpha, y, node))
}

turned_factor <- function(op, x, exchange, move) {
  rank <- length(sizes_of(x))
  # A vector has no axes to exchange.
  if (rank < 2L) return(x)
  order <- seq_len(rank) - 1
  if (move) order <- c(order[-c(1L, rank)], 0, rank - 1)
  if (exchange) order[c(rank - 1L, rank)] <- order[c(rank, rank - 1L)]
  if (identical(order, seq_len(rank) - 1)) x else op("Transpose", x, with = list(perm = order))
}

build_gelu <- function(op, inputs, node) op("Gelu", plus(op, inputs[[1L]], optional_input(inputs, 2L)))

# The approximation by a hyperbolic tangent.
build_fast_gelu <- function(op, inputs, node) {
  op("Gelu", plus(op, inputs[[1L]], optional_input(inputs, 2L)), with = list(approximate = "tanh"))
}

# x sigmoid(alpha x).
build_quick_gelu <- function(op, inputs, node) op("Swish", inputs[[1L]], with = list(alpha = node$attributes$alpha))

plus <- function(op, x, added) if (is.null(added)) x else op("Add", x, added)

#' SkipLayerNormalization: the normalised sum of input, skip and bias, which itself is the fourth output
#'
#' @param simplified whether the root of the mean square is divided by, without a mean and a shift.
#' @noRd
build_skip_normalization <- function(simplified) {
  force(simplified)
  function(op, inputs, node) {
    epsilon <- list(epsilon = node$attributes$epsilon, axis = -1)
    sum <- plus(op, op("Add", inputs[[1L]], inputs[[2L]]), optional_input(inputs, if (simplified) 4L else 5L))
    y <- if (simplified) {
      op("RMSNormalization", sum, inputs[[3L]], with = epsilon)
    } else {
      op("LayerNormalization", sum, inputs[[3L]], optional_input(inputs, 4L), with = epsilon)
    }
    # The places of the mean and the deviation, which refuse_statistics() keeps anybody from asking for.
    list(y, y, y, sum)
  }
}

refuse_statistics <- function(node) {
  if (any(nzchar(node$outputs[intersect(2:3, seq_along(node$outputs))]))) "the output of mean or deviation"
}
