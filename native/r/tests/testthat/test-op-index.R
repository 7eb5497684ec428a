x <- wavy(3, 4)
with_int <- function(n) c("float32", rep("int64", n))

test_that("Slice takes starts, ends, axes and steps of either sign", {
  slice <- function(...) run_operator("Slice", list(x, ...), dtypes = with_int(length(list(...))))
  expect_equal(slice(1, 3, 1), x[, 2:3])
  expect_equal(slice(c(0, -1), c(2, -5), c(0, 1), c(1, -2)), x[1:2, c(4, 2)])
  expect_equal(slice(-100, 100), x)
  expect_equal(dim(slice(3, 1, 1)), c(3L, 0L))
  expect_equal(run_operator("Slice", list(x), starts = ints(1), ends = ints(2), axes = ints(0), opset = 9), x[2, , drop = FALSE])
})

test_that("Gather and its relatives find the right values", {
  expect_equal(run_operator("Gather", list(x, c(2, -3)), dtypes = with_int(1)), x[c(3, 1), ])
  expect_equal(run_operator("Gather", list(x, matrix(c(0, 1, 3, 2), 2)), axis = 1L, dtypes = with_int(1))[2, , ],
               matrix(x[2, c(1, 2, 4, 3)], 2))
  expect_equal(run_operator("GatherElements", list(x, matrix(c(0, 1, 2, 3, 3, 3), 2, byrow = TRUE)), axis = 1L, dtypes = with_int(1)),
               rbind(x[1, 1:3], x[2, c(4, 4, 4)]))
  expect_equal(as.vector(run_operator("GatherND", list(x, rbind(c(0, 1), c(2, 3))), dtypes = with_int(1))), c(x[1, 2], x[3, 4]))
  expect_error(run_operator("Gather", list(x, 3), dtypes = with_int(1)), "length 3", class = "onnx_bad_input")
})

test_that("Scatter puts values where the index says, and adds when told", {
  y <- run_operator("ScatterElements", list(matrix(0, 2, 3), matrix(c(1, 2, 0, 2), 2), matrix(1:4, 2)), axis = 1L,
                    dtypes = c("float32", "int64", "float32"))
  expect_equal(y, rbind(c(3, 1, 0), c(0, 0, 4)))
  added <- run_operator("ScatterND", list(c(1, 1, 1), matrix(c(0, 0, 2), 3), c(5, 6, 7)), reduction = "add",
                        dtypes = c("float32", "int64", "float32"))
  expect_equal(as.vector(added), c(12, 1, 8))
})

test_that("OneHot, NonZero, Trilu and EyeLike", {
  hot <- run_operator("OneHot", list(c(1, -1), scalar(3), c(0, 5)), dtypes = c("int64", "int64", "float32"))
  expect_equal(hot, rbind(c(0, 5, 0), c(0, 0, 5)))
  expect_equal(run_operator("NonZero", list(rbind(c(0, 1), c(2, 0))), out_dtypes = "int64"), rbind(c(0, 1), c(1, 0)))
  expect_equal(dim(run_operator("NonZero", list(matrix(0, 2, 2)), out_dtypes = "int64")), c(2L, 0L))
  expect_equal(run_operator("Trilu", list(matrix(1, 2, 3))), rbind(c(1, 1, 1), c(0, 1, 1)))
  expect_equal(run_operator("EyeLike", list(matrix(0, 2, 3)), k = 1L), rbind(c(0, 1, 0), c(0, 0, 1)))
})
