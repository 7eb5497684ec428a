# Boxes of detections.

#' NonMaxSuppression: of each sample and class the boxes with the highest scores that do not overlap a better one too much
#'
#' Boxes are (sample, box, 4): two corners in any order, or with center_point_box the centre and the extent; scores
#' (sample, class, box). The result has a row (sample, class, box) for each box that stays.
#' @noRd
op_non_max_suppression <- function(inputs, node) {
  boxes <- inputs[[1L]]
  scores <- inputs[[2L]]
  number <- function(position, default) {
    x <- optional_input(inputs, position)
    if (is.null(x) || !length(x$data)) default else x$data[1L]
  }
  most <- number(3L, 0)
  overlap <- number(4L, 0)
  least <- number(5L, -Inf)
  if (length(boxes$shape) != 3L || boxes$shape[3L] != 4 || length(scores$shape) != 3L ||
        !identical(boxes$shape[1:2], scores$shape[c(1L, 3L)])) {
    stop_bad_input("boxes of shape ", shape_text(boxes$shape), " do not fit scores of shape ", shape_text(scores$shape))
  }
  if (overlap < 0 || overlap > 1) stop_bad_input("iou_threshold is ", overlap, ", not from 0 to 1")
  values <- array(boxes$data, rev(boxes$shape))
  scores_of <- array(scores$data, rev(scores$shape))
  rows <- list()
  for (sample in seq_len(scores$shape[1L])) {
    corners <- box_corners(matrix(values[, , sample], 4L), node$attributes$center_point_box != 0)
    for (class in seq_len(scores$shape[2L])) {
      own <- scores_of[, class, sample]
      waiting <- order(-own)
      if (is.finite(least)) waiting <- waiting[own[waiting] > least]
      kept <- integer()
      while (length(waiting) && length(kept) < most) {
        best <- waiting[1L]
        kept <- c(kept, best)
        waiting <- waiting[-1L]
        waiting <- waiting[!(overlaps(corners[, waiting, drop = FALSE], corners[, best]) > overlap)]
      }
      rows <- c(rows, lapply(kept, function(box) c(sample, class, box) - 1))
    }
  }
  tensor(as.double(unlist(rows)), c(length(rows), 3), "int64")
}

# Columns (lowest, lowest, highest, highest).
box_corners <- function(values, centred) {
  if (centred) return(rbind(values[1:2, ] - values[3:4, ] / 2, values[1:2, ] + values[3:4, ] / 2))
  rbind(pmin(values[1:2, , drop = FALSE], values[3:4, , drop = FALSE]), pmax(values[1:2, , drop = FALSE], values[3:4, , drop = FALSE]))
}

# Intersection over union with one box; 0 where one of the areas is none.
overlaps <- function(boxes, one) {
  sides <- pmax(pmin(boxes[3:4, , drop = FALSE], one[3:4]) - pmax(boxes[1:2, , drop = FALSE], one[1:2]), 0)
  shared <- sides[1L, ] * sides[2L, ]
  area <- function(box) (box[3L] - box[1L]) * (box[4L] - box[2L])
  areas <- apply(boxes, 2L, area)
  union <- areas + area(one) - shared
  ifelse(shared > 0 & areas > 0 & area(one) > 0 & union > 0, shared / union, 0)
}

#' Col2Im: windows (sample, channel x window, place) added up where they lie in an image
#' @noRd
build_col_to_im <- function(op, inputs, node) {
  x <- inputs[[1L]]
  image <- inputs[[2L]]$data
  block <- inputs[[3L]]$data
  axes <- length(image)
  attributes <- node$attributes
  per <- function(values, count, default) if (is.null(values)) rep(default, count) else values
  strides <- per(attributes$strides, axes, 1)
  dilations <- per(attributes$dilations, axes, 1)
  pads <- per(attributes$pads, 2 * axes, 0)
  if (any(lengths(list(block, strides, dilations)) != axes) || length(pads) != 2 * axes) stop_bad_input("image_shape, block_shape and attributes differ in length")
  steps <- floor((image + pads[seq_len(axes)] + pads[axes + seq_len(axes)] - dilations * (block - 1) - 1) / strides) + 1
  size <- sizes_of(x)
  if (length(size) != 3L || size[2L] %% prod(block) != 0 || size[3L] != prod(steps)) {
    stop_bad_input("shape ", shape_text(size), " does not fit ", prod(steps), " windows of ", prod(block), " values")
  }
  # For each value of each window its place in the image; what falls into the padding goes to one place more.
  place <- 0
  outside <- FALSE
  image_strides <- rev(cumprod(c(1, rev(image)))[seq_len(axes)])
  window <- expand_grid(block)
  start <- expand_grid(steps)
  for (axis in seq_len(axes)) {
    at <- outer(start[, axis] * strides[axis] - pads[axis], window[, axis] * dilations[axis], `+`)
    outside <- outside | at < 0 | at >= image[axis]
    place <- place + at * image_strides[axis]
  }
  place[outside] <- prod(image)
  rows <- size[1L] * size[2L] / prod(block)
  count <- prod(block) * prod(steps)
  indices <- tensor(rep(as.vector(place), rows), c(rows, count), "int64")
  zeros <- tensor(rep(0, rows * (prod(image) + 1)), c(rows, prod(image) + 1), dtype_of(x))
  values <- op("Reshape", x, whole_numbers_of(c(rows, count)))
  added <- op("ScatterElements", zeros, indices, values, with = list(axis = 1, reduction = "add"))
  op("Reshape", part_of_axis(op, added, 1, 0, prod(image)), whole_numbers_of(c(size[1L], size[2L] / prod(block), image)))
}

# Every place of a grid, counted from 0, one row each, the last axis fastest.
expand_grid <- function(shape) {
  unname(as.matrix(do.call(expand.grid, rev(lapply(shape, function(n) seq_len(n) - 1)))))[, rev(seq_along(shape)), drop = FALSE]
}
