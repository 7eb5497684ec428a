# Functions of one value. Formulas are those of the ONNX operator specification.

# A table entry: f takes the values and the named attributes.
unary <- function(f, attributes = character()) {
  force(f)
  force(attributes)
  any_order(function(inputs, node) {
    x <- inputs[[1L]]
    data <- if (length(attributes)) {
      do.call(f, c(list(x$data), node$attributes[attributes]))
    } else {
      # Outside its domain a function is NaN; R would also warn.
      suppressWarnings(f(x$data))
    }
    result <- arithmetic_result(data, x$shape, x$dtype)
    result$channel_major <- x$channel_major
    result
  })
}

relu <- function(x) pmax.int(x, 0)
leaky_relu <- function(x, alpha) ifelse_data(x < 0, alpha * x, x)
elu <- function(x, alpha) ifelse_data(x < 0, alpha * expm1(x), x)
selu <- function(x, alpha, gamma) gamma * ifelse_data(x <= 0, alpha * expm1(x), x)
celu <- function(x, alpha) pmax.int(x, 0) + pmin.int(0, alpha * expm1(x / alpha))
hard_sigmoid <- function(x, alpha, beta) pmax.int(0, pmin.int(1, alpha * x + beta))
hard_swish <- function(x) x * hard_sigmoid(x, 1 / 6, 0.5)
# Written so that neither exp() nor log() overflows.
softplus <- function(x) pmax.int(x, 0) + log1p(exp(-abs(x)))
softsign <- function(x) x / (1 + abs(x))
thresholded_relu <- function(x, alpha) ifelse_data(x <= alpha, 0 * pmin.int(x, 0), x)
mish <- function(x) x * tanh(softplus(x))
swish <- function(x, alpha) x * stats::plogis(alpha * x)
reciprocal <- function(x) 1 / x

shrink <- function(x, bias, lambd) {
  ifelse_data(x < -lambd, x + bias, ifelse_data(x > lambd, x - bias, 0 * x))
}

gelu <- function(x, approximate) {
  switch(approximate,
    none = x * stats::pnorm(x),
    tanh = 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))),
    stop_unsupported("Gelu approximation '", approximate, "' is not supported")
  )
}

# erf(x)^2 follows a gamma distribution function, which is exact also near zero.
erf <- function(x) sign(x) * stats::pgamma(x^2, 0.5)

# The choice of two vectors; NaN conditions choose `no`.
ifelse_data <- function(condition, yes, no) {
  chosen <- which(condition)
  no[chosen] <- yes[chosen]
  no
}

# The slope is broadcast to the input.
op_prelu <- function(inputs, node) {
  x <- inputs[[1L]]
  slope <- broadcast_data(inputs[[2L]], broadcast_shape(x$shape, inputs[[2L]]$shape))
  arithmetic_result(ifelse_data(x$data < 0, x$data * slope, x$data), x$shape, x$dtype)
}
