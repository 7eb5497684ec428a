# Graphs inside of nodes: the bodies of Loop and Scan, the branches of If.
#
# A subgraph reads names of the graphs around it. What it reads so is captured:
# an input of the node that holds the subgraph, after its own ones, so that
# whatever follows the inputs of a node (when a value may go, what trains) needs
# to know nothing of subgraphs. Its initializers become initializers of the main
# graph, which it captures: they are read once, however often it runs.

# The attributes of a parsed node that are graphs, by name: their order in a file is whoever's wrote it.
graph_attributes <- function(node) {
  held <- vapply(node$attributes, function(a) is.list(a) && !is.null(a$graph), NA)
  sort(as.character(names(node$attributes)[held]), method = "radix")
}

all_names <- function(graph) {
  c(
    names_of(graph$initializers), names_of(graph$inputs), names_of(graph$outputs),
    unlist(lapply(graph$nodes, function(node) {
      c(unlist(node[c("name", "operator", "domain", "inputs", "outputs")]),
        lapply(graph_attributes(node), function(a) all_names(node$attributes[[a]]$graph)))
    }))
  )
}

#' Initializers of subgraphs as initializers of the main graph
#'
#' They keep their names. Where several graphs use one and the same, which ONNX
#' allows beside each other, the second and those after it become `name#2`, and so
#' on, in the order of the file's nodes and by the names of their attributes.
#' @return the parsed graph: `initializers` are those of the whole file, and a
#'   subgraph has, in their place, `held`: their names here, named by its own.
#' @noRd
lift_initializers <- function(graph) {
  if (!any(vapply(graph$nodes, function(node) length(graph_attributes(node)) > 0L, NA))) return(graph)
  lifted <- list()
  take <- name_keeper()
  lift <- function(graph) {
    for (k in seq_along(graph$nodes)) {
      for (attribute in graph_attributes(graph$nodes[[k]])) {
        inner <- graph$nodes[[k]]$attributes[[attribute]]$graph
        own <- names_of(inner$initializers)
        if (anyDuplicated(own)) stop_bad_input("two initializers are named ", quoted(own[anyDuplicated(own)]))
        inner$held <- take(inner)[own]
        lifted <<- c(lifted, Map(function(stored, name) replace(stored, "name", name), inner$initializers, inner$held))
        inner$initializers <- list()
        graph$nodes[[k]]$attributes[[attribute]]$graph <- lift(inner)
      }
    }
    graph
  }
  take(graph)
  graph <- lift(graph)
  graph$initializers <- c(graph$initializers, unname(lifted))
  graph
}

# A function that gives the names of a graph's own values, named by those that they have there, among the values of all graphs
# that it was asked about.
name_keeper <- function() {
  taken <- new.env()
  # A variable of R has a name that is not empty.
  key <- function(name) paste0("=", name)
  function(graph) {
    outputs <- unlist(lapply(graph$nodes, `[[`, "outputs"))
    own <- unique(c(names_of(graph$inputs), names_of(graph$initializers), outputs[nzchar(outputs)]))
    stats::setNames(vapply(own, function(name) {
      unique <- name
      number <- 1
      while (exists(key(unique), envir = taken, inherits = FALSE)) {
        number <- number + 1
        unique <- paste0(name, "#", number)
      }
      assign(key(unique), TRUE, envir = taken)
      unique
    }, ""), own)
  }
}

#' Weights that a file holds in Constant nodes
#'
#' Tensors of floating point with an axis at least, under the names of the nodes' outputs; equal
#' names of several graphs as lift_initializers() tells them apart.
#' @param graph a parsed graph.
#' @return list of stored tensors.
#' @noRd
stated_tensors <- function(graph, take = name_keeper()) {
  names <- take(graph)
  do.call(c, lapply(graph$nodes, function(node) {
    if (states_a_weight(node)) return(list(replace(node$attributes$value, "name", names[[node$outputs[1L]]])))
    do.call(c, lapply(graph_attributes(node), function(a) stated_tensors(node$attributes[[a]]$graph, take)))
  }))
}

