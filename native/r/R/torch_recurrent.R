# LSTM, GRU and RNN on torch tensors, see op_recurrent.R. Autograd follows the steps by itself.

torch_recurrent <- function(node) {
  algebra <- torch_algebra(node)
  c(algebra[c("part", "stack")], list(
    swapped = function(x) x$transpose(1, 2),
    rows = function(x, from, count) x$narrow(1, from + 1, count),
    weights = function(x) x$t(),
    state = function(x) x,
    numbers = function(x) x,
    mask = function(x, counts) {
      torch::torch_tensor(rep(c(1, 0), counts), dtype = x$dtype, device = x$device)
    },
    project = function(x, w) torch::torch_matmul(x, w),
    at = function(projected, step, samples) projected$select(1, step),
    times = function(state, w) torch::torch_matmul(state, w),
    gate = function(state, from, count) state$narrow(2, from + 1, count),
    zeros = function(x, samples, features) torch::torch_zeros(c(samples, features), dtype = x$dtype, device = x$device),
    chosen = function(active, new, old) {
      torch::torch_where(torch::torch_tensor(active, device = new$device)$unsqueeze(2), new, old)
    },
    clipped = function(state, limit) torch::torch_clamp(state, -limit, limit),
    activations = list(
      Relu = torch::torch_relu, Tanh = torch::torch_tanh, Sigmoid = torch::torch_sigmoid, Softsign = torch_softsign_of,
      Softplus = torch_softplus_of, LeakyRelu = torch::nnf_leaky_relu, ThresholdedRelu = torch_thresholded_relu,
      Elu = torch::nnf_elu, HardSigmoid = torch_hard_sigmoid, Affine = function(x, alpha, beta) x * alpha + beta,
      ScaledTanh = function(x, alpha, beta) torch::torch_tanh(x * beta) * alpha
    ),
    steps = function(states, x) torch::torch_stack(states),
    final = function(state, x) state
  ))
}

torch_op_recurrent <- function(inputs, node) run_recurrent(inputs, node, torch_recurrent(node))

torch_op_reverse_sequence <- function(inputs, node) {
  x <- inputs[[1L]]
  order <- reversed_places(as.double(x$shape), inputs[[2L]], node)
  if (order$axes[1L] == 1) x <- x$transpose(1, 2)
  shape <- x$shape
  places <- torch::torch_tensor(as.integer(order$places), dtype = torch::torch_long(), device = x$device)
  y <- torch::torch_index_select(x$reshape(c(prod(shape[1:2]), shape[-(1:2)])), 1, places)$reshape(shape)
  if (order$axes[1L] == 1) y$transpose(1, 2) else y
}

torch_recurrent_table <- function() {
  list(
    LSTM = torch_op_recurrent, GRU = torch_op_recurrent, RNN = torch_op_recurrent,
    ReverseSequence = torch_op_reverse_sequence
  )
}
