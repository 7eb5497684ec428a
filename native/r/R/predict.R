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
#' @param head what the model's scores are: `"logits"`, `"log-softmax"`,
#'   `"softmax"` or `"sigmoid"`. By default what the file says in its metadata
#'   `harness.head`. Used for every type but `"raw"`.
#' @param output the name of the output to use for every type but `"raw"`. By default the one that the file names
#'   (metadata `harness.spec`), else the first that can hold class scores.
#' @param batch_size how many samples to compute at once; `NULL` for all.
#' @param sample_axes the axis of the samples by name of input or output, counting from 1, for instance
#'   `list(attention = 2)`. What is not named is found, see below.
#' @param shared names of inputs that all samples share, for instance `"doy"`. What is not named is found, see below.
#' @param ... ignored.
#'
#' @section Batches:
#' Samples are computed in batches where `batch_size` asks for them, and where the file fixes how many it takes at once:
#' then the last batch is filled by repeating the last sample, and the result is cut, which a message tells.
#'
#' An input whose first axis has another name or declared size than that of the samples is shared, and goes whole into
#' every batch. Which axis of an output is that of the samples is found by computing two numbers of samples that equal no
#' other axis, and proven: one sample alone gives its row. What is found is told by a message where it is not the first
#' axis; what cannot be proven is an error. What `sample_axes` and `shared` state is taken as it is.
#'
#' @section Classes:
#' Class scores are floating-point numbers of shape `c(N, C)` or `c(N, C, ...)`, with the classes along the second axis.
#' What cannot be classes is refused for every type but `"raw"`: whole numbers, such as a mask of classes that are chosen
#' already; one value for each sample; an output of three axes that does not fit the class names of the file; and a
#' model whose task (metadata `harness.spec`) is a regression or a forecast. Labels that do not exclude each other (task
#' `multi-label`, or head `"sigmoid"`) have a probability each, but no class.
#'
#' @section Missing values, texts and maps:
#' `NA` in `newdata` is not a number (`NaN`) to every operator. Texts are character arrays, given as characters or factors;
#' an output of texts is a factor for `type = "class"`. The maps of a classical model (the operator ZipMap) are for `"raw"` a
#' list with a list for each sample, named by the classes; `"prob"` and `"class"` take them as scores.
#'
#' @section Errors:
#' An error of the model or its inputs has one line, the class `onnx_error` and one more: `onnx_bad_input` where `newdata`
#' or an argument does not fit the model, `onnx_unsupported` where the package does not do what is asked, `onnx_failed` where
#' a node fails.
#' @return For `"raw"` an array with the axes in the model's order, or a named
#'   list of arrays where there are several outputs. The second axis of class
#'   scores is named after the classes if the file names them (metadata
#'   `harness.classes`). For `"prob"` and `"link"` an array `c(N, C)` or `c(N, C, ...)`, samples first, classes second. For
#'   `"class"` a factor with an entry for each sample, or with the `dim` `c(N, ...)` where a class is chosen for each pixel.
#' @examples
#' m <- onnx_read(system.file("extdata", "crops.onnx", package = "plainonnx"))
#' x <- array(rnorm(2 * 3 * 8), c(2, 3, 8))
#' predict(m, x)
#' predict(m, x, type = "class")
#' @export
predict.onnx_model <- function(object, newdata, type = c("raw", "prob", "class", "link"), head = NULL,
                               output = NULL, batch_size = NULL, sample_axes = NULL, shared = NULL, ...) {
  type <- match.arg(type)
  inputs <- tensors_from_user(newdata, object)
  graph <- object$graph
  check_input_names(graph, inputs)
  if (type != "raw") output <- class_output(object, output, type)
  told <- told_axes(sample_axes, shared, graph)
  possible <- possible_input_axes(graph, lapply(inputs, `[[`, "shape"), told)
  axes <- possible[[1L]]
  plan <- plan_batches(graph, lapply(inputs, `[[`, "shape"), batch_size, axes)
  if (!is.null(plan$first)) {
    axes <- find_sample_axes(graph, inputs, possible)
    tell_axes(axes, told, graph)
  }
  done <- run_batches(graph, inputs, batch_size, axes)
  if (done$filled > 0) {
    tell("the file takes exactly ", plan$size, " samples at once: the last batch is filled with ", done$filled,
         " and cut")
  }
  if (type == "raw") {
    results <- lapply(stats::setNames(nm = names(done$results)), function(name) {
      named_classes(to_r(done$results[[name]]), object, name, axes)
    })
    return(if (length(results) == 1L) results[[1L]] else results)
  }
  result <- done$results[[output]]
  # Texts are classes already.
  if (result$dtype == "string") return(factor(to_r(result)))
  if (is.null(head) && !is.null(result$keys)) head <- head_of_maps(result)
  if (is.null(axes[[output, exact = TRUE]])) axes[[output]] <- scores_axis(graph, inputs, possible, output, result)
  scores_of_type(scores_in_order(result, axes[[output]], object, output, type), object, type, head)
}

tensors_from_user <- function(newdata, model) {
  inputs <- model$graph$inputs
  expected <- names_of(inputs)
  if (is.data.frame(newdata) || !is.list(newdata)) {
    if (length(inputs) != 1L) {
      stop_bad_input("the model has ", length(inputs), " inputs; give a list named ", quoted(expected))
    }
    newdata <- stats::setNames(list(newdata), expected)
  }
  tensors <- Map(function(values, name) {
    info <- inputs[[match(name, expected, 1L)]]
    if (is.data.frame(values)) values <- as.matrix(values)
    if (is.factor(values)) values <- as.character(values)
    if (isTRUE(info$dtype == "string") && is.character(values)) return(shaped_as(from_r(values, "string"), info))
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
    shaped_as(from_r(values, info$dtype), info)
  }, newdata, names(newdata))
  tensors
}

# One number, which R has as a vector, for an input without axes.
shaped_as <- function(x, info) {
  if (is.list(info$shape) && length(info$shape) == 0L && prod(x$shape) == 1) x$shape <- double()
  x
}

