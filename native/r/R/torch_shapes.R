# Shapes and reductions on torch tensors. Where only a shape is to be
# found, the operator of plain arrays finds it.

# A table entry: `op` is an operator of plain arrays that gives another shape to the same values.
torch_reshaping <- function(op) {
  force(op)
  function(inputs, node) {
    x <- inputs[[1L]]
    x$reshape(op(c(list(shape_only(x)), inputs[-1L]), node)$shape)
  }
}

# A table entry: an operator of plain arrays that reads shapes and numbers only.
torch_made_plainly <- function(op) {
  force(op)
  function(inputs, node) op(lapply(inputs, shape_only), node)
}

torch_op_identity <- function(inputs, node) inputs[[1L]]

torch_op_transpose <- function(inputs, node) {
  x <- inputs[[1L]]
  perm <- node$attributes$perm
  if (is.null(perm)) perm <- rev(seq_along(x$shape)) - 1
  if (length(perm) < 2L) x else x$permute(perm + 1)
}

torch_op_expand <- function(inputs, node) {
  x <- inputs[[1L]]
  x$expand(broadcast_shape(as.double(x$shape), inputs[[2L]]$data))
}

torch_op_tile <- function(inputs, node) {
  if (length(inputs[[2L]]$data)) inputs[[1L]]$`repeat`(inputs[[2L]]$data) else inputs[[1L]]
}

torch_op_concat <- function(inputs, node) {
  torch::torch_cat(inputs, dim = torch_dims(node$attributes$axis, length(inputs[[1L]]$shape)))
}

torch_op_split <- function(inputs, node) {
  x <- inputs[[1L]]
  attributes <- node$attributes
  axis <- resolve_axis(if (is.null(attributes$axis)) 0 else attributes$axis, length(x$shape))
  length <- x$shape[axis + 1]
  sizes <- if (length(inputs) > 1L && !is.null(inputs[[2L]])) inputs[[2L]]$data else attributes$split
  if (is.null(sizes)) {
    parts <- if (is.null(attributes$num_outputs)) base::length(node$outputs) else attributes$num_outputs
    each <- ceiling(length / parts)
    sizes <- pmax(pmin(each, length - each * (seq_len(parts) - 1)), 0)
  }
  if (any(sizes < 0) || sum(sizes) != length) {
    stop_bad_input("parts of ", shape_text(sizes), " do not make an axis of length ", length)
  }
  ends <- cumsum(sizes)
  Map(function(end, size) x$narrow(axis + 1, if (size) end - size + 1 else 1, size), ends, sizes)
}

torch_op_pad <- function(inputs, node) {
  x <- inputs[[1L]]
  rank <- length(x$shape)
  padding <- padding_of(inputs, node, rank)
  before <- padding$before
  after <- padding$after
  fill <- padding$fill
  if (rank == 0L) return(x)
  mode <- node$attributes$mode
  if (mode == "constant") {
    if (is.logical(fill)) fill <- as.double(fill)
    return(pad_spatial(x, before, after, fill))
  }
  for (k in seq_len(rank)) {
    if (before[k] == 0 && after[k] == 0) next
    places <- seq_len(x$shape[k] + before[k] + after[k]) - 1 - before[k]
    x <- torch_take(x, k, source_of_padding(places, x$shape[k], mode))
  }
  x
}

torch_op_trilu <- function(inputs, node) {
  k <- if (length(inputs) > 1L && !is.null(inputs[[2L]])) inputs[[2L]]$data else 0
  if (node$attributes$upper == 1) torch::torch_triu(inputs[[1L]], k) else torch::torch_tril(inputs[[1L]], k)
}

torch_op_depth_to_space <- function(inputs, node) {
  x <- inputs[[1L]]
  block <- node$attributes$blocksize
  n <- x$shape
  depth <- n[2L] / block^2
  if (node$attributes$mode == "DCR") {
    y <- x$reshape(c(n[1L], block, block, depth, n[3:4]))$permute(c(1, 4, 5, 2, 6, 3))
  } else {
    y <- x$reshape(c(n[1L], depth, block, block, n[3:4]))$permute(c(1, 2, 5, 3, 6, 4))
  }
  y$reshape(c(n[1L], depth, n[3:4] * block))
}

torch_op_space_to_depth <- function(inputs, node) {
  x <- inputs[[1L]]
  block <- node$attributes$blocksize
  n <- x$shape
  perm <- if (node$attributes$mode == "DCR") c(1, 4, 6, 2, 3, 5) else c(1, 2, 4, 6, 3, 5)
  x$reshape(c(n[1:2], n[3L] / block, block, n[4L] / block, block))$permute(perm)$reshape(
    c(n[1L], n[2L] * block^2, n[3:4] / block)
  )
}

