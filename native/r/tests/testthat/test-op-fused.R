# Operators of com.microsoft that the project's conformance tests, which ask onnxruntime, do not reach.

fused <- function(operator, inputs, ..., outputs = "y", values = list()) {
  names <- paste0("x", seq_along(inputs))
  write_model(onnx_model(
    list(onnx_node(operator, names, outputs, domain = "com.microsoft", ...)), lapply(names, onnx_value),
    lapply(outputs[nzchar(outputs)], onnx_value), domains = "com.microsoft"
  ))
}

computed <- function(operator, inputs, ..., outputs = "y") {
  predict(onnx_read(fused(operator, inputs, ..., outputs = outputs)), stats::setNames(inputs, paste0("x", seq_along(inputs))))
}

test_that("a sum is added before the activation of a fused convolution, which takes its numbers in order", {
  x <- array(c(-3, -1, 2, 4), c(1, 1, 4))
  weight <- array(1, c(1, 1, 1))
  added <- array(1, c(1, 1, 4))
  y <- computed("FusedConv", list(x, weight, 0, added), activation = "LeakyRelu", activation_params = 0.5)
  expect_equal(as.vector(y), c(-1, 0, 3, 5))
  y <- computed("FusedConv", list(x, weight), activation = "Clip", activation_params = c(-1, 2))
  expect_equal(as.vector(y), c(-1, -1, 2, 2))
  expect_error(onnx_read(fused("FusedConv", list(x, weight), activation = "Mish")), "activation Mish is not supported")
})

test_that("factors are turned as a fused product says", {
  a <- array(as.double(1:12), c(2, 3, 2))
  b <- array(as.double(1:12) / 4, c(2, 3, 2))
  y <- computed("FusedMatMul", list(a, b), transA = 1L, alpha = 0.5)
  expect_equal(y[2, , ], 0.5 * t(a[2, , ]) %*% b[2, , ])
  # The first axis goes before the last.
  y <- computed("FusedMatMul", list(a, b), transBatchA = 1L, transBatchB = 1L, transB = 1L)
  expect_equal(y[3, , ], a[, 3, ] %*% t(b[, 3, ]))
})

test_that("the sum that is normalised is the fourth output, and no other than the first is there", {
  x <- matrix(c(1, 2, 3, 5, 8, 13), 2)
  skip <- matrix(1, 2, 3)
  y <- computed("SkipLayerNormalization", list(x, skip, c(1, 1, 1)), outputs = c("y", "", "", "sum"))
  expect_equal(y$sum, x + 1)
  expect_equal(rowMeans(y$y), c(0, 0), tolerance = 1e-6)
  y <- computed("SkipSimplifiedLayerNormalization", list(x, skip, c(1, 2, 1)))
  expect_equal(y, t(t((x + 1) / sqrt(rowMeans((x + 1)^2))) * c(1, 2, 1)), tolerance = 1e-6)
  expect_error(onnx_read(fused("SkipLayerNormalization", list(x, skip, 1), outputs = c("y", "mean"))), "output of mean or deviation")
})

test_that("channels may be the last axis of a quantised pool", {
  path <- write_model(onnx_model(
    list(onnx_node("QLinearGlobalAveragePool", c("x", "s", "z", "s", "z"), "y", domain = "com.microsoft", channels_last = 1L)),
    list(onnx_value("x", "uint8")), list(onnx_value("y", "uint8")),
    list(onnx_tensor("s", 0.5), onnx_tensor("z", 3, "uint8")), domains = "com.microsoft"
  ))
  x <- array(c(1, 3, 5, 7, 20, 30, 40, 50), c(1, 2, 2, 2))
  expect_equal(as.vector(predict(onnx_read(path), x)), c(4, 35))
})
