# Which axis of each value is that of the samples, found by running the model, for callers who do not say so.

# What a caller says, counting as R does, as axis_of() takes it: `sample_axes` a list as list(attention = 2), `shared` names
# of inputs (and outputs) that belong to no sample.
told_axes <- function(sample_axes, shared, graph) {
  if (length(sample_axes) && (is.null(names(sample_axes)) || anyDuplicated(names(sample_axes)))) {
    stop_bad_input("sample_axes must name each axis once, for instance list(attention = 2)")
  }
  if (!is.null(shared) && !is.character(shared)) stop_bad_input("shared must be names of inputs")
  known <- c(names_of(graph$inputs), graph$optional_inputs, names_of(graph$outputs))
  unknown <- setdiff(c(names(sample_axes), shared), known)
  if (length(unknown)) stop_bad_input("the model has no input or output named ", quoted(unknown))
  both <- intersect(names(sample_axes), shared)
  if (length(both)) stop_bad_input(quoted(both), " cannot be shared by all samples and have an axis of samples")
  axes <- lapply(sample_axes, function(axis) {
    if (!is.numeric(axis) || length(axis) != 1L || is.na(axis) || axis < 1 || axis != floor(axis)) {
      stop_bad_input("a sample axis must be a whole number, 1 for the first")
    }
    as.double(axis) - 1
  })
  for (info in c(graph$inputs, graph$outputs)) {
    axis <- axes[[info$name, exact = TRUE]]
    if (!is.null(axis) && !is.null(info$shape) && axis >= length(info$shape)) {
      stop_bad_input("the sample axis of '", info$name, "' cannot be ", axis + 1, ": it has ", length(info$shape), " axes")
    }
  }
  c(axes, stats::setNames(rep(list(NA_real_), length(shared)), shared))
}

#' The sample axes of the inputs
#'
#' An input whose first axis has another name, or another declared size, than that of the samples is shared by all. Where the
#' names differ and the sizes do not, either may be meant.
#'
#' @param graph a prepared graph; `shapes` of the given inputs, by name; `told` see told_axes().
#' @return a list of possibilities, the likeliest first: each a list as axis_of() takes it.
#' @noRd
possible_input_axes <- function(graph, shapes, told) {
  open <- Filter(function(name) is.null(told[[name, exact = TRUE]]), names(shapes))
  alone <- Filter(function(name) !length(shapes[[name]]) || !name %in% names_of(graph$inputs), open)
  open <- setdiff(open, alone)
  axes <- c(told, stats::setNames(rep(list(NA_real_), length(alone)), alone))
  if (!length(open)) return(list(axes))
  main <- sample_input(graph, setdiff(names(shapes), alone), axes)
  axis <- axis_of(axes, main)
  if (is.na(axis) || axis >= length(shapes[[main]])) return(list(axes))
  samples <- shapes[[main]][axis + 1]
  declared <- declared_axis(graph, main, axis)
  doubtful <- character()
  for (name in setdiff(open, main)) {
    own <- declared_axis(graph, name, 0)
    equal <- shapes[[name]][1L] == samples
    if (identical(own, declared) && !is.null(own)) {
      # Two fixed sizes may be equal by chance; then what is given tells.
      if (is.numeric(own) && !equal) axes[[name]] <- NA_real_
    } else if (!equal || is.numeric(own) || is.numeric(declared)) {
      axes[[name]] <- NA_real_
    } else {
      # Names that differ speak for a shared input, no name for one with samples.
      axes[[name]] <- if (is.null(own) || is.null(declared)) 0 else NA_real_
      doubtful <- c(doubtful, name)
    }
  }
  if (length(doubtful) == 0L || length(doubtful) > 4L) return(list(axes))
  turned <- do.call(expand.grid, rep(list(c(FALSE, TRUE)), length(doubtful)))
  lapply(order(rowSums(turned)), function(row) {
    names <- doubtful[unlist(turned[row, ])]
    replace(axes, names, lapply(axes[names], function(axis) if (is.na(axis)) 0 else NA_real_))
  })
}

# The input whose samples are counted: the first one told, with a named first axis, or of the highest rank.
sample_input <- function(graph, names, axes) {
  told <- Filter(function(name) isTRUE(!is.na(axes[[name, exact = TRUE]])), names)
  if (length(told)) return(told[1L])
  names <- Filter(function(name) is.null(axes[[name, exact = TRUE]]), names_of(graph$inputs))
  named <- Filter(function(name) is.character(declared_axis(graph, name, 0)), names)
  if (length(named)) return(named[1L])
  ranks <- vapply(graph$inputs[match(names, names_of(graph$inputs))], function(info) length(info$shape), 0L)
  names[which.max(ranks)]
}

# What the file says of an axis of an input or output: a name, a number, or NULL.
declared_axis <- function(graph, name, axis) {
  infos <- c(graph$inputs, graph$outputs)
  info <- infos[[match(name, names_of(infos))]]
  if (axis >= length(info$shape)) return(NULL)
  size <- info$shape[[axis + 1]]
  if (is.na(size) || identical(size, "")) NULL else if (is.numeric(size)) as.double(size) else size
}

