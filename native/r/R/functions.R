# Functions that a file brings along: each call becomes the nodes of the function, before anything else looks at the graph.

deepest_call <- 32L

function_key <- function(domain, name, overload) paste(domain, name, overload, sep = "\r")

#' A graph without calls of the file's functions
#'
#' The values inside of a call become `call#1/name`, and so on, in the order of the calls. A node keeps the opset in which its
#' function is written.
#' @param model what parse_model() returns.
#' @return the parsed graph.
#' @noRd
inline_functions <- function(model) {
  if (!length(model$functions)) return(model$graph)
  keys <- vapply(model$functions, function(fn) function_key(fn$domain, fn$name, fn$overload), "")
  if (anyDuplicated(keys)) stop_bad_input("two functions are named ", quoted(model$functions[[anyDuplicated(keys)]]$name))
  functions <- stats::setNames(model$functions, keys)
  taken <- unlist(all_names(model$graph))
  calls <- 0
  prefix <- function() {
    repeat {
      calls <<- calls + 1
      made <- paste0("call#", calls, "/")
      if (!any(startsWith(taken, made))) return(made)
    }
  }
  inline <- function(graph, depth) {
    if (depth > deepest_call) stop_bad_input("functions that call each other more than ", deepest_call, " deep, or in a circle")
    graph$nodes <- do.call(c, lapply(graph$nodes, function(node) {
      fn <- functions[[function_key(node$domain, node$operator, node$overload), exact = TRUE]]
      if (!is.null(fn)) return(inline(list(nodes = called_nodes(fn, node, prefix())), depth + 1L)$nodes)
      for (attribute in graph_attributes(node)) {
        node$attributes[[attribute]]$graph <- inline(node$attributes[[attribute]]$graph, depth)
      }
      list(node)
    }))
    if (is.null(graph$nodes)) graph$nodes <- list()
    graph
  }
  inline(model$graph, 1L)
}

# The nodes of one call, in the names of the graph that calls.
called_nodes <- function(fn, call, prefix) {
  if (length(call$inputs) > length(fn$inputs) || length(call$outputs) > length(fn$outputs)) {
    stop_bad_input("a call of the function ", quoted(fn$name), " has more inputs or outputs than the function")
  }
  given <- c(call$inputs, rep("", length(fn$inputs) - length(call$inputs)))
  wanted <- c(call$outputs, rep("", length(fn$outputs) - length(call$outputs)))
  renamed <- stats::setNames(c(given, wanted[nzchar(wanted)]), c(fn$inputs, fn$outputs[nzchar(wanted)]))
  # An output that is an input as it came keeps both names.
  passed <- intersect(fn$outputs[nzchar(wanted)], fn$inputs)
  rename <- function(names) {
    known <- match(names, names(renamed))
    ifelse(!nzchar(names), "", ifelse(is.na(known), paste0(prefix, names), renamed[known]))
  }
  nodes <- called_parts(fn$nodes, unname_all(rename), call$attributes, fn$defaults, opset_of_function(fn))
  copies <- lapply(passed, function(name) {
    list(
      name = "", operator = "Identity", domain = "", overload = "", inputs = given[match(name, fn$inputs)],
      outputs = wanted[match(name, fn$outputs)], attributes = list(), repeated = character()
    )
  })
  c(nodes, copies)
}

unname_all <- function(rename) function(names) if (length(names)) unname(rename(names)) else character()

opset_of_function <- function(fn) if (is.na(fn$opsets["ai.onnx"])) NULL else fn$opsets[["ai.onnx"]]

# Nodes of a function with other names, the attributes of the call, and the opset of the function.
called_parts <- function(nodes, rename, given, defaults, opset) {
  lapply(nodes, function(node) {
    node$inputs <- rename(node$inputs)
    node$outputs <- rename(node$outputs)
    node$opset <- opset
    for (name in names(node$attributes)) {
      value <- node$attributes[[name]]
      if (!is.list(value)) next
      if (!is.null(value$reference)) {
        known <- if (value$reference %in% names(given)) given else defaults
        # Neither given nor with a default: as if it were not there.
        if (value$reference %in% names(known)) node$attributes[name] <- known[value$reference] else node$attributes[[name]] <- NULL
      } else if (!is.null(value$graph)) {
        node$attributes[[name]]$graph <- called_graph(value$graph, rename, given, defaults, opset)
      }
    }
    node
  })
}

called_graph <- function(graph, rename, given, defaults, opset) {
  for (part in c("initializers", "inputs", "outputs", "values")) {
    graph[[part]] <- lapply(graph[[part]], function(value) replace(value, "name", rename(value$name)))
  }
  graph$nodes <- called_parts(graph$nodes, rename, given, defaults, opset)
  graph
}
