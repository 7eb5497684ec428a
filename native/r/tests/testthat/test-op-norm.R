single <- function(x) plainonnx:::round_to_dtype(x, "float32")

test_that("BatchNormalization uses the given statistics per channel, and a float32 epsilon", {
  x <- wavy(4, 3, 5)
  scale <- c(1, 2, 0.5)
  bias <- c(0, 1, -1)
  mean <- c(0.1, -0.2, 0.3)
  variance <- c(1, 4, 0.25)
  y <- run_operator("BatchNormalization", list(x, scale, bias, mean, variance), epsilon = 1e-3)
  for (c in 1:3) {
    expect_equal(y[, c, ], (x[, c, ] - mean[c]) / sqrt(variance[c] + single(1e-3)) * scale[c] + bias[c], tolerance = 1e-14)
  }
  expect_error(run_operator("BatchNormalization", list(x, 1, 0, 0, 1)), "3 channels", class = "onnx_bad_input")
})

test_that("batch statistics before opset 14 are refused when the file is read", {
  expect_error(
    run_operator("BatchNormalization", list(wavy(2, 1, 3), 1, 0, 0, 1), opset = 9, outputs = c("y", "m", "v", "sm", "sv")),
    "training mode", class = "onnx_unsupported"
  )
})

test_that("Layer, Instance and GroupNormalization give mean 0 and variance 1 over their own axes", {
  x <- wavy(2, 4, 6)
  layer <- run_operator("LayerNormalization", list(x, rep(1, 6)))
  expect_equal(apply(layer, 1:2, mean), matrix(0, 2, 4))
  expect_equal(apply(layer^2, 1:2, mean), matrix(1, 2, 4), tolerance = 1e-4)
  instance <- run_operator("InstanceNormalization", list(x, 1:4, rep(0, 4)))
  expect_equal(sqrt(apply(instance^2, 1:2, mean)), matrix(1:4, 2, 4, byrow = TRUE), tolerance = 1e-4)
  group <- run_operator("GroupNormalization", list(x, rep(1, 4), rep(0, 4)), num_groups = 2L, opset = 21)
  expect_equal(mean(group[2, 3:4, ]), 0)
  expect_equal(mean(group[2, 3:4, ]^2), 1, tolerance = 1e-4)
})
