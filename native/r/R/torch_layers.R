# Products, normalisations, dropout and the softmax family on torch tensors.

torch_op_gemm <- function(inputs, node) {
  attributes <- node$attributes
  a <- if (attributes$transA != 0) inputs[[1L]]$t() else inputs[[1L]]
  b <- if (attributes$transB != 0) inputs[[2L]]$t() else inputs[[2L]]
  if (length(inputs) > 2L && !is.null(inputs[[3L]])) {
    return(torch::torch_addmm(inputs[[3L]], a, b, beta = attributes$beta, alpha = attributes$alpha))
  }
  product <- torch::torch_mm(a, b)
  if (attributes$alpha == 1) product else (product * attributes$alpha)$to(dtype = product$dtype)
}

torch_op_matmul <- function(inputs, node) torch::torch_matmul(inputs[[1L]], inputs[[2L]])

#' BatchNormalization as a layer of torch
#'
#' In training the batch's own statistics count and the running ones, which are
#' buffers of the module, move: torch's momentum is the weight of the new value,
#' ONNX's that of the old one. Torch's running variance is the unbiased one.
#' A node that asks for training mode itself follows ONNX: biased, and the
#' running statistics are outputs.
#' @noRd
torch_op_batch_normalization <- function(inputs, node) {
  x <- inputs[[1L]]
  epsilon <- node$attributes$epsilon
  momentum <- node$attributes$momentum
  if (node$attributes$training_mode == 1) {
    dims <- seq_along(x$shape)[-2L]
    shape <- replace(rep(1, length(x$shape)), 2L, -1)
    mean <- torch::torch_mean(x, dim = dims)
    variance <- torch::torch_mean((x - mean$reshape(shape))$pow(2), dim = dims)
    factor <- inputs[[2L]] / torch::torch_sqrt(variance + epsilon)
    y <- (x - mean$reshape(shape)) * factor$reshape(shape) + inputs[[3L]]$reshape(shape)
    running <- function(old, new) (old * momentum + new$detach() * (1 - momentum))$to(dtype = old$dtype)
    return(list(y$to(dtype = x$dtype), running(inputs[[4L]], mean), running(inputs[[5L]], variance)))
  }
  # torch wants statistics of one dtype with the parameters.
  if (as.character(inputs[[4L]]$dtype) != as.character(x$dtype)) {
    if (!node$training) inputs[2:5] <- lapply(inputs[2:5], function(p) p$to(dtype = x$dtype))
  }
  torch::nnf_batch_norm(x, inputs[[4L]], inputs[[5L]], inputs[[2L]], inputs[[3L]], training = node$training,
                        momentum = 1 - momentum, eps = epsilon)
}

#' Dropout: active while the module trains; what switches it on itself is refused, as in plain R
#' @noRd
torch_op_dropout <- function(inputs, node) {
  x <- inputs[[1L]]
  given <- function(position) if (length(inputs) >= position) inputs[[position]]$data
  ratio <- given(2L)
  if (is.null(ratio)) ratio <- if (node$since < 12) node$attributes$ratio else 0.5
  mask_dtype <- if (node$since < 10) x$dtype else torch::torch_bool()
  if (isTRUE(given(3L)) && ratio > 0 && !node$training) stop_unsupported(drawing_words)
  if (!node$training || ratio == 0) {
    return(list(x, torch::torch_ones_like(x, dtype = mask_dtype)))
  }
  keep <- torch::torch_rand_like(x) >= ratio
  list(x * keep / (1 - ratio), keep$to(dtype = mask_dtype))
}

# Half precision is normalised in single precision, as stash_type 1 asks.
torch_stashed <- function(x) if (is_half(x)) x$to(dtype = torch::torch_float()) else x

torch_standardise <- function(x, dims, epsilon) {
  mean <- torch::torch_mean(x, dim = dims, keepdim = TRUE)
  centred <- x - mean
  inverse <- torch::torch_rsqrt(torch::torch_mean(centred * centred, dim = dims, keepdim = TRUE) + epsilon)
  list(values = centred * inverse, mean = mean, inverse = inverse)
}

torch_op_layer_normalization <- function(inputs, node) {
  x <- inputs[[1L]]
  rank <- length(x$shape)
  dims <- (resolve_axis(node$attributes$axis, rank) + 1):rank
  standard <- torch_standardise(torch_stashed(x), dims, node$attributes$epsilon)
  y <- standard$values$to(dtype = x$dtype) * inputs[[2L]]
  if (length(inputs) > 2L && !is.null(inputs[[3L]])) y <- y + inputs[[3L]]
  list(y, standard$mean, standard$inverse)
}

torch_op_rms_normalization <- function(inputs, node) {
  x <- torch_stashed(inputs[[1L]])
  rank <- length(x$shape)
  dims <- (resolve_axis(node$attributes$axis, rank) + 1):rank
  scale <- torch::torch_rsqrt(torch::torch_mean(x * x, dim = dims, keepdim = TRUE) + node$attributes$epsilon)
  (x * scale)$to(dtype = inputs[[1L]]$dtype) * inputs[[2L]]
}

