# Shapes, and copies that change where values stand but not what they are.

# New shape, same buffer.
with_shape <- function(x, shape) {
  x$shape <- as.double(shape)
  x
}

op_reshape <- function(inputs, node) {
  x <- inputs[[1L]]
  wanted <- inputs[[2L]]$data
  if (!isTRUE(node$attributes$allowzero == 1)) {
    zero <- which(wanted == 0)
    if (any(zero > length(x$shape))) stop_bad_input("a 0 in the shape has no axis to copy")
    wanted[zero] <- x$shape[zero]
  }
  unknown <- which(wanted == -1)
  if (length(unknown) > 1L || any(wanted < -1)) stop_bad_input("the shape ", shape_text(wanted), " is impossible")
  if (length(unknown)) {
    known <- prod(wanted[-unknown])
    wanted[unknown] <- if (known == 0) 0 else prod(x$shape) / known
  }
  if (prod(wanted) != prod(x$shape) || any(wanted != floor(wanted))) {
    stop_bad_input("shape ", shape_text(x$shape), " cannot become ", shape_text(inputs[[2L]]$data))
  }
  with_shape(x, wanted)
}

op_flatten <- function(inputs, node) {
  x <- inputs[[1L]]
  axis <- node$attributes$axis
  if (axis < 0) axis <- axis + length(x$shape)
  if (axis < 0 || axis > length(x$shape)) {
    stop_bad_input("axis ", node$attributes$axis, " is outside a tensor of rank ", length(x$shape))
  }
  leading <- seq_along(x$shape) <= axis
  with_shape(x, c(prod(x$shape[leading]), prod(x$shape[!leading])))
}

op_squeeze <- function(inputs, node) {
  x <- inputs[[1L]]
  axes <- axes_of(inputs, node)
  dropped <- if (is.null(axes)) which(x$shape == 1) else resolve_axis(axes, length(x$shape)) + 1
  if (any(x$shape[dropped] != 1)) stop_bad_input("an axis to squeeze is not of length 1")
  with_shape(x, if (length(dropped)) x$shape[-dropped] else x$shape)
}

op_unsqueeze <- function(inputs, node) {
  x <- inputs[[1L]]
  axes <- axes_of(inputs, node)
  if (is.null(axes)) stop_bad_input("the axes are missing")
  rank <- length(x$shape) + length(axes)
  axes <- resolve_axis(axes, rank) + 1
  if (anyDuplicated(axes)) stop_bad_input("an axis is given twice")
  shape <- rep(1, rank)
  shape[setdiff(seq_len(rank), axes)] <- x$shape
  with_shape(x, shape)
}

op_identity <- function(inputs, node) inputs[[1L]]

op_transpose <- function(inputs, node) {
  x <- inputs[[1L]]
  rank <- length(x$shape)
  perm <- node$attributes$perm
  if (is.null(perm)) perm <- rev(seq_len(rank)) - 1
  if (!identical(sort(as.double(perm)), as.double(seq_len(rank) - 1))) {
    stop_bad_input("perm ", shape_text(perm), " is not an order of ", rank, " axes")
  }
  tensor(permute_axes(x$data, x$shape, perm), x$shape[perm + 1], x$dtype)
}

op_shape <- function(inputs, node) {
  shape <- inputs[[1L]]$shape
  rank <- length(shape)
  bound <- function(value) min(max(if (value < 0) value + rank else value, 0), rank)
  start <- bound(node$attributes$start)
  end <- if (is.null(node$attributes$end)) rank else bound(node$attributes$end)
  kept <- shape[seq_len(rank) > start & seq_len(rank) <= end]
  tensor(as.double(kept), as.double(length(kept)), "int64")
}

op_size <- function(inputs, node) tensor(prod(inputs[[1L]]$shape), double(), "int64")

op_expand <- function(inputs, node) {
  x <- inputs[[1L]]
  shape <- broadcast_shape(x$shape, inputs[[2L]]$data)
  tensor(broadcast_data(x, shape), shape, x$dtype)
}

