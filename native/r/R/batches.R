# Samples in batches, for every engine. What an engine does to its tensors is a list of functions, `algebra`:
#
#   shape(x)                     of a tensor;
#   take(x, axis, places)        the samples at places (from 1) along an axis (from 0);
#   join(parts, axis)            parts of one tensor, end to end along an axis;
#   values(x)                    the numbers, in any order that is the same for equal shapes;
#   floating(x)                  whether they are of a floating-point type.

#' Run a model in batches of samples
#'
#' A file that fixes how many samples it takes is run in batches of as many: the last one is filled by repeating the last
#' sample, and its results are cut.
#'
#' @param graph what describes the inputs and outputs; `inputs` named tensors; `batch_size` a number, or NULL for all samples
#'   at once.
#' @param axes by name of input and output the axis of the samples, see axis_of(). An input without one is given whole to
#'   every batch; an output without one must be the same for all.
#' @param algebra see above; `run` a function of named tensors to a named list of them.
#' @return list(results, batches, filled): named tensors, how many batches there were, and how many samples were added.
#' @noRd
compute_batches <- function(graph, inputs, batch_size, axes, algebra, run) {
  plan <- plan_batches(graph, lapply(inputs, algebra$shape), batch_size, axes)
  if (is.null(plan$first)) {
    return(list(results = run(inputs), batches = 1, filled = 0))
  }
  parts <- lapply(plan$first, function(first) {
    last <- min(first + plan$size - 1, plan$samples)
    places <- c(first:last, if (plan$fixed) rep(plan$samples, plan$size - (last - first + 1)))
    results <- run(samples_of(inputs, axes, places, algebra))
    for (name in names(results)) {
      check_result(name, algebra$shape(results[[name]]), axis_of(axes, name), length(places))
    }
    if (length(places) == last - first + 1) results else samples_of(results, axes, seq_len(last - first + 1), algebra)
  })
  results <- lapply(stats::setNames(nm = names(parts[[1L]])), function(name) {
    join_results(lapply(parts, `[[`, name), name, axis_of(axes, name), algebra)
  })
  list(
    results = results, batches = length(parts),
    filled = if (plan$fixed) length(plan$first) * plan$size - plan$samples else 0
  )
}

# The samples at some places of all values that have samples.
samples_of <- function(values, axes, places, algebra) {
  lapply(stats::setNames(nm = names(values)), function(name) {
    axis <- axis_of(axes, name)
    if (is.na(axis)) values[[name]] else algebra$take(values[[name]], axis, places)
  })
}

#' How samples are laid into batches
#' @param shapes of the inputs, by name; the rest see compute_batches().
#' @return list(first, size, samples, fixed): the first sample (from 1) of every batch, and whether the file fixes their
#'   size; an empty list where all are computed at once.
#' @noRd
plan_batches <- function(graph, shapes, batch_size, axes) {
  check_batch_size(batch_size)
  for (name in intersect(names(shapes), names(axes))) check_axis(axes[[name]], shapes[[name]], name)
  if (all(vapply(names(shapes), function(name) is.na(axis_of(axes, name)), NA))) return(list())
  fixed <- fixed_samples(graph, names(shapes), axes)
  if (!is.null(fixed) && !is.null(batch_size) && batch_size != fixed) {
    stop_bad_input("batch_size ", batch_size, " cannot be: the file takes exactly ", fixed,
                   if (fixed == 1) " sample" else " samples", " at once; leave batch_size out or give ", fixed)
  }
  size <- if (is.null(batch_size)) fixed else batch_size
  samples <- number_of_samples(shapes, axes)
  if (is.na(samples) && !is.null(batch_size)) stop_bad_input("the inputs differ in their number of samples")
  if (is.null(size) || is.na(samples) || samples == 0) return(list())
  if (samples == size || (is.null(fixed) && samples < size)) return(list())
  list(first = seq(1, samples, by = size), size = size, samples = samples, fixed = !is.null(fixed))
}

