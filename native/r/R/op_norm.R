# Normalisations. Statistics over the trailing axes are column means of a
# matrix whose rows are those axes.

refuse_training <- function(node) {
  if (node$since < 14 && sum(nzchar(node$outputs)) > 1L) return("training mode before opset 14")
  if (node$attributes$spatial != 1) return("spatial = 0")
  NULL
}

#' BatchNormalization: x (N, C, ...), one scale, bias, mean and variance per channel
#'
#' At inference the given mean and variance count. In training mode (from opset
#' 14 on) those of the batch do, biased, and the running ones come with the result.
#' @noRd
op_batch_normalization <- function(inputs, node) {
  x <- inputs[[1L]]
  channels <- if (length(x$shape) > 1L) x$shape[2L] else 1
  if (any(vapply(inputs[2:5], function(v) length(v$data) != channels, NA))) {
    stop_bad_input("a parameter does not have one value for each of ", channels, " channels")
  }
  inner <- prod(x$shape[-(1:2)])
  mean <- inputs[[4L]]$data
  variance <- inputs[[5L]]$data
  training <- node$attributes$training_mode == 1
  if (training) {
    x <- settled(x)
    values <- matrix(permute_axes(x$data, c(x$shape[1L], channels, inner), c(1, 0, 2)), ncol = channels)
    mean <- colMeans(values)
    variance <- colMeans((values - rep(mean, each = nrow(values)))^2)
  }
  factor <- inputs[[2L]]$data / sqrt(variance + node$attributes$epsilon)
  shift <- inputs[[3L]]$data - mean * factor
  # Recycled over the samples, or with all of them in one run per channel.
  run <- if (is.null(x$channel_major)) inner else inner * x$shape[1L]
  result <- tensor(x$data * rep(factor, each = run) + rep(shift, each = run), x$shape, x$dtype)
  result$channel_major <- x$channel_major
  if (!training) return(result)
  momentum <- node$attributes$momentum
  running <- function(old, new) tensor(old$data * momentum + new * (1 - momentum), old$shape, old$dtype)
  list(result, running(inputs[[4L]], mean), running(inputs[[5L]], variance))
}

# Each column to mean 0 and variance 1; the mean and the inverse deviation come with it.
standardise_columns <- function(values, epsilon) {
  size <- nrow(values)
  mean <- colMeans(values)
  centred <- values - rep(mean, each = size)
  inverse <- 1 / sqrt(colMeans(centred^2) + epsilon)
  list(values = centred * rep(inverse, each = size), mean = mean, inverse = inverse)
}

op_instance_normalization <- function(inputs, node) {
  x <- inputs[[1L]]
  inner <- prod(spatial_of(x))
  values <- x$data
  dim(values) <- c(inner, prod(x$shape[1:2]))
  standard <- as.vector(standardise_columns(values, node$attributes$epsilon)$values)
  scaled <- standard * rep(inputs[[2L]]$data, each = inner) + rep(inputs[[3L]]$data, each = inner)
  tensor(scaled, x$shape, x$dtype)
}

# Opset 18 has one scale and bias per group, 21 one per channel.
op_group_normalization <- function(inputs, node) {
  x <- inputs[[1L]]
  inner <- prod(spatial_of(x))
  channels <- x$shape[2L]
  groups <- node$attributes$num_groups
  if (groups < 1 || channels %% groups != 0) stop_bad_input(channels, " channels do not make ", groups, " groups")
  values <- x$data
  dim(values) <- c(inner * channels / groups, groups * x$shape[1L])
  standard <- as.vector(standardise_columns(values, node$attributes$epsilon)$values)
  each <- if (node$since < 21) inner * channels / groups else inner
  scaled <- standard * rep(inputs[[2L]]$data, each = each) + rep(inputs[[3L]]$data, each = each)
  tensor(scaled, x$shape, x$dtype)
}

# The trailing axes from `axis` on, as the rows of a matrix.
trailing_matrix <- function(x, axis) {
  values <- x$data
  inner <- prod(x$shape[seq_along(x$shape) > axis])
  dim(values) <- c(inner, prod(x$shape) / max(inner, 1))
  values
}

# A scale or bias for the trailing axes; recycled over the leading ones.
trailing_parameter <- function(parameter, x, axis) {
  broadcast_data(parameter, x$shape[seq_along(x$shape) > axis])
}

op_layer_normalization <- function(inputs, node) {
  x <- inputs[[1L]]
  axis <- resolve_axis(node$attributes$axis, length(x$shape))
  standard <- standardise_columns(trailing_matrix(x, axis), node$attributes$epsilon)
  data <- as.vector(standard$values) * trailing_parameter(inputs[[2L]], x, axis)
  if (length(inputs) > 2L && !is.null(inputs[[3L]])) data <- data + trailing_parameter(inputs[[3L]], x, axis)
  kept <- ifelse(seq_along(x$shape) > axis, 1, x$shape)
  list(
    tensor(data, x$shape, x$dtype), tensor(standard$mean, kept, "float32"),
    tensor(standard$inverse, kept, "float32")
  )
}

op_rms_normalization <- function(inputs, node) {
  x <- inputs[[1L]]
  axis <- resolve_axis(node$attributes$axis, length(x$shape))
  values <- trailing_matrix(x, axis)
  data <- as.vector(values / rep(sqrt(colMeans(values^2) + node$attributes$epsilon), each = nrow(values)))
  tensor(data * trailing_parameter(inputs[[2L]], x, axis), x$shape, x$dtype)
}

refuse_lp_normalization <- function(node) {
  if (!node$attributes$p %in% 1:2) paste("p =", node$attributes$p)
}

op_lp_normalization <- function(inputs, node) {
  p <- node$attributes$p
  over_columns(inputs[[1L]], node$attributes$axis, function(values) {
    norm <- if (p == 1) colSums(abs(values)) else sqrt(colSums(values^2))
    # A vector of zeros stays zero.
    norm[norm == 0] <- 1
    values / rep(norm, each = nrow(values))
  })
}

op_mean_variance_normalization <- function(inputs, node) {
  x <- inputs[[1L]]
  axes <- resolve_axis(node$attributes$axes, length(x$shape))
  others <- setdiff(seq_along(x$shape) - 1, axes)
  perm <- c(others, axes)
  values <- permute_axes(x$data, x$shape, perm)
  dim(values) <- c(prod(x$shape[axes + 1]), prod(x$shape[others + 1]))
  centred <- values - rep(colMeans(values), each = nrow(values))
  # The epsilon of the operator's definition as a function.
  standard <- centred / rep(sqrt(colMeans(centred^2)) + 1e-9, each = nrow(values))
  tensor(permute_axes(as.vector(standard), x$shape[perm + 1], order(perm) - 1), x$shape, x$dtype)
}

#' LRN: each value over a power of the mean square of its neighbours across channels
#' @noRd
op_local_response_normalization <- function(inputs, node) {
  x <- inputs[[1L]]
  attributes <- node$attributes
  channels <- x$shape[2L]
  squares <- array(x$data^2, c(prod(x$shape[-(1:2)]), channels, x$shape[1L]))
  total <- array(0, dim(squares))
  for (offset in seq_len(attributes$size) - 1 - floor((attributes$size - 1) / 2)) {
    here <- seq_len(channels)
    here <- here[here + offset >= 1 & here + offset <= channels]
    total[, here, ] <- total[, here, ] + squares[, here + offset, ]
  }
  scale <- attributes$bias + attributes$alpha / attributes$size * as.vector(total)
  tensor(x$data / scale^attributes$beta, x$shape, x$dtype)
}
