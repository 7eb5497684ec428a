# Class scores: which output holds them, along which axis, and what is made of them.

# The task that the file states, or NULL; and the output that its decisions are made on.
stated_task <- function(model) metadata_json(model, "harness.spec")$task
decided_output <- function(model) metadata_json(model, "harness.spec")$decided

# The name of the output to use, refused where it cannot hold the scores of classes.
class_output <- function(model, output, type) {
  infos <- model$graph$outputs
  names <- names_of(infos)
  task <- stated_task(model)
  if (isTRUE(task %in% c("regression", "forecast"))) {
    stop_bad_input("the task of the model is ", task, ", which has no classes; use type = \"raw\"")
  }
  if (!is.null(output) && !output %in% names) {
    stop_bad_input("the model has no output named '", output, "' but ", quoted(names))
  }
  if (is.null(output)) output <- decided_output(model)
  if (is.null(output)) {
    possible <- vapply(infos, function(info) is.null(no_classes(info$dtype, declared_sizes(info), model)), NA)
    output <- names[c(which(possible), 1L)[1L]]
  }
  info <- infos[[match(output, names)]]
  if (type == "class" && info$dtype == "string") return(output)
  refuse_classes(output, info$dtype, declared_sizes(info), shape_of_info(info), model, type)
  output
}

# Sizes as declared, NA where they are open; NULL where not even their number is known.
declared_sizes <- function(info) {
  if (is.null(info$shape)) return(NULL)
  vapply(info$shape, function(size) if (is.numeric(size) && !is.na(size)) as.double(size) else NA_real_, 0)
}

# Why values of a dtype and sizes, samples first, cannot be class scores; NULL where they can.
no_classes <- function(dtype, sizes, model) {
  classes <- class_names(model)
  if (!is_floating(dtype)) return("is a mask of whole numbers, not scores")
  if (is.null(sizes)) return(NULL)
  if (length(sizes) < 2L) return("has no class axis")
  if (isTRUE(sizes[2L] == 1)) return("has one value where a score for each class is needed")
  if (length(classes) && isTRUE(sizes[2L] != length(classes))) {
    return(paste0("does not have one score along axis 2 for each of the ", length(classes), " classes of the file"))
  }
  if (length(sizes) == 3L && !length(classes)) {
    return("has three axes and the file does not tell that the second holds classes")
  }
  NULL
}

refuse_classes <- function(output, dtype, sizes, shape, model, type) {
  reason <- no_classes(dtype, sizes, model)
  if (is.null(reason)) return(invisible())
  stop_bad_input("the output '", output, "' (", dtype, ", ", shape, ") ", reason, ": type = \"", type, "\" is not possible; use type = \"raw\"")
}

# The axis of the samples of scores that were computed at once: as declared, or found by computing fewer.
scores_axis <- function(graph, inputs, possible, output, result) {
  main <- Filter(function(name) !is.na(axis_of(possible[[1L]], name)), names(inputs))
  if (length(main)) {
    own <- declared_axis(graph, main[1L], axis_of(possible[[1L]], main[1L]))
    same <- vapply(seq_along(result$shape) - 1, function(axis) identical(own, declared_axis(graph, output, axis)), NA)
    if (is.character(own) && sum(same) == 1L) return(which(same) - 1)
  }
  axis <- axis_of(find_sample_axes(graph, inputs, possible, output, prove = FALSE), output)
  if (is.na(axis)) stop_bad_input("the output '", output, "' has no axis of samples, so it holds no classes for them")
  axis
}

# Scores as an R array, samples first, classes named.
scores_in_order <- function(result, axis, model, output, type) {
  classes <- if (is.null(result$keys)) class_names(model) else as.character(result$keys)
  result$keys <- NULL
  scores <- to_r(result)
  rank <- length(dim(scores))
  if (axis > 0) scores <- aperm(scores, c(axis + 1, seq_len(rank)[-(axis + 1)]))
  refuse_classes(output, result$dtype, dim(scores), paste(dim(scores), collapse = " x "), model, type)
  if (length(scores) && all(is.na(scores) | scores == floor(scores)) && rank > 2L && !length(class_names(model))) {
    stop_bad_input("the output '", output, "' holds whole numbers alone, as a mask does, and the file names no classes: ",
                   "type = \"", type, "\" is not possible; use type = \"raw\"")
  }
  name_classes(scores, classes)
}

# What the scores of maps are: a classifier of ai.onnx.ml gives probabilities, or what is none of them.
head_of_maps <- function(result) {
  rows <- matrix(result$data, length(result$keys))
  if (all(rows >= 0) && all(abs(colSums(rows) - 1) <= 1e-4)) "softmax"
}

scores_of_type <- function(scores, model, type, head) {
  if (is.null(head)) head <- unname(model$metadata["harness.head"])
  several <- identical(stated_task(model), "multi-label") || isTRUE(head == "sigmoid")
  if (type == "class") {
    if (several) {
      stop_bad_input("labels that do not exclude each other are no classes; use type = \"prob\" and a threshold")
    }
    return(most_likely(scores))
  }
  if (is.null(head) || is.na(head)) {
    stop_bad_input("the file does not say what its scores are (metadata 'harness.head'); give head = \"logits\", ",
                   "\"log-softmax\", \"softmax\" or \"sigmoid\"")
  }
  if (!head %in% c("logits", "log-softmax", "softmax", "sigmoid")) stop_bad_input("unknown head '", head, "'")
  if (type == "link") return(switch(head, softmax = log(scores), sigmoid = stats::qlogis(scores), scores))
  if (several) return(if (head == "sigmoid") scores else stats::plogis(scores))
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

# Raw values with their classes named, where the second axis can be that of classes and of nothing else.
named_classes <- function(values, model, name, axes) {
  info <- model$graph$outputs[[match(name, names_of(model$graph$outputs))]]
  elsewhere <- axis_of(axes, name) %in% c(1, NA) || is.character(declared_axis(model$graph, name, 1))
  if (!is_floating(info$dtype) || info$kind == maps_kind || elsewhere) values else name_classes(values, class_names(model))
}
