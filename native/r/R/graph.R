# From a parsed model to a graph that can be run: every name resolved to a
# slot, every operator found in the table. All refusals by name happen here,
# before anything is computed.

# Files of earlier opsets are brought to this one, see modernised().
first_opset <- 7
last_opset <- 28
last_ir <- 14

#' Check a parsed model and prepare it to be run
#'
#' @param model what `parse_model()` returns.
#' @param precision `"float32"` or `"float64"`, see [onnx_read()].
#' @param table the operators, see operator_table(); `runtime` who refuses what is not in it.
#' @return list(inputs, optional_inputs, outputs, output_slots, names, initializers, tensors, nodes, opset, precision,
#'   stated, release). `names` are the values' names by slot; `tensors` fill the first slots, one for each of
#'   `initializers`; `stated` see stated_tensors().
#' @noRd
build_graph <- function(model, precision, table = operator_table(), runtime = "r/base") {
  stated <- check_opsets(model)
  context <- list(opset = max(stated, first_opset), opsets = model$opsets, precision = precision, table = table, runtime = runtime)
  check_names(all_names(model$graph))
  file <- inline_functions(model)
  if (stated < first_opset) file <- modernised(file, stated)
  graph <- lift_initializers(file)
  input_names <- names_of(graph$inputs)
  held <- names_of(graph$initializers)
  check_interface(graph)
  if (length(graph$outputs) == 0L) stop_bad_input("not a valid ONNX file: the graph has no output")
  resolved <- resolve_nodes(graph, unique(c(held, input_names)), character(), context)
  tensors <- Map(hold_factor, graph$initializers, factors_of(graph$initializers, resolved$nodes))
  graph <- list(
    inputs = graph$inputs[!input_names %in% held], optional_inputs = input_names, outputs = graph$outputs,
    output_slots = resolved$output_slots, names = resolved$names, initializers = graph$initializers, tensors = tensors,
    nodes = resolved$nodes, opset = stated, precision = precision, stated = stated_tensors(file)
  )
  check_large_integers(graph)
  refuse_drawing(graph, constants_of(graph, intersect(held, input_names)))
  graph$release <- release_plan(graph)
  graph
}

names_of <- function(values) vapply(values, `[[`, "", "name")

# What a graph declares: no name twice, types that a tensor here can have.
check_interface <- function(graph) {
  for (kind in c("initializers", "inputs")) {
    names <- names_of(graph[[kind]])
    if (anyDuplicated(names)) stop_bad_input("two ", kind, " are named ", quoted(names[anyDuplicated(names)]))
  }
  for (info in c(graph$inputs, graph$outputs)) check_value_type(info)
  check_maps(graph)
}

maps_kind <- "sequence of maps"

# Maps come from ZipMap, and go to the caller alone.
check_maps <- function(graph) {
  zips <- vapply(graph$nodes, function(node) node$operator == "ZipMap" && node$domain == "ai.onnx.ml", NA)
  maps <- unlist(lapply(graph$nodes[zips], `[[`, "outputs"))
  declared <- names_of(Filter(function(info) info$kind == maps_kind, c(graph$inputs, graph$outputs)))
  read <- intersect(unlist(lapply(graph$nodes, `[[`, "inputs")), maps)
  other <- c(setdiff(declared, maps), read)
  if (length(other)) stop_unsupported("maps (", quoted(other), ") other than as what ZipMap gives the caller are not supported")
}

