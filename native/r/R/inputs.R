# What a caller gives a model, held against what the model declares.

# The sample axis of a value, counted from 0: 0 where nothing is said, NA for a value that belongs to no sample.
axis_of <- function(axes, name) {
  axis <- axes[[name, exact = TRUE]]
  if (is.null(axis)) 0 else axis
}

# Every input of the model named once, and nothing else.
check_input_names <- function(graph, inputs) {
  expected <- names_of(graph$inputs)
  if (length(inputs) && (is.null(names(inputs)) || anyDuplicated(names(inputs)))) {
    stop_bad_input("every input must be named once: ", quoted(expected))
  }
  unknown <- setdiff(names(inputs), c(expected, graph$optional_inputs))
  if (length(unknown)) stop_bad_input("the model has no input named ", quoted(unknown), "; it takes ", quoted(expected))
  absent <- setdiff(expected, names(inputs))
  if (length(absent)) stop_bad_input("the input ", quoted(absent), " is missing")
}

# Names, ranks and sizes as the model declares them; one name is one size throughout. `samples`: how many of the inputs'
# samples are computed at once, where that is not all of them; `axes` see axis_of().
check_inputs <- function(graph, inputs, samples = NULL, axes = list()) {
  check_input_names(graph, inputs)
  for (name in names(inputs)) refuse_large_integers(graph, match(name, graph$names), inputs[[name]])
  sizes <- list()
  for (info in graph$inputs) {
    x <- inputs[[info$name]]
    if (is.null(info$shape)) next
    wrong <- function() {
      stop_bad_input("input '", info$name, "' has shape ", shape_text(x$shape), "; the model takes ",
                     shape_of_info(info), order_that_fits(x$shape, info$shape))
    }
    if (length(x$shape) != length(info$shape)) wrong()
    shape <- x$shape
    axis <- axis_of(axes, info$name)
    if (length(shape) && !is.null(samples) && !is.na(axis)) shape[axis + 1] <- samples
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

# The order of axes in which an array would fit, in words; empty where there is none. Of several the one that moves the fewest.
order_that_fits <- function(shape, wanted) {
  if (length(shape) != length(wanted) || length(shape) > 6L) return("")
  fixed <- vapply(wanted, function(size) if (is.numeric(size)) as.double(size) else NA_real_, 0)
  fitting <- Filter(function(order) all(shape[order] == fixed, na.rm = TRUE), orders_of(seq_along(shape)))
  if (length(fitting) == 0L) return("")
  moved <- vapply(fitting, function(order) sum(order != seq_along(order)), 0L)
  if (min(moved) == 0L) return("")
  paste0("; its axes are in another order: aperm(x, c(", paste(fitting[[which.min(moved)]], collapse = ", "), ")) fits")
}

orders_of <- function(axes) {
  if (length(axes) < 2L) return(list(axes))
  do.call(c, lapply(axes, function(first) lapply(orders_of(setdiff(axes, first)), function(rest) c(first, rest))))
}
