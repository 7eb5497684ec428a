x <- wavy(2, 3, 4)

test_that("reductions work over any axes", {
  expect_equal(run_operator("ReduceSum", list(x, c(0, 2)), dtypes = c("float32", "int64"))[1, , 1], apply(x, 2, sum))
  expect_equal(run_operator("ReduceMean", list(x), axes = ints(1), keepdims = 0L), apply(x, c(1, 3), mean))
  expect_equal(run_operator("ReduceMax", list(x), axes = ints(-1), keepdims = 0L), apply(x, 1:2, max))
  expect_equal(run_operator("ReduceMin", list(x), axes = ints(0), keepdims = 0L), apply(x, 2:3, min))
  expect_equal(run_operator("ReduceProd", list(x), keepdims = 0L), prod(x))
  expect_equal(run_operator("ReduceL2", list(x), axes = ints(2), keepdims = 0L), sqrt(apply(x^2, 1:2, sum)))
  expect_equal(run_operator("ReduceLogSumExp", list(x + 1000), keepdims = 0L), log(sum(exp(x))) + 1000)
  expect_error(run_operator("ReduceSum", list(x, 3), dtypes = c("float32", "int64")), "axis 3", class = "onnx_bad_input")
})

test_that("both ways of folding give the same maximum", {
  tall <- matrix(wavy(50 * 2), 50)
  expect_equal(plainonnx:::column_maximum(tall), apply(tall, 2, max))
  expect_equal(plainonnx:::column_maximum(t(tall)), apply(t(tall), 2, max))
})

test_that("ArgMax gives the first, or the last, of equals", {
  ties <- matrix(c(1, 3, 3, 2, 2, 2), 2, byrow = TRUE)
  arg <- function(...) as.vector(run_operator("ArgMax", list(ties), axis = 1L, keepdims = 0L, ..., out_dtypes = "int64"))
  expect_equal(arg(), c(1, 0))
  expect_equal(arg(select_last_index = 1L), c(2, 2))
  tall <- c(rep(0, 9), 5, 5)
  expect_equal(as.vector(run_operator("ArgMax", list(tall), out_dtypes = "int64")), 9)
  expect_equal(as.vector(run_operator("ArgMin", list(-tall), select_last_index = 1L, out_dtypes = "int64")), 10)
})

test_that("CumSum runs both ways", {
  run <- function(...) as.vector(run_operator("CumSum", list(1:4, scalar(0)), ..., dtypes = c("float32", "int64")))
  expect_equal(run(), c(1, 3, 6, 10))
  expect_equal(run(exclusive = 1L), c(0, 1, 3, 6))
  expect_equal(run(reverse = 1L), c(10, 9, 7, 4))
})

test_that("Softmax flattens before opset 13 and keeps to its axis after", {
  soft <- function(v) exp(v) / sum(exp(v))
  expect_equal(run_operator("Softmax", list(x), axis = 1L)[1, , 2], soft(x[1, , 2]))
  expect_equal(run_operator("Softmax", list(x))[2, 1, ], soft(x[2, 1, ]))
  old <- run_operator("Softmax", list(x), opset = 11)
  expect_equal(as.vector(old[1, , ]), soft(as.vector(x[1, , ])))
  expect_equal(run_operator("LogSoftmax", list(x + 1e4))[2, 3, ], log(soft(x[2, 3, ])), tolerance = 1e-10)
  expect_equal(as.vector(run_operator("Hardmax", list(c(1, 5, 5)))), c(0, 1, 0))
})

test_that("no axes are all, or none", {
  two <- c(-1, 2)
  both <- c("float32", "int64")
  expect_equal(as.vector(run_operator("ReduceSum", list(two))), 1)
  expect_equal(as.vector(run_operator("ReduceSum", list(two, numeric()), noop_with_empty_axes = 1L, dtypes = both)), two)
  # The function still applies to each value.
  expect_equal(as.vector(run_operator("ReduceSumSquare", list(two), noop_with_empty_axes = 1L, opset = 18)), c(1, 4))
  expect_equal(as.vector(run_operator("ReduceL1", list(scalar(-2)))), 2)
  expect_error(run_operator("ReduceSum", list(two, 1), dtypes = both), "axis 1 is outside", class = "onnx_bad_input")
})

test_that("nothing reduced is the neutral value", {
  none <- matrix(0, 0, 2)
  reduced <- function(name, dtype = "float32", x = none) {
    as.vector(run_operator(name, list(x, 0), dtypes = c(dtype, "int64"), out_dtypes = dtype, opset = 20))
  }
  expect_equal(reduced("ReduceSum"), c(0, 0))
  expect_equal(reduced("ReduceProd"), c(1, 1))
  expect_equal(reduced("ReduceMax"), c(-Inf, -Inf))
  expect_equal(reduced("ReduceMin", "int32", numeric()), 2^31 - 1)
  expect_identical(reduced("ReduceMax", "bool", logical()), FALSE)
})

test_that("reductions of integers, truth values and NaN", {
  reduced <- function(name, x, dtype) {
    as.vector(run_operator(name, list(x), dtypes = dtype, out_dtypes = dtype, opset = 20, precision = "float32"))
  }
  expect_equal(reduced("ReduceSum", c(2^31 - 1, 1), "int32"), -2^31)
  expect_equal(reduced("ReduceMean", c(-1, -2), "int32"), -1)
  expect_identical(reduced("ReduceMax", c(TRUE, FALSE), "bool"), TRUE)
  expect_true(is.nan(reduced("ReduceMax", c(1, NaN), "float64")))
  expect_equal(reduced("ReduceLogSumExp", c(-Inf, -Inf), "float64"), -Inf)
})
