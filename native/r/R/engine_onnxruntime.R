# The engine r/onnxruntime of the serve loop, see find_engine(): onnxruntime of
# Python, called from R by the package reticulate.
#
# An R array would arrive in Python as float64 in column-major order, to be
# converted twice, and integers beyond 2^53 not at all. Tensors cross the border
# as the bytes they are stored in instead: row-major, in the dtype of the model,
# every bit kept, copied once each way.

engine_onnxruntime <- function() {
  onnxruntime_modules()
  list(
    # It dispatches by ONNX's own schemas, not by a table of this package.
    name = "onnxruntime", operators = NULL, precisions = "float32", versions = onnxruntime_versions,
    threads = onnxruntime_threads, read = onnxruntime_read, parameters = onnxruntime_parameters,
    predict = onnxruntime_predict, activations = onnxruntime_activations, prepare = onnxruntime_prepare
  )
}

onnxruntime_cache <- new.env(parent = emptyenv())

# The Python modules that are needed, their values left in Python until asked for.
onnxruntime_modules <- function() {
  if (is.null(onnxruntime_cache$modules)) {
    if (!requireNamespace("reticulate", quietly = TRUE)) {
      stop_unsupported("r/onnxruntime needs the R package reticulate")
    }
    onnxruntime_cache$modules <- tryCatch(
      list(
        onnxruntime = reticulate::import("onnxruntime", convert = FALSE),
        numpy = reticulate::import("numpy", convert = FALSE),
        builtins = reticulate::import_builtins(convert = FALSE)
      ),
      error = function(e) {
        stop_unsupported("r/onnxruntime needs a Python with the package onnxruntime (environment variable ",
                         "RETICULATE_PYTHON): ", python_message(e))
      }
    )
  }
  onnxruntime_cache$modules
}

onnxruntime_versions <- function() {
  modules <- onnxruntime_modules()
  version <- function(module) reticulate::py_to_r(module$`__version__`)
  list(
    reticulate = as.character(utils::packageVersion("reticulate")),
    python = reticulate::py_to_r(reticulate::import("platform", convert = FALSE)$python_version()),
    numpy = version(modules$numpy), onnxruntime = version(modules$onnxruntime)
  )
}

onnxruntime_threads <- function() {
  options <- onnxruntime_options()
  count <- function(name) reticulate::py_to_r(options[[name]])
  c(
    list(`onnxruntime intra-op` = count("intra_op_num_threads"), `onnxruntime inter-op` = count("inter_op_num_threads")),
    blas_threads()["blas"]
  )
}

onnxruntime_options <- function() {
  options <- onnxruntime_modules()$onnxruntime$SessionOptions()
  threads <- Sys.getenv("HARNESS_THREADS")
  threads <- if (grepl("^[1-9][0-9]*$", threads)) as.integer(threads) else 1L
  options$intra_op_num_threads <- threads
  options$inter_op_num_threads <- threads
  # Errors arrive as conditions; the log keeps what is worse than a warning.
  options$log_severity_level <- 3L
  options
}

# Words in ONNX Runtime's errors that mean "not supported here" rather than "the file is wrong".
onnxruntime_unsupported <- c(
  "NOT_IMPLEMENTED", "is under development", "Unsupported model IR version", "is not a registered function/op",
  "Could not find an implementation", "No Op registered", "Type 'tensor(double)'"
)

#' An InferenceSession; its errors sorted into those of the package
#' @param source the path of a file, or the bytes of one, as a Python object or a text.
#' @noRd
onnxruntime_session <- function(source, options) {
  tryCatch(
    onnxruntime_modules()$onnxruntime$InferenceSession(source, options, providers = list("CPUExecutionProvider")),
    error = function(e) {
      message <- python_message(e)
      reason <- onnxruntime_reason(message)
      code <- regmatches(message, regexpr("(?<=\\[ONNXRuntimeError\\] : )[0-9]+ : [A-Z_]+", message, perl = TRUE))
      code <- if (length(code)) sub(".* ", "", code) else ""
      refused <- any(vapply(onnxruntime_unsupported, grepl, NA, message, fixed = TRUE))
      if (code %in% c("NOT_IMPLEMENTED", "EP_FAIL") || refused) stop_unsupported(reason)
      wrong <- c("INVALID_GRAPH", "FAIL", "INVALID_ARGUMENT", "INVALID_PROTOBUF", "NO_SUCHFILE")
      if (code %in% wrong) stop_bad_input(reason) else stop_failed(reason)
    }
  )
}

