# GridSample, put together from other operators, see compose.R.

grid_sample_mode <- function(node) {
  c(bilinear = "linear", bicubic = "cubic", linear = "linear", cubic = "cubic", nearest = "nearest")[[node$attributes$mode]]
}

refuse_grid_sample <- function(node) {
  attributes <- node$attributes
  known <- if (node$since < 20) c("bilinear", "nearest", "bicubic") else c("linear", "nearest", "cubic")
  # The default of opset 20 stands for that of 16 too.
  if (!attributes$mode %in% c(known, "linear")) return(paste0("mode '", attributes$mode, "'"))
  if (!attributes$padding_mode %in% c("zeros", "border", "reflection")) return(paste0("padding_mode '", attributes$padding_mode, "'"))
  NULL
}

#' GridSample: values of x (sample, channel, ...) at the places of a grid (sample, ..., axis), -1 to 1, the last axis first
#' @noRd
build_grid_sample <- function(op, inputs, node) {
  x <- inputs[[1L]]
  grid <- inputs[[2L]]
  size <- sizes_of(x)
  places <- sizes_of(grid)
  spatial <- size[-(1:2)]
  axes <- length(spatial)
  if (axes < 1L || length(places) != length(size) || places[1L] != size[1L] || places[length(places)] != axes) {
    stop_bad_input("a grid of shape ", shape_text(places), " does not fit an input of shape ", shape_text(size))
  }
  outer <- places[c(-1L, -length(places))]
  count <- prod(outer)
  mode <- grid_sample_mode(node)
  aligned <- node$attributes$align_corners != 0
  number <- function(value) number_like(value, x, node)
  flat <- op("Reshape", x, whole_numbers_of(c(size[1:2], prod(spatial))))
  # Coordinates of each axis as (sample, 1, place).
  coordinates <- lapply(seq_len(axes), function(axis) {
    part <- part_of_axis(op, grid, length(places) - 1, axes - axis, axes - axis + 1)
    at <- op("Reshape", part, whole_numbers_of(c(size[1L], 1, count)))
    length <- spatial[axis]
    at <- if (aligned) {
      op("Mul", op("Div", op("Add", at, number(1)), number(2)), number(length - 1))
    } else {
      op("Div", op("Sub", op("Mul", op("Add", at, number(1)), number(length)), number(1)), number(2))
    }
    if (mode == "nearest") at <- op("Round", at)
    # In cubic mode the neighbours alone are moved, as ONNX Runtime and PyTorch have it.
    if (mode == "cubic") return(at)
    padded_coordinate(op, at, node$attributes$padding_mode, length, aligned, number)
  })
  taps <- lapply(coordinates, grid_taps, op, mode, number)
  total <- NULL
  for (choice in asplit(as.matrix(do.call(expand.grid, lapply(taps, seq_along))), 1L)) {
    chosen <- Map(function(of_axis, k) of_axis[[k]], taps, choice)
    value <- tapped_values(op, flat, chosen, spatial, number, node$attributes$padding_mode, aligned)
    total <- if (is.null(total)) value else op("Add", total, value)
  }
  op("Reshape", total, whole_numbers_of(c(size[1:2], outer)))
}

# A coordinate brought back into the input, or as it is.
padded_coordinate <- function(op, at, padding, length, aligned, number) {
  if (padding == "border") return(op("Min", op("Max", at, number(0)), number(length - 1)))
  if (padding == "reflection") reflected(op, at, length, aligned, number) else at
}

# Reflected at the borders, the centres of the outer pixels or their edges, until it lies between them.
reflected <- function(op, at, length, aligned, number) {
  lowest <- if (aligned) 0 else -0.5
  highest <- if (aligned) length - 1 else length - 0.5
  extent <- highest - lowest
  if (extent <= 0) return(op("Mul", at, number(0)))
  beyond <- op("Abs", op("Sub", at, number(lowest)))
  turns <- op("Floor", op("Div", beyond, number(extent)))
  rest <- op("Sub", beyond, op("Mul", turns, number(extent)))
  odd <- op("Greater", op("Sub", turns, op("Mul", op("Floor", op("Div", turns, number(2))), number(2))), number(0.5))
  op("Where", odd, op("Sub", number(highest), rest), op("Add", rest, number(lowest)))
}

# The neighbours of a coordinate that count, each with its weight (NULL for one).
grid_taps <- function(at, op, mode, number) {
  if (mode == "nearest") return(list(list(at = at)))
  first <- op("Floor", at)
  fraction <- op("Sub", at, first)
  if (mode == "linear") {
    return(list(
      list(at = first, weight = op("Sub", number(1), fraction)),
      list(at = op("Add", first, number(1)), weight = fraction)
    ))
  }
  # Cubic convolution (Keys 1981) with a = -0.75, by the distance of each neighbour.
  a <- -0.75
  polynomial <- function(x, coefficients) {
    Reduce(function(sum, coefficient) op("Add", op("Mul", sum, x), number(coefficient)), coefficients[-1L],
           number(coefficients[1L]))
  }
  near <- function(x) polynomial(x, c(a + 2, -(a + 3), 0, 1))
  far <- function(x) polynomial(x, c(a, -5 * a, 8 * a, -4 * a))
  rest <- op("Sub", number(1), fraction)
  list(
    list(at = op("Sub", first, number(1)), weight = far(op("Add", fraction, number(1)))),
    list(at = first, weight = near(fraction)),
    list(at = op("Add", first, number(1)), weight = near(rest)),
    list(at = op("Add", first, number(2)), weight = far(op("Add", rest, number(1))))
  )
}

# Values (sample, channel, place) at one neighbour of every axis, times its weights. `aligned` matters to reflections alone.
tapped_values <- function(op, flat, chosen, spatial, number, padding = "zeros", aligned = FALSE) {
  strides <- row_major_strides(spatial)
  inside <- NULL
  weight <- NULL
  index <- NULL
  for (axis in seq_along(spatial)) {
    tap <- chosen[[axis]]
    at <- tap$at
    highest <- spatial[axis] - 1
    if (padding == "zeros") {
      here <- op("And", op("GreaterOrEqual", at, number(0)), op("LessOrEqual", at, number(highest)))
      inside <- if (is.null(inside)) here else op("And", inside, here)
    } else if (padding == "reflection") {
      at <- reflected(op, at, spatial[axis], aligned, number)
    }
    at <- op("Min", op("Max", at, number(0)), number(highest))
    place <- op("Mul", op("Cast", at, with = list(to = 7)), whole_numbers_of(strides[axis], double()))
    index <- if (is.null(index)) place else op("Add", index, place)
    if (!is.null(tap$weight)) weight <- if (is.null(weight)) tap$weight else op("Mul", weight, tap$weight)
  }
  shape <- c(sizes_of(flat)[1:2], sizes_of(index)[3L])
  values <- op("GatherElements", flat, op("Expand", index, whole_numbers_of(shape)), with = list(axis = 2))
  if (!is.null(inside)) values <- op("Where", inside, values, number(0))
  if (is.null(weight)) values else op("Mul", values, weight)
}
