# The engine r/base of the serve loop: plain R arrays, see find_engine().

engine_base <- function() {
  list(
    name = "base", operators = operator_table(), versions = function() list(BLAS = extSoftVersion()[["BLAS"]]),
    threads = blas_threads, read = onnx_read, parameters = base_parameters, predict = base_predict,
    activations = base_activations, prepare = base_prepare
  )
}

# R itself computes in one thread; what the BLAS was told, as far as it can be known.
blas_threads <- function() {
  told <- Sys.getenv(c("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"))
  told <- told[grepl("^[0-9]+$", told)]
  c(list(r = 1L), if (length(told)) list(blas = as.integer(told[[1L]])))
}

base_parameters <- function(model) {
  held <- c(model$graph$initializers, model$graph$stated)
  stats::setNames(held, names_of(held))
}

# Inputs in the dtypes that the model declares; a double model also takes doubles.
read_inputs <- function(path, model) {
  infos <- model$graph$inputs
  names(infos) <- vapply(infos, `[[`, "", "name")
  stored <- read_stored_tensors(path)
  lapply(stats::setNames(nm = names(stored)), function(name) {
    x <- decode_tensor(stored[[name]])
    refuse_rounded_integers(stored[[name]], x)
    declared <- infos[[name]]$dtype
    if (identical(declared, "string") && x$dtype == "uint8" && length(x$shape)) {
      return(texts_of_rows(stored[[name]]$bytes, x$shape))
    }
    if (is.null(declared) || x$dtype == declared) return(x)
    if (model$precision == "float64" && x$dtype == "float64" && is_floating(declared)) {
      x$dtype <- declared
      return(x)
    }
    stop_bad_input("input '", name, "' is ", x$dtype, "; the model takes ", declared)
  })
}

# A double holds integers up to 2^53, and beyond that the largest and some in between: those that come back as they were.
refuse_rounded_integers <- function(stored, x) {
  if (!x$dtype %in% c("int64", "uint64") || !length(x$data) || max(abs(x$data)) < 2^53) return(invisible())
  if (!identical(encode_values(x$data, x$dtype), stored$bytes)) {
    stop_unsupported("input '", stored$name, "' holds integers beyond 2^53, which r/base cannot hold exactly")
  }
}

base_predict <- function(model, path, batch_size, axes) {
  inputs <- read_inputs(path, model)
  began <- proc.time()
  done <- run_batches(model$graph, inputs, batch_size, axes)
  spent <- proc.time() - began
  list(
    tensors = Map(encode_tensor, done$results, names(done$results)), seconds = spent[["elapsed"]],
    cpu_seconds = sum(spent[c("user.self", "sys.self")]), batches = done$batches, filled = done$filled
  )
}

base_activations <- function(model, path, names) {
  inputs <- read_inputs(path, model)
  check_inputs(model$graph, inputs)
  results <- compute_outputs(model$graph, inputs, names)
  Map(encode_tensor, results, names(results))
}
