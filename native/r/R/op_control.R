# Loop, Scan and If: nodes that run graphs. What they do to tensors is a list of
# functions, `algebra`, so that plain arrays and torch share them:
#
#   compute(node, arguments)     a node of the body: its results;
#   number(x), flag(x)           the one value of a tensor;
#   part(x, axis, place)         one step of a tensor along an axis, which goes;
#   stack(parts, axis)           the other way round;
#   shape(x), dtype(x)           of a tensor;
#   empty(shape, dtype)          a tensor without values;
#   blank(x)                     zeros like a tensor.

plain_algebra <- list(
  compute = function(node, arguments) run_node(node, arguments),
  number = function(x) only_value(x)$data,
  flag = function(x) {
    if (x$dtype != "bool") stop_bad_input("the condition is ", x$dtype, ", not bool")
    only_value(x)$data
  },
  part = function(x, axis, place) {
    view <- axis_view(x$shape, axis)
    data <- if (view[["before"]] == 1) {
      x$data[seq_len(view[["after"]]) + place * view[["after"]]]
    } else {
      as_vector(as_dim(x$data, view)[, place + 1, ])
    }
    tensor(data, x$shape[-(axis + 1)], x$dtype)
  },
  stack = function(parts, axis) {
    shape <- parts[[1L]]$shape
    data <- unlist(lapply(parts, `[[`, "data"), use.names = FALSE)
    before <- prod(shape[seq_len(axis)])
    if (before != 1) {
      data <- as_vector(aperm(array(data, c(prod(shape) / max(before, 1), before, length(parts))), c(1L, 3L, 2L)))
    }
    tensor(data, append(shape, length(parts), after = axis), parts[[1L]]$dtype)
  },
  shape = function(x) x$shape,
  dtype = function(x) x$dtype,
  empty = function(shape, dtype) tensor(as_stored(double(), dtype), shape, dtype),
  blank = function(x) tensor(as_stored(rep(0, length(x$data)), x$dtype), x$shape, x$dtype)
)

only_value <- function(x) {
  if (length(x$data) != 1L) stop_bad_input("a tensor of shape ", shape_text(x$shape), " where one value is needed")
  x
}

# A body with what it captures: list(body, values, plan), values by slot, to be run by run_body(). `constant` are inputs
# of the body (counted from 1) that do not change from step to step, and `values` theirs.
open_body <- function(body, inputs, algebra, constant = integer(), values = list()) {
  all <- captured_values(body, inputs)
  all[body$input_slots[constant]] <- values
  plan <- split_body(body, c(body$captured_slots, body$input_slots[constant]))
  keep <- vector("list", length(body$nodes))
  all <- run_nodes(body$nodes, plan$once, all, keep, algebra$compute)
  list(body = body, values = all, plan = plan)
}

captured_values <- function(body, inputs) {
  values <- vector("list", length(body$names))
  values[body$captured_slots] <- inputs[body$captured_at]
  values
}

# One step: the body's outputs. `arguments` are for its inputs at `places`.
run_body <- function(opened, places, arguments, algebra) {
  body <- opened$body
  values <- opened$values
  values[body$input_slots[places]] <- arguments
  values <- run_nodes(body$nodes, opened$plan$each, values, body$release, algebra$compute)
  values[body$output_slots]
}

in_step <- function(step, expression) {
  tryCatch(expression, onnx_error = function(e) {
    stop_kind(class(e)[1L], paste0("step ", step, ": ", conditionMessage(e)))
  })
}

# What the steps gave for one output, as one tensor. Where there was no step, the shape is as declared, what is not known being 0.
gathered_steps <- function(parts, axis, info, algebra) {
  if (length(parts) == 0L) {
    sizes <- vapply(info$shape, function(size) if (is.numeric(size)) size else 0, 0)
    axis <- resolve_axis(axis, length(sizes) + 1)
    return(algebra$empty(append(sizes, 0, after = axis), if (is.na(info$dtype)) "float32" else info$dtype))
  }
  first <- algebra$shape(parts[[1L]])
  for (part in parts) {
    if (!identical(as.double(algebra$shape(part)), as.double(first)) ||
          algebra$dtype(part) != algebra$dtype(parts[[1L]])) {
      stop_bad_input("the output '", info$name, "' of the body has another shape or dtype from step to step: ",
                     shape_text(first), " and ", shape_text(algebra$shape(part)))
    }
  }
  axis <- resolve_axis(axis, length(first) + 1)
  element_count(c(length(parts), first), paste0("the output '", info$name, "' of all steps"))
  algebra$stack(parts, axis)
}

