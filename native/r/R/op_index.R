# Choosing and placing values by index. Indices count from 0 and may be
# negative; integers beyond 2^53 mean "as far as it goes" in Slice.

op_slice <- function(inputs, node) {
  x <- inputs[[1L]]
  places <- lapply(slice_of_axes(x$shape, inputs, node), `+`, 1)
  take_per_axis(x, replace(lapply(x$shape, seq_len), as.integer(names(places)), places))
}

#' What Slice takes of a tensor
#'
#' Starts, ends, axes and steps are attributes before opset 10, inputs after.
#'
#' @param shape of the tensor that is sliced.
#' @return places, counted from 0, by the number of the axis, counted from 1; only of the axes that are sliced.
#' @noRd
slice_of_axes <- function(shape, inputs, node) {
  part <- function(position, name) {
    if (length(inputs) >= position && !is.null(inputs[[position]])) inputs[[position]]$data else node$attributes[[name]]
  }
  starts <- part(2L, "starts")
  ends <- part(3L, "ends")
  axes <- part(4L, "axes")
  steps <- part(5L, "steps")
  axes <- if (is.null(axes)) seq_along(starts) - 1 else resolve_axis(axes, length(shape))
  if (is.null(steps)) steps <- rep(1, length(starts))
  if (any(lengths(list(starts, ends, axes)) != length(steps))) {
    stop_bad_input("starts, ends, axes and steps differ in length")
  }
  if (any(steps == 0)) stop_bad_input("a step of 0")
  if (any(axes >= length(shape))) stop_bad_input("more axes are sliced than the tensor has")
  places <- Map(slice_places, starts, ends, steps, shape[axes + 1])
  stats::setNames(places, axes + 1)
}

slice_places <- function(start, end, step, length) {
  if (start < 0) start <- start + length
  if (end < 0) end <- end + length
  lowest <- if (step > 0) 0 else -1
  highest <- if (step > 0) length else length - 1
  start <- min(max(start, if (step > 0) 0 else -1), highest)
  end <- min(max(end, lowest), highest)
  count <- max(ceiling((end - start) / step), 0)
  start + (seq_len(count) - 1) * step
}

checked_index <- function(index, length) {
  index <- ifelse(index < 0, index + length, index)
  if (any(index < 0 | index >= length)) stop_bad_input("an index lies outside an axis of length ", length)
  index
}

op_gather <- function(inputs, node) {
  x <- inputs[[1L]]
  indices <- inputs[[2L]]
  axis <- resolve_axis(node$attributes$axis, length(x$shape))
  view <- axis_view(x$shape, axis)
  index <- checked_index(indices$data, view[["along"]])
  shape <- c(x$shape[seq_len(axis)], indices$shape, x$shape[seq_along(x$shape) > axis + 1])
  element_count(shape)
  data <- x$data
  dim(data) <- view
  tensor(as.vector(data[, index + 1, ]), shape, x$dtype)
}

# The place in the buffer of `x` of every element of an index tensor along one axis.
element_places <- function(x, indices, axis) {
  if (length(indices$shape) != length(x$shape)) stop_bad_input("the indices' rank differs from the input's")
  if (any(indices$shape[-(axis + 1)] > x$shape[-(axis + 1)])) stop_bad_input("the indices reach beyond the input")
  index <- checked_index(indices$data, x$shape[axis + 1])
  strides <- row_major_strides(x$shape)
  places <- grid_offsets(indices$shape, replace(rep(1, length(x$shape)), axis + 1, 0), x$shape)
  places + index * strides[axis + 1] + 1
}

op_gather_elements <- function(inputs, node) {
  x <- inputs[[1L]]
  axis <- resolve_axis(node$attributes$axis, length(x$shape))
  if (prod(inputs[[2L]]$shape) == 0) return(tensor(x$data[0L], inputs[[2L]]$shape, x$dtype))
  tensor(x$data[element_places(x, inputs[[2L]], axis)], inputs[[2L]]$shape, x$dtype)
}

