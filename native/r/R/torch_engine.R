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

torch_inputs <- function(model, path, check = check_inputs) {
  checked_torch_inputs(model$graph, lapply(read_stored_tensors(path), stored_to_torch), check)
}

torch_predict <- function(model, path, batch_size, axes) {
  inputs <- torch_inputs(model, path, function(graph, shapes) check_batch_inputs(graph, shapes, batch_size, axes))
  torch::local_no_grad()
  began <- proc.time()
  done <- compute_batches(model$graph, inputs, batch_size, axes, torch_samples, function(batch) model$run(batch))
  spent <- proc.time() - began
  list(
    tensors = Map(torch_to_stored, done$results, names(done$results)), seconds = spent[["elapsed"]],
    cpu_seconds = sum(spent[c("user.self", "sys.self")]), batches = done$batches, filled = done$filled
  )
}

# See compute_batches().
torch_samples <- list(
  shape = function(x) as.double(x$shape),
  take = function(x, axis, places) if (is_torch(x)) torch_take(x, axis + 1, places - 1) else plain_samples$take(x, axis, places),
  join = function(parts, axis) {
    if (is_torch(parts[[1L]])) torch::torch_cat(parts, dim = axis + 1) else plain_samples$join(parts, axis)
  },
  values = function(x) as_plain(x)$data,
  floating = function(x) is_torch(x) && x$is_floating_point()
)

torch_activations <- function(model, path, names) {
  inputs <- torch_inputs(model, path)
  torch::local_no_grad()
  results <- model$run(inputs, names)
  Map(torch_to_stored, results, base::names(results))
}
