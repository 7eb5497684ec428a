# The serve loop: one request line in, one answer line out. Arrays travel as
# safetensors files, by path.

session <- new.env(parent = emptyenv())

longest_line <- 2^20

#' Serve predictions to another process
#'
#' `onnx_serve()` reads requests, one JSON object a line, from the file descriptor
#' named by the environment variable `HARNESS_REQUESTS_FD` and writes answers to
#' the one named by `HARNESS_ANSWERS_FD`, until the request `shutdown` or the
#' end of the requests. `onnx_answer()` answers a single line.
#'
#' A request is `{"id": 1, "request": "load", "path": "model.onnx"}`; an
#' answer is `{"id": 1, "ok": true, "result": {...}}` or `{"id": 1, "ok": false,
#' "error": {"kind": "unsupported", "message": "..."}}`. Requests are
#' `describe`, `load`, `parameters`, `structure`, `predict`, `activations`,
#' `time`, `echo` and `shutdown`.
#'
#' @param engine what computes: `"base"`, plain R arrays; `"torch"`, see
#'   [as_nn_module()]; or `"onnxruntime"`, of Python, by the package reticulate.
#' @param line one request, as JSON text.
#' @return `onnx_answer()` returns the answer as JSON text of one line, `onnx_serve()`
#'   nothing.
#' @examples
#' onnx_answer('{"id": 1, "request": "describe"}')
#' @export
onnx_serve <- function(engine = "base") {
  find_engine(engine)
  requests <- open_descriptor("HARNESS_REQUESTS_FD", "rb")
  answers <- open_descriptor("HARNESS_ANSWERS_FD", "wb")
  on.exit({
    close(requests)
    # The last answer may find nobody who reads it any more.
    suppressWarnings(close(answers))
  })
  repeat {
    line <- readLines(requests, n = 1L, warn = FALSE, encoding = "UTF-8")
    if (length(line) == 0L) break
    writeLines(enc2utf8(onnx_answer(line, engine)), answers, useBytes = TRUE)
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

#' @rdname onnx_serve
#' @export
onnx_answer <- function(line, engine = "base") {
  id <- NULL
  answer <- tryCatch(
    {
      session$engine <- find_engine(engine)
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

# An engine is a list made by a function named engine_*, called once:
#
#   name                            the part of the runtime's name after the slash;
#   operators                       its operator table, or NULL where it has none of its own;
#   precisions                      where they are not both: those that it computes in;
#   versions(), threads()           named lists, for `describe`;
#   read(path, precision)           a model, refused here if it cannot be run; its `graph` holds `inputs` and
#                                   `outputs`, and it has `metadata` and `precision`;
#   parameters(model)               stored tensors, see read_stored_tensors();
#   predict(model, path, batch_size, axes)   list(tensors = stored, seconds, cpu_seconds, batches, filled), see
#                                   compute_batches();
#   activations(model, path, names)     stored tensors;
#   prepare(model, path)            a function without arguments: the engine's own call on the inputs of a file, which
#                                   are read beforehand; without it the request `time` is refused.
engine_cache <- new.env(parent = emptyenv())

find_engine <- function(name) {
  if (is.null(engine_cache[[name]])) {
    make <- get0(paste0("engine_", name), envir = topenv(), mode = "function", inherits = FALSE)
    if (is.null(make)) stop_unsupported("there is no engine '", name, "'")
    assign(name, make(), envir = engine_cache)
  }
  engine_cache[[name]]
}

engine_precisions <- function(engine) if (is.null(engine$precisions)) c("float32", "float64") else engine$precisions

runtime_name <- function() paste0("r/", session$engine$name)

failure <- function(id, kind, message) {
  list(id = id, ok = FALSE, error = list(kind = kind, message = message))
}

kind_of_condition <- function(condition) {
  switch(class(condition)[1L], onnx_unsupported = "unsupported", onnx_bad_input = "bad-input", "failed")
}

request_handlers <- function() {
  list(
    describe = answer_describe, load = answer_load, parameters = answer_parameters, structure = answer_structure,
    predict = answer_predict, activations = answer_activations, time = answer_time, echo = answer_echo,
    shutdown = answer_shutdown
  )
}

answer_request <- function(request) {
  handlers <- request_handlers()
  name <- request$request
  if (!is.character(name) || length(name) != 1L) stop_bad_input("the request does not say what it requests")
  handler <- handlers[[name, exact = TRUE]]
  if (is.null(handler)) stop_unsupported("request '", name, "' is not supported by ", runtime_name())
  handler(request)
}

# An object in JSON, also when it is empty.
json_object <- function(values = list()) {
  if (length(values)) as.list(values) else structure(list(), names = character())
}

answer_describe <- function(request) {
  engine <- session$engine
  c(
    list(
      runtime = runtime_name(), language = "r", engine = engine$name,
      host = Sys.getenv("HARNESS_HOST", "rscript"),
      versions = c(
        list(
          R = as.character(getRversion()), plainonnx = as.character(utils::packageVersion("plainonnx")),
          jsonlite = as.character(utils::packageVersion("jsonlite"))
        ),
        engine$versions()
      ),
      threads = json_object(engine$threads()), requests = as.list(names(request_handlers())),
      precisions = as.list(engine_precisions(engine))
    ),
    if (!is.null(engine$operators)) list(operators = lapply(published_rows(engine$operators), function(row) as.list(row$since)))
  )
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
  if (!precision %in% engine_precisions(session$engine)) {
    stop_unsupported("precision '", precision, "' is not supported by ", runtime_name())
  }
  # The old model goes first: two large ones need not fit at once.
  before <- sum(vapply(session$model$graph$initializers, stored_size, 0))
  session$model <- NULL
  give_back(before)
  began <- proc.time()
  session$model <- session$engine$read(path, precision)
  seconds <- proc.time() - began
  graph <- session$model$graph
  list(
    inputs = lapply(graph$inputs, describe_value), outputs = lapply(graph$outputs, describe_value),
    metadata = json_object(session$model$metadata), seconds = seconds[["elapsed"]]
  )
}

answer_parameters <- function(request) {
  stored <- session$engine$parameters(loaded_model())
  write_stored_tensors(stored, path_argument(request, "outputs"))
  list(count = length(stored))
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

answer_predict <- function(request) {
  inputs <- path_argument(request, "inputs")
  outputs <- path_argument(request, "outputs")
  model <- loaded_model()
  axes <- requested_axes(request, model$graph)
  done <- session$engine$predict(model, inputs, request$batch_size, axes)
  write_stored_tensors(done$tensors, outputs)
  done[c("seconds", "cpu_seconds", "batches", if (done$filled > 0) "filled")]
}

answer_activations <- function(request) {
  names <- unlist(request$names)
  if (!is.character(names) || length(names) == 0L) stop_bad_input("the request 'activations' lacks 'names'")
  stored <- session$engine$activations(loaded_model(), path_argument(request, "inputs"), unique(names))
  write_stored_tensors(stored, path_argument(request, "outputs"))
  list(count = length(stored))
}

answer_shutdown <- function(request) {
  session$ended <- TRUE
  json_object()
}
