# Running a prepared graph.

#' Run a graph
#'
#' @param graph what `build_graph()` returns.
#' @param inputs named list of tensors.
#' @param names names of the values wanted; the graph's outputs by default.
#' @return named list of tensors, in the order of `names`.
#' @noRd
run_graph <- function(graph, inputs, names = NULL) {
  wanted <- if (is.null(names)) graph$output_slots else match(names, graph$names)
  if (anyNA(wanted)) stop_bad_input("the graph has no value named ", quoted(names[is.na(wanted)]))
  values <- vector("list", length(graph$names))
  values[seq_along(graph$tensors)] <- graph$tensors
  values[match(base::names(inputs), graph$names)] <- inputs
  release <- if (is.null(names)) graph$release else lapply(graph$release, setdiff, wanted)
  values <- run_nodes(graph$nodes, seq_len(last_node_needed(graph, wanted)), values, release)
  results <- Map(leaving, lapply(values[wanted], settled), graph$names[wanted])
  base::names(results) <- graph$names[wanted]
  results
}

# The same in the dtypes with which they leave the graph.
compute_outputs <- function(graph, inputs, names = NULL) {
  lapply(run_graph(graph, inputs, names), round_output, graph$precision)
}

# The values after the nodes at the given places have run; `release` see release_plan().
run_nodes <- function(nodes, places, values, release, compute = run_node) {
  for (k in places) {
    node <- nodes[[k]]
    arguments <- vector("list", length(node$input_slots))
    given <- node$input_slots > 0L
    arguments[given] <- values[node$input_slots[given]]
    results <- compute(node, arguments)
    kept <- which(node$output_slots > 0L)
    values[node$output_slots[kept]] <- results[kept]
    free <- release[[k]]
    if (length(free)) values[free] <- list(NULL)
  }
  values
}

last_node_needed <- function(graph, slots) {
  last <- 0L
  for (k in seq_along(graph$nodes)) {
    if (any(graph$nodes[[k]]$output_slots %in% slots)) last <- k
  }
  last
}

# One node: a list of tensors, one per output. Whatever goes wrong names the node.
run_node <- function(node, arguments) {
  if (!node$any_order) arguments <- lapply(arguments, settled)
  results <- tryCatch(
    node$run(arguments, node),
    error = function(e) {
      kind <- if (inherits(e, "onnx_error")) class(e)[1L] else "onnx_failed"
      stop_kind(kind, one_line(node_title(node), ": ", conditionMessage(e)))
    }
  )
  if (!is.null(results$dtype)) results <- list(results)
  if (length(results) < max(0L, which(nzchar(node$outputs)))) {
    stop_unsupported(node_title(node), ": output number ", length(results) + 1L, " is not supported")
  }
  if (node$precision == "float32") results <- lapply(results, round_narrow)
  results
}

# Half precision is too coarse to be put off to the output: every runtime
# rounds after each operator, and so does this one where it stands for them.
round_narrow <- function(x) {
  if (x$dtype %in% c("float16", "bfloat16")) x$data <- round_to_dtype(x$data, x$dtype)
  x
}

node_title <- function(node) paste0("node ", node$label, " (", node$operator, ")")

# A result in the dtype it leaves the graph with. float32 values stay double
# until here: they are rounded once.
round_output <- function(x, precision) {
  if (!is_floating(x$dtype)) return(x)
  if (precision == "float64") {
    x$dtype <- "float64"
    return(x)
  }
  x$data <- round_to_dtype(x$data, x$dtype)
  x
}
