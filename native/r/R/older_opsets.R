# Opsets 1 to 6, in which old files are written: their nodes become those of opset 7 before anything else looks at the graph.

oldest_opset <- 1

# Binary operators that broadcast their second input only where an attribute says so, from an axis that another one says.
old_broadcasting <- c("Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Greater", "Less")

#' A graph of opset 1 to 6 in the words of opset 7
#' @param graph a parsed graph; `opset` that it is written in.
#' @return the parsed graph.
#' @noRd
modernised <- function(graph, opset) {
  taken <- unlist(all_names(graph))
  made <- 0
  fresh <- function() {
    repeat {
      made <<- made + 1
      name <- paste0("older#", made)
      if (!name %in% taken) return(name)
    }
  }
  modernise <- function(graph) {
    graph$nodes <- do.call(c, lapply(graph$nodes, function(node) {
      for (attribute in graph_attributes(node)) {
        node$attributes[[attribute]]$graph <- modernise(node$attributes[[attribute]]$graph)
      }
      if (nzchar(node$domain)) list(node) else modern_nodes(node, opset, fresh)
    }))
    if (is.null(graph$nodes)) graph$nodes <- list()
    graph
  }
  modernise(graph)
}

# The nodes that stand for one of an older opset; `fresh()` gives names for what is new between them.
modern_nodes <- function(node, opset, fresh) {
  # How memory may be used again, which says nothing about values.
  node$attributes$consumed_inputs <- NULL
  given <- node$attributes
  if (node$operator %in% old_broadcasting) return(old_binary(node, fresh))
  change <- modern_attributes[[node$operator]]
  if (!is.null(change)) node$attributes <- change(given, opset, node)
  switch(node$operator,
    Gemm = {
      node$attributes$broadcast <- NULL
      list(node)
    },
    PRelu = with_second_aligned(node, 1, fresh),
    Reshape = if (opset < 5) old_reshape(node, fresh) else list(node),
    list(node)
  )
}

made_node <- function(operator, inputs, outputs, attributes, beside) {
  list(
    name = beside$name, operator = operator, domain = "", overload = "", inputs = inputs, outputs = outputs, attributes = attributes,
    repeated = character()
  )
}

old_binary <- function(node, fresh) {
  broadcast <- isTRUE(node$attributes$broadcast != 0)
  axis <- node$attributes$axis
  node$attributes[c("broadcast", "axis")] <- NULL
  if (!broadcast || is.null(axis)) return(list(node))
  with_second_aligned(node, axis, fresh)
}

# A node whose second input begins at an axis of the first.
with_second_aligned <- function(node, axis, fresh) {
  aligned <- fresh()
  align <- made_node("plainonnx.Align", node$inputs[1:2], aligned, list(axis = axis), node)
  node$inputs[2L] <- aligned
  list(align, node)
}

old_reshape <- function(node, fresh) {
  shape <- node$attributes$shape
  if (!is.numeric(shape)) stop_bad_input("a Reshape before opset 5 lacks the attribute 'shape'")
  name <- fresh()
  node$attributes$shape <- NULL
  node$inputs <- c(node$inputs[1L], name)
  list(made_node("Constant", character(), name, list(value = value_of(shape)), node), node)
}

value_of <- function(numbers) {
  list(name = "", dtype = "int64", shape = as.double(length(numbers)), bytes = encode_values(numbers, "int64"))
}

# What becomes of attributes, by operator: functions of (attributes, opset, node).
modern_attributes <- list(
  BatchNormalization = function(given, opset, node) without_training(given, node),
  Dropout = function(given, opset, node) without_training(given, node),
  Cast = function(given, opset, node) {
    if (!is.character(given$to)) return(given)
    names <- c(
      "FLOAT", "UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64", "STRING", "BOOL", "FLOAT16", "DOUBLE", "UINT32", "UINT64"
    )
    code <- match(toupper(given$to), names)
    if (is.na(code)) stop_bad_input("a cast to '", given$to, "', which is no type")
    replace(given, "to", code)
  },
  Concat = function(given, opset, node) if (opset < 4 && is.null(given$axis)) c(given, list(axis = 1)) else given,
  Pad = function(given, opset, node) {
    if (opset < 2) names(given)[names(given) == "paddings"] <- "pads"
    given
  },
  LpPool = function(given, opset, node) {
    if (!is.null(given$p)) given$p <- round(given$p)
    given
  },
  Selu = function(given, opset, node) {
    if (opset < 6 && is.null(given$alpha)) given$alpha <- 1.6732
    if (opset < 6 && is.null(given$gamma)) given$gamma <- 1.0507
    given
  },
  Upsample = function(given, opset, node) {
    scales <- c(1, 1, given$height_scale, given$width_scale)
    if (length(scales) != 4L) return(given)
    c(given["mode"][!is.null(given$mode)], list(scales = scales))
  },
  LSTM = function(given, opset, node) given[names(given) != "output_sequence"],
  GRU = function(given, opset, node) given[names(given) != "output_sequence"],
  RNN = function(given, opset, node) given[names(given) != "output_sequence"]
)

# A node that was told to train draws or counts anew; what was told to infer is as later opsets have it.
without_training <- function(given, node) {
  if (!isTRUE(given$is_test != 0)) {
    stop_unsupported("operator ", node$operator, " in training mode (attribute is_test) is not supported; export the model in evaluation mode")
  }
  given$is_test <- NULL
  given
}

# The operator plainonnx.Align: its second input with axes of one behind, so that its first axis is one of the first input.
op_align <- function(inputs, node) {
  y <- inputs[[2L]]
  shape <- aligned_shape(inputs[[1L]]$shape, y$shape, node$attributes$axis)
  tensor(as_vector(y$data), shape, y$dtype)
}

torch_op_align <- function(inputs, node) inputs[[2L]]$reshape(aligned_shape(inputs[[1L]]$shape, inputs[[2L]]$shape, node$attributes$axis))

aligned_shape <- function(first, second, axis) {
  axis <- resolve_axis(axis, length(first))
  behind <- length(first) - axis - length(second)
  # One value, or one for each along all axes that follow.
  if (prod(second) == 1 || behind <= 0) return(as.double(second))
  c(as.double(second), rep(1, behind))
}
