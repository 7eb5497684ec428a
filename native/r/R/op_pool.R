# Pools: a maximum or mean over windows of each channel by itself.

# The windows of every channel, one kernel tap at a time. `combine` gets the
# values so far and those of the next tap, both positions by (channels x samples).
over_taps <- function(x, geometry, fill, transform, combine) {
  columns <- prod(x$shape[1:2])
  padded <- padded_columns(x$data, columns, geometry, fill)
  starts <- window_starts(geometry) + 1
  taps <- window_taps(geometry)
  result <- transform(padded[starts + taps[1L], , drop = FALSE])
  for (tap in taps[-1L]) result <- combine(result, transform(padded[starts + tap, , drop = FALSE]))
  as.vector(result)
}

pool_shape <- function(x, geometry) {
  shape <- c(x$shape[1:2], geometry$output)
  element_count(shape, "the output")
  shape
}

op_max_pool <- function(inputs, node) {
  x <- inputs[[1L]]
  geometry <- window_geometry(node, spatial_of(x), node$attributes$kernel_shape)
  lowest <- if (is_integer(x$dtype)) integer_lowest[[x$dtype]] else -Inf
  shape <- pool_shape(x, geometry)
  values <- over_taps(x, geometry, lowest, identity, pmax.int)
  result <- tensor(values, shape, x$dtype)
  if (length(node$outputs) < 2L || !nzchar(node$outputs[2L])) return(result)
  list(result, max_indices(x, geometry, shape, node$attributes$storage_order))
}

# Where each maximum was found, counted over the whole input; column-major
# within the spatial axes where storage_order is 1.
max_indices <- function(x, geometry, shape, storage_order) {
  columns <- prod(x$shape[1:2])
  inner <- prod(geometry$spatial)
  padded <- padded_columns(x$data, columns, geometry, -Inf)
  places <- seq_len(inner) - 1
  if (storage_order == 1) places <- permute_axes(places, rev(geometry$spatial), rev(seq_along(geometry$spatial)) - 1)
  where <- rep(0, nrow(padded))
  where[if (nrow(padded) == inner) seq_len(inner) else inner_positions(geometry)] <- places
  starts <- window_starts(geometry) + 1
  best <- matrix(-Inf, length(starts), columns)
  index <- matrix(0, length(starts), columns)
  for (tap in window_taps(geometry)) {
    values <- padded[starts + tap, , drop = FALSE]
    better <- which(values > best)
    best[better] <- values[better]
    index[better] <- where[starts + tap][(better - 1) %% length(starts) + 1]
  }
  tensor(as.vector(index) + rep((seq_len(columns) - 1) * inner, each = length(starts)), shape, "int64")
}

op_average_pool <- function(inputs, node) {
  x <- inputs[[1L]]
  geometry <- window_geometry(node, spatial_of(x), node$attributes$kernel_shape)
  shape <- pool_shape(x, geometry)
  totals <- over_taps(x, geometry, 0, identity, `+`)
  # What counts: the input, and the padding where count_include_pad says so, but
  # never what lies beyond the padding because of ceil_mode.
  counted <- geometry
  if (node$attributes$count_include_pad == 1) {
    counted$spatial <- geometry$spatial + geometry$before + geometry$after
    counted$before <- counted$after <- 0 * counted$spatial
  }
  ones <- tensor(rep(1, prod(counted$spatial)), c(1, 1, counted$spatial), x$dtype)
  counts <- over_taps(ones, counted, 0, identity, `+`)
  tensor(totals / counts, shape, x$dtype)
}

op_lp_pool <- function(inputs, node) {
  x <- inputs[[1L]]
  geometry <- window_geometry(node, spatial_of(x), node$attributes$kernel_shape)
  p <- node$attributes$p
  shape <- pool_shape(x, geometry)
  totals <- over_taps(x, geometry, 0, function(v) abs(v)^p, `+`)
  tensor(totals^(1 / p), shape, x$dtype)
}

# A value per channel and sample, the spatial axes kept with length one.
global_pool <- function(x, f) {
  spatial <- spatial_of(x)
  values <- x$data
  dim(values) <- c(prod(spatial), prod(x$shape[1:2]))
  tensor(f(values), c(x$shape[1:2], rep(1, length(spatial))), x$dtype)
}

op_global_max_pool <- function(inputs, node) global_pool(inputs[[1L]], column_maximum)
op_global_average_pool <- function(inputs, node) global_pool(inputs[[1L]], colMeans)
op_global_lp_pool <- function(inputs, node) {
  p <- node$attributes$p
  global_pool(inputs[[1L]], function(values) colSums(abs(values)^p)^(1 / p))
}
