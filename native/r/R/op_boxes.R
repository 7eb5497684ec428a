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