refuse_scatter <- function(node) {
  reduction <- node$attributes$reduction
  if (!reduction %in% c("none", "add", "mul", "max", "min")) paste0("reduction '", reduction, "'")
}

op_scatter_elements <- function(inputs, node) {
  x <- inputs[[1L]]
  axis <- resolve_axis(node$attributes$axis, length(x$shape))
  if (prod(inputs[[2L]]$shape) == 0) return(x)
  places <- element_places(x, inputs[[2L]], axis)
  place_values(x, places, inputs[[3L]]$data, node$attributes$reduction)
}

# Values put into, or combined with, what stands at the places; a place may come more than once.
place_values <- function(x, places, values, reduction) {
  if (reduction == "none") {
    x$data[places] <- values
    return(x)
  }
  combine <- switch(reduction, add = `+`, mul = `*`, max = pmax.int, min = pmin.int)
  # In rounds in which every place occurs once.
  round <- stats::ave(places, places, FUN = seq_along)
  for (turn in seq_len(max(c(round, 0)))) {
    now <- round == turn
    x$data[places[now]] <- combine(x$data[places[now]], values[now])
  }
  arithmetic_result(x$data, x$shape, x$dtype)
}

# The start of each slice that index tuples point to, and how long it is.
tuple_places <- function(x, indices, batch) {
  rank <- length(indices$shape)
  depth <- indices$shape[rank]
  if (batch + depth > length(x$shape)) stop_bad_input("the index tuples are longer than the tensor's rank")
  strides <- row_major_strides(x$shape)
  tuples <- matrix(indices$data, depth)
  start <- rep(0, ncol(tuples))
  for (k in seq_len(depth)) {
    start <- start + checked_index(tuples[k, ], x$shape[batch + k]) * strides[batch + k]
  }
  inner <- prod(x$shape[seq_along(x$shape) > batch + depth])
  if (batch > 0) {
    batches <- prod(x$shape[seq_len(batch)])
    start <- start + rep((seq_len(batches) - 1) * strides[batch], each = ncol(tuples) / batches)
  }
  list(start = start, inner = inner)
}

op_gather_nd <- function(inputs, node) {
  x <- inputs[[1L]]
  indices <- inputs[[2L]]
  batch <- if (is.null(node$attributes$batch_dims)) 0 else node$attributes$batch_dims
  at <- tuple_places(x, indices, batch)
  rank <- length(indices$shape)
  shape <- c(indices$shape[-rank], x$shape[seq_along(x$shape) > batch + indices$shape[rank]])
  tensor(x$data[as.vector(outer(seq_len(at$inner), at$start, `+`))], shape, x$dtype)
}

op_scatter_nd <- function(inputs, node) {
  x <- inputs[[1L]]
  at <- tuple_places(x, inputs[[2L]], 0)
  place_values(x, as.vector(outer(seq_len(at$inner), at$start, `+`)), inputs[[3L]]$data, node$attributes$reduction)
}

op_one_hot <- function(inputs, node) {
  indices <- inputs[[1L]]
  depth <- inputs[[2L]]$data
  values <- inputs[[3L]]
  axis <- resolve_axis(node$attributes$axis, length(indices$shape) + 1)
  shape <- append(indices$shape, depth, after = axis)
  element_count(shape)
  index <- trunc(indices$data)
  index <- ifelse(index < 0, index + depth, index)
  after <- prod(indices$shape[seq_along(indices$shape) > axis])
  data <- rep(values$data[1L], prod(shape))
  inside <- which(index >= 0 & index < depth)
  element <- inside - 1
  data[element %% after + index[inside] * after + element %/% after * after * depth + 1] <- values$data[2L]
  tensor(data, shape, values$dtype)
}

op_non_zero <- function(inputs, node) {
  x <- inputs[[1L]]
  found <- which(as.logical(x$data)) - 1
  if (length(x$shape) == 0L) return(tensor(double(), c(0, length(found)), "int64"))
  strides <- row_major_strides(x$shape)
  places <- Map(function(stride, length) found %/% stride %% length, strides, x$shape)
  tensor(as.double(unlist(places)), c(length(x$shape), length(found)), "int64")
}
