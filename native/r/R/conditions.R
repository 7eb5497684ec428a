# Errors of the package. Every one is a condition of class "onnx_error" and of
# one of the kinds below, with a message of one line.

one_line <- function(...) {
  gsub("[\r\n]+[[:space:]]*", " ", paste0(...))
}

stop_kind <- function(kind, message) {
  stop(structure(
    class = c(kind, "onnx_error", "error", "condition"),
    list(message = message, call = NULL)
  ))
}

# The package does not do this, and says what.
stop_unsupported <- function(...) stop_kind("onnx_unsupported", one_line(...))

# What was asked for is wrong: a missing file, a corrupt model, a wrong shape.
stop_bad_input <- function(...) stop_kind("onnx_bad_input", one_line(...))

# The package broke while computing.
stop_failed <- function(...) stop_kind("onnx_failed", one_line(...))

quoted <- function(names) paste0("'", names, "'", collapse = ", ")

shape_text <- function(shape) paste0("(", paste(shape, collapse = ", "), ")")
