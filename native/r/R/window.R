# The geometry that convolutions and pools share. Spatial sizes are in ONNX
# order (slowest axis first); offsets into an array are those of the row-major
# buffer, counted from 0.

# The bound on what the rows of one matrix product may take, in bytes.
workspace_bytes <- 256 * 2^20

#' Sizes and padding of a sliding window
#'
#' @param node holds the attributes; @param spatial sizes of the input;
#' @param kernel sizes of the kernel.
#' @return list(kernel, strides, dilations, before, after, output): `before`
#'   and `after` are the padding, `output` the sizes of the result.
#' @noRd
window_geometry <- function(node, spatial, kernel) {
  attributes <- node$attributes
  rank <- length(spatial)
  if (rank < 1L) stop_bad_input("the input has no spatial axis")
  per_axis <- function(name, otherwise) {
    value <- attributes[[name]]
    if (is.null(value)) value <- rep(otherwise, rank)
    if (length(value) != rank) stop_bad_input("attribute '", name, "' does not fit ", rank, " spatial axes")
    value
  }
  strides <- per_axis("strides", 1)
  dilations <- per_axis("dilations", 1)
  if (length(kernel) != rank) stop_bad_input("the kernel does not fit ", rank, " spatial axes")
  if (any(c(strides, dilations, kernel) < 1)) stop_bad_input("a stride, dilation or kernel size below 1")
  element_count(kernel, "the kernel")
  pads <- attributes$pads
  if (is.null(pads)) pads <- rep(0, 2 * rank)
  if (length(pads) != 2 * rank) stop_bad_input("attribute 'pads' does not fit ", rank, " spatial axes")
  before <- pads[seq_len(rank)]
  after <- pads[rank + seq_len(rank)]
  extent <- (kernel - 1) * dilations + 1
  ceiling_mode <- isTRUE(attributes$ceil_mode == 1)
  auto <- if (is.null(attributes$auto_pad)) "NOTSET" else attributes$auto_pad
  if (auto %in% c("SAME_UPPER", "SAME_LOWER")) {
    output <- ceiling(spatial / strides)
    total <- pmax((output - 1) * strides + extent - spatial, 0)
    smaller <- floor(total / 2)
    before <- if (auto == "SAME_UPPER") smaller else total - smaller
    after <- total - before
  } else {
    if (auto == "VALID") before <- after <- rep(0, rank)
    else if (auto != "NOTSET") stop_unsupported("auto_pad '", auto, "' is not supported")
    if (any(c(before, after) < 0)) stop_unsupported("negative padding is not supported")
    steps <- (spatial + before + after - extent) / strides
    output <- if (ceiling_mode) ceiling(steps) + 1 else floor(steps) + 1
    # A last window that would start beyond the input and its left padding is left out.
    if (ceiling_mode) output <- output - ((output - 1) * strides >= spatial + before)
  }
  if (any(output < 1)) {
    stop_bad_input("a kernel of extent ", shape_text(extent), " does not fit an input of ", shape_text(spatial))
  }
  list(
    kernel = kernel, strides = strides, dilations = dilations, before = before, after = after,
    spatial = spatial, output = output
  )
}

# Offsets of a regular grid: `counts` points per axis, `steps` apart, in a
# buffer of the given sizes; the last axis runs fastest.
grid_offsets <- function(counts, steps, sizes) strided_offsets(counts, steps * row_major_strides(sizes))

# The same where neighbours along an axis lie `strides` apart in the buffer.
strided_offsets <- function(counts, strides) {
  offsets <- 0
  for (axis in rev(seq_along(counts))) {
    offsets <- as.vector(outer(offsets, (seq_len(counts[axis]) - 1) * strides[axis], `+`))
  }
  offsets
}

# A copy with room around the spatial axes, as a matrix of spatial positions by channels and samples.
padded_columns <- function(data, columns, geometry, fill) {
  padded <- padded_sizes(geometry)
  dim(data) <- c(prod(geometry$spatial), columns)
  if (all(padded == geometry$spatial)) return(data)
  element_count(c(padded, columns), "the padded input")
  result <- matrix(fill, prod(padded), columns)
  result[inner_positions(geometry), ] <- data
  result
}

# As far as the windows reach: with ceil_mode beyond the padding.
padded_sizes <- function(geometry) {
  reach <- (geometry$output - 1) * geometry$strides + (geometry$kernel - 1) * geometry$dilations + 1
  pmax(reach, geometry$spatial + geometry$before + geometry$after)
}

inner_positions <- function(geometry) {
  padded <- padded_sizes(geometry)
  strides <- row_major_strides(padded)
  strided_offsets(geometry$spatial, strides) + sum(geometry$before * strides) + 1
}

window_starts <- function(geometry) grid_offsets(geometry$output, geometry$strides, padded_sizes(geometry))
window_taps <- function(geometry) grid_offsets(geometry$kernel, geometry$dilations, padded_sizes(geometry))

# Every place of a grid, counted from 0, one row each, the last axis fastest.
expand_grid <- function(shape) {
  unname(as.matrix(do.call(expand.grid, rev(lapply(shape, function(n) seq_len(n) - 1)))))[, rev(seq_along(shape)), drop = FALSE]
}