per_channel <- function(parameter, x) parameter$reshape(c(-1, rep(1, length(x$shape) - 2)))

torch_op_instance_normalization <- function(inputs, node) {
  x <- inputs[[1L]]
  standard <- torch_standardise(torch_stashed(x), spatial_dims(x), node$attributes$epsilon)
  standard$values$to(dtype = x$dtype) * per_channel(inputs[[2L]], x) + per_channel(inputs[[3L]], x)
}

# Opset 18 has one scale and bias per group, 21 one per channel.
torch_op_group_normalization <- function(inputs, node) {
  x <- inputs[[1L]]
  groups <- node$attributes$num_groups
  channels <- x$shape[2L]
  if (groups < 1 || channels %% groups != 0) stop_bad_input(channels, " channels do not make ", groups, " groups")
  grouped <- torch_stashed(x)$reshape(c(x$shape[1L], groups, -1))
  values <- torch_standardise(grouped, 3L, node$attributes$epsilon)$values$reshape(x$shape)$to(dtype = x$dtype)
  each <- function(parameter) {
    if (node$since < 21) parameter <- parameter$repeat_interleave(as.integer(channels / groups))
    per_channel(parameter, x)
  }
  values * each(inputs[[2L]]) + each(inputs[[3L]])
}

torch_op_lp_normalization <- function(inputs, node) {
  x <- inputs[[1L]]
  dim <- torch_dims(node$attributes$axis, length(x$shape))
  norm <- if (node$attributes$p == 1) {
    torch::torch_sum(torch::torch_abs(x), dim = dim, keepdim = TRUE)
  } else {
    torch::torch_sqrt(torch::torch_sum(x * x, dim = dim, keepdim = TRUE))
  }
  # A vector of zeros stays zero.
  x / torch::torch_where(norm == 0, torch::torch_ones_like(norm), norm)
}

torch_op_mean_variance_normalization <- function(inputs, node) {
  x <- inputs[[1L]]
  dims <- torch_dims(node$attributes$axes, length(x$shape))
  centred <- x - torch::torch_mean(x, dim = dims, keepdim = TRUE)
  # The epsilon of the operator's definition as a function.
  centred / (torch::torch_sqrt(torch::torch_mean(centred * centred, dim = dims, keepdim = TRUE)) + 1e-9)
}

#' LRN: each value over a power of the mean square of its neighbours across channels
#' @noRd
torch_op_local_response_normalization <- function(inputs, node) {
  attributes <- node$attributes
  x <- torch_stashed(inputs[[1L]])
  size <- attributes$size
  # One picture for each sample, of channels by places.
  squares <- x$pow(2)$reshape(c(x$shape[1L], 1, x$shape[2L], prod(x$shape[-(1:2)])))
  before <- floor((size - 1) / 2)
  padded <- pad_spatial(squares, c(before, 0), c(size - 1 - before, 0))
  neighbours <- torch::nnf_avg_pool2d(padded, c(size, 1), stride = 1)$reshape(x$shape)
  (x / (neighbours * attributes$alpha + attributes$bias)$pow(attributes$beta))$to(dtype = inputs[[1L]]$dtype)
}

# One at the first maximum, zero elsewhere.
torch_hardmax <- function(x, dim) {
  torch::torch_zeros_like(x)$scatter(dim, torch::torch_argmax(x, dim, keepdim = TRUE), 1)
}

# In half precision each step of the standard's definition rounds, see along_axis().
torch_softmax <- function(x, dim) {
  if (!is_half(x)) return(torch::nnf_softmax(x, dim))
  powers <- (x - torch::torch_amax(x, dim, keepdim = TRUE))$exp()
  powers / powers$sum(dim, keepdim = TRUE)
}

# A table entry: before opset 13 the input is seen as two axes, split at `axis`.
torch_along_axis <- function(f) {
  force(f)
  function(inputs, node) {
    x <- inputs[[1L]]
    axis <- node$attributes$axis
    rank <- length(x$shape)
    if (node$since < 13) {
      axis <- if (is.null(axis)) 1 else axis
      if (axis != rank) axis <- resolve_axis(axis, rank)
      rows <- prod(x$shape[seq_len(axis)])
      return(f(x$reshape(c(rows, prod(x$shape) / max(rows, 1))), 2L)$reshape(x$shape))
    }
    f(x, torch_dims(if (is.null(axis)) -1 else axis, rank))
  }
}

torch_layer_table <- function() {
  list(
    Gemm = torch_op_gemm, MatMul = torch_op_matmul, BatchNormalization = torch_op_batch_normalization,
    LayerNormalization = torch_op_layer_normalization, InstanceNormalization = torch_op_instance_normalization,
    GroupNormalization = torch_op_group_normalization, RMSNormalization = torch_op_rms_normalization,
    LpNormalization = torch_op_lp_normalization,
    MeanVarianceNormalization = torch_op_mean_variance_normalization, LRN = torch_op_local_response_normalization,
    Dropout = torch_op_dropout, Softmax = torch_along_axis(torch_softmax),
    LogSoftmax = torch_along_axis(torch::nnf_log_softmax), Hardmax = torch_along_axis(torch_hardmax)
  )
}