#' The nodes of a graph with every name resolved to a slot
#'
#' @param graph a parsed graph; `given` the names of what is there before its first
#'   node; `outside` the names that an outer graph has computed by then.
#' @param context opset, precision, table, runtime.
#' @return list(names, nodes, output_slots, captured): `captured` are the names of
#'   `outside` that the graph reads, which are the last of `names`. The input slots of a
#'   node are those of its inputs, then those of what its own subgraphs capture.
#' @noRd
resolve_nodes <- function(graph, given, outside, context) {
  output_lists <- lapply(graph$nodes, `[[`, "outputs")
  node_outputs <- unlist(output_lists)
  names <- c(given, node_outputs[nzchar(node_outputs)])
  if (anyDuplicated(names)) {
    stop_bad_input("the value ", quoted(names[anyDuplicated(names)]), " is computed twice")
  }
  # Where each value is made: 0 before the first node.
  made_at <- c(rep(0, length(given)), rep(seq_along(graph$nodes), vapply(output_lists, function(o) sum(nzchar(o)), 0)))
  nodes <- lapply(seq_along(graph$nodes), function(k) {
    prepare_node(graph$nodes[[k]], k, context, function() c(outside, names[made_at < k]))
  })
  output_names <- names_of(graph$outputs)
  node_inputs <- lapply(nodes, function(node) c(node$inputs, node$captured))
  read <- c(unlist(lapply(nodes, `[[`, "inputs")), output_names)
  captured <- setdiff(c(intersect(read, outside), unlist(lapply(nodes, `[[`, "captured"))), names)
  names <- c(names, captured)
  made_at <- c(made_at, rep(0, length(captured)))
  # One look-up for all nodes: a file may have thousands.
  input_slots <- relist_flat(match(unlist(node_inputs), names, 0L), node_inputs)
  output_slots <- relist_flat(match(unlist(output_lists), names, 0L), output_lists)
  for (k in seq_along(nodes)) {
    slots <- input_slots[[k]]
    unmade <- nzchar(node_inputs[[k]]) & slots == 0L
    if (any(unmade)) {
      stop_bad_input("node ", nodes[[k]]$label, " reads ", quoted(node_inputs[[k]][unmade]), ", which nothing computes")
    }
    late <- slots > 0L
    late[late] <- made_at[slots[late]] >= k
    if (any(late)) {
      stop_bad_input("node ", nodes[[k]]$label, " reads ", quoted(node_inputs[[k]][late]), " before it is computed: ",
                     "the nodes are not in topological order")
    }
    nodes[[k]]$input_slots <- slots
    nodes[[k]]$output_slots <- output_slots[[k]]
  }
  wanted <- match(output_names, names)
  if (anyNA(wanted)) {
    stop_bad_input("the graph output ", quoted(output_names[is.na(wanted)]), " is computed by nothing")
  }
  list(names = names, nodes = nodes, output_slots = wanted, captured = captured)
}

# A flat vector cut into parts as long as those of `parts`.
relist_flat <- function(flat, parts) {
  ends <- cumsum(lengths(parts))
  Map(function(end, length) flat[seq_len(length) + (end - length)], ends, lengths(parts))
}

check_opsets <- function(model) {
  if (!is.null(model$ir_version) && !is.na(model$ir_version) && model$ir_version > last_ir) {
    stop_unsupported("IR version ", model$ir_version, " is newer than what is known (", last_ir, "); export the model again with an ",
                     "older exporter")
  }
  opset <- model$opsets["ai.onnx"]
  if (is.na(opset)) {
    if (any(vapply(model$graph$nodes, function(n) n$domain == "", NA))) {
      stop_bad_input("not a valid ONNX file: it does not say which opset it uses")
    }
    return(last_opset)
  }
  check_opset(opset, oldest_opset)
  for (used in unlist(lapply(model$functions, opset_of_function))) check_opset(used, first_opset)
  opset[[1L]]
}

check_opset <- function(opset, first) {
  if (opset < first || opset > last_opset) {
    stop_unsupported("opset ", opset, " is not supported; opsets ", first, " to ", last_opset, " are: export the model again with ",
                     "one of them")
  }
}

check_names <- function(names) {
  if (!all(validUTF8(names))) stop_corrupt("a name that is not UTF-8")
}

check_value_type <- function(info) {
  what <- paste0("'", info$name, "'")
  if (!info$kind %in% c("tensor", maps_kind)) stop_unsupported("values of type ", info$kind, " (", what, ") are not supported")
  if (is.na(info$dtype)) stop_bad_input("not a valid ONNX file: ", what, " has no dtype")
  if (!info$dtype %in% held_dtypes()) {
    stop_unsupported("dtype ", info$dtype, " (", what, ") is not supported")
  }
}

# The opset of a node's domain: that of its function, where it comes from one.
opset_of_node <- function(node, context) {
  domain <- standard_domain(node$domain)
  if (domain == "ai.onnx") return(if (is.null(node$opset)) context$opset else node$opset)
  opset <- context$opsets[domain]
  if (is.na(opset)) stop_bad_input("not a valid ONNX file: it does not say which opset of domain '", domain, "' it uses")
  opset[[1L]]
}

