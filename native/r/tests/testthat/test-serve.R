folder <- tempfile("serve")
dir.create(folder)

in_folder <- function(name) file.path(folder, name)

ask <- function(...) {
  jsonlite::fromJSON(onnx_answer(jsonlite::toJSON(list(...), auto_unbox = TRUE, null = "null")), simplifyVector = FALSE)
}
crops <- system.file("extdata", "crops.onnx", package = "plainonnx")
x <- wavy(5, 3, 8)
safetensors_write(list(x = x), in_folder("x.safetensors"), "float32")

test_that("weights in Constant nodes are told like initializers, those of graphs inside of nodes too", {
  weight <- function(name, values, ...) onnx_node("Constant", character(), name, value = onnx_tensor("", values, ...))
  branch <- function(values) {
    onnx_graph(list(weight("w", values), onnx_node("Add", c("x", "w"), "z")), list(), list(onnx_value("z")))
  }
  path <- write_model(onnx_model(
    list(weight("v", c(1, 2)), weight("two", 2, scalar = TRUE), weight("at", 0, "int64"), onnx_node("Mul", c("x", "v"), "h"),
         onnx_node("If", "c", "y", then_branch = branch(c(3, 4)), else_branch = branch(c(5, 6)))),
    list(onnx_value("x", "float32", list(2)), onnx_value("c", "bool", list())), list(onnx_value("y")),
    list(onnx_tensor("unused", 7))
  ))
  held <- plainonnx:::base_parameters(onnx_read(path))
  values <- lapply(held, function(stored) plainonnx:::decode_tensor(stored)$data)
  expect_equal(values, list(unused = 7, v = c(1, 2), w = c(5, 6), `w#2` = c(3, 4)))
})

test_that("describe names runtime, versions, requests and operators", {
  answer <- ask(id = 1, request = "describe")
  expect_true(answer$ok)
  expect_equal(answer$id, 1)
  expect_equal(answer$result$runtime, "r/base")
  expect_true(all(c("R", "plainonnx", "jsonlite", "BLAS") %in% names(answer$result$versions)))
  expect_true(all(c("describe", "load", "parameters", "structure", "predict", "activations", "shutdown") %in%
                    unlist(answer$result$requests)))
  expect_equal(answer$result$operators$Conv, list(1L, 11L, 22L))
  expect_equal(answer$result$operators$LayerNormalization, list(17L))
  expect_equal(answer$result$precisions, list("float32", "float64"))
})

test_that("a model is loaded, described and run", {
  loaded <- ask(id = "a", request = "load", path = crops, precision = "float32")$result
  expect_equal(loaded$inputs, list(list(name = "x", dtype = "float32", shape = list("sample", 3L, 8L))))
  expect_equal(loaded$metadata$harness.head, "logits")
  out <- in_folder("y.safetensors")
  answer <- ask(id = 2, request = "predict", inputs = in_folder("x.safetensors"), outputs = out, batch_size = 2)
  expect_equal(answer$result$batches, 3)
  stored <- plainonnx:::read_stored_tensors(out)$logits
  expect_equal(stored$dtype, "float32")
  expect_equal(as.vector(safetensors_read(out)$logits), as.vector(predict(onnx_read(crops), array(plainonnx:::round_to_dtype(as.vector(x), "float32"), dim(x)))))
})

test_that("double precision answers in float64 and takes float64", {
  ask(id = 1, request = "load", path = crops, precision = "float64")
  safetensors_write(list(x = x), in_folder("wide.safetensors"), "float64")
  answer <- ask(id = 2, request = "predict", inputs = in_folder("wide.safetensors"), outputs = in_folder("y64.safetensors"))
  expect_true(answer$ok)
  back <- safetensors_read(in_folder("y64.safetensors"))$logits
  expect_equal(attr(back, "dtype"), "float64")
  expect_equal(as.vector(back), as.vector(predict(onnx_read(crops, "float64"), x)), tolerance = 1e-15)
  ask(id = 1, request = "load", path = crops)
  refused <- ask(id = 2, request = "predict", inputs = in_folder("wide.safetensors"), outputs = in_folder("y.safetensors"))
  expect_equal(refused$error$kind, "bad-input")
  expect_match(refused$error$message, "'x' is float64; the model takes float32")
})

