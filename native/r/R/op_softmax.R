# Softmax and its relatives. Before opset 13 they flatten the input to two
# axes at `axis`; from 13 on they work along that one axis.

# A table entry: f takes a matrix, and a function that rounds a step. ONNX
# defines the family by simpler operators (ReduceMax, Sub, Exp, ReduceSum, Div,
# Log), so in half precision each of those steps rounds, see run_node().
along_axis <- function(f) {
  force(f)
  function(inputs, node) {
    x <- inputs[[1L]]
    axis <- node$attributes$axis
    step <- identity
    if (node$precision == "float32" && x$dtype %in% c("float16", "bfloat16")) {
      step <- function(values) {
        values[] <- round_to_dtype(as.vector(values), x$dtype)
        values
      }
    }
    if (node$since < 13) {
      axis <- if (is.null(axis)) 1 else axis
      if (axis != length(x$shape)) axis <- resolve_axis(axis, length(x$shape))
      return(tensor(as.vector(f(trailing_matrix(x, axis), step)), x$shape, x$dtype))
    }
    over_columns(x, if (is.null(axis)) -1 else axis, function(values) f(values, step))
  }
}

softmax_columns <- function(values, step = identity) {
  size <- nrow(values)
  powers <- step(exp(step(values - rep(column_maximum(values), each = size))))
  powers / rep(step(colSums(powers)), each = size)
}

log_softmax_columns <- function(values, step = identity) {
  size <- nrow(values)
  shifted <- step(values - rep(column_maximum(values), each = size))
  shifted - rep(step(log(step(colSums(step(exp(shifted)))))), each = size)
}

# One at the first maximum, zero elsewhere.
hardmax_columns <- function(values, step = identity) {
  result <- matrix(0, nrow(values), ncol(values))
  if (length(values)) result[cbind(column_extreme(values), seq_len(ncol(values)))] <- 1
  result
}
