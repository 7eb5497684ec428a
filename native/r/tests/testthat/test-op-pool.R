test_that("MaxPool takes the maximum of each window, and says where it was", {
  x <- array(c(1, 5, 2, 4, 3, 6), c(1, 1, 6))
  expect_equal(as.vector(run_operator("MaxPool", list(x), kernel_shape = ints(2), strides = ints(2))), c(5, 4, 6))
  both <- run_operator("MaxPool", list(x), kernel_shape = ints(3), outputs = c("y", "i"), out_dtypes = c("float32", "int64"))
  expect_equal(as.vector(both$y), c(5, 5, 4, 6))
  expect_equal(as.vector(both$i), c(1, 1, 3, 5))
})

test_that("ceil_mode keeps the last window only if it begins on the input", {
  x <- array(1:5, c(1, 1, 5))
  pool <- function(...) as.vector(run_operator("MaxPool", list(x), kernel_shape = ints(2), strides = ints(2), ..., opset = 19))
  expect_equal(pool(), c(2, 4))
  expect_equal(pool(ceil_mode = 1L), c(2, 4, 5))
  expect_equal(pool(ceil_mode = 1L, pads = c(0L, 1L)), c(2, 4, 5))
})

test_that("AveragePool counts the padding only where it is told to", {
  x <- array(c(2, 4, 6), c(1, 1, 3))
  pool <- function(...) as.vector(run_operator("AveragePool", list(x), kernel_shape = ints(2), pads = c(1L, 1L), ...))
  expect_equal(pool(), c(2, 3, 5, 6))
  expect_equal(pool(count_include_pad = 1L), c(1, 3, 5, 3))
})

test_that("pools work on each channel and sample by itself", {
  x <- wavy(2, 3, 4, 5)
  y <- run_operator("AveragePool", list(x), kernel_shape = c(2L, 2L))
  for (n in 1:2) for (c in 1:3) expect_equal(y[n, c, 2, 3], mean(x[n, c, 2:3, 3:4]))
  expect_equal(run_operator("GlobalAveragePool", list(x))[, , 1, 1], apply(x, 1:2, mean))
  expect_equal(run_operator("GlobalMaxPool", list(x))[, , 1, 1], apply(x, 1:2, max))
})

test_that("LpPool is the p-norm of each window", {
  x <- array(c(3, 4, 0), c(1, 1, 3))
  expect_equal(as.vector(run_operator("LpPool", list(x), kernel_shape = ints(2), p = 2L)), c(5, 4))
})

test_that("pools of integers, infinities and NaN", {
  pool <- function(x, ..., dtype = "float32") {
    as.vector(run_operator("MaxPool", list(array(x, c(1, 1, length(x)))), ..., dtypes = dtype, out_dtypes = dtype))
  }
  expect_equal(pool(c(-3, -128, -7, -128), kernel_shape = ints(2), pads = ints(1, 0), dtype = "int8"), c(-3, -3, -7, -7))
  expect_equal(pool(c(-Inf, -Inf), kernel_shape = ints(2)), -Inf)
  expect_true(is.nan(pool(c(1, NaN, 3), kernel_shape = ints(3))))
})
