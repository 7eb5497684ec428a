# Choosing and placing values by index on torch tensors. Indices count from 0
# in ONNX and may be negative; torch counts from 1.

# Values at places (counted from 0) along one dimension (counted from 1).
torch_take <- function(x, dim, places) {
  count <- length(places)
  if (count == 0L) return(x$narrow(dim, 1, 0))
  if (all(diff(places) == 1)) return(x$narrow(dim, places[1L] + 1, count))
  torch::torch_index_select(x, dim, torch::torch_tensor(as.integer(places + 1), dtype = torch::torch_long(),
                                                        device = x$device))
}

torch_op_slice <- function(inputs, node) {
  x <- inputs[[1L]]
  places <- slice_of_axes(x$shape, inputs, node)
  for (axis in names(places)) x <- torch_take(x, as.integer(axis), places[[axis]])
  x
}

# Indices counted from 0, negative ones from the end, to torch's from 1.
torch_index <- function(indices, length) {
  indices <- indices$to(dtype = torch::torch_long())
  torch::torch_where(indices < 0, indices + length, indices) + 1L
}

torch_op_gather <- function(inputs, node) {
  x <- inputs[[1L]]
  indices <- inputs[[2L]]
  axis <- resolve_axis(node$attributes$axis, length(x$shape))
  if (!is_torch(indices)) {
    # One step of a sequence, as a Loop reads it, needs no copy.
    if (length(indices$shape) == 0L) return(x$select(axis + 1, checked_index(indices$data, x$shape[axis + 1]) + 1))
    indices <- as_torch(indices)
  }
  picked <- torch::torch_index_select(x, axis + 1, torch_index(indices, x$shape[axis + 1])$reshape(-1))
  picked$reshape(c(x$shape[seq_len(axis)], indices$shape, x$shape[seq_along(x$shape) > axis + 1]))
}

torch_op_gather_elements <- function(inputs, node) {
  x <- inputs[[1L]]
  dim <- torch_dims(node$attributes$axis, length(x$shape))
  torch::torch_gather(x, dim, torch_index(inputs[[2L]], x$shape[dim]))
}

#' The slices that index tuples point to
#'
#' @param x a tensor; `indices` tuples along its last axis, of axes of `x` after the first `batch`.
#' @return list(slices, at, inner): `x` as a matrix of one slice in each row, the row
#'   (from 0) of each tuple as a vector, and the shape of a slice.
#' @noRd
torch_tuples <- function(x, indices, batch) {
  rank <- length(indices$shape)
  if (rank == 0L) stop_bad_input("the indices are a scalar")
  depth <- indices$shape[rank]
  if (batch + depth > length(x$shape)) stop_bad_input("the index tuples are longer than the tensor's rank")
  leading <- seq_len(batch)
  if (batch >= rank || !identical(indices$shape[leading], x$shape[leading])) {
    stop_bad_input("the indices do not have the batch axes of the input")
  }
  sizes <- x$shape[batch + seq_len(depth)]
  as_row <- function(values) torch::torch_tensor(values, dtype = torch::torch_long(), device = x$device)
  indices <- indices$to(dtype = torch::torch_long())
  indices <- torch::torch_where(indices < 0, indices + as_row(sizes), indices)
  # Checked axis by axis: one that is too large may still point into the tensor.
  beyond <- torch::torch_logical_or(indices < 0, indices >= as_row(sizes))
  if (as.logical(beyond$any()$item())) stop_bad_input("an index lies outside axes of length ", shape_text(sizes))
  at <- torch::torch_sum(indices * as_row(row_major_strides(sizes)), dim = rank)
  batches <- prod(x$shape[leading])
  per_batch <- prod(indices$shape[-c(leading, rank)])
  first <- as_row((seq_len(batches) - 1) * prod(sizes))$unsqueeze(2)
  inner <- x$shape[seq_along(x$shape) > batch + depth]
  list(
    slices = x$reshape(c(batches * prod(sizes), prod(inner))), at = (at$reshape(c(batches, per_batch)) + first)$reshape(-1),
    inner = inner
  )
}

torch_op_gather_nd <- function(inputs, node) {
  indices <- inputs[[2L]]
  found <- torch_tuples(inputs[[1L]], indices, node$attributes$batch_dims)
  picked <- torch::torch_index_select(found$slices, 1, found$at + 1L)
  picked$reshape(c(indices$shape[-length(indices$shape)], found$inner))
}

# Values put into, or combined with, what stands at the indices (from 1) along a dimension; a place may come more than once.
torch_placed <- function(x, dim, index, values, reduction) {
  if (reduction == "none") return(x$scatter(dim, index, values))
  x$scatter_reduce(dim, index, values, c(add = "sum", mul = "prod", max = "amax", min = "amin")[[reduction]])
}

torch_op_scatter_elements <- function(inputs, node) {
  x <- inputs[[1L]]
  dim <- torch_dims(node$attributes$axis, length(x$shape))
  torch_placed(x, dim, torch_index(inputs[[2L]], x$shape[dim]), inputs[[3L]], node$attributes$reduction)
}

torch_op_scatter_nd <- function(inputs, node) {
  x <- inputs[[1L]]
  found <- torch_tuples(x, inputs[[2L]], 0)
  values <- inputs[[3L]]$reshape(c(found$at$shape, found$slices$shape[2L]))
  index <- (found$at + 1L)$unsqueeze(2)$expand(values$shape)
  torch_placed(found$slices, 1, index, values, node$attributes$reduction)$reshape(x$shape)
}

torch_op_one_hot <- function(inputs, node) {
  indices <- inputs[[1L]]
  depth <- trunc(inputs[[2L]]$data)
  values <- as_torch(inputs[[3L]], node$precision)
  axis <- resolve_axis(node$attributes$axis, length(indices$shape) + 1)
  element_count(append(as.double(indices$shape), depth, after = axis))
  indices <- indices$to(dtype = torch::torch_long())
  indices <- torch::torch_where(indices < 0, indices + depth, indices)
  places <- torch::torch_tensor(seq_len(depth) - 1, dtype = torch::torch_long(), device = indices$device)
  here <- indices$unsqueeze(axis + 1) == places$reshape(c(depth, rep(1, length(indices$shape) - axis)))
  torch::torch_where(here, values[2], values[1])
}

# One row for each axis.
torch_op_non_zero <- function(inputs, node) (torch::torch_nonzero(inputs[[1L]]) - 1L)$t()$contiguous()

torch_index_table <- function() {
  list(
    Slice = torch_op_slice, Gather = torch_op_gather, GatherElements = torch_op_gather_elements,
    GatherND = torch_op_gather_nd, ScatterElements = torch_op_scatter_elements, ScatterND = torch_op_scatter_nd,
    OneHot = torch_op_one_hot, NonZero = torch_op_non_zero
  )
}