# What Python said, without reticulate's own advice.
python_message <- function(e) {
  sub("[[:space:]]*(Run `?reticulate::|Detailed traceback:|.{0,40}Call `?reticulate::).*$", "", one_line(conditionMessage(e)))
}

# The useful part of ONNX Runtime's message: without source locations and error codes.
onnxruntime_reason <- function(message) {
  parts <- strsplit(sub("^.*\\[ONNXRuntimeError\\] : ", "", message), " : ", fixed = TRUE)[[1L]]
  parts <- parts[!grepl("^ *[0-9]+ *$", parts)]
  paste0("onnxruntime: ", substr(paste(parts, collapse = " : "), 1L, 600L))
}

# Python takes texts as UTF-8, whatever the locale.
python_text <- function(text) {
  Encoding(text) <- "UTF-8"
  text
}

# onnxruntime reads the file itself; what this package reads of it describes the model.
onnxruntime_read <- function(path, precision) {
  parsed <- parse_file(path)
  held <- names_of(held_in_file(parsed$graph))
  inputs <- Filter(function(info) !info$name %in% names_of(parsed$graph$initializers), parsed$graph$inputs)
  for (info in c(inputs, parsed$graph$outputs)) {
    check_value_type(info)
    if (info$dtype == "bfloat16") {
      stop_unsupported("'", info$name, "' is bfloat16, which onnxruntime's Python interface cannot hand over")
    }
  }
  session <- onnxruntime_session(python_text(path), onnxruntime_options())
  structure(
    list(
      path = path, precision = precision, session = session,
      metadata = unlist(reticulate::py_to_r(session$get_modelmeta()$custom_metadata_map)),
      graph = list(
        inputs = inputs, outputs = parsed$graph$outputs, optional_inputs = character(), nodes = parsed$graph$nodes,
        names = unlist(lapply(parsed$graph$nodes, `[[`, "outputs")), held = held
      )
    ),
    class = "onnxruntime_model"
  )
}

# What a session holds: the file as onnxruntime itself writes it back without any optimisation.
onnxruntime_parameters <- function(model) {
  written <- tempfile(fileext = ".onnx")
  on.exit(unlink(written))
  options <- onnxruntime_options()
  options$graph_optimization_level <- onnxruntime_modules()$onnxruntime$GraphOptimizationLevel$ORT_DISABLE_ALL
  options$optimized_model_filepath <- python_text(written)
  onnxruntime_session(python_text(model$path), options)
  held <- held_in_file(parse_file(written)$graph)
  names(held) <- names_of(held)
  held[names(held) %in% model$graph$held]
}

# onnxruntime makes initializers of Constant nodes.
held_in_file <- function(graph) c(lift_initializers(graph)$initializers, stated_tensors(graph))

# A NumPy array over a copy of the bytes, as they lie.
stored_to_numpy <- function(stored) {
  shape <- do.call(reticulate::tuple, as.list(as.integer(stored$shape)))
  onnxruntime_modules()$numpy$ndarray(shape, stored$dtype, buffer = stored_bytes(stored))
}

numpy_to_stored <- function(x, name) {
  modules <- onnxruntime_modules()
  dtype <- reticulate::py_to_r(x$dtype$name)
  if (!dtype %in% names(dtype_bytes)) stop_unsupported("dtype ", dtype, " ('", name, "') is not supported")
  bytes <- modules$builtins$bytearray(modules$numpy$ascontiguousarray(x))
  list(
    name = name, dtype = dtype, shape = as.double(unlist(reticulate::py_to_r(x$shape))),
    bytes = reticulate::py_to_r(bytes)
  )
}

