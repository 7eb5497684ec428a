test_that("casts round, truncate and wrap", {
  cast <- function(x, from, to, precision = "float32") {
    as.vector(run_operator("Cast", list(x), to = dtype_code(to), dtypes = from, out_dtypes = to, precision = precision))
  }
  expect_equal(cast(c(-1.7, 2.9), "float32", "int32"), c(-1, 2))
  expect_equal(cast(300, "int32", "uint8"), 44)
  expect_identical(cast(c(0, -0.5), "float32", "bool"), c(FALSE, TRUE))
  expect_equal(cast(TRUE, "bool", "float32"), 1)
  expect_identical(cast(0.1, "float64", "float32"), plainonnx:::round_to_dtype(0.1, "float32"))
})

test_that("a double model widens casts to float32 but keeps the rounding of half precision", {
  through <- function(to) {
    path <- write_model(onnx_model(
      list(onnx_node("Cast", "x", "h", to = dtype_code(to)), onnx_node("Cast", "h", "y", to = dtype_code("float64"))),
      list(onnx_value("x", "float64", list(1))), list(onnx_value("y", "float64"))
    ))
    on.exit(unlink(path))
    as.vector(predict(onnx_read(path, "float64"), 0.1))
  }
  expect_identical(through("float32"), 0.1)
  expect_identical(through("float16"), plainonnx:::round_to_dtype(0.1, "float16"))
  expect_identical(through("bfloat16"), plainonnx:::round_to_dtype(0.1, "bfloat16"))
})

test_that("a cast to a dtype that is not held is refused when the file is read", {
  expect_error(run_operator("Cast", list(1), to = dtype_code("float8e5m2")), "float8e5m2", class = "onnx_unsupported")
})

test_that("constants and ranges", {
  value <- onnx_tensor("v", c(1.5, 2.5))
  expect_equal(as.vector(run_operator("Constant", list(), value = value)), c(1.5, 2.5))
  filled <- run_operator("ConstantOfShape", list(c(2, 2)), value = onnx_tensor("v", 7), dtypes = "int64")
  expect_equal(filled, matrix(7, 2, 2))
  expect_equal(as.vector(run_operator("Range", list(scalar(1), scalar(10), scalar(4)))), c(1, 5, 9))
})

# A Dropout of ratio and switch as they are given: nodes, inputs and initializers beside it.
dropout_model <- function(nodes = list(), initializers = list(), inputs = list()) {
  write_model(onnx_model(
    c(nodes, list(onnx_node("Dropout", c("x", "ratio", "on"), "y", name = "drop"))),
    c(list(onnx_value("x", "float32", list(5))), inputs), list(onnx_value("y")), initializers
  ))
}

test_that("Dropout is off at inference, and one that an input switches on is refused", {
  x <- wavy(5)
  expect_equal(run_operator("Dropout", list(x, scalar(0.5))), x)
  switched <- function(ratio, on) {
    run_operator("Dropout", list(x, scalar(ratio), scalar(on)), dtypes = c("float32", "float32", "bool"))
  }
  expect_equal(switched(0.5, FALSE), x)
  expect_equal(switched(0, TRUE), x)
  expect_error(switched(0.5, TRUE), "training mode, which draws at random", class = "onnx_unsupported")
})

test_that("a Dropout that the graph itself switches on is refused when the file is read", {
  half <- onnx_tensor("ratio", 0.5, scalar = TRUE)
  on <- onnx_tensor("on", TRUE, "bool", scalar = TRUE)
  refused <- "^operator Dropout \\(opset 17, node 'drop'\\): training mode, which draws at random, is not supported; export"
  expect_error(onnx_read(dropout_model(initializers = list(half, on))), refused, class = "onnx_unsupported")
  constant <- onnx_node("Constant", character(), "on", value = on)
  expect_error(onnx_read(dropout_model(list(constant), list(half))), refused, class = "onnx_unsupported")
  # In a branch, by what is known around it.
  branch <- function(operator, ...) {
    onnx_graph(list(onnx_node(operator, ..., name = "drop")), list(), list(onnx_value("z")))
  }
  inside <- write_model(onnx_model(
    list(onnx_node("If", "c", "y", then_branch = branch("Dropout", c("x", "", "on"), "z"),
                   else_branch = branch("Neg", "x", "z"))),
    list(onnx_value("x", "float32", list(5)), onnx_value("c", "bool", list())), list(onnx_value("y")), list(on)
  ))
  expect_error(onnx_read(inside), refused, class = "onnx_unsupported")
  none <- onnx_tensor("ratio", 0, scalar = TRUE)
  expect_equal(as.vector(predict(onnx_read(dropout_model(initializers = list(none, on))), 1:5)), 1:5)
  # What a caller may replace is not known.
  replaceable <- dropout_model(initializers = list(half, on), inputs = list(onnx_value("on", "bool", list())))
  expect_s3_class(onnx_read(replaceable), "onnx_model")
})