# A table entry: f takes a tensor and the dimensions that go, and keeps them with length one.
# `empty` is the result over no values at all; by default f knows it.
torch_reduction <- function(f, empty = NULL) {
  force(f)
  force(empty)
  function(inputs, node) {
    x <- inputs[[1L]]
    rank <- length(x$shape)
    axes <- axes_of(inputs, node)
    if (length(axes) == 0L) {
      axes <- if (isTRUE(node$attributes$noop_with_empty_axes == 1)) double() else seq_len(rank) - 1
    }
    dims <- sort(unique(torch_dims(axes, rank)))
    # Without axes nothing is summed, but the function still applies to each value.
    if (length(dims) == 0L) return(f(x$unsqueeze(-1), rank + 1L)$squeeze(-1)$to(dtype = x$dtype))
    if (!is.null(empty) && any(x$shape[dims] == 0)) {
      y <- torch::torch_full(replace(x$shape, dims, 1), empty(dtype_of_torch(x)), dtype = x$dtype)
    } else {
      y <- f(x, dims)$to(dtype = x$dtype)
    }
    if (node$attributes$keepdims == 1) y else y$reshape(x$shape[-dims])
  }
}

as_floating <- function(x) if (x$is_floating_point()) x else x$to(dtype = torch::torch_double())

reduce_sum <- function(x, dims) torch::torch_sum(x, dim = dims, keepdim = TRUE)
reduce_mean <- function(x, dims) torch::torch_mean(as_floating(x), dim = dims, keepdim = TRUE)

reduce_prod <- function(x, dims) {
  for (dim in dims) x <- torch::torch_prod(x, dim, keepdim = TRUE)
  x
}

reduce_log_sum_exp <- function(x, dims) torch::torch_logsumexp(as_floating(x), dims, keepdim = TRUE)

lowest_of <- function(dtype) {
  if (dtype == "bool") FALSE else if (is_integer(dtype)) integer_lowest[[dtype]] else -Inf
}

highest_of <- function(dtype) {
  if (dtype == "bool") TRUE else if (is_integer(dtype)) integer_highest[[dtype]] else Inf
}

# A table entry for ArgMax and ArgMin; torch counts from 1.
torch_arg_extreme <- function(f) {
  force(f)
  function(inputs, node) {
    x <- inputs[[1L]]
    dim <- torch_dims(node$attributes$axis, length(x$shape))
    keep <- node$attributes$keepdims == 1
    if (isTRUE(node$attributes$select_last_index == 1)) {
      return(torch::torch_neg(f(torch::torch_flip(x, dim), dim, keepdim = keep)) + as.integer(x$shape[dim]))
    }
    f(x, dim, keepdim = keep) - 1L
  }
}

# A table entry: f is torch's own cumulative function, `neutral` makes what an exclusive one begins with.
torch_cumulative <- function(f, neutral) {
  force(f)
  force(neutral)
  function(inputs, node) {
    x <- inputs[[1L]]
    dim <- torch_dims(inputs[[2L]]$data, length(x$shape))
    if (node$attributes$reverse == 1) x <- torch::torch_flip(x, dim)
    y <- f(x, dim, dtype = x$dtype)
    if (node$attributes$exclusive == 1) {
      y <- torch::torch_cat(list(neutral(x$narrow(dim, 1, 1)), y$narrow(dim, 1, x$shape[dim] - 1)), dim = dim)
    }
    if (node$attributes$reverse == 1) torch::torch_flip(y, dim) else y
  }
}

torch_shape_table <- function() {
  list(
    Reshape = torch_reshaping(op_reshape), Flatten = torch_reshaping(op_flatten),
    Squeeze = torch_reshaping(op_squeeze), Unsqueeze = torch_reshaping(op_unsqueeze),
    Shape = torch_made_plainly(op_shape), Size = torch_made_plainly(op_size),
    Constant = torch_made_plainly(op_constant), ConstantOfShape = torch_made_plainly(op_constant_of_shape),
    Range = torch_made_plainly(op_range), EyeLike = torch_made_plainly(op_eye_like),
    Identity = torch_op_identity, Transpose = torch_op_transpose, Expand = torch_op_expand, Tile = torch_op_tile,
    Concat = torch_op_concat, Split = torch_op_split, Pad = torch_op_pad, Trilu = torch_op_trilu,
    DepthToSpace = torch_op_depth_to_space, SpaceToDepth = torch_op_space_to_depth,
    CumSum = torch_cumulative(torch::torch_cumsum, torch::torch_zeros_like),
    CumProd = torch_cumulative(torch::torch_cumprod, torch::torch_ones_like),
    ReduceSum = torch_reduction(reduce_sum), ReduceMean = torch_reduction(reduce_mean),
    ReduceMax = torch_reduction(function(x, dims) torch::torch_amax(x, dims, keepdim = TRUE), lowest_of),
    ReduceMin = torch_reduction(function(x, dims) torch::torch_amin(x, dims, keepdim = TRUE), highest_of),
    ReduceProd = torch_reduction(reduce_prod),
    ReduceL1 = torch_reduction(function(x, dims) reduce_sum(torch::torch_abs(x), dims)),
    ReduceL2 = torch_reduction(function(x, dims) torch::torch_sqrt(reduce_sum(as_floating(x)$pow(2), dims))),
    ReduceLogSum = torch_reduction(function(x, dims) torch::torch_log(reduce_sum(as_floating(x), dims))),
    ReduceLogSumExp = torch_reduction(reduce_log_sum_exp),
    ReduceSumSquare = torch_reduction(function(x, dims) reduce_sum(x * x, dims)),
    ArgMax = torch_arg_extreme(torch::torch_argmax), ArgMin = torch_arg_extreme(torch::torch_argmin)
  )
}
