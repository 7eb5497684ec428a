# Convolutions and pools on torch tensors. Geometry is that of window.R; where
# torch's own padding cannot say it, the input is padded first.

by_spatial_rank <- function(rank, one, two, three) {
  if (rank < 1 || rank > 3) stop_unsupported(rank, " spatial axes are not supported by r/torch")
  list(one, two, three)[[rank]]
}

# Pads per axis in ONNX order to the order of nnf_pad(): last axis first, before and after.
pad_spatial <- function(x, before, after, value = 0) {
  if (all(before == 0) && all(after == 0)) return(x)
  torch::nnf_pad(x, as.integer(rbind(rev(before), rev(after))), "constant", value)
}

torch_op_conv <- function(inputs, node) {
  x <- inputs[[1L]]
  weight <- inputs[[2L]]
  bias <- if (length(inputs) > 2L) inputs[[3L]]
  kernel <- weight$shape[-(1:2)]
  check_kernel_shape(node, kernel)
  geometry <- window_geometry(node, as.double(x$shape[-(1:2)]), as.double(kernel))
  padding <- geometry$before
  if (any(geometry$before != geometry$after)) {
    x <- pad_spatial(x, geometry$before, geometry$after)
    padding <- 0 * padding
  }
  convolve <- by_spatial_rank(length(kernel), torch::torch_conv1d, torch::torch_conv2d, torch::torch_conv3d)
  convolve(x, weight, if (is.null(bias)) list() else bias, stride = geometry$strides, padding = padding,
           dilation = geometry$dilations, groups = node$attributes$group)
}

torch_op_conv_transpose <- function(inputs, node) {
  x <- inputs[[1L]]
  weight <- inputs[[2L]]
  kernel <- weight$shape[-(1:2)]
  check_kernel_shape(node, kernel)
  geometry <- transpose_geometry(node, as.double(x$shape[-(1:2)]), as.double(kernel))
  convolve <- by_spatial_rank(length(kernel), torch::torch_conv_transpose1d, torch::torch_conv_transpose2d,
                              torch::torch_conv_transpose3d)
  y <- convolve(x, weight, stride = geometry$strides, groups = node$attributes$group, dilation = geometry$dilations)
  # The whole output, zeros beyond the windows, of which the padding is cut off.
  y <- pad_spatial(y, 0 * geometry$full, pmax(geometry$full - y$shape[-(1:2)], 0))
  for (axis in seq_along(kernel)) y <- y$narrow(axis + 2, geometry$before[axis] + 1, geometry$output[axis])
  bias <- if (length(inputs) > 2L) inputs[[3L]]
  if (is.null(bias)) y else y + bias$reshape(c(-1, rep(1, length(kernel))))
}

pool_geometry <- function(x, node) {
  window_geometry(node, as.double(x$shape[-(1:2)]), node$attributes$kernel_shape)
}

pad_to_windows <- function(x, geometry, value) {
  pad_spatial(x, geometry$before, padded_sizes(geometry) - geometry$spatial - geometry$before, value)
}

torch_op_max_pool <- function(inputs, node) {
  x <- inputs[[1L]]
  geometry <- pool_geometry(x, node)
  floating <- x$is_floating_point()
  values <- if (floating) x else x$to(dtype = torch::torch_double())
  pool <- by_spatial_rank(length(geometry$kernel), torch::nnf_max_pool1d, torch::nnf_max_pool2d,
                          torch::nnf_max_pool3d)
  y <- pool(pad_to_windows(values, geometry, -Inf), geometry$kernel, stride = geometry$strides,
            dilation = geometry$dilations)
  # With a stride, the padding may leave room for a window that does not count.
  for (axis in seq_along(geometry$output)) y <- y$narrow(axis + 2, 1, geometry$output[axis])
  y <- y$to(dtype = x$dtype)
  if (length(node$outputs) < 2L || !nzchar(node$outputs[2L])) return(y)
  list(y, max_indices(as_plain(x), geometry, as.double(y$shape), node$attributes$storage_order))
}

# The sum over every window; padding counts as nought.
window_sums <- function(x, geometry) {
  padded <- pad_to_windows(x, geometry, 0)
  rank <- length(geometry$kernel)
  if (any(geometry$dilations != 1)) {
    # torch's pools know no dilation: a convolution of each channel with ones.
    convolve <- by_spatial_rank(rank, torch::torch_conv1d, torch::torch_conv2d, torch::torch_conv3d)
    each <- padded$reshape(c(prod(x$shape[1:2]), 1, padded$shape[-(1:2)]))
    ones <- torch::torch_ones(c(1, 1, geometry$kernel), dtype = x$dtype, device = x$device)
    y <- convolve(each, ones, stride = geometry$strides, dilation = geometry$dilations)
    y <- y$reshape(c(x$shape[1:2], y$shape[-(1:2)]))
  } else {
    pool <- by_spatial_rank(rank, torch::nnf_avg_pool1d, torch::nnf_avg_pool2d, torch::nnf_avg_pool3d)
    y <- pool(padded, geometry$kernel, stride = geometry$strides) * prod(geometry$kernel)
  }
  for (axis in seq_along(geometry$output)) y <- y$narrow(axis + 2, 1, geometry$output[axis])
  y
}

torch_op_average_pool <- function(inputs, node) {
  x <- inputs[[1L]]
  geometry <- pool_geometry(x, node)
  # What counts: see op_average_pool().
  counted <- geometry
  if (node$attributes$count_include_pad == 1) {
    counted$spatial <- geometry$spatial + geometry$before + geometry$after
    counted$before <- counted$after <- 0 * counted$spatial
  }
  ones <- torch::torch_ones(c(1, 1, counted$spatial), dtype = x$dtype, device = x$device)
  window_sums(x, geometry) / window_sums(ones, counted)
}

torch_op_lp_pool <- function(inputs, node) {
  p <- node$attributes$p
  x <- inputs[[1L]]
  window_sums(torch::torch_abs(x)$pow(p), pool_geometry(x, node))$pow(1 / p)
}

spatial_dims <- function(x) {
  if (length(x$shape) < 3L) stop_bad_input("the input has rank ", length(x$shape), "; at least 3 is needed")
  seq_along(x$shape)[-(1:2)]
}

torch_op_global_average_pool <- function(inputs, node) {
  torch::torch_mean(inputs[[1L]], dim = spatial_dims(inputs[[1L]]), keepdim = TRUE)
}

torch_op_global_max_pool <- function(inputs, node) {
  torch::torch_amax(inputs[[1L]], dim = spatial_dims(inputs[[1L]]), keepdim = TRUE)
}

torch_op_global_lp_pool <- function(inputs, node) {
  p <- node$attributes$p
  torch::torch_sum(torch::torch_abs(inputs[[1L]])$pow(p), dim = spatial_dims(inputs[[1L]]), keepdim = TRUE)$pow(1 / p)
}

torch_window_table <- function() {
  list(
    Conv = torch_op_conv, ConvTranspose = torch_op_conv_transpose, MaxPool = torch_op_max_pool,
    AveragePool = torch_op_average_pool, LpPool = torch_op_lp_pool, GlobalMaxPool = torch_op_global_max_pool,
    GlobalAveragePool = torch_op_global_average_pool, GlobalLpPool = torch_op_global_lp_pool
  )
}
