# Functions of the file, which are inlined.

onnx_function <- function(name, inputs, outputs, nodes, defaults = list(), opset = 17, domain = "local") {
  c(
    wire_text(1, name), do.call(c, lapply(inputs, function(i) wire_text(4, i))), do.call(c, lapply(outputs, function(o) wire_text(5, o))),
    do.call(c, lapply(nodes, function(n) wire_bytes(7, n))), wire_bytes(9, c(wire_text(1, ""), wire_number(2, opset))),
    wire_text(10, domain),
    do.call(c, Map(function(n, v) wire_bytes(11, onnx_attribute(n, v)), names(defaults), defaults))
  )
}

# An attribute of a function's node that is the one of its call.
reference_attribute <- function(node, name, to) c(node, wire_bytes(5, c(wire_text(1, name), wire_text(21, to), wire_number(20, 1))))

write_functions <- function(nodes, functions, ...) {
  write_model(c(
    onnx_model(nodes, list(onnx_value("x", shape = list("n"))), list(onnx_value("y")), ..., domains = "local"),
    do.call(c, lapply(functions, function(f) wire_bytes(25, f)))
  ))
}

call_of <- function(name, input, output, ...) onnx_node(name, input, output, ..., domain = "local")

leaky <- onnx_function(
  "Leaky", "a", "b", list(reference_attribute(onnx_node("LeakyRelu", "a", "inner"), "alpha", "slope"), onnx_node("Neg", "inner", "b")),
  defaults = list(slope = 0.5)
)

test_that("calls are inlined, each with its own values, attributes and defaults", {
  path <- write_functions(list(call_of("Leaky", "x", "m"), call_of("Leaky", "m", "y", slope = 0.25)), list(leaky))
  expect_equal(c(predict(onnx_read(path), c(-2, 4))), c(-1, 1))
})

test_that("functions call functions and stand in branches", {
  twice <- onnx_function("Twice", "p", "q", list(call_of("Leaky", "p", "inner"), call_of("Leaky", "inner", "q")))
  path <- write_functions(list(call_of("Twice", "x", "y")), list(leaky, twice))
  expect_equal(c(predict(onnx_read(path), c(-2, 4))), c(-1, 2))
})

test_that("an output that is an input as it came is a copy", {
  path <- write_functions(list(call_of("Same", "x", "y")), list(onnx_function("Same", "a", "a", list())))
  expect_equal(c(predict(onnx_read(path), c(1, 2))), c(1, 2))
})

test_that("functions that call each other in a circle are refused", {
  circle <- onnx_function("Circle", "a", "b", list(call_of("Circle", "a", "b")))
  expect_error(onnx_read(write_functions(list(call_of("Circle", "x", "y")), list(circle))), "circle", class = "onnx_bad_input")
})

test_that("a function keeps the opset that it is written in", {
  # Clip has its bounds as attributes in opset 10 alone.
  clip <- onnx_function("Bounded", "a", "b", list(onnx_node("Clip", "a", "b", min = -1, max = 1.5)), opset = 10)
  expect_equal(c(predict(onnx_read(write_functions(list(call_of("Bounded", "x", "y")), list(clip))), c(-2, 4))), c(-1, 1.5))
})