#' Find the sample axes of the outputs, and prove them
#'
#' Two numbers of samples are computed that equal no other axis: what changes with them is the axis of the samples. Then
#' one sample alone must give its row. Where the file fixes the number, samples in another order must give rows in that order.
#'
#' @param graph a prepared graph; `inputs` named tensors; `possible` see possible_input_axes(); `outputs` the names
#'   of those that are asked for; `prove` whether to.
#' @return the axes of all inputs and outputs, as axis_of() takes them.
#' @noRd
find_sample_axes <- function(graph, inputs, possible, outputs = names_of(graph$outputs), prove = TRUE) {
  for (k in seq_along(possible)) {
    found <- tryCatch(sample_axes_of(graph, inputs, possible[[k]], outputs, prove), onnx_error = identity)
    if (!inherits(found, "onnx_error")) return(found)
    if (k == 1L) first <- found
  }
  stop(first)
}

sample_axes_of <- function(graph, inputs, axes, outputs, prove) {
  samples <- number_of_samples(lapply(inputs, `[[`, "shape"), axes)
  if (is.na(samples)) stop_bad_input("the inputs differ in their number of samples")
  if (samples == 0) stop_bad_input("there is no sample to find the axes of samples with")
  compute <- function(places) {
    batch <- samples_of(inputs, axes, places, plain_samples)
    check_inputs(graph, batch)
    compute_outputs(graph, batch)
  }
  fixed <- fixed_samples(graph, names(inputs), axes)
  if (!is.null(fixed)) return(c(axes, axes_of_fixed(compute, samples, fixed, setdiff(outputs, names(axes)))))
  numbers <- numbers_of_samples(graph, inputs, axes)
  places <- rep_len(seq_len(samples), numbers[2L])
  fewer <- compute(places[seq_len(numbers[1L])])
  more <- compute(places)
  names <- setdiff(outputs, names(axes))
  axes[names] <- lapply(names, function(name) changing_axis(name, fewer[[name]], more[[name]], numbers))
  if (prove) {
    alone <- compute(places[numbers[2L]])
    for (name in outputs) prove_axis(name, axes[[name]], more[[name]], alone[[name]], numbers[2L], places[numbers[2L]])
  }
  axes
}

# Two numbers from 2 that are the size of no other axis.
numbers_of_samples <- function(graph, inputs, axes) {
  taken <- unlist(lapply(names(inputs), function(name) {
    axis <- axis_of(axes, name)
    if (is.na(axis)) inputs[[name]]$shape else inputs[[name]]$shape[-(axis + 1)]
  }))
  stated <- unlist(lapply(graph$outputs, function(info) Filter(is.numeric, info$shape)))
  utils::head(setdiff(2:(length(c(taken, stated)) + 3L), c(taken, stated)), 2L)
}

changing_axis <- function(name, fewer, more, numbers) {
  changed <- if (length(fewer$shape) == length(more$shape)) which(fewer$shape != more$shape)
  if (length(fewer$shape) == length(more$shape) && !length(changed)) return(NA_real_)
  if (length(changed) != 1L || fewer$shape[changed] != numbers[1L] || more$shape[changed] != numbers[2L]) {
    stop_bad_input("the output '", name, "' has shape ", shape_text(fewer$shape), " for ", numbers[1L], " samples and ",
                   shape_text(more$shape), " for ", numbers[2L], ": no axis of it is that of the samples")
  }
  changed - 1
}

prove_axis <- function(name, axis, more, alone, place, sample) {
  row <- more
  if (!is.na(axis)) {
    check_result(name, more$shape, axis, place)
    row <- plain_samples$take(more, axis, place)
  }
  if (same_values(row, alone, plain_samples)) return(invisible())
  if (is.na(axis)) {
    stop_bad_input("the output '", name, "' has no axis of samples but depends on them, so it cannot be computed in batches")
  }
  stop_bad_input("sample ", sample, " alone does not give its row along axis ", axis + 1, " of the output '", name,
                 "', so the model cannot be computed in batches")
}

# The sample axes of the outputs of a file of a fixed number of samples.
axes_of_fixed <- function(compute, samples, fixed, names) {
  places <- rep_len(seq_len(samples), fixed)
  turned <- c(places[-1L], places[1L])
  straight <- compute(places)
  moved <- compute(turned)
  lapply(stats::setNames(nm = names), function(name) {
    shape <- straight[[name]]$shape
    fits <- Filter(function(axis) {
      expected <- plain_samples$take(straight[[name]], axis, c(seq_len(fixed)[-1L], 1L))
      same_values(expected, moved[[name]], plain_samples)
    }, which(shape == fixed) - 1)
    if (length(fits)) return(fits[1L])
    if (same_values(straight[[name]], moved[[name]], plain_samples)) return(NA_real_)
    stop_bad_input("the output '", name, "' has shape ", shape_text(shape), " for ", fixed, " samples: no axis of it is ",
                   "that of the samples")
  })
}

# Says what was found where it is not what everyone would expect.
tell_axes <- function(axes, told, graph) {
  for (name in setdiff(names(axes), names(told))) {
    axis <- axes[[name]]
    input <- name %in% names_of(graph$inputs)
    if (is.na(axis)) {
      tell(if (input) "input '" else "output '", name, if (input) "' is shared by all samples" else "' belongs to no sample")
    } else if (axis != 0) {
      tell("the sample axis of output '", name, "' is ", axis + 1, ", counted from 1")
    }
  }
}

# A message that those who call predict() for others can pass over.
tell <- function(...) {
  message(structure(
    class = c("onnx_message", "message", "condition"), list(message = paste0(one_line(...), "\n"), call = NULL)
  ))
}
