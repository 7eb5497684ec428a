# RoiAlign and DeformConv, put together from other operators, see compose.R.

refuse_roi_align <- function(node) {
  if (!node$attributes$mode %in% c("avg", "max")) return(paste0("mode '", node$attributes$mode, "'"))
  if (!node$attributes$coordinate_transformation_mode %in% c("half_pixel", "output_half_pixel")) {
    return(paste0("coordinate_transformation_mode '", node$attributes$coordinate_transformation_mode, "'"))
  }
  NULL
}

#' RoiAlign: of each region (left, top, right, bottom) of a sample the mean, or maximum, of bilinear values in each bin
#' @noRd
build_roi_align <- function(op, inputs, node) {
  x <- inputs[[1L]]
  size <- sizes_of(x)
  regions <- matrix(inputs[[2L]]$data, 4L)
  samples <- inputs[[3L]]$data
  attributes <- node$attributes
  bins <- c(attributes$output_height, attributes$output_width)
  if (length(size) != 4L || length(samples) != ncol(regions)) stop_bad_input("regions and samples do not fit an input of shape ", shape_text(size))
  if (any(samples < 0 | samples >= size[1L])) stop_bad_input("a region lies in a sample that is not there")
  if (!length(samples)) return(tensor(double(), c(0, size[2L], bins), dtype_of(x)))
  half <- node$since >= 16 && attributes$coordinate_transformation_mode == "half_pixel"
  flat <- op("Reshape", x, whole_numbers_of(c(size[1:2], prod(size[3:4]))))
  results <- lapply(seq_along(samples), function(k) {
    taps <- region_taps(regions[, k] * attributes$spatial_scale - if (half) 0.5 else 0, size[3:4], bins, attributes$sampling_ratio, half)
    own <- op("Squeeze", part_of_axis(op, flat, 0, samples[k], samples[k] + 1), whole_numbers_of(0))
    # Sums of (channel, bin, sample of the bin and corner).
    shape <- c(prod(bins), nrow(taps$places))
    values <- op("Gather", own, whole_numbers_of(taps$places, shape), with = list(axis = 1))
    values <- op("Mul", values, tensor(as.vector(taps$weights), shape, dtype_of(x)))
    if (attributes$mode == "max") {
      op("ReduceMax", values, whole_numbers_of(2), with = list(keepdims = 0))
    } else {
      op("Div", op("ReduceSum", values, whole_numbers_of(2), with = list(keepdims = 0)), number_like(taps$count, x, node))
    }
  })
  results <- lapply(results, function(value) op("Reshape", value, whole_numbers_of(c(1, size[2L], bins))))
  do.call(op, c(list("Concat"), results, list(with = list(axis = 0))))
}

# Places and weights (sample of the bin and corner, bin) in an image of a region (left, top, right, bottom).
region_taps <- function(region, image, bins, ratio, half) {
  extent <- c(region[4L] - region[2L], region[3L] - region[1L])
  if (!half) extent <- pmax(extent, 1)
  grid <- if (ratio > 0) rep(ratio, 2) else ceiling(extent / bins)
  count <- max(prod(grid), 1)
  along <- function(axis) {
    start <- region[c(2L, 1L)[axis]]
    each <- extent[axis] / bins[axis]
    at <- outer((seq_len(max(grid[axis], 0)) - 0.5) * each / grid[axis], (seq_len(bins[axis]) - 1) * each + start, `+`)
    inside <- at >= -1 & at <= image[axis]
    at <- pmin(pmax(at, 0), image[axis] - 1)
    low <- pmin(floor(at), image[axis] - 1)
    high <- pmin(low + 1, image[axis] - 1)
    list(low = low, high = high, fraction = at - low, inside = inside)
  }
  y <- along(1L)
  x <- along(2L)
  corner <- function(row, column, row_weight, column_weight) {
    # (sample of rows, bin of rows) by (sample of columns, bin of columns), bins innermost last.
    arranged <- function(values) {
      values <- array(values, c(dim(y$low), dim(x$low)))
      matrix(aperm(values, c(1L, 3L, 4L, 2L)), length(values) / prod(bins))
    }
    list(
      places = arranged(outer(row * image[2L], column, `+`)),
      weights = arranged(outer(row_weight * y$inside, column_weight * x$inside))
    )
  }
  corners <- list(
    corner(y$low, x$low, 1 - y$fraction, 1 - x$fraction), corner(y$low, x$high, 1 - y$fraction, x$fraction),
    corner(y$high, x$low, y$fraction, 1 - x$fraction), corner(y$high, x$high, y$fraction, x$fraction)
  )
  list(
    places = do.call(rbind, lapply(corners, `[[`, "places")), weights = do.call(rbind, lapply(corners, `[[`, "weights")),
    count = count
  )
}