states_a_weight <- function(node) {
  value <- node$attributes$value
  node$operator == "Constant" && node$domain == "" && is.list(value) && isTRUE(is_floating(value$dtype)) &&
    length(value$shape) > 0L
}

# A prepared node with its subgraphs prepared. `graphs` names the attributes that hold them; `captured` are the values
# of the outer graph that they read, which become its last inputs.
prepare_subgraphs <- function(node, kinds, context, outside) {
  node$graphs <- names(kinds)[kinds == "graph"]
  for (attribute in node$graphs) {
    body <- tryCatch(
      prepare_subgraph(node$attributes[[attribute]]$graph, outside, context),
      onnx_error = function(e) {
        stop_kind(class(e)[1L], paste0(node_title(node), ", ", attribute, ": ", conditionMessage(e)))
      }
    )
    node$attributes[[attribute]] <- body
    node$captured <- union(node$captured, body$captured)
  }
  # Places among the node's inputs, its own and the captured ones.
  for (attribute in node$graphs) {
    body <- node$attributes[[attribute]]
    node$attributes[[attribute]]$captured_at <- length(node$inputs) + match(body$captured, node$captured)
  }
  node
}

#' Prepare a subgraph to be run
#'
#' @param graph a parsed subgraph whose initializers were lifted; `outside` the names it may read.
#' @return list(inputs, outputs, names, nodes, input_slots, output_slots, captured,
#'   captured_slots, release): `captured` are names of the graphs around it.
#' @noRd
prepare_subgraph <- function(graph, outside, context) {
  # Shapes are known when it runs; of their types only outputs matter, of which there may be none to look at.
  for (info in c(graph$inputs, graph$outputs)) check_kind(info)
  input_names <- names_of(graph$inputs)
  if (anyDuplicated(input_names)) {
    stop_bad_input("two inputs are named ", quoted(input_names[anyDuplicated(input_names)]))
  }
  # An input that has a default is always given.
  held <- graph$held[!names(graph$held) %in% input_names]
  given <- c(names(held), input_names)
  resolved <- resolve_nodes(graph, given, outside, context)
  body <- list(
    inputs = graph$inputs, outputs = graph$outputs, names = resolved$names, nodes = resolved$nodes,
    input_slots = match(input_names, resolved$names), output_slots = resolved$output_slots,
    captured = c(unname(held), resolved$captured),
    captured_slots = c(seq_along(held), match(resolved$captured, resolved$names)), tensors = list()
  )
  body$release <- release_plan(body)
  body
}

check_kind <- function(info) {
  if (!info$kind %in% c("tensor", "sequence", "optional")) {
    stop_unsupported("values of type ", info$kind, " ('", info$name, "') are not supported")
  }
}

# While a module trains, these differ from call to call, or move something.
differs_in_training <- function(node) {
  node$operator %in% c("Dropout", "BatchNormalization") ||
    any(vapply(node$attributes[node$graphs], function(body) any(vapply(body$nodes, differs_in_training, NA)), NA))
}

#' Which nodes of a body compute the same in every step
#'
#' @param body what prepare_subgraph() returns; `fixed` slots that do not change from step to step.
#' @return list(once, each, fixed): places of the nodes that are run once and in each step,
#'   and all slots that do not change.
#' @noRd
split_body <- function(body, fixed) {
  known <- seq_along(body$names) %in% fixed
  once <- rep(FALSE, length(body$nodes))
  for (k in seq_along(body$nodes)) {
    node <- body$nodes[[k]]
    slots <- node$input_slots[node$input_slots > 0L]
    if (all(known[slots]) && !differs_in_training(node)) {
      once[k] <- TRUE
      known[node$output_slots[node$output_slots > 0L]] <- TRUE
    }
  }
  list(once = which(once), each = which(!once), fixed = which(known))
}
