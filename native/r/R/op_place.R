# Values put to places, put together from other operators, see compose.R.

build_scatter <- function(op, inputs, node) {
  op("ScatterElements", inputs[[1L]], inputs[[2L]], inputs[[3L]], with = node$attributes["axis"])
}

#' TensorScatter: an update of a cache from a place on that each sample has, round its end with mode "circular"
#' @noRd
build_tensor_scatter <- function(op, inputs, node) {
  cache <- inputs[[1L]]
  update <- inputs[[2L]]
  size <- sizes_of(cache)
  given <- sizes_of(update)
  axis <- resolve_axis(node$attributes$axis, length(size))
  if (axis == 0 || length(given) != length(size) || any(given[-(axis + 1)] != size[-(axis + 1)]) || given[axis + 1] > size[axis + 1]) {
    stop_bad_input("an update of shape ", shape_text(given), " does not fit a cache of shape ", shape_text(size))
  }
  start <- optional_input(inputs, 3L)
  start <- if (is.null(start)) rep(0, size[1L]) else start$data
  if (length(start) != size[1L]) stop_bad_input("write_indices must hold ", size[1L], " numbers")
  after <- prod(given[-seq_len(axis + 1)])
  before <- prod(given[seq_len(axis)][-1L])
  step <- rep(seq_len(given[axis + 1]) - 1, each = after)
  places <- as.vector(outer(rep(step, before), start, `+`))
  if (node$attributes$mode == "circular") places <- places %% size[axis + 1]
  if (any(places < 0 | places >= size[axis + 1])) stop_bad_input("an update reaches beyond the cache")
  op("ScatterElements", cache, whole_numbers_of(places, given), update, with = list(axis = axis))
}

refuse_tensor_scatter <- function(node) {
  if (!node$attributes$mode %in% c("linear", "circular")) paste0("mode '", node$attributes$mode, "'")
}

#' MaxUnpool: values back at the places where MaxPool found them
#' @noRd
build_max_unpool <- function(op, inputs, node) {
  x <- inputs[[1L]]
  size <- sizes_of(x)
  kernel <- node$attributes$kernel_shape
  axes <- length(kernel)
  strides <- if (is.null(node$attributes$strides)) rep(1, axes) else node$attributes$strides
  pads <- if (is.null(node$attributes$pads)) rep(0, 2 * axes) else node$attributes$pads
  if (length(size) != axes + 2L || length(strides) != axes || length(pads) != 2 * axes) {
    stop_bad_input("an input of shape ", shape_text(size), " does not fit a kernel of ", axes, " axes")
  }
  natural <- c(size[1:2], (size[-(1:2)] - 1) * strides - pads[seq_len(axes)] - pads[axes + seq_len(axes)] + kernel)
  element_count(natural, "the output")
  flat <- function(values) op("Reshape", values, whole_numbers_of(-1))
  zeros <- tensor(rep(0, prod(natural)), prod(natural), dtype_of(x))
  y <- op("ScatterElements", zeros, flat(inputs[[2L]]), flat(x), with = list(axis = 0))
  y <- op("Reshape", y, whole_numbers_of(natural))
  wanted <- optional_input(inputs, 3L)
  if (is.null(wanted)) return(y)
  if (length(wanted$data) != length(natural) || any(wanted$data < natural)) {
    stop_bad_input("an output of shape ", shape_text(wanted$data), " is smaller than ", shape_text(natural))
  }
  op("Pad", y, whole_numbers_of(c(0 * natural, wanted$data - natural)))
}

#' Col2Im: windows (sample, channel x window, place) added up where they lie in an image
#' @noRd
build_col_to_im <- function(op, inputs, node) {
  x <- inputs[[1L]]
  image <- inputs[[2L]]$data
  block <- inputs[[3L]]$data
  geometry <- window_geometry(node, image, block)
  size <- sizes_of(x)
  places <- outer(window_starts(geometry), window_taps(geometry), `+`)
  if (length(size) != 3L || size[2L] %% prod(block) != 0 || size[3L] != nrow(places)) {
    stop_bad_input("shape ", shape_text(size), " does not fit ", nrow(places), " windows of ", prod(block), " values")
  }
  # Added up in an image with its padding, which is then cut off.
  padded <- padded_sizes(geometry)
  channels <- size[2L] / prod(block)
  rows <- size[1L] * channels
  indices <- whole_numbers_of(rep(as.vector(places), rows), c(rows, length(places)))
  zeros <- tensor(rep(0, rows * prod(padded)), c(rows, prod(padded)), dtype_of(x))
  values <- op("Reshape", x, whole_numbers_of(c(rows, length(places))))
  added <- op("ScatterElements", zeros, indices, values, with = list(axis = 1, reduction = "add"))
  added <- op("Reshape", added, whole_numbers_of(c(size[1L], channels, padded)))
  axes <- whole_numbers_of(1 + seq_along(image))
  op("Slice", added, whole_numbers_of(geometry$before), whole_numbers_of(geometry$before + image), axes)
}

#' AffineGrid: places of a regular grid, moved by one matrix (axis, axis + 1) for each sample
#' @noRd
build_affine_grid <- function(op, inputs, node) {
  theta <- inputs[[1L]]
  size <- inputs[[2L]]$data
  spatial <- size[-(1:2)]
  axes <- length(spatial)
  if (!axes %in% 2:3 || !identical(sizes_of(theta), c(size[1L], axes, axes + 1))) {
    stop_bad_input("matrices of shape ", shape_text(sizes_of(theta)), " do not fit a size of ", shape_text(size))
  }
  aligned <- node$attributes$align_corners != 0
  if (aligned && any(spatial < 2)) stop_unsupported("align_corners with an axis of one place is not supported")
  element_count(c(spatial, axes + 1), "the grid")
  places <- expand_grid(spatial)
  # The last axis comes first; a column of ones shifts.
  coordinates <- vapply(rev(seq_len(axes)), function(axis) {
    if (aligned) 2 * places[, axis] / (spatial[axis] - 1) - 1 else (2 * places[, axis] + 1) / spatial[axis] - 1
  }, numeric(nrow(places)))
  grid <- op("MatMul", matrix_like(cbind(coordinates, 1), theta), op("Transpose", theta, with = list(perm = c(0, 2, 1))))
  op("Reshape", grid, whole_numbers_of(c(size[1L], spatial, axes)))
}
