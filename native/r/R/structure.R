# The graph of a file as a plain description, whether or not it can be run.

model_structure <- function(path) {
  model <- parse_file(path)
  c(
    list(
      format = "onnx", ir_version = model$ir_version, producer = model$producer, opsets = opsets_json(model$opsets),
      bytes = file.size(path)
    ),
    describe_graph(model$graph), list(metadata = json_object(model$metadata))
  )
}

describe_graph <- function(graph) {
  held <- vapply(graph$initializers, `[[`, "", "name")
  inputs <- Filter(function(info) !info$name %in% held, graph$inputs)
  list(
    inputs = lapply(inputs, describe_value), outputs = lapply(graph$outputs, describe_value),
    nodes = lapply(graph$nodes, describe_node), initializers = lapply(graph$initializers, describe_initializer)
  )
}

describe_initializer <- function(stored) {
  entry <- list(name = stored$name, dtype = stored$dtype, shape = as.list(stored$shape))
  entry$sha256 <- sha256(stored$bytes)
  entry
}

# The default domain is the empty text, a key that jsonlite would rename.
opsets_json <- function(opsets) {
  domains <- ifelse(names(opsets) == "ai.onnx", "", names(opsets))
  keys <- vapply(domains, function(d) as.character(jsonlite::toJSON(d, auto_unbox = TRUE)), "")
  structure(paste0("{", paste0(keys, ":", format(opsets, scientific = FALSE, trim = TRUE), collapse = ","), "}"),
            class = "json")
}

describe_node <- function(node) {
  list(
    name = node$name, operator = node$operator, domain = node$domain, inputs = as.list(node$inputs),
    outputs = as.list(node$outputs), attributes = json_object(Map(describe_attribute, node$attributes, names(node$attributes) %in% node$repeated))
  )
}

describe_attribute <- function(value, repeated) {
  if (is.list(value)) {
    if (!is.null(value$graph)) return(list(graph = describe_graph(value$graph)))
    if (!is.null(value$dtype)) return(list(tensor = list(dtype = value$dtype, shape = as.list(value$shape))))
    return(list(unsupported = TRUE))
  }
  # JSON has no numbers that are not finite: they become text.
  plain <- lapply(value, function(v) if (is.numeric(v) && !is.finite(v)) tolower(as.character(v)) else v)
  if (repeated) plain else plain[[1L]]
}

# R offers this hash from version 4.5 on; without it the field is left out.
sha256 <- function(bytes) {
  if (!"sha256sum" %in% getNamespaceExports("tools")) return(NULL)
  getExportedValue("tools", "sha256sum")(bytes = bytes)
}
