# The serve loop: one request line in, one answer line out. Arrays travel as
# safetensors files, by path.

session <- new.env(parent = emptyenv())

longest_line <- 2^20

#' Serve predictions to another process
#'
#' `serve()` reads requests, one JSON object a line, from the file descriptor
#' named by the environment variable `HARNESS_REQUESTS_FD` and writes answers to
#' the one named by `HARNESS_ANSWERS_FD`, until the request `shutdown` or the
#' end of the requests. `handle()` answers a single line.
#'
#' A request is `{"id": 1, "request": "load", "path": "model.onnx"}`; an
#' answer is `{"id": 1, "ok": true, "result": {...}}` or `{"id": 1, "ok": false,
#' "error": {"kind": "unsupported", "message": "..."}}`. Requests are
#' `describe`, `load`, `parameters`, `structure`, `predict`, `activations` and
#' `shutdown`.
#'
#' @param line one request, as JSON text.
#' @return `handle()` returns the answer as JSON text of one line, `serve()`
#'   nothing.
#' @examples
#' handle('{"id": 1, "request": "describe"}')
#' @export
serve <- function() {
  requests <- open_descriptor("HARNESS_REQUESTS_FD", "rb")
  answers <- open_descriptor("HARNESS_ANSWERS_FD", "wb")
  on.exit({
    close(requests)
    close(answers)
  })
  repeat {
    line <- readLines(requests, n = 1L, warn = FALSE, encoding = "UTF-8")
    if (length(line) == 0L) break
    writeLines(enc2utf8(handle(line)), answers, useBytes = TRUE)
    flush(answers)
    if (isTRUE(session$ended)) break
  }
  invisible()
}

open_descriptor <- function(variable, mode) {
  number <- Sys.getenv(variable)
  if (!grepl("^[0-9]+$", number)) stop_bad_input("the environment variable ", variable, " does not hold a number")
  # raw = TRUE: R would look for compression and lose what it read of a pipe.
  file(paste0("/dev/fd/", number), mode, raw = TRUE)
}

#' @rdname serve
#' @export
handle <- function(line) {
  id <- NULL
  answer <- tryCatch(
    {
      if (nchar(line, "bytes") > longest_line) stop_bad_input("the line is longer than 1 MiB")
      request <- tryCatch(jsonlite::fromJSON(line, simplifyVector = FALSE), error = function(e) NULL)
      if (!is.list(request) || is.null(names(request))) stop_bad_input("the line is not a JSON object")
      id <- request$id
      list(id = id, ok = TRUE, result = answer_request(request))
    },
    onnx_error = function(e) failure(id, kind_of_condition(e), conditionMessage(e)),
    error = function(e) failure(id, "failed", one_line(conditionMessage(e)))
  )
  as.character(jsonlite::toJSON(answer, auto_unbox = TRUE, digits = NA, null = "null", na = "null"))
}

failure <- function(id, kind, message) {
  list(id = id, ok = FALSE, error = list(kind = kind, message = message))
}

kind_of_condition <- function(condition) {
  switch(class(condition)[1L], onnx_unsupported = "unsupported", onnx_bad_input = "bad-input", "failed")
}

request_handlers <- function() {
  list(
    describe = answer_describe, load = answer_load, parameters = answer_parameters, structure = answer_structure,
    predict = answer_predict, activations = answer_activations, shutdown = answer_shutdown
  )
}

answer_request <- function(request) {
  handlers <- request_handlers()
  name <- request$request
  if (!is.character(name) || length(name) != 1L) stop_bad_input("the request does not say what it requests")
  handler <- handlers[[name, exact = TRUE]]
  if (is.null(handler)) stop_unsupported("request '", name, "' is not supported by r/base")
  handler(request)
}

# An object in JSON, also when it is empty.
json_object <- function(values = list()) {
  if (length(values)) as.list(values) else structure(list(), names = character())
}

answer_describe <- function(request) {
  list(
    runtime = "r/base", language = "r", engine = "base",
    versions = list(
      R = as.character(getRversion()), plainonnx = as.character(utils::packageVersion("plainonnx")),
      jsonlite = as.character(utils::packageVersion("jsonlite")), BLAS = extSoftVersion()[["BLAS"]]
    ),
    threads = json_object(blas_threads()),
    requests = as.list(names(request_handlers())),
    precisions = list("float32", "float64"),
    operators = lapply(operator_table(), function(row) as.list(row$since))
  )
}