op_tile <- function(inputs, node) {
  x <- inputs[[1L]]
  times <- inputs[[2L]]$data
  if (length(times) != length(x$shape)) stop_bad_input("repeats does not fit a tensor of rank ", length(x$shape))
  element_count(x$shape * times)
  take_per_axis(x, Map(function(length, n) rep(seq_len(length), n), x$shape, times))
}

op_concat <- function(inputs, node) {
  first <- inputs[[1L]]
  if (is.null(node$attributes$axis)) stop_bad_input("the attribute 'axis' is missing")
  axis <- resolve_axis(node$attributes$axis, length(first$shape))
  along <- vapply(inputs, function(x) {
    if (length(x$shape) != length(first$shape) || !identical(x$shape[-(axis + 1)], first$shape[-(axis + 1)])) {
      stop_bad_input("shapes ", shape_text(x$shape), " and ", shape_text(first$shape), " do not fit along axis ", axis)
    }
    if (x$dtype != first$dtype) stop_bad_input("the inputs have different dtypes")
    x$shape[axis + 1]
  }, 0)
  shape <- replace(first$shape, axis + 1, sum(along))
  element_count(shape)
  data <- if (prod(shape[seq_len(axis)]) == 1) {
    unlist(lapply(inputs, `[[`, "data"))
  } else {
    as.vector(do.call(rbind, lapply(inputs, function(x) {
      view <- axis_view(x$shape, axis)
      matrix(x$data, view[["after"]] * view[["along"]], view[["before"]])
    })))
  }
  tensor(data, shape, first$dtype)
}

# Sizes are an attribute before opset 13, an optional input after; or only the number of parts is given.
op_split <- function(inputs, node) {
  x <- inputs[[1L]]
  attributes <- node$attributes
  axis <- resolve_axis(if (is.null(attributes$axis)) 0 else attributes$axis, length(x$shape))
  view <- axis_view(x$shape, axis)
  sizes <- if (length(inputs) > 1L && !is.null(inputs[[2L]])) inputs[[2L]]$data else attributes$split
  if (is.null(sizes)) {
    parts <- if (is.null(attributes$num_outputs)) length(node$outputs) else attributes$num_outputs
    each <- ceiling(view[["along"]] / parts)
    sizes <- pmax(pmin(each, view[["along"]] - each * (seq_len(parts) - 1)), 0)
  }
  if (any(sizes < 0) || sum(sizes) != view[["along"]]) {
    stop_bad_input("parts of ", shape_text(sizes), " do not make an axis of length ", view[["along"]])
  }
  rows <- matrix(x$data, view[["after"]] * view[["along"]], view[["before"]])
  ends <- cumsum(sizes)
  lapply(seq_along(sizes), function(k) {
    first <- (ends[k] - sizes[k]) * view[["after"]]
    part <- rows[first + seq_len(sizes[k] * view[["after"]]), ]
    tensor(as.vector(part), replace(x$shape, axis + 1, sizes[k]), x$dtype)
  })
}

# The values at given places (counted from 1) of every axis.
take_per_axis <- function(x, places) {
  if (length(x$shape) == 0L) return(x)
  data <- do.call(`[`, c(list(reversed_array(x)), rev(unname(places)), list(drop = FALSE)))
  tensor(as.vector(data), as.double(lengths(places, use.names = FALSE)), x$dtype)
}

op_depth_to_space <- function(inputs, node) {
  x <- inputs[[1L]]
  block <- node$attributes$blocksize
  n <- x$shape[1L]
  if (length(x$shape) != 4L || block < 1 || x$shape[2L] %% block^2 != 0) {
    stop_bad_input("shape ", shape_text(x$shape), " does not fit blocks of ", block)
  }
  depth <- x$shape[2L] / block^2
  if (node$attributes$mode == "DCR") {
    shape <- c(n, block, block, depth, x$shape[3:4])
    perm <- c(0, 3, 4, 1, 5, 2)
  } else {
    shape <- c(n, depth, block, block, x$shape[3:4])
    perm <- c(0, 1, 4, 2, 5, 3)
  }
  tensor(permute_axes(x$data, shape, perm), c(n, depth, x$shape[3:4] * block), x$dtype)
}

