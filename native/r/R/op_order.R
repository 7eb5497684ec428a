# What depends on the order or equality of values: TopK, Unique, Compress; and CenterCropPad.

#' TopK: the largest or smallest values along an axis, the first of equal ones first, and their indices
#'
#' NaN counts as larger than every number. The values are gathered, so that torch follows them.
#' @noRd
build_top_k <- function(op, inputs, node) {
  x <- inputs[[1L]]
  attributes <- node$attributes
  size <- sizes_of(x)
  axis <- resolve_axis(attributes$axis, length(size))
  count <- if (length(inputs) > 1L) inputs[[2L]]$data else attributes$k
  if (length(count) != 1L || count < 0 || count > size[axis + 1]) stop_bad_input("k is ", paste(count, collapse = ", "), " of ", size[axis + 1])
  places <- leading_places(as_plain(x), axis, count, attributes$largest != 0)
  indices <- tensor(places, replace(size, axis + 1, count), "int64")
  list(op("GatherElements", x, indices, with = list(axis = axis)), indices)
}

refuse_top_k <- function(node) {
  if (node$since < 10 && is.null(node$attributes$k)) stop_bad_input(node_title(node), ": the attribute 'k' is missing")
  if (node$since >= 10 && length(node$inputs) < 2L) stop_bad_input(node_title(node), ": the input k is missing")
  NULL
}

leading_places <- function(x, axis, count, largest) {
  view <- axis_view(x$shape, axis)
  values <- as_dim(x$data, unname(view))
  column <- rep(seq_len(view[["after"]]), view[["along"]] * view[["before"]]) +
    rep((seq_len(view[["before"]]) - 1) * view[["after"]], each = view[["after"]] * view[["along"]])
  values <- as.double(values)
  nan <- is.nan(values)
  place <- rep(rep(seq_len(view[["along"]]) - 1, each = view[["after"]]), view[["before"]])
  order <- if (largest) order(column, !nan, -values, place) else order(column, nan, values, place)
  chosen <- matrix(place[order], view[["along"]])[seq_len(count), , drop = FALSE]
  # Columns are (after, before); their places go back between the two.
  as.vector(aperm(array(chosen, c(count, view[["after"]], view[["before"]])), c(2L, 1L, 3L)))
}

#' Unique: values, or slices along an axis, each once; where each comes first, which one each is, and how often it comes
#' @noRd
op_unique <- function(inputs, node) {
  x <- inputs[[1L]]
  axis <- node$attributes$axis
  whole <- is.null(axis)
  shape <- if (whole) prod(x$shape) else x$shape
  axis <- if (whole) 0 else resolve_axis(axis, length(shape))
  perm <- c(axis, setdiff(seq_along(shape) - 1, axis))
  slices <- as_dim(permute_axes(x$data, shape, perm), c(prod(shape[-(axis + 1)]), shape[axis + 1]))
  count <- ncol(slices)
  order <- if (nrow(slices)) do.call(order, lapply(seq_len(nrow(slices)), function(row) slices[row, ])) else seq_len(count)
  # NaN equals NaN here, as it does not in R's comparison.
  sorted <- slices[, order, drop = FALSE]
  differs <- function(a, b) !(a == b | (is.na(a) & is.na(b))) %in% TRUE
  fresh <- seq_len(count) == 1L
  for (k in seq_len(count)[-1L]) fresh[k] <- any(differs(sorted[, k], sorted[, k - 1L]))
  group <- integer(count)
  group[order] <- cumsum(fresh)
  first <- match(seq_len(sum(fresh)), group)
  turn <- if (node$attributes$sorted == 0) order(first) else seq_along(first)
  group <- match(group, turn)
  first <- first[turn]
  kept <- as_vector(slices[, first, drop = FALSE])
  result <- replace(shape, axis + 1, length(first))
  list(
    tensor(permute_axes(kept, result[perm + 1], order(perm) - 1), result, x$dtype), whole_numbers_of(first - 1),
    whole_numbers_of(group - 1), whole_numbers_of(tabulate(group, length(first)))
  )
}

# The slices for which the condition holds.
build_compress <- function(op, inputs, node) {
  x <- inputs[[1L]]
  axis <- node$attributes$axis
  if (is.null(axis)) x <- op("Reshape", x, whole_numbers_of(-1))
  axis <- if (is.null(axis)) 0 else resolve_axis(axis, length(sizes_of(x)))
  condition <- inputs[[2L]]
  if (length(condition$shape) != 1L || length(condition$data) > sizes_of(x)[axis + 1]) {
    stop_bad_input("the condition has shape ", shape_text(condition$shape), " for an axis of length ", sizes_of(x)[axis + 1])
  }
  op("Gather", x, whole_numbers_of(which(condition$data) - 1), with = list(axis = axis))
}

build_center_crop_pad <- function(op, inputs, node) {
  x <- inputs[[1L]]
  rank <- length(sizes_of(x))
  axes <- if (is.null(node$attributes$axes)) seq_len(rank) - 1 else resolve_axis(node$attributes$axes, rank)
  wanted <- inputs[[2L]]$data
  if (length(wanted) != length(axes) || any(wanted < 0)) stop_bad_input("the shape ", shape_text(wanted), " does not fit ", length(axes), " axes")
  excess <- sizes_of(x)[axes + 1] - wanted
  cut <- which(excess > 0)
  if (length(cut)) {
    start <- floor(excess[cut] / 2)
    x <- op("Slice", x, whole_numbers_of(start), whole_numbers_of(start + wanted[cut]), whole_numbers_of(axes[cut]))
  }
  lack <- pmax(-excess, 0)
  if (all(lack == 0)) return(x)
  op("Pad", x, whole_numbers_of(c(floor(lack / 2), ceiling(lack / 2))), NULL, whole_numbers_of(axes))
}
