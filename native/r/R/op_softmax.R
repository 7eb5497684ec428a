# Softmax and its relatives. Before opset 13 they flatten the input to two
# axes at `axis`; from 13 on they work along that one axis.

along_axis <- function(f) {
  force(f)
  function(inputs, node) {
    x <- inputs[[1L]]
    axis <- node$attributes$axis
    if (node$since < 13) {
      axis <- if (is.null(axis)) 1 else axis
      if (axis != length(x$shape)) axis <- resolve_axis(axis, length(x$shape))
      return(tensor(as.vector(f(trailing_matrix(x, axis))), x$shape, x$dtype))
    }
    over_columns(x, if (is.null(axis)) -1 else axis, f)
  }
}

softmax_columns <- function(values) {
  size <- nrow(values)
  powers <- exp(values - rep(column_maximum(values), each = size))
  powers / rep(colSums(powers), each = size)
}

log_softmax_columns <- function(values) {
  size <- nrow(values)
  shifted <- values - rep(column_maximum(values), each = size)
  shifted - rep(log(colSums(exp(shifted))), each = size)
}

# One at the first maximum, zero elsewhere.
hardmax_columns <- function(values) {
  result <- 0 * values
  result[] <- 0
  if (length(values)) result[cbind(column_extreme(values), seq_len(ncol(values)))] <- 1
  result
}
