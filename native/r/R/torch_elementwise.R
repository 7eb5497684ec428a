# Element-wise operators on torch tensors. Formulas are those of the ONNX
# operator specification; torch broadcasts as ONNX does. A number stands to the
# right of a tensor: on the left, R torch makes a float32 tensor of it first.

# A table entry: f takes the tensor, and the named attributes.
torch_unary <- function(f, attributes = character()) {
  force(f)
  force(attributes)
  function(inputs, node) do.call(f, c(inputs[1L], unname(node$attributes[attributes])))
}

torch_binary <- function(f) {
  force(f)
  function(inputs, node) f(inputs[[1L]], inputs[[2L]])
}

# A function of two tensors applied to any number of them.
torch_variadic <- function(f) {
  force(f)
  function(inputs, node) Reduce(f, inputs)
}

torch_op_mean <- function(inputs, node) Reduce(`+`, inputs) / length(inputs)

torch_op_div <- function(inputs, node) {
  x <- inputs[[1L]]
  if (x$is_floating_point()) x / inputs[[2L]] else torch::torch_div(x, inputs[[2L]], rounding_mode = "trunc")
}

# Base and exponent may differ in dtype; the base decides.
torch_op_pow <- function(inputs, node) {
  x <- inputs[[1L]]
  torch::torch_pow(x, inputs[[2L]])$to(dtype = x$dtype)
}

torch_op_mod <- function(inputs, node) {
  f <- if (node$attributes$fmod == 1) torch::torch_fmod else torch::torch_remainder
  f(inputs[[1L]], inputs[[2L]])
}

torch_op_prelu <- function(inputs, node) {
  x <- inputs[[1L]]
  torch::torch_where(x < 0, x * inputs[[2L]], x)
}

torch_op_clip <- function(inputs, node) {
  x <- inputs[[1L]]
  bound <- function(position, name) {
    given <- if (length(inputs) >= position) inputs[[position]]
    if (is.null(given)) return(node$attributes[[name]])
    if (length(given$data) != 1L) stop_bad_input("a bound is not a scalar")
    given$data
  }
  lowest <- bound(2L, "min")
  highest <- bound(3L, "max")
  # One after the other: where the bounds cross, the upper one counts.
  if (!is.null(lowest)) x <- torch::torch_clamp(x, min = lowest)$to(dtype = x$dtype)
  if (!is.null(highest)) x <- torch::torch_clamp(x, max = highest)$to(dtype = x$dtype)
  x
}

torch_op_is_inf <- function(inputs, node) {
  x <- inputs[[1L]]
  up <- if (node$attributes$detect_positive == 1) x == Inf else torch::torch_zeros_like(x, dtype = torch::torch_bool())
  if (node$attributes$detect_negative == 1) torch::torch_logical_or(up, x == -Inf) else up
}

torch_op_where <- function(inputs, node) torch::torch_where(inputs[[1L]], inputs[[2L]], inputs[[3L]])

torch_op_cast <- function(inputs, node) {
  torch_cast(inputs[[1L]], dtype_of_code(node$attributes$to, "the cast"), node$precision)
}

torch_op_cast_like <- function(inputs, node) torch_cast(inputs[[1L]], dtype_of_torch(inputs[[2L]]), node$precision)

torch_cast <- function(x, to, precision) {
  if (to == "bool") return(x != 0)
  if (!is_floating(to) && x$is_floating_point()) x <- x$trunc()
  cast <- if (to == "float32" && precision == "float64") x else x$to(dtype = torch_dtype_of(to))
  # A double oracle keeps what a cast to half precision rounds.
  widened(cast, precision)
}

torch_refuse_cast <- function(node) {
  reason <- refuse_cast(node)
  if (!is.null(reason)) return(reason)
  to <- dtype_names[node$attributes$to]
  if (!to %in% names(torch_dtype_names)) paste("a cast to", to)
}