# Finds the node in the operator table, or refuses it. `visible()` gives the names that its subgraphs may read.
prepare_node <- function(node, position, context, visible) {
  label <- if (nzchar(node$name)) paste0("'", node$name, "'") else paste("number", position)
  what <- function(...) paste0("operator ", node$operator, " (opset ", opset, ", node ", label, ")", ...)
  if (nzchar(node$domain)) {
    # Operators of other domains than the default one are known by both names.
    both <- paste0(node$domain, ".", node$operator)
    if (!both %in% names(context$table)) {
      stop_unsupported("operator ", node$operator, " of domain '", node$domain, "' (node ", label, ") is not supported")
    }
    node$operator <- both
  }
  opset <- opset_of_node(node, context)
  row <- context$table[[node$operator, exact = TRUE]]
  if (is.null(row)) stop_unsupported(what(" is not supported by ", context$runtime))
  since <- if (row$early) row$since else row$since[row$since <= opset]
  if (length(since) == 0L || opset > row$until) {
    stop_unsupported(what(" does not exist in that opset"))
  }
  given <- names(node$attributes)
  if (!all(given %in% names(row$attributes))) {
    unknown <- setdiff(given, names(row$attributes))
    stop_unsupported(what(": attribute ", quoted(unknown), " is not supported"))
  }
  if (length(node$inputs) < row$inputs[1L] || length(node$inputs) > row$inputs[2L]) {
    stop_bad_input(what(" has ", length(node$inputs), " inputs; it takes ",
                        paste(unique(row$inputs), collapse = " to ")))
  }
  if (!all(nzchar(node$inputs[seq_len(row$inputs[1L])]))) stop_bad_input(what(" leaves out a required input"))
  attributes <- row$attributes
  for (name in given) {
    attributes[name] <- list(check_attribute(node$attributes[[name]], row$kinds[[name]], name, what))
  }
  if (!all(row$required %in% given)) {
    stop_bad_input(what(" lacks the attribute ", quoted(setdiff(row$required, given))))
  }
  prepared <- list(
    name = node$name, operator = node$operator, label = label, inputs = node$inputs, outputs = node$outputs,
    attributes = attributes, since = max(since), opset = opset, precision = context$precision,
    run = row$run, factor = row$factor, any_order = isTRUE(attr(row$run, "any_order"))
  )
  if ("graph" %in% row$kinds) prepared <- prepare_subgraphs(prepared, row$kinds, context, visible())
  if (!is.null(row$refuse)) {
    reason <- row$refuse(prepared)
    if (!is.null(reason)) stop_unsupported(what(": ", reason, " is not supported"))
  }
  prepared
}

check_attribute <- function(value, kind, name, what) {
  fits <- switch(kind,
    number = is.numeric(value) && length(value) == 1L,
    numbers = is.numeric(value),
    text = is.character(value) && length(value) == 1L,
    texts = is.character(value),
    tensor = is.list(value) && !is.null(value$dtype),
    graph = is.list(value) && !is.null(value$graph),
    type = is.list(value) && !is.null(value$unsupported)
  )
  if (!isTRUE(fits)) stop_bad_input(what(": attribute '", name, "' is not of the type it should be"))
  value
}

# For each stored constant that is read as one matrix only the size of that matrix, else something that is no numbers.
factors_of <- function(constants, nodes) {
  sizes <- vector("list", length(constants))
  for (node in nodes) {
    for (position in which(node$input_slots > 0L & node$input_slots <= length(constants))) {
      slot <- node$input_slots[position]
      wanted <- if (!is.null(node$factor)) node$factor(constants[[slot]]$shape, position)
      # FALSE: somebody reads it as something else.
      sizes[[slot]] <- if (is.null(wanted) || !(is.null(sizes[[slot]]) || identical(sizes[[slot]], wanted))) FALSE else wanted
    }
  }
  sizes
}

# A constant that is one matrix to all who read it is made that matrix once, not in every call, and looked through for NaN once.
hold_factor <- function(stored, size) {
  x <- decode_tensor(stored)
  if (!is.numeric(size)) return(x)
  # Taken out of the list, which would be a second owner: R would copy the values to give them a dim.
  data <- x$data
  rm(x)
  dim(data) <- size
  list(data = data, shape = stored$shape, dtype = stored$dtype, finite = all_finite(data))
}

