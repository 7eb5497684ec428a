# The graph of a file as a plain description, whether or not it can be run.

model_structure <- function(path) {
  model <- parse_file(path)
  graph <- model$graph
  list(
    format = "onnx", ir_version = model$ir_version, producer = model$producer, opsets = opsets_json(model$opsets),
    bytes = file.size(path),
    inputs = lapply(graph$inputs, describe_value), outputs = lapply(graph$outputs, describe_value),
    nodes = lapply(graph$nodes, describe_node),
    initializers = lapply(graph$initializers, function(p) {
      entry <- list(name = p$name, dtype = p$dtype, shape = as.list(p$shape))
      entry$sha256 <- sha256(p$bytes)
      entry
    }),
    metadata = json_object(model$metadata)
  )
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
  if (!is.list(value)) {
    if (is.numeric(value)) value <- ifelse(is.finite(value), value, NA)
    return(if (repeated) as.list(value) else value)
  }
  if (!is.null(value$graph)) return(list(graph = list(nodes = lapply(value$graph$nodes, describe_node))))
  if (!is.null(value$dtype)) return(list(tensor = list(dtype = value$dtype, shape = as.list(value$shape))))
  list(unsupported = TRUE)
}

# R offers this hash from version 4.5 on; without it the field is left out.
sha256 <- function(bytes) {
  if (!"sha256sum" %in% getNamespaceExports("tools")) return(NULL)
  getExportedValue("tools", "sha256sum")(bytes = bytes)
}
