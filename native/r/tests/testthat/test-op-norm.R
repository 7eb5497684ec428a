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

test_that("other normalisations follow their formulas", {
  x <- wavy(2, 4, 3)
  euclid <- run_operator("LpNormalization", list(x), axis = 1L, p = 2L)
  expect_equal(euclid[1, , 2], x[1, , 2] / sqrt(sum(x[1, , 2]^2)))
  expect_equal(run_operator("LpNormalization", list(x), p = 1L)[2, 3, ], x[2, 3, ] / sum(abs(x[2, 3, ])))
  expect_error(run_operator("LpNormalization", list(x), p = 3L), "p = 3", class = "onnx_unsupported")
  root <- run_operator("RMSNormalization", list(x, rep(1, 3)), opset = 23)
  expect_equal(root[1, 2, ], x[1, 2, ] / sqrt(mean(x[1, 2, ]^2) + single(1e-5)))
  image <- wavy(5, 2, 4, 3)
  whole <- image[, 2, , ]
  centred <- (whole - mean(whole)) / sqrt(mean((whole - mean(whole))^2))
  expect_equal(run_operator("MeanVarianceNormalization", list(image))[, 2, , ], centred, tolerance = 1e-8)
  z <- wavy(1, 5, 2)
  lrn <- run_operator("LRN", list(z), size = 3L, alpha = 0.5, beta = 0.5, bias = 2)
  expect_equal(lrn[1, 1, 1], z[1, 1, 1] / sqrt(2 + 0.5 / 3 * sum(z[1, 1:2, 1]^2)))
  expect_equal(lrn[1, 3, 2], z[1, 3, 2] / sqrt(2 + 0.5 / 3 * sum(z[1, 2:4, 2]^2)))
  even <- run_operator("LRN", list(z), size = 2L, alpha = 1, beta = 1, bias = 1)
  expect_equal(even[1, 2, 1], z[1, 2, 1] / (1 + 0.5 * sum(z[1, 2:3, 1]^2)))
})