# Integers beyond 2^53 are not exact in a double. As a bound of Slice ("to the
# end") that does not matter, and operators that only move values may pass them
# on to it; any other operator on them is refused.
moving_operators <- c(
  "Identity", "Squeeze", "Unsqueeze", "Reshape", "Flatten", "Transpose", "Concat", "Split", "Expand", "Tile", "Gather"
)

check_large_integers <- function(graph) {
  for (slot in seq_along(graph$tensors)) refuse_large_integers(graph, slot, graph$tensors[[slot]])
  for (node in graph$nodes) {
    if (node$operator == "Constant" && node$output_slots[1L] > 0L) {
      refuse_large_integers(graph, node$output_slots[1L], op_constant(list(), node))
    }
    for (attribute in node$graphs) check_large_integers(node$attributes[[attribute]])
  }
}

refuse_large_integers <- function(graph, slot, x) {
  if (!x$dtype %in% c("int64", "uint64") || length(x$data) == 0L || max(abs(x$data)) <= 2^53) return(invisible())
  follow_large_integers(graph, slot, graph$names[slot])
}

follow_large_integers <- function(graph, slot, name) {
  large <- slot
  for (node in graph$nodes) {
    reads <- which(node$input_slots %in% large)
    if (length(reads) == 0L || node$operator %in% c("Shape", "Size")) next
    captured <- node$input_slots[reads[reads > length(node$inputs)]]
    for (body in node$attributes[node$graphs]) {
      for (inner in body$captured_slots[node$input_slots[body$captured_at] %in% captured]) {
        follow_large_integers(body, inner, name)
      }
    }
    reads <- reads[reads <= length(node$inputs)]
    if (length(reads) == 0L) next
    # How often a loop runs at most: "as long as its condition holds".
    if (node$operator == "Loop" && all(reads == 1L)) next
    if (node$operator == "Slice") {
      if (1L %in% reads) large <- c(large, node$output_slots)
    } else if (node$operator %in% moving_operators) {
      large <- c(large, node$output_slots)
    } else {
      stop_unsupported("operator ", node$operator, " (node ", node$label, ") on the integers of '", name,
                       "' beyond 2^53 is not supported")
    }
  }
}

# What is known by slot before anything is computed: tensors, or the Constant nodes that make them. A caller may give
# other values for the initializers named in `replaceable`.
constants_of <- function(graph, replaceable) {
  known <- vector("list", length(graph$names))
  known[seq_along(graph$tensors)] <- graph$tensors
  known[match(replaceable, graph$names)] <- list(NULL)
  known
}

#' Refuse a Dropout that is switched on
#'
#' It would draw other numbers in every runtime. Where a graph says so the file is refused; where the
#' inputs do, the operator refuses it.
#' @param graph a graph or a body; `known` see constants_of(), by the slots of `graph`.
#' @noRd
refuse_drawing <- function(graph, known) {
  for (node in graph$nodes) {
    if (node$operator == "Constant" && node$output_slots[1L] > 0L) known[[node$output_slots[1L]]] <- node
    if (node$operator == "Dropout" && draws(node, known)) {
      stop_unsupported("operator Dropout (opset ", node$opset, ", node ", node$label, "): ", drawing_words)
    }
    for (body in node$attributes[node$graphs]) {
      inner <- vector("list", length(body$names))
      inner[body$captured_slots] <- known[node$input_slots[body$captured_at]]
      refuse_drawing(body, inner)
    }
  }
}

draws <- function(node, known) {
  switched <- length(node$inputs) > 2L && node$input_slots[3L] > 0L
  mode <- if (switched) known_tensor(known[[node$input_slots[3L]]])
  if (!isTRUE(mode$data)) return(FALSE)
  if (node$input_slots[2L] == 0L) return(TRUE)
  ratio <- known_tensor(known[[node$input_slots[2L]]])
  isTRUE(ratio$data > 0)
}

known_tensor <- function(known) if (is.null(known$operator)) known else op_constant(list(), known)

# For each node the slots that nothing reads after it.
release_plan <- function(graph) {
  last_use <- integer(length(graph$names))
  for (k in seq_along(graph$nodes)) {
    used <- c(graph$nodes[[k]]$input_slots, graph$nodes[[k]]$output_slots)
    last_use[used[used > 0L]] <- k
  }
  last_use[graph$output_slots] <- 0L
  last_use[seq_along(graph$tensors)] <- 0L
  free <- which(last_use > 0L)
  unname(split(free, factor(last_use[free], levels = seq_along(graph$nodes))))
}
