# Sequences and optionals, within graphs of tensors.

x <- wavy(2, 3)
y <- wavy(4, 3)

# The outputs of a graph with x and y as inputs; `held` are its initializers.
with_sequences <- function(nodes, outputs, held = list(), opset = 17, engine = run_plain) {
  path <- write_model(onnx_model(
    nodes, list(onnx_value("x", shape = list(2, 3)), onnx_value("y", shape = list(4, 3))), lapply(outputs, onnx_value),
    Map(function(name, value) onnx_tensor(name, value, "int64", scalar = length(value) == 1L), names(held), held),
    opset = opset
  ))
  on.exit(unlink(path))
  engine(path, outputs)
}

run_plain <- function(path, outputs) {
  graph <- plainonnx:::build_graph(plainonnx:::parse_file(path), "float32")
  found <- plainonnx:::run_graph(graph, list(x = as_tensor(x), y = as_tensor(y)))
  unname(lapply(found, function(t) aperm(array(t$data, if (length(t$shape)) rev(t$shape) else 1L))))
}

run_torch <- function(path, outputs) {
  found <- as_nn_module(onnx_read(path))(as_torch_input(x), as_torch_input(y))
  lapply(if (is.list(found)) unname(found[outputs]) else list(found), as.array)
}

as_tensor <- function(a) plainonnx:::tensor(as.vector(aperm(a)), as.double(dim(a)), "float32")

both <- onnx_node("SequenceConstruct", c("x", "y"), "s")
places <- list(zero = 0, last = -1, far = 2, two = 2)
at <- function(sequence, place, name = "at") onnx_node("SequenceAt", c(sequence, place), name)
same <- function(found, ...) expect_equal(lapply(found, c), lapply(list(...), c), tolerance = 1e-6)

test_that("sequences are made, asked, and changed", {
  same(with_sequences(list(both, at("s", "zero")), "at", places), x)
  same(with_sequences(list(both, at("s", "last")), "at", places), y)
  same(with_sequences(list(both, onnx_node("SequenceLength", "s", "n")), "n"), 2)
  grown <- onnx_node("SequenceInsert", c("s", "x", "zero"), "t")
  same(with_sequences(list(both, grown, at("t", "last")), "at", places), y)
  appended <- onnx_node("SequenceInsert", c("s", "x"), "t")
  same(with_sequences(list(both, appended, at("t", "last"), onnx_node("SequenceLength", "t", "n")), c("at", "n"), places), x, 3)
  same(with_sequences(list(both, onnx_node("SequenceErase", "s", "t"), at("t", "last")), "at", places), x)
  empty <- list(onnx_node("SequenceEmpty", character(), "s"), onnx_node("SequenceInsert", c("s", "y"), "t"), at("t", "zero"))
  same(with_sequences(empty, "at", places), y)
  expect_error(with_sequences(list(both, at("s", "far")), "at", places), "position 2", class = "onnx_bad_input")
  expect_error(with_sequences(list(onnx_node("SequenceLength", "x", "n")), "n"), "a tensor, not a sequence", class = "onnx_bad_input")
  expect_error(with_sequences(list(both), "s"), "cannot leave the graph", class = "onnx_unsupported")
})

test_that("tensors are split to sequences and put together again", {
  split <- function(inputs, ...) onnx_node("SplitToSequence", inputs, "s", ...)
  joined <- onnx_node("ConcatFromSequence", "s", "z", axis = 0L)
  same(with_sequences(list(split(c("y", "two")), at("s", "zero"), joined), c("at", "z"), places), y[1:2, ], y)
  same(with_sequences(list(split(c("y", "parts")), at("s", "zero")), "at", c(places, list(parts = c(1, 3)))), y[1, ])
  same(with_sequences(list(split("y", axis = 1L, keepdims = 0L), at("s", "zero")), "at", places), y[, 1])
  stacked <- onnx_node("ConcatFromSequence", "s", "z", axis = -1L, new_axis = 1L)
  same(with_sequences(list(split("y", axis = 1L, keepdims = 0L), stacked), "z"), y)
  expect_error(
    with_sequences(list(split(c("y", "parts")), joined), "z", list(parts = c(1, 1))), "do not make", class = "onnx_bad_input"
  )
})

test_that("graphs run over sequences", {
  body <- onnx_graph(list(onnx_node("Neg", "a", "p")), list(onnx_value("a")), list(onnx_value("p")))
  mapped <- onnx_node("SequenceMap", "s", "t", body = body)
  same(with_sequences(list(both, mapped, at("t", "last")), "at", places), -y)
})

test_that("optionals hold a tensor, a sequence or nothing", {
  has <- function(inputs) onnx_node("OptionalHasElement", inputs, "has")
  filled <- list(onnx_node("Optional", "x", "o"), has("o"), onnx_node("OptionalGetElement", "o", "z"))
  same(with_sequences(filled, c("has", "z"), opset = 18), TRUE, x)
  nothing_in <- onnx_node("Optional", character(), "o")
  same(with_sequences(list(nothing_in, has("o")), "has", opset = 18), FALSE)
  same(with_sequences(list(has(character())), "has", opset = 18), FALSE)
  expect_error(with_sequences(list(nothing_in, onnx_node("OptionalGetElement", "o", "z")), "z"), "holds nothing", class = "onnx_bad_input")
})

test_that("tensors of torch are elements as they are", {
  skip_without_torch()
  on_torch <- function(...) with_sequences(..., engine = run_torch)
  same(on_torch(list(both, at("s", "last")), "at", places), y)
  inserted <- onnx_node("SequenceInsert", c("s", "x", "zero"), "t")
  erased <- onnx_node("SequenceErase", "t", "u")
  same(on_torch(list(both, inserted, erased, at("u", "zero"), onnx_node("SequenceLength", "u", "n")), c("at", "n"), places), x, 2)
  split <- onnx_node("SplitToSequence", "y", "s", axis = 1L, keepdims = 0L)
  body <- onnx_graph(list(onnx_node("Neg", "a", "p")), list(onnx_value("a")), list(onnx_value("p")))
  mapped <- onnx_node("SequenceMap", "s", "t", body = body)
  same(on_torch(list(split, mapped, onnx_node("ConcatFromSequence", "t", "z", axis = -1L, new_axis = 1L)), "z"), -y)
  filled <- list(onnx_node("Optional", "x", "o"), onnx_node("OptionalGetElement", "o", "z"))
  same(on_torch(filled, "z", opset = 18), x)
})