test_that("parameters and activations are written under their own names", {
  ask(id = 1, request = "load", path = crops)
  expect_equal(ask(id = 2, request = "parameters", outputs = in_folder("p.safetensors"))$result$count, 8)
  stored <- plainonnx:::read_stored_tensors(in_folder("p.safetensors"))
  expect_identical(stored[["conv.weight"]]$bytes, plainonnx:::parse_file(crops)$graph$initializers[[1]]$bytes)
  answer <- ask(id = 3, request = "activations", inputs = in_folder("x.safetensors"), names = list("flat", "features"),
                outputs = in_folder("a.safetensors"))
  expect_equal(answer$result$count, 2)
  values <- safetensors_read(in_folder("a.safetensors"))
  expect_equal(dim(values$features), c(5L, 6L, 8L))
  expect_equal(as.vector(values$flat), as.vector(apply(pmax(values$features, 0), 1:2, mean)), tolerance = 1e-4)
  wrong <- ask(id = 3, request = "activations", inputs = in_folder("x.safetensors"), names = list("nope"), outputs = in_folder("a.safetensors"))
  expect_match(wrong$error$message, "no value named 'nope'")
})

test_that("structure describes the graph as JSON", {
  answer <- ask(id = 1, request = "structure", path = crops, outputs = in_folder("s.json"))
  expect_equal(answer$result$nodes, 6)
  graph <- jsonlite::fromJSON(in_folder("s.json"), simplifyVector = FALSE)
  expect_match(readLines(in_folder("s.json"), warn = FALSE), '"opsets":{"":17}', fixed = TRUE)
  conv <- graph$nodes[[1]]
  expect_equal(conv$attributes, list(kernel_shape = list(3L), pads = list(1L, 1L)))
  expect_equal(conv$inputs, list("x", "conv.weight", "conv.bias"))
  expect_equal(graph$initializers[[1]]$shape, list(6L, 3L, 3L))
  expect_equal(graph$bytes, file.size(crops))
  skip_if(is.null(plainonnx:::sha256(list(list(bytes = raw())))), "no SHA-256 here")
  writeBin(charToRaw("..abc.."), in_folder("part of it"))
  place <- plainonnx:::place_in_file(in_folder("part of it"), 2, 3)
  expect_equal(plainonnx:::sha256(list(list(bytes = charToRaw("abc")), list(place = place), list(bytes = raw()))), c(
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
  ))
})

# Of a signalling NaN one bit would change: these are R's own numbers.
test_that("an echo has the same bits", {
  odd <- list(
    n = list(name = "n", dtype = "float32", shape = 2, bytes = as.raw(c(0x01, 0, 0xe0, 0x7f, 0, 0, 0, 0x80))),
    b = list(name = "b", dtype = "bool", shape = 1, bytes = as.raw(1))
  )
  plainonnx:::write_stored_tensors(odd, in_folder("odd.safetensors"))
  answer <- ask(id = 1, request = "echo", inputs = in_folder("odd.safetensors"), outputs = in_folder("back.safetensors"))
  expect_equal(answer$result$bytes, 9)
  bytes_of <- function(name) readBin(in_folder(name), "raw", file.size(in_folder(name)))
  expect_identical(bytes_of("back.safetensors"), bytes_of("odd.safetensors"))
})

test_that("calls are timed", {
  ask(id = 1, request = "load", path = crops)
  timing <- function(...) ask(id = 2, request = "time", inputs = in_folder("x.safetensors"), ...)
  answer <- timing(batch_sizes = c(7, 1), seconds = 0.02, repeats = 5)$result
  expect_equal(vapply(answer$batches, `[[`, 0, "batch_size"), c(7, 1))
  for (batch in answer$batches) expect_true(all(unlist(batch$seconds) > 0))
  expect_equal(timing(batch_sizes = c(1, 1), seconds = 1)$error$kind, "bad-input")
  expect_equal(timing(batch_sizes = list(1), seconds = 0)$error$kind, "bad-input")
  expect_equal(timing(batch_sizes = list(1), seconds = 1, repeats = 1)$error$kind, "bad-input")
})