#' DeformConv: a convolution of two spatial axes whose windows are moved value by value
#' @noRd
build_deform_conv <- function(op, inputs, node) {
  x <- inputs[[1L]]
  weight <- inputs[[2L]]
  mask <- optional_input(inputs, 5L)
  bias <- optional_input(inputs, 4L)
  attributes <- node$attributes
  size <- sizes_of(x)
  filters <- sizes_of(weight)
  if (length(size) != 4L || length(filters) != 4L) stop_unsupported("other than two spatial axes are not supported")
  kernel <- filters[3:4]
  check_kernel_shape(node, kernel)
  geometry <- window_geometry(node, size[3:4], kernel)
  output <- geometry$output
  windows <- attributes$offset_group
  taps <- prod(kernel)
  places <- prod(output)
  if (!identical(sizes_of(inputs[[3L]]), c(size[1L], 2 * windows * taps, output)) || size[2L] %% windows != 0 ||
        filters[2L] * attributes$group != size[2L] || filters[1L] %% attributes$group != 0) {
    stop_bad_input("offsets of shape ", shape_text(sizes_of(inputs[[3L]])), " and a weight of shape ", shape_text(filters),
                   " do not fit an input of shape ", shape_text(size))
  }
  number <- function(value) number_like(value, x, node)
  in_window <- expand_grid(kernel)
  start <- expand_grid(output)
  base <- lapply(1:2, function(axis) {
    at <- outer(start[, axis] * geometry$strides[axis] - geometry$before[axis], in_window[, axis] * geometry$dilations[axis], `+`)
    tensor(as.vector(at), c(1, taps, places), dtype_of(x))
  })
  offsets <- op("Reshape", inputs[[3L]], whole_numbers_of(c(size[1L], windows, taps, 2, places)))
  flat <- op("Reshape", x, whole_numbers_of(c(size[1:2], prod(size[3:4]))))
  channels <- size[2L] / windows
  columns <- lapply(seq_len(windows), function(window) {
    own <- op("Squeeze", part_of_axis(op, offsets, 1, window - 1, window), whole_numbers_of(1))
    coordinates <- lapply(1:2, function(axis) {
      moved <- op("Squeeze", part_of_axis(op, own, 2, axis - 1, axis), whole_numbers_of(2))
      op("Reshape", op("Add", moved, base[[axis]]), whole_numbers_of(c(size[1L], 1, taps * places)))
    })
    near <- lapply(coordinates, grid_taps, op, "linear", number)
    part <- part_of_axis(op, flat, 1, (window - 1) * channels, window * channels)
    values <- lapply(list(c(1, 1), c(1, 2), c(2, 1), c(2, 2)), function(choice) {
      tapped_values(op, part, list(near[[1L]][[choice[1L]]], near[[2L]][[choice[2L]]]), size[3:4], number)
    })
    values <- Reduce(function(a, b) op("Add", a, b), values)
    if (!is.null(mask)) {
      of_window <- part_of_axis(op, mask, 1, (window - 1) * taps, window * taps)
      values <- op("Mul", values, op("Reshape", of_window, whole_numbers_of(c(size[1L], 1, taps * places))))
    }
    values
  })
  columns <- do.call(op, c(list("Concat"), columns, list(with = list(axis = 1))))
  groups <- attributes$group
  # (sample, group, channel of the group x tap, place) times (group, filter, channel x tap).
  columns <- op("Reshape", columns, whole_numbers_of(c(size[1L], groups, filters[2L] * taps, places)))
  weight <- op("Reshape", weight, whole_numbers_of(c(1, groups, filters[1L] / groups, filters[2L] * taps)))
  y <- op("Reshape", op("MatMul", weight, columns), whole_numbers_of(c(size[1L], filters[1L], output)))
  if (is.null(bias)) y else op("Add", y, op("Reshape", bias, whole_numbers_of(c(1, filters[1L], 1, 1))))
}
