#' Predict with an ONNX model
#'
#' @param object a model read by [onnx_read()].
#' @param newdata an array with the axes in the order that the model declares,
#'   for instance `c(N, C, W)`; a matrix or data frame for two axes, a vector for
#'   one. A named list of these for a model with several inputs.
#' @param type what to return: `"raw"` the outputs as they are, `"prob"` class
#'   probabilities, `"class"` a factor of class names, `"link"` the scores
#'   before the softmax: the logits, or the logarithm of the probabilities where
#'   the model ends in a softmax.
#' @param head what the model's scores are: `"logits"`, `"log-softmax"` or
#'   `"softmax"`. By default what the file says in its metadata
#'   `harness.head`. Used for every type but `"raw"`.
#' @param output the name of the output to use for every type but `"raw"`; the first by default.
#' @param batch_size how many samples to compute at once; `NULL` for all.
#' @param ... ignored.
#' @return For `"raw"` an array with the axes in the model's order, or a named
#'   list of arrays where there are several outputs. The second axis of class
#'   scores is named after the classes if the file names them (metadata
#'   `harness.classes`). For `"class"` a factor, with a `dim` where a class is
#'   chosen for each pixel.
#' @examples
#' m <- onnx_read(system.file("extdata", "crops.onnx", package = "plainonnx"))
#' x <- array(rnorm(2 * 3 * 8), c(2, 3, 8))
#' predict(m, x)
#' predict(m, x, type = "class")
#' @export
predict.onnx_model <- function(object, newdata, type = c("raw", "prob", "class", "link"), head = NULL,
                               output = NULL, batch_size = NULL, ...) {
  type <- match.arg(type)
  inputs <- tensors_from_user(newdata, object)
  if (type == "raw") {
    results <- lapply(run_batches(object$graph, inputs, batch_size), to_r)
    results <- lapply(results, name_classes, class_names(object))
    return(if (length(results) == 1L) results[[1L]] else results)
  }
  names <- vapply(object$graph$outputs, `[[`, "", "name")
  output <- if (is.null(output)) names[1L] else output
  if (!output %in% names) stop_bad_input("the model has no output named '", output, "' but ", quoted(names))
  scores <- to_r(run_batches(object$graph, inputs, batch_size)[[output]])
  if (length(dim(scores)) < 2L) stop_bad_input("the output '", output, "' has no class axis")
  if (is.null(head)) head <- unname(object$metadata["harness.head"])
  scores <- name_classes(scores, class_names(object))
  if (type == "class") return(most_likely(scores))
  if (is.null(head) || is.na(head)) {
    stop_bad_input("the file does not say what its scores are (metadata 'harness.head'); give head = \"logits\", ",
                   "\"log-softmax\" or \"softmax\"")
  }
  if (!head %in% c("logits", "log-softmax", "softmax")) stop_bad_input("unknown head '", head, "'")
  if (type == "link") return(if (head == "softmax") log(scores) else scores)
  switch(head, logits = softmax_classes(scores), `log-softmax` = exp(scores), softmax = scores)
}

# Probabilities along the second axis.
softmax_classes <- function(scores) {
  sizes <- dim(scores)
  perm <- c(2L, seq_along(sizes)[-2L])
  columns <- aperm(scores, perm)
  columns[] <- softmax_columns(matrix(columns, sizes[2L]))
  aperm(columns, order(perm))
}

most_likely <- function(scores) {
  sizes <- dim(scores)
  classes <- dimnames(scores)[[2L]]
  columns <- matrix(aperm(scores, c(2L, seq_along(sizes)[-2L])), sizes[2L])
  place <- column_extreme(columns)
  place[colSums(is.nan(columns)) > 0] <- NA
  levels <- if (is.null(classes)) as.character(seq_len(sizes[2L])) else classes
  result <- factor(levels[place], levels = levels)
  if (length(sizes) > 2L) dim(result) <- sizes[-2L]
  result
}

name_classes <- function(values, classes) {
  if (length(dim(values)) > 1L && length(classes) && dim(values)[2L] == length(classes)) {
    names <- vector("list", length(dim(values)))
    names[[2L]] <- classes
    dimnames(values) <- names
  }
  values
}

tensors_from_user <- function(newdata, model) {
  inputs <- model$graph$inputs
  expected <- vapply(inputs, `[[`, "", "name")
  if (is.data.frame(newdata) || !is.list(newdata)) {
    if (length(inputs) != 1L) {
      stop_bad_input("the model has ", length(inputs), " inputs; give a list named ", quoted(expected))
    }
    newdata <- stats::setNames(list(newdata), expected)
  }
  tensors <- Map(function(values, name) {
    info <- inputs[[match(name, expected, 1L)]]
    if (is.data.frame(values)) values <- as.matrix(values)
    if (!is.numeric(values) && !is.logical(values)) {
      stop_bad_input("input '", name, "' is of type ", typeof(values), "; the model takes ", info$dtype)
    }
    if (is.logical(values) != (info$dtype == "bool") && !all(is.na(values))) {
      stop_bad_input("input '", name, "' is of type ", typeof(values), "; the model takes ", info$dtype)
    }
    if (is_integer(info$dtype)) {
      if (any(values != floor(values) | is.na(values))) stop_bad_input("input '", name, "' must hold whole numbers")
      if (any(values < integer_lowest[[info$dtype]] | values > integer_highest[[info$dtype]])) {
        stop_bad_input("input '", name, "' holds values beyond ", info$dtype)
      }
    }
    from_r(values, info$dtype)
  }, newdata, names(newdata))
  tensors
}

