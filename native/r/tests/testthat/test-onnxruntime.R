folder <- tempfile("onnxruntime")
dir.create(folder)

in_folder <- function(name) file.path(folder, name)

ask <- function(...) {
  line <- jsonlite::toJSON(list(id = 1, ...), auto_unbox = TRUE, null = "null")
  jsonlite::fromJSON(onnx_answer(line, "onnxruntime"), simplifyVector = FALSE)
}
crops <- system.file("extdata", "crops.onnx", package = "plainonnx")

# The bytes of one input after a model of one node.
through <- function(operator, stored, out_dtype = stored$dtype, shape = list("sample", 3)) {
  path <- write_model(onnx_model(
    list(onnx_node(operator, "x", "y")), list(onnx_value("x", stored$dtype, shape)), list(onnx_value("y", out_dtype, shape))
  ))
  on.exit(unlink(path))
  loaded <- ask(request = "load", path = path)
  if (!loaded$ok) return(loaded)
  plainonnx:::write_stored_tensors(list(x = stored), in_folder("x.safetensors"))
  answer <- ask(request = "predict", inputs = in_folder("x.safetensors"), outputs = in_folder("y.safetensors"),
                batch_size = 2)
  if (answer$ok) plainonnx:::read_stored_tensors(in_folder("y.safetensors"))$y else answer
}

test_that("it answers as the plain engine does, to single precision", {
  skip_without_onnxruntime()
  x <- wavy(5, 3, 8)
  safetensors_write(list(x = x), in_folder("x.safetensors"), "float32")
  loaded <- ask(request = "load", path = crops)$result
  expect_equal(loaded$inputs, list(list(name = "x", dtype = "float32", shape = list("sample", 3L, 8L))))
  expect_equal(loaded$metadata$harness.head, "logits")
  answer <- ask(request = "predict", inputs = in_folder("x.safetensors"), outputs = in_folder("y.safetensors"),
                batch_size = 2)
  expect_equal(answer$result$batches, 3)
  found <- safetensors_read(in_folder("y.safetensors"))$logits
  expect_equal(as.vector(found), as.vector(predict(onnx_read(crops), safetensors_read(in_folder("x.safetensors"))$x)),
               tolerance = 1e-6)
  whole <- ask(request = "predict", inputs = in_folder("x.safetensors"), outputs = in_folder("whole.safetensors"))
  expect_equal(whole$result$batches, 1)
  expect_equal(safetensors_read(in_folder("whole.safetensors"))$logits, found, tolerance = 1e-6)
})

test_that("every bit of every dtype crosses the border both ways", {
  skip_without_onnxruntime()
  # 2^53 + 1 and the ends of int64, which no double holds; NaN with a payload; -0; the smallest float32.
  words <- c("0100000000002000", "ffffffffffffff7f", "0000000000000080")
  bytes <- function(text) as.raw(strtoi(substring(text, seq(1, nchar(text), 2), seq(2, nchar(text), 2)), 16L))
  cases <- list(
    int64 = bytes(paste0(words, collapse = "")), float32 = bytes("0100c07f0000008001000000"),
    float16 = bytes("017e00800100"), int8 = bytes("80ff7f"), uint8 = bytes("00ff7f"), bool = bytes("010001"),
    float64 = bytes(paste0(words, collapse = ""))
  )
  for (dtype in names(cases)) {
    stored <- list(name = "x", dtype = dtype, shape = c(1, 3), bytes = cases[[dtype]])
    expect_equal(through("Identity", stored), modifyList(stored, list(name = "y")), info = dtype)
  }
})

test_that("axes keep their order, and an empty batch stays one", {
  skip_without_onnxruntime()
  path <- write_model(onnx_model(
    list(onnx_node("Transpose", "x", "y", perm = ints(1, 0))), list(onnx_value("x", "float32", list("n", 3))),
    list(onnx_value("y", "float32", list(3, "n")))
  ))
  ask(request = "load", path = path)
  x <- matrix(1:6, 2)
  safetensors_write(list(x = x), in_folder("x.safetensors"), "float32")
  ask(request = "predict", inputs = in_folder("x.safetensors"), outputs = in_folder("y.safetensors"))
  expect_equal(safetensors_read(in_folder("y.safetensors"))$y, t(x), ignore_attr = TRUE)
  empty <- through("Relu", list(name = "x", dtype = "float32", shape = c(0, 3), bytes = raw()))
  expect_equal(empty[c("shape", "bytes")], list(shape = c(0, 3), bytes = raw()))
})