# Refuses inputs that do not fit the model, as they are computed.
check_batch_inputs <- function(graph, inputs, batch_size, axes) {
  check_input_names(graph, inputs)
  plan <- plan_batches(graph, lapply(inputs, `[[`, "shape"), batch_size, axes)
  if (is.null(plan$first)) return(check_inputs(graph, inputs))
  check_inputs(graph, inputs, plan$size, axes)
  left <- plan$samples %% plan$size
  if (left > 0 && !plan$fixed) check_inputs(graph, inputs, left, axes)
}

check_batch_size <- function(batch_size) {
  if (is.null(batch_size)) return(invisible())
  whole <- is.numeric(batch_size) && length(batch_size) == 1L && is.finite(batch_size) && batch_size == floor(batch_size)
  if (!whole || batch_size < 1) stop_bad_input("batch_size must be a positive whole number")
}

check_axis <- function(axis, shape, name) {
  if (!is.na(axis) && axis >= length(shape)) {
    stop_bad_input("the input '", name, "' of shape ", shape_text(shape), " has no axis ", axis, ", counted from 0, ",
                   "for its samples")
  }
}

# How many samples there are; NA where the inputs do not agree.
number_of_samples <- function(shapes, axes) {
  sampled <- Filter(function(name) !is.na(axis_of(axes, name)), names(shapes))
  counts <- unique(vapply(sampled, function(name) as.double(shapes[[name]][axis_of(axes, name) + 1]), 0))
  if (length(counts) == 1L) counts else NA_real_
}

# The number of samples that the file declares for all its inputs that have a number there, or NULL.
fixed_samples <- function(graph, names, axes) {
  sizes <- lapply(graph$inputs, function(info) {
    axis <- axis_of(axes, info$name)
    if (is.na(axis) || axis >= length(info$shape) || !info$name %in% names) return(NULL)
    size <- info$shape[[axis + 1]]
    if (is.numeric(size) && !is.na(size)) as.double(size)
  })
  sizes <- unique(unlist(sizes))
  if (length(sizes) == 1L && sizes >= 1) sizes
}

# An output of a batch must have as many samples as the batch; `axis` see axis_of().
check_result <- function(name, shape, axis, samples) {
  if (!is.na(axis) && !isTRUE(shape[axis + 1] == samples)) {
    stop_bad_input("the output '", name, "' has shape ", shape_text(shape), " for ", samples,
                   if (samples == 1) " sample" else " samples", ": axis ", axis, ", counted from 0, is not that of the samples")
  }
}

# One output of all batches.
join_results <- function(parts, name, axis, algebra) {
  if (!is.na(axis)) return(if (length(parts) == 1L) parts[[1L]] else algebra$join(parts, axis))
  for (part in parts[-1L]) {
    if (!same_values(parts[[1L]], part, algebra)) {
      stop_bad_input("the output '", name, "' belongs to no sample, but is not the same in every batch")
    }
  }
  parts[[1L]]
}

# Equal, floating-point numbers but for rounding in float32.
same_values <- function(a, b, algebra) {
  if (!identical(as.double(algebra$shape(a)), as.double(algebra$shape(b)))) return(FALSE)
  floating <- algebra$floating(a)
  a <- algebra$values(a)
  b <- algebra$values(b)
  if (!floating) return(identical(a, b))
  if (!identical(is.nan(a), is.nan(b))) return(FALSE)
  different <- which(a != b)
  if (!length(different)) return(TRUE)
  finite <- abs(c(a, b))
  isTRUE(all(abs(a[different] - b[different]) <= 1e-5 * max(finite[is.finite(finite)], 0)))
}

# The samples at places (from 1) of data whose `view` is that of their axis, see axis_view().
take_along <- function(data, view, places) {
  after <- view[["after"]]
  if (view[["before"]] == 1 && all(diff(places) == 1)) return(data[(places[1L] - 1) * after + seq_len(length(places) * after)])
  as_vector(as_dim(data, unname(view))[, places, , drop = FALSE])
}

