test_that("arithmetic broadcasts as numpy does", {
  a <- wavy(2, 3, 4)
  b <- wavy(3, 1)
  y <- run_operator("Sub", list(a, b))
  for (i in 1:2) for (k in 1:4) expect_equal(y[i, , k], a[i, , k] - b[, 1])
  expect_equal(run_operator("Add", list(wavy(4), wavy(3, 1))), outer(as.vector(wavy(3, 1)), as.vector(wavy(4)), `+`))
  expect_equal(dim(run_operator("Mul", list(wavy(2, 1, 3), wavy(1, 5, 1)))), c(2L, 5L, 3L))
  expect_error(run_operator("Add", list(wavy(2), wavy(3))), "cannot be broadcast", class = "onnx_bad_input")
})

test_that("integers divide towards zero and wrap", {
  int <- c("int32", "int32")
  expect_equal(as.vector(run_operator("Div", list(c(7, -7), c(2, 2)), dtypes = int, out_dtypes = "int32")), c(3, -3))
  expect_equal(as.vector(run_operator("Mul", list(2^30 + 3, 7), dtypes = int, out_dtypes = "int32")), -1073741803)
  expect_equal(as.vector(run_operator("Mul", list(2147483647, 2147483647), dtypes = int, out_dtypes = "int32")), 1)
  expect_equal(as.vector(run_operator("Add", list(2147483647, 1), dtypes = int, out_dtypes = "int32")), -2^31)
  expect_equal(as.vector(run_operator("Mod", list(c(-4, 7), c(3, -3)), dtypes = int, out_dtypes = "int32")), c(2, -2))
  expect_equal(as.vector(run_operator("Mod", list(c(-4, 7), c(3, -3)), fmod = 1L)), c(-1, 1))
})

test_that("NaN follows IEEE 754, not R", {
  compare <- function(op, a, b) as.vector(run_operator(op, list(a, b), out_dtypes = "bool"))
  expect_identical(compare("Less", c(NaN, 1), c(1, 2)), c(FALSE, TRUE))
  expect_identical(compare("Equal", c(NaN, 1), c(NaN, 1)), c(FALSE, TRUE))
  expect_equal(as.vector(run_operator("Relu", list(c(NaN, -1)))), c(NaN, 0))
  expect_equal(as.vector(run_operator("Max", list(c(NaN, 1), c(2, 2)))), c(NaN, 2))
  expect_equal(as.vector(run_operator("Sqrt", list(c(-1, 4)))), c(NaN, 2))
  expect_identical(as.vector(run_operator("IsNaN", list(c(NaN, 1)), out_dtypes = "bool")), c(TRUE, FALSE))
  expect_identical(as.vector(run_operator("Not", list(c(TRUE, FALSE)), dtypes = "bool", out_dtypes = "bool")), c(FALSE, TRUE))
})

test_that("Where chooses, Clip bounds", {
  y <- run_operator("Where", list(c(TRUE, FALSE), matrix(1:2, 2), 9), dtypes = c("bool", "float32", "float32"))
  expect_equal(y, matrix(c(1, 2, 9, 9), 2))
  expect_equal(as.vector(run_operator("Clip", list(c(-2, 0.5, 9), scalar(-1), scalar(2)))), c(-1, 0.5, 2))
  expect_equal(as.vector(run_operator("Clip", list(c(-2, 0.5, 9), NULL, scalar(2)))), c(-2, 0.5, 2))
  expect_equal(as.vector(run_operator("Clip", list(c(-2, 0.5, 9)), min = -1, max = 2, opset = 9)), c(-1, 0.5, 2))
})

test_that("activations have the values of their formulas, also far out", {
  one <- function(op, x, ..., opset = 20) as.vector(run_operator(op, list(x), ..., opset = opset))
  expect_equal(one("LeakyRelu", c(-2, 3), alpha = 0.25), c(-0.5, 3))
  expect_equal(one("Elu", c(-1, 2)), c(exp(-1) - 1, 2))
  expect_equal(one("Sigmoid", c(-800, 0, 800)), c(0, 0.5, 1))
  expect_equal(one("Softplus", c(-800, 0, 800)), c(0, log(2), 800))
  expect_equal(one("Erf", c(-Inf, 0, 1e-9, 1)), c(-1, 0, 2e-9 / sqrt(pi), 0.842700792949715))
  expect_equal(one("Gelu", c(-1, 2)), c(-pnorm(-1), 2 * pnorm(2)))
  expect_equal(one("HardSwish", c(-4, 0.6, 4)), c(0, 0.36, 4))
  expect_equal(one("ThresholdedRelu", c(0.5, 1, 1.5)), c(0, 0, 1.5))
  expect_equal(one("Round", c(0.5, 1.5, -2.5)), c(0, 2, -2))
  expect_equal(one("Shrink", c(-2, 0.3, 2), bias = 1), c(-1, 0, 1))
  expect_equal(as.vector(run_operator("PRelu", list(wavy(2, 2), c(0.5, 2)))),
               as.vector(ifelse(wavy(2, 2) < 0, wavy(2, 2) * rep(c(0.5, 2), each = 2), wavy(2, 2))))
})

test_that("Pow takes the dtype of the base", {
  power <- function(a, b, dtypes) as.vector(run_operator("Pow", list(a, b), dtypes = dtypes, out_dtypes = dtypes[1]))
  expect_equal(power(c(2, 9), c(3, -1), c("float32", "int64")), c(8, 1 / 9))
  expect_equal(power(c(2, 3), c(3, 2.5), c("int32", "float32")), c(8, 15))
  expect_equal(power(c(-2, -2, -Inf, 0), c(0.5, 3, 0.5, -1), c("float64", "float64")), c(NaN, -8, Inf, Inf))
  expect_equal(power(c(-2, NaN, -Inf, -Inf), -0.5, c("float64", "float64")), c(NaN, NaN, 0, 0))
})

test_that("Min, Max, Sum and Mean take any number of inputs", {
  a <- c(1, 5, NaN)
  b <- c(2, 2, 2)
  c <- c(3, 0, 1)
  expect_equal(as.vector(run_operator("Max", list(a, b, c))), c(3, 5, NaN))
  expect_equal(as.vector(run_operator("Min", list(a, b, c))), c(1, 0, NaN))
  expect_equal(as.vector(run_operator("Sum", list(b, c))), c(5, 2, 3))
  expect_equal(as.vector(run_operator("Mean", list(b, c, c(4, 4, 3)))), c(3, 2, 2))
  expect_equal(as.vector(run_operator("Max", list(b))), b)
})

test_that("where the bounds of Clip cross, the upper one counts", {
  expect_equal(as.vector(run_operator("Clip", list(1, scalar(3), scalar(2)))), 2)
})

test_that("half precision rounds once per node", {
  half <- function(x) plainonnx:::round_to_dtype(x, "float16")
  a <- c(1, 2048)
  b <- half(c(0.0004, 1))
  found <- run_operator("Add", list(a, b), dtypes = c("float16", "float16"), out_dtypes = "float16", precision = "float32")
  expect_identical(as.vector(found), half(a + b))
})
