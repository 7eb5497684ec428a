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
    nodes = lapply(graph$nodes, describe_node), initializers = describe_initializers(graph$initializers)
  )
}

describe_initializers <- function(initializers) {
  hashes <- sha256(initializers)
  lapply(seq_along(initializers), function(k) {
    stored <- initializers[[k]]
    c(
      list(name = stored$name, dtype = stored$dtype, shape = as.list(stored$shape)),
      if (!is.null(hashes)) list(sha256 = hashes[[k]])
    )
  })
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
    outputs = as.list(node$outputs),
    attributes = json_object(Map(describe_attribute, node$attributes, names(node$attributes) %in% node$repeated))
  )
}

describe_attribute <- function(value, repeated) {
  if (is.list(value)) {
    if (!is.null(value$graph)) return(list(graph = describe_graph(value$graph)))
    if (!is.null(value$dtype)) {
      return(list(tensor = c(list(dtype = value$dtype, shape = as.list(value$shape)), small_values(value))))
    }
    return(list(unsupported = TRUE))
  }
  # JSON has no numbers that are not finite: they become text.
  plain <- lapply(value, function(v) if (is.numeric(v) && !is.finite(v)) tolower(as.character(v)) else v)
  if (repeated) plain else plain[[1L]]
}

# A small constant decides what a graph does (a mode, an axis): its values are told.
most_values <- 16

small_values <- function(stored) {
  values <- decode_values(stored$bytes, stored$dtype)
  if (length(values) == 0L || length(values) > most_values || !all(is.finite(values))) return(NULL)
  list(values = as.list(values))
}

#' SHA-256 of the bytes of several stored tensors
#'
#' R has the hash from version 4.5 on. Before, the program `sha256sum` is asked,
#' once for all; where that is missing too, there is no hash.
#' @return character vector, or NULL.
#' @noRd
sha256 <- function(stored) {
  if ("sha256sum" %in% getNamespaceExports("tools")) {
    hash <- getExportedValue("tools", "sha256sum")
    return(vapply(stored, function(x) hash(bytes = stored_bytes(x)), "", USE.NAMES = FALSE))
  }
  if (length(stored) == 0L || !nzchar(Sys.which("sha256sum"))) return(NULL)
  folder <- tempfile("sha256-")
  dir.create(folder)
  on.exit(unlink(folder, recursive = TRUE))
  commands <- vapply(seq_along(stored), function(k) {
    place <- stored[[k]]$place
    if (is.null(place)) {
      name <- sprintf("%08d", k)
      writeBin(stored[[k]]$bytes, file.path(folder, name))
      return(paste("sha256sum --", name))
    }
    # Large ones are hashed where they lie.
    number <- function(x) format(x, scientific = FALSE)
    paste("tail -c", paste0("+", number(place$offset + 1)), "--", shQuote(place$path), "| head -c", number(place$length), "| sha256sum")
  }, "")
  script <- file.path(folder, "script")
  writeLines(c(paste("cd", shQuote(folder), "|| exit 1"), commands), script, useBytes = TRUE)
  hashes <- substr(system(paste("sh", shQuote(script)), intern = TRUE, ignore.stderr = TRUE), 1, 64)
  if (length(hashes) != length(stored) || !all(grepl("^[0-9a-f]{64}$", hashes))) return(NULL)
  hashes
}