# A Python list of NumPy arrays, as named stored tensors.
results_to_stored <- function(found, names) {
  stats::setNames(Map(numpy_to_stored, reticulate::iterate(found, identity, simplify = FALSE), names), names)
}

# Stored tensors of a file, of the names and dtypes that the model declares.
onnxruntime_inputs <- function(model, path) {
  stored <- read_stored_tensors(path)
  for (info in model$graph$inputs) {
    x <- stored[[info$name]]
    if (!is.null(x) && x$dtype != info$dtype) {
      stop_bad_input("input '", info$name, "' is ", x$dtype, "; the model takes ", info$dtype)
    }
  }
  stored
}

# The arguments of a session's own call for checked tensors.
onnxruntime_arguments <- function(stored, names) {
  feeds <- reticulate::py_dict(as.list(python_text(names(stored))), lapply(unname(stored), stored_to_numpy),
                               convert = FALSE)
  list(as.list(python_text(names)), feeds)
}

output_names <- function(model) names_of(model$graph$outputs)

onnxruntime_predict <- function(model, path, batch_size, axes) {
  stored <- onnxruntime_inputs(model, path)
  check_batch_inputs(model$graph, stored, batch_size, axes)
  spent <- c(wall = 0, cpu = 0)
  done <- compute_batches(model$graph, stored, batch_size, axes, stored_samples, function(batch) {
    arguments <- onnxruntime_arguments(batch, output_names(model))
    wall <- wall_clock()
    cpu <- cpu_clock()
    found <- tryCatch(
      model$session$run(arguments[[1L]], arguments[[2L]]),
      error = function(e) stop_failed(onnxruntime_reason(python_message(e)))
    )
    spent <<- spent + c(wall_clock() - wall, cpu_clock() - cpu)
    results_to_stored(found, output_names(model))
  })
  list(
    tensors = done$results, seconds = spent[["wall"]], cpu_seconds = spent[["cpu"]], batches = done$batches,
    filled = done$filled
  )
}

# The names become outputs of a session of their own, which keeps them from being fused.
onnxruntime_activations <- function(model, path, names) {
  unknown <- setdiff(names, model$graph$names)
  if (length(unknown)) stop_bad_input("the graph has no tensor ", quoted(unknown))
  stored <- onnxruntime_inputs(model, path)
  check_inputs(model$graph, stored)
  bytes <- readBin(model$path, "raw", file.size(model$path))
  bytes <- c(bytes, more_outputs(setdiff(names, output_names(model))))
  options <- onnxruntime_options()
  # A session of bytes does not know where the file lies that may have its weights beside it.
  options$add_session_config_entry("session.model_external_initializers_file_folder_path",
                                   python_text(normalizePath(dirname(model$path))))
  session <- onnxruntime_session(onnxruntime_modules()$builtins$bytes(bytes), options)
  found <- do.call(session$run, onnxruntime_arguments(stored, names))
  results_to_stored(found, names)
}

# Outputs that a file gets when this is appended to it: in protobuf's wire
# format messages of one field that stand one after another are merged.
more_outputs <- function(names) {
  if (!length(names)) return(raw())
  infos <- lapply(names, function(name) message_field(12, message_field(1, charToRaw(enc2utf8(name)))))
  message_field(7, do.call(c, infos))
}

# A field that holds bytes: a text or a message.
message_field <- function(number, bytes) c(varint(number * 8 + 2), varint(length(bytes)), bytes)

varint <- function(value) {
  digits <- raw()
  while (value >= 128) {
    digits <- c(digits, as.raw(value %% 128 + 128))
    value <- value %/% 128
  }
  c(digits, as.raw(value))
}

# The call of r/onnxruntime that is timed: inputs are NumPy arrays beforehand, outputs stay in Python.
onnxruntime_prepare <- function(model, path) {
  stored <- onnxruntime_inputs(model, path)
  check_inputs(model$graph, stored)
  arguments <- onnxruntime_arguments(stored, output_names(model))
  run <- model$session$run
  function() run(arguments[[1L]], arguments[[2L]])
}