#' Loop: steps as long as a condition holds, at most as often as a number says
#' @noRd
loop_over <- function(inputs, node, algebra) {
  body <- node$attributes$body
  own <- length(node$inputs)
  most <- if (own < 1L || is.null(inputs[[1L]])) Inf else algebra$number(inputs[[1L]])
  going <- own < 2L || is.null(inputs[[2L]]) || algebra$flag(inputs[[2L]])
  state <- inputs[seq_len(own)[-(1:2)]]
  moved <- seq_along(state)
  # A state that the body hands on as it came is no state.
  still <- moved[body$output_slots[1L + moved] == body$input_slots[2L + moved]]
  moved <- setdiff(moved, still)
  collected <- body$outputs[-seq_len(1L + length(state))]
  parts <- lapply(collected, function(info) list())
  step <- 0
  if (going && most > 0) {
    opened <- open_body(body, inputs, algebra, c(2L, 2L + still), c(list(tensor(TRUE, double(), "bool")), state[still]))
    refuse_endless(opened, most, algebra)
  }
  while (going && step < most) {
    results <- in_step(step, {
      run_body(opened, c(1L, 2L + moved), c(list(tensor(step, double(), "int64")), state[moved]), algebra)
    })
    going <- algebra$flag(results[[1L]])
    state[moved] <- results[1L + moved]
    step <- step + 1
    for (k in seq_along(collected)) {
      parts[[k]][[step]] <- results[[1L + length(state) + k]]
      element_count(c(step, algebra$shape(parts[[k]][[step]])), paste0("the output '", collected[[k]]$name, "' of all steps"))
    }
  }
  c(state, Map(gathered_steps, parts, 0, collected, MoreArgs = list(algebra = algebra)))
}

refuse_endless <- function(opened, most, algebra) {
  condition <- opened$body$output_slots[1L]
  if (is.infinite(most) && condition %in% opened$plan$fixed && algebra$flag(opened$values[[condition]])) {
    stop_bad_input("the loop has no end: no number says how often it runs, and its condition is always true")
  }
}

# Bodies whose inputs and outputs do not fit are refused when the file is read.
check_loop <- function(node) {
  state <- max(length(node$inputs) - 2L, 0L)
  body <- node$attributes$body
  check_body_size(node, "body", length(body$inputs), 2L + state, "inputs", exactly = TRUE)
  check_body_size(node, "body", length(body$outputs), 1L + max(state, length(node$outputs)), "outputs")
}

check_body_size <- function(node, attribute, found, needed, what, exactly = FALSE) {
  if (found < needed || (exactly && found > needed)) {
    stop_bad_input(node_title(node), ": its ", attribute, " has ", found, " ", what, " where ", if (!exactly) "at least ",
                   needed, " are needed")
  }
}

#' Scan: a step for each place along an axis of its inputs
#'
#' Scan 8 does so for each sample of a batch, whose sequences may differ in length.
#' @noRd
scan_over <- function(inputs, node, algebra) {
  own <- length(node$inputs)
  if (node$since > 8) return(scan_sequence(inputs, inputs[seq_len(own)], node, algebra))
  given <- inputs[seq_len(own)[-1L]]
  samples <- unique(vapply(given, function(x) c(algebra$shape(x), NA)[1L], 0))
  if (length(samples) != 1L || is.na(samples)) stop_bad_input("the inputs differ in their number of samples")
  lengths <- if (!is.null(inputs[[1L]])) algebra$number
  results <- lapply(seq_len(samples) - 1, function(sample) {
    length <- if (!is.null(lengths)) lengths(algebra$part(inputs[[1L]], 0, sample))
    scan_sequence(inputs, lapply(given, algebra$part, 0, sample), node, algebra, length)
  })
  lapply(seq_along(results[[1L]]), function(k) algebra$stack(lapply(results, `[[`, k), 0))
}