# Parts of a whole, each a vector with its view, which differ along the axis alone.
join_along <- function(parts, views) {
  before <- views[[1L]][["before"]]
  if (before == 1) return(do.call(c, parts))
  as_vector(do.call(rbind, Map(function(data, view) {
    matrix(data, view[["after"]] * view[["along"]], before)
  }, parts, views)))
}

plain_samples <- list(
  shape = function(x) x$shape,
  take = function(x, axis, places) {
    tensor(take_along(x$data, axis_view(x$shape, axis), places), replace(x$shape, axis + 1, length(places)), x$dtype)
  },
  join = function(parts, axis) {
    views <- lapply(parts, function(x) axis_view(x$shape, axis))
    first <- parts[[1L]]
    total <- sum(vapply(views, `[[`, 0, "along"))
    tensor(join_along(lapply(parts, `[[`, "data"), views), replace(first$shape, axis + 1, total), first$dtype)
  },
  values = function(x) x$data,
  floating = function(x) is_floating(x$dtype)
)

# Stored tensors, as the bytes of a file.
stored_samples <- list(
  shape = function(x) x$shape,
  take = function(x, axis, places) {
    x$bytes <- take_along(x$bytes, stored_view(x, axis), places)
    x$shape[axis + 1] <- length(places)
    x
  },
  join = function(parts, axis) {
    views <- lapply(parts, stored_view, axis)
    whole <- parts[[1L]]
    whole$bytes <- join_along(lapply(parts, `[[`, "bytes"), views)
    whole$shape[axis + 1] <- sum(vapply(views, `[[`, 0, "along"))
    whole
  },
  values = function(x) decode_tensor(x)$data,
  floating = function(x) is_floating(x$dtype)
)

stored_view <- function(x, axis) axis_view(x$shape, axis) * c(dtype_bytes[[x$dtype]], 1, 1)

#' Run a graph on plain arrays in batches
#' @param graph a prepared graph; the rest see compute_batches().
#' @return what compute_batches() returns, tensors rounded to the dtype in which they leave the graph.
#' @noRd
run_batches <- function(graph, inputs, batch_size = NULL, axes = list()) {
  check_batch_inputs(graph, inputs, batch_size, axes)
  compute_batches(graph, inputs, batch_size, axes, plain_samples, function(batch) compute_outputs(graph, batch))
}

# The argument `sample_axes` of a request: {"doy": null, "attention": 1}, as axis_of() takes it.
requested_axes <- function(request, graph) {
  given <- request[["sample_axes", exact = TRUE]]
  if (is.null(given)) return(list())
  if (!is.list(given) || is.null(names(given))) {
    stop_bad_input("sample_axes must be a JSON object of names and axes")
  }
  infos <- c(graph$inputs, graph$outputs)
  known <- c(names_of(infos), graph$optional_inputs)
  unknown <- setdiff(names(given), known)
  if (length(unknown)) stop_bad_input("sample_axes names ", quoted(unknown), "; the model has ", quoted(unique(known)))
  lapply(stats::setNames(nm = names(given)), function(name) {
    axis <- given[[name]]
    if (is.null(axis)) return(NA_real_)
    if (!is.numeric(axis) || length(axis) != 1L || axis < 0 || axis != floor(axis)) {
      stop_bad_input("the sample axis of '", name, "' must be null or a whole number from 0")
    }
    for (info in Filter(function(info) info$name == name && !is.null(info$shape), infos)) {
      if (axis >= max(length(info$shape), 1L)) {
        stop_bad_input("the sample axis of '", name, "' cannot be ", axis, ": it has ", length(info$shape), " axes, ",
                       "counted from 0")
      }
    }
    as.double(axis)
  })
}