torch_hard_sigmoid <- function(x, alpha, beta) torch::torch_clamp(x * alpha + beta, 0, 1)
torch_hard_swish <- function(x) x * torch_hard_sigmoid(x, 1 / 6, 0.5)
torch_selu_of <- function(x, alpha, gamma) torch::nnf_elu(x, alpha) * gamma
torch_softplus_of <- function(x) torch::torch_logaddexp(x, torch::torch_zeros_like(x))
torch_softsign_of <- function(x) x / (torch::torch_abs(x) + 1)
torch_thresholded_relu <- function(x, alpha) torch::torch_where(x > alpha, x, torch::torch_zeros_like(x))
torch_mish_of <- function(x) x * torch::torch_tanh(torch_softplus_of(x))
torch_swish_of <- function(x, alpha) x * torch::torch_sigmoid(x * alpha)

torch_shrink_of <- function(x, bias, lambd) {
  zero <- torch::torch_zeros_like(x)
  torch::torch_where(x < -lambd, (x + bias)$to(dtype = x$dtype),
                     torch::torch_where(x > lambd, (x - bias)$to(dtype = x$dtype), zero))
}

torch_elementwise_table <- function() {
  list(
    Add = torch_binary(`+`), Sub = torch_binary(`-`), Mul = torch_binary(`*`), Div = torch_op_div,
    Pow = torch_op_pow, Mod = torch_op_mod, Min = torch_variadic(torch::torch_minimum),
    Max = torch_variadic(torch::torch_maximum), Sum = torch_variadic(`+`), Mean = torch_op_mean,
    Abs = torch_unary(torch::torch_abs), Neg = torch_unary(torch::torch_neg),
    Sqrt = torch_unary(torch::torch_sqrt), Exp = torch_unary(torch::torch_exp), Log = torch_unary(torch::torch_log),
    Relu = torch_unary(torch::torch_relu), LeakyRelu = torch_unary(torch::nnf_leaky_relu, "alpha"),
    PRelu = torch_op_prelu, Elu = torch_unary(torch::nnf_elu, "alpha"),
    Selu = torch_unary(torch_selu_of, c("alpha", "gamma")), Celu = torch_unary(torch::nnf_celu, "alpha"),
    Gelu = torch_unary(torch::nnf_gelu, "approximate"), Sigmoid = torch_unary(torch::torch_sigmoid),
    HardSigmoid = torch_unary(torch_hard_sigmoid, c("alpha", "beta")), HardSwish = torch_unary(torch_hard_swish),
    Tanh = torch_unary(torch::torch_tanh), Softplus = torch_unary(torch_softplus_of),
    Softsign = torch_unary(torch_softsign_of), ThresholdedRelu = torch_unary(torch_thresholded_relu, "alpha"),
    Mish = torch_unary(torch_mish_of), Swish = torch_unary(torch_swish_of, "alpha"),
    Shrink = torch_unary(torch_shrink_of, c("bias", "lambd")), Erf = torch_unary(torch::torch_erf),
    Floor = torch_unary(torch::torch_floor), Ceil = torch_unary(torch::torch_ceil),
    Round = torch_unary(function(x) x$round()), Sign = torch_unary(torch::torch_sign),
    Reciprocal = torch_unary(torch::torch_reciprocal), Clip = torch_op_clip, Sin = torch_unary(torch::torch_sin),
    Cos = torch_unary(torch::torch_cos), Tan = torch_unary(torch::torch_tan), Asin = torch_unary(torch::torch_asin),
    Acos = torch_unary(torch::torch_acos), Atan = torch_unary(torch::torch_atan),
    Sinh = torch_unary(torch::torch_sinh), Cosh = torch_unary(torch::torch_cosh),
    Asinh = torch_unary(torch::torch_asinh), Acosh = torch_unary(torch::torch_acosh),
    Atanh = torch_unary(torch::torch_atanh), IsNaN = torch_unary(torch::torch_isnan), IsInf = torch_op_is_inf,
    Equal = torch_binary(torch::torch_eq), Greater = torch_binary(torch::torch_gt), Less = torch_binary(torch::torch_lt),
    GreaterOrEqual = torch_binary(torch::torch_ge), LessOrEqual = torch_binary(torch::torch_le),
    And = torch_binary(torch::torch_logical_and), Or = torch_binary(torch::torch_logical_or),
    Not = torch_unary(torch::torch_logical_not), Xor = torch_binary(torch::torch_logical_xor),
    Where = torch_op_where, Cast = torch_op_cast, CastLike = torch_op_cast_like
  )
}