scan_sequence <- function(inputs, own, node, algebra, length = NULL) {
  body <- node$attributes$body
  scanned <- node$attributes$num_scan_inputs
  states <- base::length(own) - scanned
  collected <- base::length(body$outputs) - states
  per <- function(name, count) if (is.null(node$attributes[[name]])) rep(0, count) else node$attributes[[name]]
  backward <- per(if (node$since > 8) "scan_input_directions" else "directions", scanned)
  axes <- per("scan_input_axes", scanned)
  state <- own[seq_len(states)]
  sequences <- own[states + seq_len(scanned)]
  axes <- mapply(function(x, axis) resolve_axis(axis, base::length(algebra$shape(x))), sequences, axes)
  lengths <- unique(mapply(function(x, axis) algebra$shape(x)[axis + 1], sequences, axes))
  if (base::length(lengths) != 1L) stop_bad_input("the sequences differ in length: ", paste(lengths, collapse = ", "))
  if (!is.null(length) && (length < 0 || length > lengths)) {
    stop_bad_input("a sequence of length ", lengths, " is said to have ", length)
  }
  steps <- if (is.null(length)) lengths else length
  still <- which(body$output_slots[seq_len(states)] == body$input_slots[seq_len(states)])
  moved <- setdiff(seq_len(states), still)
  parts <- lapply(seq_len(collected), function(k) vector("list", steps))
  if (steps > 0) opened <- open_body(body, inputs, algebra, still, state[still])
  for (step in seq_len(steps)) {
    places <- ifelse(backward == 1, steps - step, step - 1)
    now <- Map(algebra$part, sequences, axes, places)
    results <- in_step(step - 1, {
      run_body(opened, c(moved, states + seq_len(scanned)), c(state[moved], now), algebra)
    })
    state[moved] <- results[moved]
    for (k in seq_len(collected)) parts[[k]][[step]] <- results[[states + k]]
  }
  turned <- per("scan_output_directions", collected)
  parts[turned == 1] <- lapply(parts[turned == 1], rev)
  # A sequence that ends early is zero from there on.
  if (steps > 0 && steps < lengths) {
    parts <- lapply(parts, function(part) c(part, rep(list(algebra$blank(part[[1L]])), lengths - steps)))
  }
  infos <- body$outputs[states + seq_len(collected)]
  c(state, Map(gathered_steps, parts, per("scan_output_axes", collected), infos, MoreArgs = list(algebra = algebra)))
}

check_scan <- function(node) {
  attributes <- node$attributes
  body <- attributes$body
  own <- length(node$inputs) - (node$since == 8)
  scanned <- attributes$num_scan_inputs
  states <- own - scanned
  if (own < 1 || scanned < 1 || states < 0) {
    stop_bad_input(node_title(node), ": it has ", own, " inputs, of which ", scanned, " are scanned")
  }
  if (node$since > 8 && !is.null(attributes$directions)) stop_bad_input(node_title(node), ": 'directions' is of opset 8")
  check_body_size(node, "body", length(body$inputs), own, "inputs", exactly = TRUE)
  check_body_size(node, "body", length(body$outputs), max(states, length(node$outputs)), "outputs")
  collected <- length(body$outputs) - states
  counts <- list(
    directions = scanned, scan_input_directions = scanned, scan_input_axes = scanned,
    scan_output_directions = collected, scan_output_axes = collected
  )
  for (name in names(counts)) {
    given <- attributes[[name]]
    if (!is.null(given) && length(given) != counts[[name]]) {
      stop_bad_input(node_title(node), ": attribute '", name, "' has ", length(given), " entries where ", counts[[name]],
                     " are needed")
    }
  }
}

#' If: one of two graphs
#' @noRd
choose_branch <- function(inputs, node, algebra) {
  branch <- node$attributes[[if (algebra$flag(inputs[[1L]])) "then_branch" else "else_branch"]]
  values <- captured_values(branch, inputs)
  run_nodes(branch$nodes, seq_along(branch$nodes), values, branch$release, algebra$compute)[branch$output_slots]
}

check_if <- function(node) {
  for (attribute in c("then_branch", "else_branch")) {
    branch <- node$attributes[[attribute]]
    check_body_size(node, attribute, length(branch$inputs), 0L, "inputs", exactly = TRUE)
    check_body_size(node, attribute, length(branch$outputs), length(node$outputs), "outputs", exactly = TRUE)
  }
}

# A table entry: `run` is loop_over(), scan_over() or choose_branch().
on_plain_arrays <- function(run) {
  force(run)
  function(inputs, node) lapply(run(inputs, node, plain_algebra), settled)
}