# R itself computes in one thread; what the BLAS was told, as far as it can be known.
blas_threads <- function() {
  told <- Sys.getenv(c("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"))
  told <- told[grepl("^[0-9]+$", told)]
  c(list(r = 1L), if (length(told)) list(blas = as.integer(told[[1L]])))
}

argument <- function(request, name, check = is.character) {
  value <- request[[name, exact = TRUE]]
  if (is.null(value) || !check(value) || length(value) != 1L) {
    stop_bad_input("the request '", request$request, "' lacks a valid '", name, "'")
  }
  value
}

# Outside a UTF-8 locale R would translate the letters of a path; its bytes are right as they are.
path_argument <- function(request, name) {
  path <- argument(request, name)
  if (!l10n_info()[["UTF-8"]]) Encoding(path) <- "unknown"
  path
}

loaded_model <- function() {
  if (is.null(session$model)) stop_bad_input("no model is loaded")
  session$model
}

describe_value <- function(info) {
  list(
    name = info$name, dtype = info$dtype,
    shape = if (is.null(info$shape)) NULL else lapply(info$shape, function(axis) if (is.na(axis)) NULL else axis)
  )
}

answer_load <- function(request) {
  path <- path_argument(request, "path")
  precision <- if (is.null(request$precision)) "float32" else argument(request, "precision")
  if (!precision %in% c("float32", "float64")) stop_unsupported("precision '", precision, "' is not supported")
  # The old model goes first: two large ones need not fit at once.
  session$model <- NULL
  began <- proc.time()
  session$model <- onnx_read(path, precision)
  seconds <- proc.time() - began
  graph <- session$model$graph
  list(
    inputs = lapply(graph$inputs, describe_value), outputs = lapply(graph$outputs, describe_value),
    metadata = json_object(session$model$metadata), seconds = seconds[["elapsed"]]
  )
}

answer_parameters <- function(request) {
  initializers <- loaded_model()$graph$initializers
  names(initializers) <- vapply(initializers, `[[`, "", "name")
  write_stored_tensors(initializers, path_argument(request, "outputs"))
  list(count = length(initializers))
}

answer_structure <- function(request) {
  path <- path_argument(request, "path")
  description <- model_structure(path)
  text <- jsonlite::toJSON(description, auto_unbox = TRUE, digits = NA, null = "null", na = "null",
                           json_verbatim = TRUE)
  write_beside(path_argument(request, "outputs"), function(connection) {
    writeBin(charToRaw(enc2utf8(as.character(text))), connection)
  })
  list(nodes = length(description$nodes))
}

# Inputs in the dtypes that the model declares; a double model also takes doubles.
read_inputs <- function(path, model) {
  infos <- model$graph$inputs
  names(infos) <- vapply(infos, `[[`, "", "name")
  stored <- read_stored_tensors(path)
  lapply(stats::setNames(nm = names(stored)), function(name) {
    x <- decode_tensor(stored[[name]])
    declared <- infos[[name]]$dtype
    if (is.null(declared) || x$dtype == declared) return(x)
    if (model$precision == "float64" && x$dtype == "float64" && is_floating(declared)) {
      x$dtype <- declared
      return(x)
    }
    stop_bad_input("input '", name, "' is ", x$dtype, "; the model takes ", declared)
  })
}

write_results <- function(results, path) {
  stored <- Map(encode_tensor, results, names(results))
  write_stored_tensors(stored, path)
}

answer_predict <- function(request) {
  model <- loaded_model()
  inputs <- read_inputs(path_argument(request, "inputs"), model)
  outputs <- path_argument(request, "outputs")
  batch_size <- request$batch_size
  began <- proc.time()
  results <- run_batches(model$graph, inputs, batch_size)
  spent <- proc.time() - began
  write_results(results, outputs)
  samples <- if (length(inputs) && length(inputs[[1L]]$shape)) inputs[[1L]]$shape[1L] else 1
  list(
    seconds = spent[["elapsed"]], cpu_seconds = sum(spent[c("user.self", "sys.self")]),
    batches = if (is.null(batch_size)) 1 else max(ceiling(samples / batch_size), 1)
  )
}

answer_activations <- function(request) {
  model <- loaded_model()
  names <- unlist(request$names)
  if (!is.character(names) || length(names) == 0L) stop_bad_input("the request 'activations' lacks 'names'")
  inputs <- read_inputs(path_argument(request, "inputs"), model)
  check_inputs(model$graph, inputs)
  results <- lapply(run_graph(model$graph, inputs, unique(names)), round_output, model$precision)
  write_results(results, path_argument(request, "outputs"))
  list(count = length(results))
}

answer_shutdown <- function(request) {
  session$ended <- TRUE
  json_object()
}
