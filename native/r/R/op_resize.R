# Interpolation. Every mode is separable: one axis after the other, each a
# weighted sum of shifted copies. Coordinates and weights follow the Resize
# specification; the cubic kernel is that of Keys (1981).

refuse_resize <- function(node) {
  attributes <- node$attributes
  if (!attributes$mode %in% c("nearest", "linear", "cubic")) return(paste0("mode '", attributes$mode, "'"))
  known <- c(
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
    "tf_crop_and_resize", "tf_half_pixel_for_nn"
  )
  if (!attributes$coordinate_transformation_mode %in% known) {
    return(paste0("coordinate_transformation_mode '", attributes$coordinate_transformation_mode, "'"))
  }
  rounding <- c("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
  if (!attributes$nearest_mode %in% rounding) return(paste0("nearest_mode '", attributes$nearest_mode, "'"))
  if (!attributes$keep_aspect_ratio_policy %in% c("stretch", "not_larger", "not_smaller")) {
    return(paste0("keep_aspect_ratio_policy '", attributes$keep_aspect_ratio_policy, "'"))
  }
  NULL
}

op_resize <- function(inputs, node) {
  x <- inputs[[1L]]
  plan <- plan_resize(x$shape, inputs, node)
  for (step in plan$steps) x <- interpolate_axis(x, step, plan$attributes)
  if (any(unlist(plan$outside))) {
    beyond <- 0
    for (axis in rev(plan$outside)) beyond <- as.vector(outer(beyond, axis, `+`))
    x$data[beyond > 0] <- plan$attributes$extrapolation_value
  }
  if (is_integer(x$dtype)) x$data <- wrap_integer(trunc(x$data), x$dtype)
  x
}

#' What Resize does, axis by axis
#'
#' @param shape of the first of the `inputs`; the others hold numbers.
#' @return list(steps, attributes, outside): a step is list(axis, at, scale), `at` the
#'   place in the input that every place of the output stands for; `attributes` are those
#'   in force; `outside` tells by axis which places of the output are extrapolated.
#' @noRd
plan_resize <- function(shape, inputs, node) {
  attributes <- node$attributes
  rank <- length(shape)
  # Opset 10 has (X, scales); later ones (X, roi, scales, sizes).
  input <- function(position) {
    given <- if (length(inputs) >= position) inputs[[position]]
    if (length(given$data)) given$data
  }
  scales <- if (node$since < 11) input(2L) else input(3L)
  sizes <- if (node$since < 11) NULL else input(4L)
  region <- if (node$since < 11) NULL else input(2L)
  if (node$since < 11) attributes$coordinate_transformation_mode <- "asymmetric"
  if (node$since < 11) attributes$nearest_mode <- "floor"
  axes <- if (is.null(attributes$axes)) seq_len(rank) - 1 else resolve_axis(attributes$axes, rank)
  if (is.null(scales) == is.null(sizes)) stop_bad_input("exactly one of scales and sizes must be given")
  if (length(c(scales, sizes)) != length(axes)) stop_bad_input("scales or sizes do not fit ", length(axes), " axes")
  if (any(!(scales > 0))) stop_bad_input("a scale is not positive")
  if (!is.null(sizes)) {
    scales <- sizes / shape[axes + 1]
    policy <- attributes$keep_aspect_ratio_policy
    if (policy != "stretch") {
      scales[] <- if (policy == "not_larger") min(scales) else max(scales)
      sizes <- floor(scales * shape[axes + 1] + 0.5)
    }
  } else {
    sizes <- scaled_sizes(shape[axes + 1], scales)
  }
  element_count(replace(shape, axes + 1, sizes), "the resized tensor")
  transformation <- attributes$coordinate_transformation_mode
  cropped <- transformation == "tf_crop_and_resize"
  result <- replace(shape, axes + 1, sizes)
  outside <- lapply(result, logical)
  steps <- list()
  for (k in seq_along(axes)) {
    length <- shape[axes[k] + 1]
    crop <- if (!is.null(region)) region[c(k, length(axes) + k)] else c(0, 1)
    if (scales[k] == 1 && sizes[k] == length && !cropped) next
    at <- original_coordinate(transformation, sizes[k], length, scales[k], crop)
    if (cropped) outside[[axes[k] + 1]] <- at < 0 | at > length - 1
    steps <- c(steps, list(list(axis = axes[k], at = at, scale = scales[k])))
  }
  list(steps = steps, attributes = attributes, outside = outside)
}

# The product is one of float32 numbers, as exporters and runtimes take it: 17 times 1.9411764 is 33.
scaled_sizes <- function(sizes, scales) floor(round_to_dtype(sizes * round_to_dtype(scales, "float32"), "float32"))

# The place in the input that every place of the output stands for.
original_coordinate <- function(mode, size, length, scale, crop) {
  at <- seq_len(size) - 1
  # The size before it was rounded down.
  full <- length * scale
  switch(mode,
    half_pixel = (at + 0.5) / scale - 0.5,
    half_pixel_symmetric = {
      # Centred on what the rounding of the size cut off.
      length / 2 * (1 - size / full) + (at + 0.5) / scale - 0.5
    },
    pytorch_half_pixel = if (size > 1) (at + 0.5) / scale - 0.5 else rep(0, size),
    align_corners = if (size == 1) 0 * at else at * (length - 1) / (max(full, 1 + 1e-300) - 1),
    asymmetric = at / scale,
    tf_half_pixel_for_nn = (at + 0.5) / scale,
    tf_crop_and_resize = if (size > 1) {
      crop[1L] * (length - 1) + at * (crop[2L] - crop[1L]) * (length - 1) / (size - 1)
    } else {
      0.5 * (crop[1L] + crop[2L]) * (length - 1) + 0 * at
    }
  )
}

# Replaces one axis by weighted sums of its values; `step` see plan_resize().
interpolate_axis <- function(x, step, attributes) {
  length <- x$shape[step$axis + 1]
  view <- axis_view(x$shape, step$axis)
  values <- x$data
  dim(values) <- view
  shape <- replace(x$shape, step$axis + 1, length(step$at))
  if (attributes$mode == "nearest") {
    return(tensor(as.vector(values[, nearest_places(step$at, length, attributes) + 1, ]), shape, x$dtype))
  }
  taps <- interpolation_taps(step$at, length, step$scale, attributes)
  result <- 0
  for (k in seq_along(taps$places)) {
    weight <- rep(taps$weights[[k]], each = view[["after"]])
    result <- result + as.vector(values[, taps$places[[k]] + 1, ]) * weight
  }
  tensor(result, shape, x$dtype)
}

nearest_places <- function(at, length, attributes) {
  place <- switch(attributes$nearest_mode,
    round_prefer_floor = ceiling(at - 0.5),
    round_prefer_ceil = floor(at + 0.5),
    floor = floor(at),
    ceil = ceiling(at)
  )
  pmin(pmax(place, 0), length - 1)
}

# For every output place: which input places count, and how much.
interpolation_taps <- function(at, length, scale, attributes) {
  cubic <- attributes$mode == "cubic"
  kernel <- if (cubic) {
    a <- attributes$cubic_coeff_a
    function(d) cubic_kernel(abs(d), a)
  } else {
    function(d) pmax(1 - abs(d), 0)
  }
  # With antialias a smaller picture takes in more of the larger one.
  stretch <- if (attributes$antialias == 1 && scale < 1) scale else 1
  reach <- (if (cubic) 2 else 1) / stretch
  # Places nearer than the reach, where the kernel is nought.
  first <- floor(at - reach) + 1
  count <- ceiling(2 * reach)
  places <- lapply(seq_len(count) - 1, function(k) first + k)
  weights <- lapply(places, function(place) kernel((place - at) * stretch))
  if (attributes$exclude_outside == 1) {
    weights <- Map(function(w, place) w * (place >= 0 & place < length), weights, places)
  }
  total <- Reduce(`+`, weights)
  list(
    places = lapply(places, function(place) pmin(pmax(place, 0), length - 1)),
    weights = lapply(weights, function(w) w / total)
  )
}

cubic_kernel <- function(distance, a) {
  near <- ((a + 2) * distance - (a + 3)) * distance^2 + 1
  far <- a * (((distance - 5) * distance + 8) * distance - 4)
  ifelse(distance <= 1, near, ifelse(distance < 2, far, 0))
}

refuse_upsample <- function(node) {
  mode <- node$attributes$mode
  if (!mode %in% c("nearest", "linear", "bilinear")) paste0("mode '", mode, "'")
}

#' Upsample, the older form of Resize
#' @noRd
op_upsample <- function(inputs, node) {
  x <- inputs[[1L]]
  plan <- plan_upsample(x$shape, inputs, node)
  for (step in plan$steps) x <- interpolate_axis(x, step, plan$attributes)
  x
}

# What Upsample does, as plan_resize() tells it.
plan_upsample <- function(shape, inputs, node) {
  scales <- if (length(inputs) > 1L) inputs[[2L]]$data else node$attributes$scales
  if (length(scales) != length(shape)) stop_bad_input("scales does not fit a tensor of rank ", length(shape))
  if (any(!(scales > 0))) stop_bad_input("a scale is not positive")
  mode <- if (node$attributes$mode == "nearest") "nearest" else "linear"
  sizes <- scaled_sizes(shape, scales)
  element_count(sizes, "the resized tensor")
  steps <- lapply(which(scales != 1) - 1, function(axis) {
    scale <- scales[axis + 1]
    list(axis = axis, at = (seq_len(sizes[axis + 1]) - 1) / scale, scale = scale)
  })
  list(steps = steps, attributes = list(mode = mode, nearest_mode = "floor", exclude_outside = 0, antialias = 0))
}