# Names, ranks and sizes as the model declares them; one name is one size throughout. `samples`: how many of the inputs'
# samples are computed at once, where that is not all of them.
check_inputs <- function(graph, inputs, samples = NULL) {
  infos <- graph$inputs
  expected <- vapply(infos, `[[`, "", "name")
  if (length(inputs) && (is.null(names(inputs)) || anyDuplicated(names(inputs)))) {
    stop_bad_input("every input must be named once: ", quoted(expected))
  }
  unknown <- setdiff(names(inputs), c(expected, graph$optional_inputs))
  if (length(unknown)) stop_bad_input("the model has no input named ", quoted(unknown), "; it takes ", quoted(expected))
  absent <- setdiff(expected, names(inputs))
  if (length(absent)) stop_bad_input("the input ", quoted(absent), " is missing")
  for (name in names(inputs)) refuse_large_integers(graph, match(name, graph$names), inputs[[name]])
  sizes <- list()
  for (info in infos) {
    x <- inputs[[info$name]]
    if (is.null(info$shape)) next
    wrong <- function() {
      stop_bad_input("input '", info$name, "' has shape ", shape_text(x$shape), "; the model takes ",
                     shape_of_info(info))
    }
    if (length(x$shape) != length(info$shape)) wrong()
    shape <- x$shape
    if (length(shape) && !is.null(samples)) shape[1L] <- samples
    for (k in seq_along(info$shape)) {
      axis <- info$shape[[k]]
      if (is.na(axis)) next
      if (is.character(axis)) {
        if (!nzchar(axis)) next
        if (is.null(sizes[[axis]])) sizes[[axis]] <- shape[k] else if (sizes[[axis]] != shape[k]) wrong()
      } else if (axis != shape[k]) {
        wrong()
      }
    }
  }
}

# The different numbers of samples of the batches that inputs are computed in; NULL for inputs that are computed at once.
batch_lengths <- function(inputs, batch_size) {
  if (!is.numeric(batch_size) || length(batch_size) != 1L || is.na(batch_size) || batch_size < 1) return(list(NULL))
  samples <- unique(vapply(inputs, function(x) if (length(x$shape)) as.double(x$shape[1L]) else NA_real_, 0))
  if (length(samples) != 1L || is.na(samples) || samples <= batch_size) return(list(NULL))
  left <- samples %% batch_size
  c(list(batch_size), if (left > 0) list(left))
}

#' Run a graph in batches along axis 0
#' @param graph a prepared graph, `inputs` named tensors, `batch_size` a number or NULL.
#' @return named list of tensors, rounded to the dtype in which they leave the graph.
#' @noRd
run_batches <- function(graph, inputs, batch_size = NULL) {
  for (samples in batch_lengths(inputs, batch_size)) check_inputs(graph, inputs, samples)
  finish <- function(results) lapply(results, round_output, graph$precision)
  if (is.null(batch_size)) return(finish(run_graph(graph, inputs)))
  if (!is.numeric(batch_size) || length(batch_size) != 1L || is.na(batch_size) || batch_size < 1) {
    stop_bad_input("batch_size must be a positive number")
  }
  samples <- unique(vapply(inputs, function(x) if (length(x$shape)) x$shape[1L] else NA_real_, 0))
  if (length(samples) != 1L || is.na(samples)) stop_bad_input("the inputs differ in their number of samples")
  if (samples <= batch_size) return(finish(run_graph(graph, inputs)))
  parts <- lapply(seq(1, samples, by = batch_size), function(first) {
    last <- min(first + batch_size - 1, samples)
    batch <- lapply(inputs, function(x) {
      size <- prod(x$shape[-1L])
      tensor(x$data[((first - 1) * size + 1):(last * size)][seq_len((last - first + 1) * size)],
             c(last - first + 1, x$shape[-1L]), x$dtype)
    })
    results <- finish(run_graph(graph, batch))
    for (name in names(results)) {
      if (!isTRUE(results[[name]]$shape[1L] == last - first + 1)) {
        stop_bad_input("the output '", name, "' has no axis of samples, so it cannot be computed in batches")
      }
    }
    results
  })
  lapply(stats::setNames(nm = names(parts[[1L]])), function(name) {
    of_name <- lapply(parts, `[[`, name)
    first <- of_name[[1L]]
    tensor(unlist(lapply(of_name, `[[`, "data")), c(samples, first$shape[-1L]), first$dtype)
  })
}
