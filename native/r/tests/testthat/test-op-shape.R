x <- wavy(2, 3, 4)
with_int <- c("float32", "int64")
row_major <- function(a) as.vector(aperm(a))

test_that("Reshape keeps the row-major order", {
  y <- run_operator("Reshape", list(x, c(0, -1)), dtypes = with_int)
  expect_equal(dim(y), c(2L, 12L))
  expect_equal(row_major(y), row_major(x))
  expect_equal(y[1, 1:4], x[1, 1, ])
  expect_error(run_operator("Reshape", list(x, c(5, 5)), dtypes = with_int), "cannot become", class = "onnx_bad_input")
  expect_error(run_operator("Reshape", list(x, c(-1, -1)), dtypes = with_int), "impossible", class = "onnx_bad_input")
})

test_that("Flatten, Squeeze, Unsqueeze and Transpose move no value wrongly", {
  expect_equal(run_operator("Flatten", list(x), axis = 2L), matrix(row_major(x), 6, byrow = TRUE))
  expect_equal(dim(run_operator("Unsqueeze", list(x, c(0, -1)), dtypes = with_int)), c(1L, 2L, 3L, 4L, 1L))
  expect_equal(run_operator("Squeeze", list(array(1:3, c(1, 3, 1)))), array(1:3, 3))
  expect_equal(run_operator("Transpose", list(x), perm = c(2L, 0L, 1L)), aperm(x, c(3, 1, 2)))
  expect_equal(run_operator("Transpose", list(x)), aperm(x))
})

test_that("Concat and Split are each other's inverse along every axis", {
  for (axis in 0:2) {
    joined <- run_operator("Concat", list(x, 2 * x), axis = as.integer(axis))
    parts <- run_operator("Split", list(joined), axis = as.integer(axis), outputs = c("a", "b"))
    expect_equal(parts$a, x)
    expect_equal(parts$b, 2 * x)
  }
  uneven <- run_operator("Split", list(1:7), num_outputs = 3L, outputs = c("a", "b", "c"), opset = 18)
  expect_equal(lengths(uneven, use.names = FALSE), c(3L, 3L, 1L))
})

test_that("Pad fills in every mode", {
  pad <- function(...) as.vector(run_operator("Pad", list(1:3, c(2, 1)), ..., dtypes = with_int))
  expect_equal(pad(), c(0, 0, 1, 2, 3, 0))
  expect_equal(pad(mode = "edge"), c(1, 1, 1, 2, 3, 3))
  expect_equal(pad(mode = "reflect"), c(3, 2, 1, 2, 3, 2))
  expect_equal(as.vector(run_operator("Pad", list(1:3, c(-1, 1), scalar(9)), dtypes = c("float32", "int64", "float32"))), c(2, 3, 9))
})

test_that("Expand and Tile repeat", {
  expect_equal(run_operator("Expand", list(matrix(1:3, 3), c(2, 1, 4)), dtypes = with_int)[2, , 3], c(1, 2, 3))
  expect_equal(run_operator("Tile", list(matrix(1:4, 2), c(1, 2)), dtypes = with_int), matrix(c(1:4, 1:4), 2))
})

test_that("SpaceToDepth undoes DepthToSpace", {
  image <- wavy(1, 8, 2, 3)
  up <- run_operator("DepthToSpace", list(image), blocksize = 2L)
  expect_equal(dim(up), c(1L, 2L, 4L, 6L))
  expect_equal(run_operator("SpaceToDepth", list(up), blocksize = 2L), image)
})

test_that("Shape and Size speak of the ONNX axes", {
  expect_equal(as.vector(run_operator("Shape", list(x), out_dtypes = "int64")), 2:4)
  expect_equal(as.vector(run_operator("Shape", list(x), start = -2L, out_dtypes = "int64")), 3:4)
  expect_equal(run_operator("Size", list(x), out_dtypes = "int64"), 24)
})

test_that("a batch of nothing stays one", {
  none <- array(0, c(0, 2, 5))
  size <- function(...) dim(run_operator(...))
  expect_equal(size("Conv", list(none, wavy(4, 2, 3), wavy(4)), pads = ints(1, 1)), c(0L, 4L, 5L))
  expect_equal(size("MaxPool", list(none), kernel_shape = ints(2)), c(0L, 2L, 4L))
  expect_equal(size("GlobalAveragePool", list(none)), c(0L, 2L, 1L))
  expect_equal(size("BatchNormalization", list(none, c(1, 1), c(0, 0), c(0, 0), c(1, 1))), c(0L, 2L, 5L))
  expect_equal(size("LayerNormalization", list(none, rep(1, 5))), c(0L, 2L, 5L))
  expect_equal(size("Gemm", list(matrix(0, 0, 3), wavy(3, 4), wavy(4))), c(0L, 4L))
  expect_equal(size("MatMul", list(matrix(0, 0, 3), wavy(3, 4))), c(0L, 4L))
  expect_equal(size("Softmax", list(none), axis = 1L), c(0L, 2L, 5L))
  expect_equal(size("Transpose", list(none)), c(5L, 2L, 0L))
  expect_equal(size("Relu", list(none)), c(0L, 2L, 5L))
  expect_equal(size("Concat", list(none, none), axis = 1L), c(0L, 4L, 5L))
  expect_equal(size("Pad", list(none, c(0, 0, 1, 0, 0, 1)), dtypes = with_int), c(0L, 2L, 7L))
  expect_equal(lapply(run_operator("Split", list(none), axis = 1L, outputs = c("a", "b")), dim),
               list(a = c(0L, 1L, 5L), b = c(0L, 1L, 5L)))
})
