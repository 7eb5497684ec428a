# Files of opsets 1 to 6.

older <- function(node, inputs, opset, ...) {
  infos <- Map(function(name, x) onnx_value(name, shape = as.list(dim(x))), names(inputs), inputs)
  model <- onnx_read(write_model(onnx_model(list(node), unname(infos), list(onnx_value("y")), opset = opset, ...)))
  predict(model, inputs)
}

x <- wavy(2, 3, 4)

test_that("a second input begins at the axis that broadcasting names", {
  b <- array(c(10, 20, 30), 3)
  found <- older(onnx_node("Add", c("x", "b"), "y", broadcast = 1L, axis = 1L), list(x = x, b = b), 6)
  expect_equal(found, sweep(x, 2, b, `+`), tolerance = 1e-6)
  expect_equal(older(onnx_node("Mul", c("x", "b"), "y", broadcast = 1L), list(x = x, b = array(c(1, 2, 3, 4), 4)), 6),
               sweep(x, 3, 1:4, `*`), tolerance = 1e-6)
})

test_that("attributes of older opsets mean what they meant", {
  expect_equal(older(onnx_node("Abs", "x", "y", consumed_inputs = ints(0)), list(x = x), 1), abs(x), tolerance = 1e-6)
  expect_identical(dim(older(onnx_node("Reshape", "x", "y", shape = ints(6, -1)), list(x = x), 1)), c(6L, 4L))
  expect_identical(dim(older(onnx_node("Pad", "x", "y", paddings = ints(0, 0, 1, 0, 0, 2)), list(x = x), 1)), c(2L, 3L, 7L))
  expect_identical(dim(older(onnx_node("Concat", c("x", "z"), "y"), list(x = x, z = x), 1)), c(2L, 6L, 4L))
  expect_equal(older(onnx_node("PRelu", c("x", "b"), "y"), list(x = -abs(x), b = array(c(1, 2, 3), 3)), 6),
               sweep(-abs(x), 2, 1:3, `*`), tolerance = 1e-6)
})

test_that("what would train is refused", {
  expect_error(older(onnx_node("Dropout", "x", "y"), list(x = x), 6), "training mode", class = "onnx_unsupported")
  expect_equal(older(onnx_node("Dropout", "x", "y", is_test = 1L), list(x = x), 6), x, tolerance = 1e-6)
})