op_space_to_depth <- function(inputs, node) {
  x <- inputs[[1L]]
  block <- node$attributes$blocksize
  if (length(x$shape) != 4L || block < 1 || any(x$shape[3:4] %% block != 0)) {
    stop_bad_input("shape ", shape_text(x$shape), " does not fit blocks of ", block)
  }
  shape <- c(x$shape[1:2], x$shape[3L] / block, block, x$shape[4L] / block, block)
  perm <- if (node$attributes$mode == "DCR") c(0, 3, 5, 1, 2, 4) else c(0, 1, 3, 5, 2, 4)
  tensor(permute_axes(x$data, shape, perm), c(x$shape[1L], x$shape[2L] * block^2, x$shape[3:4] / block), x$dtype)
}

# Places to add per axis, and the value to fill them with: attributes before opset 11, inputs after.
padding_of <- function(inputs, node, rank) {
  input <- function(position) if (length(inputs) >= position) inputs[[position]]
  pads <- if (is.null(input(2L))) node$attributes$pads else input(2L)$data
  fill <- if (is.null(input(3L))) node$attributes$value else input(3L)$data
  axes <- if (is.null(input(4L))) seq_len(rank) - 1 else resolve_axis(input(4L)$data, rank)
  if (length(pads) != 2L * length(axes)) stop_bad_input("pads does not fit ", length(axes), " axes")
  before <- after <- rep(0, rank)
  before[axes + 1] <- pads[seq_along(axes)]
  after[axes + 1] <- pads[length(axes) + seq_along(axes)]
  list(before = before, after = after, fill = fill)
}

op_pad <- function(inputs, node) {
  x <- inputs[[1L]]
  rank <- length(x$shape)
  padding <- padding_of(inputs, node, rank)
  shape <- x$shape + padding$before + padding$after
  element_count(shape, "the padded tensor")
  mode <- node$attributes$mode
  places <- lapply(seq_len(rank), function(k) {
    place <- seq_len(shape[k]) - 1 - padding$before[k]
    source_of_padding(place, x$shape[k], mode) + 1
  })
  if (mode != "constant") return(take_per_axis(x, places))
  inside <- Map(function(place, length) place >= 1 & place <= length, places, x$shape)
  result <- array(as_stored(padding$fill, x$dtype), if (rank) rev(shape) else 1L)
  kept <- take_per_axis(x, Map(function(place, keep) place[keep], places, inside))
  if (rank == 0L) return(x)
  result <- do.call(`[<-`, c(list(result), rev(lapply(inside, which)), list(value = kept$data)))
  tensor(as.vector(result), shape, x$dtype)
}

# Where along an axis of the given length a padded place takes its value from.
source_of_padding <- function(place, length, mode) {
  switch(mode,
    constant = place,
    edge = pmin(pmax(place, 0), length - 1),
    wrap = place %% length,
    reflect = {
      period <- max(2 * (length - 1), 1)
      place <- place %% period
      ifelse(place >= length, period - place, place)
    },
    stop_unsupported("padding mode '", mode, "' is not supported")
  )
}

# The upper or lower triangle of the last two axes.
op_trilu <- function(inputs, node) {
  x <- inputs[[1L]]
  rank <- length(x$shape)
  if (rank < 2L) stop_bad_input("the input has fewer than two axes")
  k <- if (length(inputs) > 1L && !is.null(inputs[[2L]])) inputs[[2L]]$data else 0
  columns <- x$shape[rank]
  rows <- x$shape[rank - 1L]
  distance <- rep(seq_len(columns), rows) - rep(seq_len(rows), each = columns)
  keep <- if (node$attributes$upper == 1) distance >= k else distance <= k
  x$data[rep_len(!keep, length(x$data))] <- as_stored(0, x$dtype)
  x
}
