#' Read an ONNX model
#'
#' Reads the file, checks it, and prepares the graph to be run with
#' [predict()][predict.onnx_model]. Whatever the package cannot do is refused
#' here, by name, and nothing is computed.
#'
#' The operators of opsets 1 to 28 that are supported are listed by
#' [onnx_operators()]. Weights may lie in the file or in other files of the
#' same folder.
#'
#' @param path the `.onnx` file.
#' @param precision all computation is in double precision. With `"float32"`
#'   outputs and the results of casts are rounded to the type that the model
#'   declares; with `"float64"` they stay double, and only casts to half
#'   precision round.
#' @return An object of class `onnx_model`. A file that is not there or broken is an error of class `onnx_bad_input`, one that
#'   asks for what the package does not do an error of class `onnx_unsupported`; each says why in one line.
#' @seealso [predict.onnx_model()], [summary.onnx_model()]
#' @examples
#' m <- onnx_read(system.file("extdata", "crops.onnx", package = "plainonnx"))
#' m
#' x <- array(rnorm(2 * 3 * 8), c(2, 3, 8))
#' predict(m, x, type = "prob")
#' @export
onnx_read <- function(path, precision = c("float32", "float64")) {
  read_model(path, match.arg(precision))
}

# For any engine: `table` and `runtime` see build_graph().
read_model <- function(path, precision, table = operator_table(), runtime = "r/base") {
  parsed <- parse_file(path)
  structure(
    list(
      path = path, precision = precision, metadata = parsed$metadata, producer = parsed$producer,
      ir_version = parsed$ir_version, opsets = parsed$opsets,
      graph = build_graph(parsed, precision, table, runtime)
    ),
    class = "onnx_model"
  )
}

# The file as messages, unchecked.
parse_file <- function(path) {
  if (!is.character(path) || length(path) != 1L || is.na(path)) stop_bad_input("the path must be one text")
  if (!file.exists(path)) stop_bad_input("no such file: ", path)
  if (dir.exists(path)) stop_bad_input("this is a folder, not a file: ", path)
  size <- file.size(path)
  if (size == 0) stop_bad_input("the file is empty: ", path)
  if (size >= 2^31) stop_bad_input("the file is larger than protobuf allows (2 GiB): ", path)
  bytes <- readBin(path, "raw", size)
  refuse_other_file(bytes, path)
  tryCatch(
    parse_model(bytes, folders_of_model(path)),
    error = function(e) {
      if (!inherits(e, "onnx_error")) stop_corrupt("something unreadable: ", conditionMessage(e), " (", path, ")")
      stop_kind(class(e)[1L], paste0(conditionMessage(e), " (", path, ")"))
    }
  )
}

#' The operators that are supported
#'
#' @return A data frame with one row for each operator: its name, and the
#'   opsets that introduced or changed it (`since`), of those before opset 7
#'   only the last.
#' @examples
#' head(onnx_operators())
#' @export
onnx_operators <- function() {
  rows <- published_rows(operator_table())
  data.frame(
    operator = names(rows),
    since = vapply(rows, function(row) paste(row$since, collapse = ", "), ""),
    row.names = NULL
  )
}

# The rows of a table without those that no file can name.
published_rows <- function(rows) rows[!startsWith(names(rows), "plainonnx.")]

# A JSON document of the metadata, or NULL.
metadata_json <- function(model, key) {
  text <- model$metadata[key]
  if (is.null(text) || is.na(text)) return(NULL)
  tryCatch(jsonlite::fromJSON(text, simplifyVector = FALSE), error = function(e) {
    stop_bad_input("the metadata '", key, "' is not valid JSON")
  })
}

class_names <- function(model) {
  names <- metadata_json(model, "harness.classes")
  if (is.null(names)) NULL else vapply(names, as.character, "")
}

shape_of_info <- function(info) {
  if (is.null(info$shape)) return("of any shape")
  if (length(info$shape) == 0L) return("scalar")
  axes <- vapply(info$shape, function(axis) if (is.na(axis)) "?" else as.character(axis), "")
  paste(axes, collapse = " x ")
}

describe_values <- function(values, title) {
  for (info in values) cat(sprintf("  %-8s%s: %s, %s\n", title, info$name, info$dtype, shape_of_info(info)))
}

#' Print and summarise a model
#'
#' `print()` shows inputs, outputs and class names; `summary()` counts the
#' operators and parameters and lists the initializers.
#'
#' @param x,object a model, or its summary.
#' @param ... ignored.
#' @return `print()` returns its argument, invisibly. `summary()` returns a
#'   list of class `summary.onnx_model` with `operators` (a table), `parameters`
#'   (a data frame of `name`, `dtype`, `shape` and `count`), and the total
#'   number of `nodes` and `values`.
#' @examples
#' m <- onnx_read(system.file("extdata", "crops.onnx", package = "plainonnx"))
#' summary(m)
#' @export
print.onnx_model <- function(x, ...) {
  cat("<onnx_model> ", basename(x$path), "\n", sep = "")
  if (!is.na(x$metadata["harness.model"])) cat("  model   ", x$metadata[["harness.model"]], "\n", sep = "")
  describe_values(x$graph$inputs, "input")
  describe_values(x$graph$outputs, "output")
  classes <- class_names(x)
  if (length(classes)) {
    cat(strwrap(paste(classes, collapse = ", "), initial = "  classes ", prefix = "          "), sep = "\n")
  }
  cat("  ", length(x$graph$nodes), " nodes, opset ", x$graph$opset, ", computed in double, outputs as ",
      if (x$precision == "float64") "float64" else "declared", "\n", sep = "")
  invisible(x)
}

#' @rdname print.onnx_model
#' @export
summary.onnx_model <- function(object, ...) {
  initializers <- object$graph$initializers
  operators <- vapply(object$graph$nodes, `[[`, "", "operator")
  structure(
    list(
      path = object$path, producer = object$producer, opsets = object$opsets, nodes = length(operators),
      operators = sort(table(operators), decreasing = TRUE),
      parameters = data.frame(
        name = vapply(initializers, `[[`, "", "name"),
        dtype = vapply(initializers, `[[`, "", "dtype"),
        shape = vapply(initializers, function(p) paste(p$shape, collapse = " x "), ""),
        count = vapply(initializers, function(p) prod(p$shape), 0)
      ),
      values = sum(vapply(initializers, function(p) prod(p$shape), 0)), metadata = object$metadata
    ),
    class = "summary.onnx_model"
  )
}

#' @rdname print.onnx_model
#' @export
print.summary.onnx_model <- function(x, ...) {
  cat("ONNX model ", basename(x$path), sep = "")
  if (length(x$producer) && nzchar(x$producer)) cat(", written by ", x$producer, sep = "")
  cat("\n", x$nodes, " nodes: ", sep = "")
  cat(strwrap(paste0(names(x$operators), " ", as.vector(x$operators), collapse = ", "), exdent = 2), sep = "\n")
  cat(format(x$values, big.mark = ","), "parameters in", nrow(x$parameters), "initializers\n")
  if (nrow(x$parameters)) print(x$parameters, row.names = FALSE)
  invisible(x)
}
