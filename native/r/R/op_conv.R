# Convolution as a matrix product. Rows are the output positions of all
# samples, columns the kernel taps of all channels of a group (im2col); rows
# are taken in tiles, so that the matrix never exceeds the workspace.

spatial_of <- function(x) {
  if (length(x$shape) < 3L) stop_bad_input("the input has rank ", length(x$shape), "; at least 3 is needed")
  x$shape[-(1:2)]
}

check_kernel_shape <- function(node, kernel) {
  declared <- node$attributes$kernel_shape
  if (!is.null(declared) && !identical(as.double(declared), as.double(kernel))) {
    stop_bad_input("kernel_shape ", shape_text(declared), " differs from the weight's ", shape_text(kernel))
  }
}

#' Conv: x (N, C, spatial), weight (M, C / group, kernel), bias (M) -> (N, M, output)
#' @noRd
op_conv <- function(inputs, node) {
  x <- inputs[[1L]]
  weight <- inputs[[2L]]
  bias <- if (length(inputs) > 2L) inputs[[3L]]
  spatial <- spatial_of(x)
  if (length(weight$shape) != length(x$shape)) stop_bad_input("the weight's rank differs from the input's")
  kernel <- weight$shape[-(1:2)]
  check_kernel_shape(node, kernel)
  samples <- x$shape[1L]
  channels <- x$shape[2L]
  filters <- weight$shape[1L]
  group <- node$attributes$group
  if (group < 1 || channels != weight$shape[2L] * group || filters %% group != 0) {
    stop_bad_input("an input of ", channels, " channels does not fit a weight of shape ", shape_text(weight$shape),
                   " in ", group, " group(s)")
  }
  if (!is.null(bias) && length(bias$data) != filters) stop_bad_input("the bias does not have ", filters, " values")
  geometry <- window_geometry(node, spatial, kernel)
  shape <- c(samples, filters, geometry$output)
  element_count(shape, "the output")
  if (prod(shape) == 0) return(tensor(double(), shape, x$dtype))

  # Positions of all samples by channels, so that one row index serves every channel.
  inner <- prod(spatial)
  rows <- x$data
  if (samples > 1 && is.null(x$channel_major)) {
    dim(rows) <- c(inner, channels, samples)
    rows <- aperm(rows, c(1L, 3L, 2L))
  }
  finite <- (isTRUE(weight$finite) || all_finite(weight$data)) && all_finite(rows)
  padded <- prod(padded_sizes(geometry))
  # Where the input is copied into a larger matrix anyhow, the bias goes through the product as the weight of a channel
  # of ones, which costs less than adding it to the result.
  ones <- padded != inner && group == 1 && finite && !is.null(bias)
  if (padded != inner) rows <- rows_with_room(rows, samples, channels, geometry, ones)
  rows <- as_dim(rows, c(padded * samples, channels + ones))
  starts <- as.vector(outer(window_starts(geometry), (seq_len(samples) - 1) * padded, `+`)) + 1
  taps <- window_taps(geometry)
  filter_matrix <- as_dim(weight$data, filter_matrix_sizes(weight$shape, 2L))
  if (ones) filter_matrix <- rbind(filter_matrix, bias$data, matrix(0, length(taps) - 1, filters))
  result <- without_nan_check(finite, if (group == 1) {
    window_products(rows, starts, taps, seq_len(ncol(rows)), filter_matrix)
  } else {
    grouped_products(rows, starts, taps, group, filter_matrix)
  })
  if (!is.null(bias) && !ones) result <- result + rep(bias$data, each = nrow(result))
  result <- tensor(as_vector(result), shape, x$dtype)
  if (samples > 1) result$channel_major <- TRUE
  result
}

# Zeros around the spatial axes of every sample, and where asked for a last column of ones.
rows_with_room <- function(rows, samples, channels, geometry, ones) {
  padded <- prod(padded_sizes(geometry))
  wide <- matrix(0, padded * samples, channels + ones)
  inside <- outer(inner_positions(geometry), (seq_len(samples) - 1) * padded, `+`)
  wide[inside, seq_len(channels)] <- rows
  if (ones) wide[, channels + 1] <- 1
  wide
}

# Taps and channels of a group by filters, see operator().
filter_matrix_sizes <- function(shape, position) {
  if (position == 2L && length(shape) > 2L) c(prod(shape[-1L]), shape[1L])
}

grouped_products <- function(rows, starts, taps, group, filter_matrix) {
  channels <- ncol(rows) / group
  filters <- ncol(filter_matrix) / group
  result <- matrix(0, length(starts), ncol(filter_matrix))
  for (g in seq_len(group)) {
    in_group <- (g - 1) * channels + seq_len(channels)
    out_group <- (g - 1) * filters + seq_len(filters)
    result[, out_group] <- window_products(rows, starts, taps, in_group, filter_matrix[, out_group, drop = FALSE])
  }
  result
}

# Products of the windows that begin at `starts` with a (taps x channels) by filters matrix.
window_products <- function(rows, starts, taps, channels, filters) {
  all_channels <- length(channels) == ncol(rows)
  if (length(taps) == 1L && length(starts) == nrow(rows) && all_channels) return(rows %*% filters)
  tile <- max(1, floor(workspace_bytes / (8 * nrow(filters))))
  products <- function(begin) {
    picked <- as.integer(outer(begin, taps, `+`))
    windows <- if (all_channels) rows[picked, ] else rows[picked, channels]
    dim(windows) <- c(length(begin), nrow(filters))
    windows %*% filters
  }
  if (length(starts) <= tile) return(products(starts))
  result <- matrix(0, length(starts), ncol(filters))
  for (first in seq(1, length(starts), by = tile)) {
    part <- first:min(first + tile - 1, length(starts))
    result[part, ] <- products(starts[part])
  }
  result
}