test_that("what goes wrong has a kind and one line", {
  kind <- function(...) ask(...)$error$kind
  expect_equal(kind(id = 1, request = "train"), "unsupported")
  expect_equal(kind(id = 1, request = "load", path = "/no/such.onnx"), "bad-input")
  expect_equal(kind(id = 1, request = "load"), "bad-input")
  expect_equal(kind(id = 1), "bad-input")
  expect_equal(kind(id = 1, request = "predict", inputs = in_folder("x.safetensors"), outputs = in_folder("y.safetensors")), "bad-input")
  broken <- jsonlite::fromJSON(onnx_answer("{nonsense"), simplifyVector = FALSE)
  expect_null(broken$id)
  expect_equal(broken$error$kind, "bad-input")
  long <- jsonlite::fromJSON(onnx_answer(strrep("x", 2^20 + 1)), simplifyVector = FALSE)
  expect_match(long$error$message, "1 MiB")
  unknown <- write_model(onnx_model(list(onnx_node("Frobnicate", "x", "y", name = "f")), list(onnx_value("x")), list(onnx_value("y"))))
  answer <- ask(id = 9, request = "load", path = unknown)
  expect_equal(answer$error, list(
    kind = "unsupported", message = "operator Frobnicate (opset 17, node 'f') is not supported by r/base"
  ))
})

test_that("a failed load leaves no model behind", {
  ask(id = 1, request = "load", path = crops)
  ask(id = 2, request = "load", path = "/no/such.onnx")
  expect_match(ask(id = 3, request = "parameters", outputs = in_folder("p.safetensors"))$error$message, "no model is loaded")
})

test_that("answers hold no number that JSON does not know", {
  path <- write_model(onnx_model(list(onnx_node("LeakyRelu", "x", "y", alpha = Inf)), list(onnx_value("x")), list(onnx_value("y"))))
  ask(id = 1, request = "structure", path = path, outputs = in_folder("s.json"))
  graph <- jsonlite::fromJSON(in_folder("s.json"), simplifyVector = FALSE)
  expect_equal(graph$nodes[[1]]$attributes$alpha, "inf")
})

test_that("the loop answers line by line over two pipes and ends with the requests", {
  skip_on_os("windows")
  skip_if(!file.exists("/dev/fd"), "no /dev/fd here")
  requests <- in_folder("requests")
  answers <- in_folder("answers")
  writeLines(c('{"id": 1, "request": "describe"}', "nonsense", '{"id": 3, "request": "shutdown"}', '{"id": 4, "request": "describe"}'), requests)
  # The library of this package first, and where its imports lie.
  library <- paste(c(dirname(system.file(package = "plainonnx")), .libPaths()), collapse = ":")
  command <- paste0(
    "HARNESS_REQUESTS_FD=7 HARNESS_ANSWERS_FD=8 R_LIBS=", shQuote(library), " ", shQuote(file.path(R.home("bin"), "Rscript")),
    " --vanilla -e 'plainonnx::onnx_serve()' 7<", shQuote(requests), " 8>", shQuote(answers)
  )
  expect_equal(system(command), 0)
  lines <- lapply(readLines(answers), jsonlite::fromJSON, simplifyVector = FALSE)
  expect_equal(lapply(lines, `[[`, "id"), list(1L, NULL, 3L))
  expect_equal(vapply(lines, `[[`, NA, "ok"), c(TRUE, FALSE, TRUE))
})

unlink(folder, recursive = TRUE)

test_that("an engine that does not exist is refused by name", {
  answer <- jsonlite::fromJSON(onnx_answer('{"id": 1, "request": "describe"}', engine = "abacus"))
  expect_false(answer$ok)
  expect_equal(answer$error$kind, "unsupported")
  expect_match(answer$error$message, "'abacus'")
})
