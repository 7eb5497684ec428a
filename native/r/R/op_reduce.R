# Reductions. The axes to reduce are made the fastest ones; what is left is a
# function of the columns of a matrix.

# Axes are an attribute in older opsets and an optional input in newer ones.
axes_of <- function(inputs, node, position = 2L) {
  given <- if (length(inputs) >= position) inputs[[position]]
  if (!is.null(given)) given$data else node$attributes$axes
}

# A table entry: f takes a matrix and returns one value per column.
reduction <- function(f) {
  force(f)
  function(inputs, node) {
    x <- inputs[[1L]]
    rank <- length(x$shape)
    axes <- axes_of(inputs, node)
    if (length(axes) == 0L) {
      # Without axes nothing is summed, but the function still applies to each value.
      axes <- if (isTRUE(node$attributes$noop_with_empty_axes == 1)) double() else seq_len(rank) - 1
    }
    axes <- sort(unique(resolve_axis(axes, rank)))
    if (length(axes) == 0L && node$operator %in% c("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd")) {
      return(x)
    }
    others <- setdiff(seq_len(rank) - 1, axes)
    values <- permute_axes(x$data, x$shape, c(others, axes))
    dim(values) <- c(prod(x$shape[axes + 1]), prod(x$shape[others + 1]))
    shape <- x$shape
    shape <- if (node$attributes$keepdims == 1) replace(shape, axes + 1, 1) else shape[others + 1]
    result <- f(values)
    if (x$dtype == "bool") return(tensor(result > 0, shape, "bool"))
    if (is_integer(x$dtype)) {
      extreme <- is.infinite(result)
      result[extreme] <- ifelse(result[extreme] > 0, integer_highest[[x$dtype]], integer_lowest[[x$dtype]])
      result <- trunc(result)
      if (any(extreme)) return(tensor(result, shape, x$dtype))
    }
    arithmetic_result(result, shape, x$dtype)
  }
}

# One function of two vectors folded over the rows, or over each column where those are fewer.
fold_rows <- function(values, pair, whole, empty) {
  if (nrow(values) == 0L) return(rep(empty, ncol(values)))
  if (nrow(values) <= ncol(values) * 4L) {
    result <- values[1L, ]
    for (row in seq_len(nrow(values))[-1L]) result <- pair(result, values[row, ])
    return(result)
  }
  vapply(seq_len(ncol(values)), function(column) as.double(whole(values[, column])), 0)
}

column_maximum <- function(values) fold_rows(values, pmax.int, max, -Inf)
column_minimum <- function(values) fold_rows(values, pmin.int, min, Inf)
column_product <- function(values) fold_rows(values, `*`, prod, 1)
column_l1 <- function(values) colSums(abs(values))
column_l2 <- function(values) sqrt(colSums(values^2))
column_sum_square <- function(values) colSums(values^2)
column_log_sum <- function(values) suppressWarnings(log(colSums(values)))

# Shifted by the maximum, so that exp() does not overflow.
column_log_sum_exp <- function(values) {
  highest <- column_maximum(values)
  shift <- ifelse(is.finite(highest), highest, 0)
  log(colSums(exp(values - rep(shift, each = nrow(values))))) + shift
}

# A table entry: the place of the largest (direction 1) or smallest (-1) value. The first NaN wins, as in numpy.
arg_extreme <- function(direction) {
  force(direction)
  function(inputs, node) {
    x <- inputs[[1L]]
    axis <- resolve_axis(node$attributes$axis, length(x$shape))
    values <- axis_columns(x, axis)
    if (nrow(values) == 0L) stop_bad_input("the axis is empty")
    last <- isTRUE(node$attributes$select_last_index == 1)
    places <- column_extreme(direction * values, last)
    shape <- x$shape
    shape <- if (node$attributes$keepdims == 1) replace(shape, axis + 1, 1) else shape[-(axis + 1)]
    tensor(places - 1, shape, "int64")
  }
}

# The row of each column's maximum.
column_extreme <- function(values, last = FALSE) {
  place <- rep(1, ncol(values))
  if (nrow(values) > ncol(values) * 4L) {
    found <- vapply(seq_len(ncol(values)), function(column) {
      v <- values[, column]
      hits <- if (anyNA(v)) which(is.na(v)) else which(v == max(v))
      if (last && !anyNA(v)) hits[length(hits)] else hits[1L]
    }, 0L)
    return(as.double(found))
  }
  best <- values[1L, ]
  for (row in seq_len(nrow(values))[-1L]) {
    here <- values[row, ]
    better <- if (last) here >= best else here > best
    better <- which((better | is.na(here)) & !is.na(best))
    place[better] <- row
    best[better] <- here[better]
  }
  place
}

# One axis as the rows of a matrix.
axis_columns <- function(x, axis) {
  others <- setdiff(seq_along(x$shape) - 1, axis)
  values <- permute_axes(x$data, x$shape, c(others, axis))
  dim(values) <- c(x$shape[axis + 1], prod(x$shape[others + 1]))
  values
}

# A function from matrix to matrix of the same size, applied along one axis.
over_columns <- function(x, axis, f) {
  axis <- resolve_axis(axis, length(x$shape))
  others <- setdiff(seq_along(x$shape) - 1, axis)
  perm <- c(others, axis)
  data <- as.vector(f(axis_columns(x, axis)))
  tensor(permute_axes(data, x$shape[perm + 1], order(perm) - 1), x$shape, x$dtype)
}

# A table entry: running sums or products along the axis given by the second input.
cumulative <- function(f, start) {
  force(f)
  force(start)
  function(inputs, node) {
    x <- inputs[[1L]]
    result <- over_columns(x, inputs[[2L]]$data, function(values) {
      rows <- seq_len(nrow(values))
      if (node$attributes$reverse == 1) rows <- rev(rows)
      running <- rep(start, ncol(values))
      result <- values
      for (row in rows) {
        following <- f(running, values[row, ])
        result[row, ] <- if (node$attributes$exclusive == 1) running else following
        running <- following
      }
      result
    })
    arithmetic_result(result$data, x$shape, x$dtype)
  }
}
