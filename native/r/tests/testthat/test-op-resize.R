resize <- function(x, scales, ...) {
  as.vector(run_operator("Resize", list(x, NULL, scales), ..., dtypes = c("float32", "float32", "float32")))
}

test_that("nearest takes the neighbour that its modes name", {
  expect_equal(resize(1:3, 2, mode = "nearest"), c(1, 1, 2, 2, 3, 3))
  at <- function(rounding) resize(1:4, 0.5, nearest_mode = rounding, coordinate_transformation_mode = "half_pixel")
  expect_equal(at("round_prefer_floor"), c(1, 3))
  expect_equal(at("round_prefer_ceil"), c(2, 4))
})

test_that("linear is exact on a straight line, in every coordinate mode that keeps it straight", {
  line <- 0:4
  expect_equal(resize(line, 2, mode = "linear", coordinate_transformation_mode = "align_corners"), seq(0, 4, length.out = 10))
  expect_equal(resize(line, 2, mode = "linear", coordinate_transformation_mode = "asymmetric"), c(seq(0, 4, by = 0.5), 4))
  expect_equal(resize(line, 2, mode = "linear")[2:9], seq(0.25, 3.75, by = 0.5))
})

test_that("cubic reproduces its own grid points and constants", {
  x <- wavy(6)
  expect_equal(resize(x, 2, mode = "cubic", coordinate_transformation_mode = "asymmetric")[seq(1, 11, 2)], as.vector(x))
  expect_equal(resize(rep(3, 6), 2.5, mode = "cubic"), rep(3, 15))
})

test_that("what Resize cannot do is refused when the file is read", {
  expect_error(resize(1:3, 2, mode = "lanczos"), "lanczos", class = "onnx_unsupported")
})