test_that("parameters are what a session holds, and inner values outputs of a session of their own", {
  skip_without_onnxruntime()
  ask(request = "load", path = crops)
  expect_equal(ask(request = "parameters", outputs = in_folder("p.safetensors"))$result$count, 8)
  stored <- plainonnx:::read_stored_tensors(in_folder("p.safetensors"))
  expect_identical(stored[["conv.weight"]]$bytes, plainonnx:::parse_file(crops)$graph$initializers[[1]]$bytes)
  safetensors_write(list(x = wavy(2, 3, 8)), in_folder("x.safetensors"), "float32")
  asked <- list(request = "activations", inputs = in_folder("x.safetensors"), outputs = in_folder("a.safetensors"))
  expect_equal(do.call(ask, c(asked, list(names = list("logits", "flat", "features"))))$result$count, 3)
  found <- safetensors_read(in_folder("a.safetensors"))
  graph <- onnx_read(crops)$graph
  own <- lapply(plainonnx:::run_graph(graph, list(x = plainonnx:::from_r(wavy(2, 3, 8), "float32")), names(found)),
                plainonnx:::to_r)
  for (name in names(found)) expect_equal(as.vector(found[[name]]), as.vector(own[[name]]), tolerance = 1e-5)
  unknown <- do.call(ask, c(asked, list(names = list("flatt"))))
  expect_equal(unknown$error, list(kind = "bad-input", message = "the graph has no tensor 'flatt'"))
})

test_that("what it refuses it refuses by name", {
  skip_without_onnxruntime()
  expect_equal(ask(request = "describe")$result$precisions, list("float32"))
  expect_equal(ask(request = "load", path = crops, precision = "float64")$error,
               list(kind = "unsupported", message = "precision 'float64' is not supported by r/onnxruntime"))
  brain <- through("Identity", list(name = "x", dtype = "bfloat16", shape = c(1, 3), bytes = raw(6)))
  expect_equal(brain$error$kind, "unsupported")
  expect_match(brain$error$message, "'x' is bfloat16")
  unknown <- through("Frobnicate", list(name = "x", dtype = "float32", shape = c(1, 3), bytes = raw(12)))
  expect_equal(unknown$error$kind, "unsupported")
  expect_match(unknown$error$message, "^onnxruntime: .*Frobnicate")
  expect_false(grepl("py_last_error|Traceback", unknown$error$message))
  ask(request = "load", path = crops)
  safetensors_write(list(x = wavy(2, 3, 8)), in_folder("x.safetensors"), "float64")
  wrong <- ask(request = "predict", inputs = in_folder("x.safetensors"), outputs = in_folder("y.safetensors"))
  expect_equal(wrong$error$message, "input 'x' is float64; the model takes float32")
})

test_that("weights beside the file are found, by inner values too", {
  skip_without_onnxruntime()
  writeBin(c(1, 2, 4), in_folder("weights.bin"), size = 4, endian = "little")
  entry <- function(key, value) wire_bytes(13, c(wire_text(1, key), wire_text(2, value)))
  external <- c(wire_number(1, 3), wire_number(2, 1), wire_text(8, "w"), entry("location", "weights.bin"), wire_number(14, 1))
  path <- write_model(onnx_model(
    list(onnx_node("Add", c("x", "w"), "inner"), onnx_node("Relu", "inner", "y")),
    list(onnx_value("x", "float32", list(3))), list(onnx_value("y", "float32", list(3))), list(external)
  ), in_folder("external.onnx"))
  expect_true(ask(request = "load", path = path)$ok)
  safetensors_write(list(x = c(-4, 0, 1)), in_folder("x.safetensors"), "float32")
  answer <- ask(request = "activations", inputs = in_folder("x.safetensors"), outputs = in_folder("a.safetensors"),
                names = list("inner"))
  expect_true(answer$ok)
  expect_equal(as.vector(safetensors_read(in_folder("a.safetensors"))$inner), c(-3, 2, 5))
})

test_that("outputs are appended as one well-formed field, however long their names", {
  own <- readBin(crops, "raw", file.size(crops))
  bytes <- c(own, plainonnx:::more_outputs(c("flat", strrep("n", 300))))
  fields <- plainonnx:::scan_message(bytes, 1, length(bytes))
  last <- length(fields$field)
  expect_equal(last, length(plainonnx:::scan_message(own, 1, length(own))$field) + 1L)
  expect_equal(fields$field[last], 7L)
  infos <- plainonnx:::scan_message(bytes, fields$start[last], fields$end[last])
  expect_equal(infos$field, c(12L, 12L))
  expect_equal(infos$end - infos$start + 1, c(6, 303))
  expect_identical(plainonnx:::more_outputs(character()), raw())
})
