# The engine r/torch of the serve loop, see find_engine(): a graph on R torch, or weights in a model written by hand.

engine_torch <- function() {
  # R does not see how much memory tensors hold; R torch has it collected after that many megabytes, 4000 by default. Torch
  # reads this when it is loaded.
  if (is.null(getOption("torch.threshold_call_gc"))) options(torch.threshold_call_gc = 500L)
  require_torch()
  threads <- Sys.getenv("HARNESS_THREADS")
  if (grepl("^[0-9]+$", threads)) torch::torch_set_num_threads(as.integer(threads))
  list(
    name = "torch", operators = torch_operator_table(),
    versions = function() list(torch = as.character(utils::packageVersion("torch"))),
    threads = function() list(torch = torch::torch_get_num_threads()),
    read = torch_read, parameters = function(model) model$held(), predict = torch_predict, activations = torch_activations,
    prepare = torch_prepare
  )
}

# A model to serve: `graph` describes its inputs and outputs, `held()` gives what it holds as stored tensors, and
# `run(inputs, names)` computes named torch tensors: its outputs, or what `names` asks for.
torch_read <- function(path, precision) {
  if (grepl("\\.safetensors$", path)) torch_read_weights(path, precision) else torch_read_graph(path, precision)
}

torch_read_graph <- function(path, precision) {
  model <- read_model(path, precision, torch_operator_table(), "r/torch")
  module <- as_nn_module(model)
  # The module holds the weights; the graph here is what describes them.
  model$graph <- module$graph
  model$held <- function() module_initializers(module)
  model$run <- function(inputs, names = NULL) module$run(inputs, names)
  model
}

# What the module of a graph holds, in the file's own dtypes.
module_initializers <- function(module) {
  graph <- module$graph
  held <- c(module$parameters, module$buffers)
  stored <- lapply(seq_along(graph$held), function(k) {
    name <- graph$held[k]
    values <- held[[name]]
    if (is.null(values)) return(encode_tensor(graph$constants[[k]], name))
    torch_to_stored(values$to(dtype = torch_dtype_of(graph$initializers[[k]]$dtype)), name)
  })
  stated <- lapply(graph$stated, function(tensor) {
    slot <- match(tensor$name, graph$names)
    # Those of bodies are made anew whenever their node runs.
    if (is.na(slot)) return(tensor)
    torch_to_stored(graph$constants[[slot]]$to(dtype = torch_dtype_of(tensor$dtype)), tensor$name)
  })
  stats::setNames(c(stored, stated), c(graph$held, names_of(graph$stated)))
}

torch_inputs <- function(model, path, batch_size = NULL) {
  checked_torch_inputs(model$graph, lapply(read_stored_tensors(path), stored_to_torch), batch_size)
}

torch_predict <- function(model, path, batch_size) {
  inputs <- torch_inputs(model, path, batch_size)
  batches <- torch_batches(inputs, batch_size)
  torch::local_no_grad()
  began <- proc.time()
  parts <- lapply(batches, function(span) {
    batch <- if (is.null(span)) inputs else lapply(inputs, function(x) x$narrow(1, span[1L], span[2L]))
    results <- model$run(batch)
    for (name in names(results)) {
      if (!is.null(span) && !isTRUE(results[[name]]$shape[1L] == span[2L])) {
        stop_bad_input("the output '", name, "' has no axis of samples, so it cannot be computed in batches")
      }
    }
    results
  })
  spent <- proc.time() - began
  names <- names(parts[[1L]])
  tensors <- lapply(names, function(name) {
    of_name <- lapply(parts, `[[`, name)
    torch_to_stored(if (length(of_name) == 1L) of_name[[1L]] else torch::torch_cat(of_name), name)
  })
  list(
    tensors = stats::setNames(tensors, names), seconds = spent[["elapsed"]],
    cpu_seconds = sum(spent[c("user.self", "sys.self")]), batches = length(batches)
  )
}

# First sample (from 1) and length of every batch; one NULL where all go at once.
torch_batches <- function(inputs, batch_size) {
  if (is.null(batch_size)) return(list(NULL))
  if (!is.numeric(batch_size) || length(batch_size) != 1L || is.na(batch_size) || batch_size < 1) {
    stop_bad_input("batch_size must be a positive number")
  }
  samples <- unique(vapply(inputs, function(x) if (length(x$shape)) as.double(x$shape[1L]) else NA_real_, 0))
  if (length(samples) != 1L || is.na(samples)) stop_bad_input("the inputs differ in their number of samples")
  if (samples <= batch_size) return(list(NULL))
  lapply(seq(1, samples, by = batch_size), function(first) c(first, min(batch_size, samples - first + 1)))
}

torch_activations <- function(model, path, names) {
  inputs <- torch_inputs(model, path)
  torch::local_no_grad()
  results <- model$run(inputs, names)
  Map(torch_to_stored, results, base::names(results))
}
