# What r/torch reads beside graphs: canonical weights, in a file of safetensors
# with the specification of their model beside it. They go into the model that
# is written by hand for R torch, one file a model, in the folder `rtorch` of
# the folder that the environment variable HARNESS_NATIVE names.

# A model to serve, see torch_read().
torch_read_weights <- function(path, precision) {
  specification <- read_specification(file.path(dirname(path), "model.json"))
  written <- written_model(specification$model)
  check_canonical(specification, read_stored_tensors(path, bytes = FALSE), path)
  module <- tryCatch(
    get(paste0(specification$model, "_load"), envir = written)(path),
    error = function(e) stop_bad_input(path, ": ", conditionMessage(e))
  )
  if (precision == "float64") module <- widened_module(module)
  graph <- list(
    inputs = lapply(specification$inputs, described_tensor), outputs = lapply(specification$outputs, described_tensor),
    precision = precision
  )
  list(
    graph = graph, precision = precision, metadata = read_metadata(file.path(dirname(path), "metadata.json")),
    held = function() module_parameters(module),
    run = function(inputs, names = NULL) {
      feeds <- unname(inputs[vapply(graph$inputs, `[[`, "", "name")])
      if (!is.null(names)) return(layer_outputs(module, feeds, names))
      results <- do.call(module, feeds)
      if (is_torch(results)) results <- list(results)
      stats::setNames(results, vapply(graph$outputs, `[[`, "", "name"))
    }
  )
}

# The specification of a model, as nested lists.
read_specification <- function(path) {
  if (!file.exists(path)) stop_bad_input(path, ": there is no such file; the specification of a model lies beside its weights")
  specification <- tryCatch(
    jsonlite::fromJSON(path, simplifyVector = FALSE),
    error = function(e) stop_bad_input(path, ": not a model specification: it is not JSON")
  )
  named <- is.list(specification) && is.character(specification$model) && length(specification$model) == 1L
  if (!named || !all(vapply(specification[c("inputs", "outputs", "layers")], is.list, NA))) {
    stop_bad_input(path, ": not a model specification: it does not name a model, its inputs, outputs and layers")
  }
  specification
}

read_metadata <- function(path) {
  if (!file.exists(path)) return(list())
  metadata <- tryCatch(jsonlite::fromJSON(path, simplifyVector = FALSE), error = function(e) NULL)
  if (!is.list(metadata) || !all(vapply(metadata, is.character, NA))) {
    stop_bad_input(path, ": metadata is a JSON object of strings")
  }
  metadata
}

# The environment that holds the functions of a model written by hand; its file is read once.
written_model <- function(name) {
  folder <- Sys.getenv("HARNESS_NATIVE")
  if (!nzchar(folder)) stop_unsupported("weights alone are not supported by r/torch without the variable HARNESS_NATIVE")
  file <- file.path(folder, "rtorch", paste0(name, ".R"))
  unsupported <- function() stop_unsupported("model '", name, "' is not supported by r/torch")
  # The name is that of a file, and comes from outside.
  if (!grepl("^[a-z][a-z0-9_]*$", name) || !file.exists(file)) unsupported()
  if (is.null(written_cache[[name]])) {
    functions <- new.env(parent = globalenv())
    sys.source(file, envir = functions)
    # A file that the models read is none.
    if (!exists(paste0(name, "_load"), envir = functions, inherits = FALSE)) unsupported()
    assign(name, functions, envir = written_cache)
  }
  written_cache[[name]]
}

written_cache <- new.env(parent = emptyenv())

# Every parameter of the specification and no other, in its shape, as float32.
check_canonical <- function(specification, stored, path) {
  parameters <- do.call(c, lapply(specification$layers, `[[`, "parameters"))
  expected <- vapply(parameters, `[[`, "", "name")
  missing <- setdiff(expected, names(stored))
  extra <- setdiff(names(stored), expected)
  if (length(missing)) stop_bad_input(path, ": lacks ", quoted(missing))
  if (length(extra)) stop_bad_input(path, ": has ", quoted(extra), ", which ", specification$model, " does not have")
  for (parameter in parameters) {
    found <- stored[[parameter$name]]
    if (!identical(as.double(found$shape), as.double(unlist(parameter$shape)))) {
      stop_bad_input(path, ": '", parameter$name, "' must have shape ", shape_text(unlist(parameter$shape)), ", not ",
                     shape_text(found$shape))
    }
    if (found$dtype != "float32") {
      stop_bad_input(path, ": '", parameter$name, "' must be float32, not ", found$dtype)
    }
  }
}

# A tensor of the specification as those of a graph are described: an open size under the name of its axis.
described_tensor <- function(given) {
  list(
    name = given$name, dtype = given$dtype,
    shape = lapply(given$axes, function(axis) if (is.null(axis$size)) axis$name else axis$size)
  )
}

# Canonical parameters as they are held; those in double precision are narrowed again, which is exact.
module_parameters <- function(module) {
  state <- module$state_dict()
  state <- state[!grepl("num_batches_tracked$", names(state))]
  Map(function(values, name) torch_to_stored(values$to(dtype = torch::torch_float()), name), state, names(state))
}

# The module in double precision. Numbers that it holds beside its tensors (a slope, an epsilon) are rounded to single
# precision first: as such they act in the model that this one is the reference of.
widened_module <- function(module) {
  for (part in module$modules) {
    fields <- attr(part, "module")
    for (name in ls(fields)) {
      value <- fields[[name]]
      if (is.double(value) && !bindingIsLocked(name, fields)) {
        fields[[name]] <- decode_values(encode_values(value, "float32"), "float32")
      }
    }
  }
  module$to(dtype = torch::torch_double())
}

# Outputs of layers by their names in the specification. R torch has no hooks: a layer that tells takes the place of each.
layer_outputs <- function(module, inputs, names) {
  layers <- module$children
  unknown <- setdiff(names, base::names(layers))
  if (length(unknown)) stop_bad_input("the model has no layer ", quoted(unknown))
  told <- new.env(parent = emptyenv())
  on.exit(for (name in names) module$add_module(name, layers[[name]]))
  for (name in names) module$add_module(name, telling_layer()(layers[[name]], name, told))
  do.call(module, inputs)
  mget(names, envir = told)
}

telling_layer <- function() {
  torch::nn_module(
    "telling_layer",
    initialize = function(layer, name, told) {
      self$layer <- layer
      self$name <- name
      self$told <- told
    },
    forward = function(...) {
      result <- self$layer(...)
      assign(self$name, result, envir = self$told)
      result
    }
  )
}
