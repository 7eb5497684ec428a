# Interpolation on torch tensors, one axis after the other: places and weights
# are those of op_resize.R, the values and the gradients torch's.

torch_op_resize <- function(inputs, node) {
  x <- inputs[[1L]]
  plan <- plan_resize(as.double(x$shape), inputs, node)
  y <- torch_interpolated(x, plan)
  # As masks of one axis each, which torch broadcasts over the others.
  for (axis in which(vapply(plan$outside, any, NA))) {
    beyond <- torch::torch_tensor(plan$outside[[axis]], device = x$device)
    y <- y$masked_fill(beyond$reshape(c(-1, rep(1, length(x$shape) - axis))), plan$attributes$extrapolation_value)
  }
  y
}

torch_op_upsample <- function(inputs, node) {
  x <- inputs[[1L]]
  torch_interpolated(x, plan_upsample(as.double(x$shape), inputs, node))
}

# `plan` see plan_resize(). Whole numbers have fractions between the axes, which are cut off at the end.
torch_interpolated <- function(x, plan) {
  if (plan$attributes$mode == "nearest") {
    for (step in plan$steps) {
      x <- torch_take(x, step$axis + 1, nearest_places(step$at, x$shape[step$axis + 1], plan$attributes))
    }
    return(x)
  }
  y <- torch_stashed(as_floating(x))
  for (step in plan$steps) y <- torch_weighted_sums(y, step, plan$attributes)
  if (x$is_floating_point()) y$to(dtype = x$dtype) else y$trunc()$to(dtype = x$dtype)
}

# One axis of interpolation.
torch_weighted_sums <- function(x, step, attributes) {
  dim <- step$axis + 1
  taps <- interpolation_taps(step$at, x$shape[dim], step$scale, attributes)
  weigh <- function(places, weights) {
    weights <- torch::torch_tensor(weights, dtype = x$dtype, device = x$device)
    torch_take(x, dim, places) * weights$reshape(c(-1, rep(1, length(x$shape) - dim)))
  }
  Reduce(`+`, Map(weigh, taps$places, taps$weights))
}

torch_resize_table <- function() list(Resize = torch_op_resize, Upsample = torch_op_upsample)