#' ConvTranspose: x (N, C, spatial), weight (C, M / group, kernel), bias (M) -> (N, M, output)
#'
#' Every input position adds the kernel, times its value, to the output; what
#' falls on the padding is cut off.
#' @noRd
op_conv_transpose <- function(inputs, node) {
  x <- inputs[[1L]]
  weight <- inputs[[2L]]
  bias <- if (length(inputs) > 2L) inputs[[3L]]
  spatial <- spatial_of(x)
  if (length(weight$shape) != length(x$shape)) stop_bad_input("the weight's rank differs from the input's")
  kernel <- weight$shape[-(1:2)]
  check_kernel_shape(node, kernel)
  samples <- x$shape[1L]
  channels <- x$shape[2L]
  group <- node$attributes$group
  if (group < 1 || channels != weight$shape[1L] || channels %% group != 0) {
    stop_bad_input("an input of ", channels, " channels does not fit a weight of shape ", shape_text(weight$shape),
                   " in ", group, " group(s)")
  }
  per_group <- weight$shape[2L]
  filters <- per_group * group
  if (!is.null(bias) && length(bias$data) != filters) stop_bad_input("the bias does not have ", filters, " values")
  geometry <- transpose_geometry(node, spatial, kernel)
  shape <- c(samples, filters, geometry$output)
  element_count(shape, "the output")
  if (prod(shape) == 0) return(tensor(double(), shape, x$dtype))

  inner <- prod(spatial)
  rows <- x$data
  dim(rows) <- c(inner, channels, samples)
  rows <- aperm(rows, c(1L, 3L, 2L))
  dim(rows) <- c(inner * samples, channels)
  full <- prod(geometry$full)
  element_count(c(full, samples, filters), "the padded output")
  starts <- grid_offsets(spatial, geometry$strides, geometry$full)
  starts <- as.vector(outer(starts, (seq_len(samples) - 1) * full, `+`)) + 1
  taps <- grid_offsets(kernel, geometry$dilations, geometry$full)
  filter_array <- weight$data
  dim(filter_array) <- c(length(taps), per_group, channels)
  result <- matrix(0, full * samples, filters)
  for (g in seq_len(group)) {
    in_group <- (g - 1) * (channels / group) + seq_len(channels / group)
    out_group <- (g - 1) * per_group + seq_len(per_group)
    values <- rows[, in_group, drop = FALSE]
    for (k in seq_along(taps)) {
      # Within one tap no two windows meet, so a plain assignment adds.
      target <- starts + taps[k]
      tap <- matrix(filter_array[k, , in_group], per_group)
      result[target, out_group] <- result[target, out_group] + tcrossprod(values, tap)
    }
  }
  dim(result) <- c(rev(geometry$full), samples, filters)
  kept <- Map(function(from, count) from + seq_len(count), rev(geometry$before), rev(geometry$output))
  result <- do.call(`[`, c(list(result), kept, list(TRUE, TRUE, drop = FALSE)))
  dim(result) <- c(prod(geometry$output), samples, filters)
  result <- as.vector(aperm(result, c(1L, 3L, 2L)))
  if (!is.null(bias)) result <- result + rep(bias$data, each = prod(geometry$output))
  tensor(result, shape, x$dtype)
}

# `full` is the output before the padding is cut off; see the ConvTranspose specification.
transpose_geometry <- function(node, spatial, kernel) {
  attributes <- node$attributes
  rank <- length(spatial)
  or_each <- function(value, otherwise) if (is.null(value)) rep(otherwise, rank) else value
  strides <- or_each(attributes$strides, 1)
  dilations <- or_each(attributes$dilations, 1)
  extra <- or_each(attributes$output_padding, 0)
  wanted <- attributes$output_shape
  pads <- if (is.null(attributes$pads)) rep(0, 2 * rank) else attributes$pads
  # Some files give the whole shape, batch and channels included.
  if (length(wanted) == rank + 2L) wanted <- wanted[-(1:2)]
  if (any(lengths(list(strides, dilations, extra)) != rank) || length(pads) != 2 * rank ||
    !(is.null(wanted) || length(wanted) == rank)) {
    stop_bad_input("an attribute does not fit ", rank, " spatial axes")
  }
  if (any(c(strides, dilations, kernel) < 1) || any(c(extra, wanted) < 0)) {
    stop_bad_input("a stride, dilation, kernel size or output size out of range")
  }
  natural <- strides * (spatial - 1) + extra + (kernel - 1) * dilations + 1
  auto <- attributes$auto_pad
  if (auto %in% c("SAME_UPPER", "SAME_LOWER") && is.null(wanted)) wanted <- spatial * strides
  if (is.null(wanted)) {
    if (auto == "VALID") pads[] <- 0
    before <- pads[seq_len(rank)]
    output <- natural - before - pads[rank + seq_len(rank)]
  } else {
    # An output larger than the windows reach ends in zeros.
    total <- pmax(natural - wanted, 0)
    smaller <- trunc(total / 2)
    before <- if (auto == "SAME_UPPER") smaller else total - smaller
    output <- wanted
  }
  if (any(output < 1)) stop_bad_input("the padding leaves no output")
  if (any(before < 0)) stop_unsupported("negative padding is not supported")
  list(
    strides = strides, dilations = dilations, before = before, output = output,
    full = pmax(natural, before + output)
  )
}
