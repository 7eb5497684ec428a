bytes <- function(operator, inputs, dtypes, ..., out = "uint8", opset = 21L) {
  run_operator(operator, inputs, ..., dtypes = dtypes, out_dtypes = out, opset = opset, precision = "float32", outputs = paste0("y", seq_along(out)))
}

test_that("values are rounded half to even, shifted and cut", {
  x <- c(-3, 0.5, 1.5, 2.5, 300, 127)
  found <- bytes("QuantizeLinear", list(x, scalar(1), scalar(2)), c("float32", "float32", "uint8"))
  expect_equal(as.vector(found), c(0, 2, 4, 4, 255, 129))
  expect_equal(as.vector(bytes("QuantizeLinear", list(x, scalar(1), scalar(0)), c("float32", "float32", "int8"), out = "int8")),
               c(-3, 0, 2, 2, 127, 127))
  expect_error(bytes("QuantizeLinear", list(c(NaN, 1), scalar(1)), c("float32", "float32")), "NaN has no whole number",
               class = "onnx_unsupported")
  expect_error(bytes("QuantizeLinear", list(x, scalar(1)), c("float32", "float32"), output_dtype = 21L), "output_dtype 21",
               class = "onnx_unsupported")
})

test_that("the quotient is a float32, so that ties fall as they do in float32", {
  # In float32 0.7 / 0.2 is 3.5 and 1.7 / 0.2 is 8.5; the exact quotients of these numbers lie below and above.
  found <- bytes("QuantizeLinear", list(c(0.7, 1.7), scalar(0.2)), c("float32", "float32"))
  expect_equal(as.vector(found), c(4, 8))
})

test_that("scales are for all values, for each place of an axis, or for blocks", {
  x <- matrix(c(0:2, 10, 20, 30), 3)
  scale <- c(0.5, 2)
  zero <- c(1, 3)
  dtypes <- c("uint8", "float32", "uint8")
  found <- bytes("DequantizeLinear", list(x, scale, zero), dtypes, out = "float32")
  expect_equal(found, (x - rep(zero, each = 3)) * rep(scale, each = 3))
  back <- bytes("QuantizeLinear", list(found, scale, zero), c("float32", "float32", "uint8"))
  expect_equal(back, x)
  blocks <- matrix(c(1, 2, 3, 4), 2)
  found <- bytes("DequantizeLinear", list(x, blocks), c("uint8", "float32"), out = "float32", axis = 0L, block_size = 2L)
  expect_equal(found, x * blocks[c(1, 1, 2), ])
  expect_error(bytes("DequantizeLinear", list(x, c(1, 2, 3)), c("uint8", "float32"), out = "float32"), "does not fit",
               class = "onnx_bad_input")
})

test_that("products of bytes are exact", {
  a <- matrix(c(11, 7, 3, 10, 6, 2), 3)
  b <- matrix(c(1, 4, 2, 5), 2)
  found <- bytes("MatMulInteger", list(a, b, scalar(12), scalar(0)), rep("uint8", 4), out = "int32", opset = 10L)
  expect_equal(found, (a - 12) %*% b)
  x <- array(2:10, c(1, 1, 3, 3))
  w <- array(1, c(1, 1, 2, 2))
  found <- bytes("ConvInteger", list(x, w, scalar(1)), rep("uint8", 3), out = "int32", opset = 10L)
  expect_equal(as.vector(found), c(sum(x[1, 1, 1:2, 1:2] - 1), sum(x[1, 1, 2:3, 1:2] - 1), sum(x[1, 1, 1:2, 2:3] - 1), sum(x[1, 1, 2:3, 2:3] - 1)))
  q <- bytes("QLinearMatMul", list(a, scalar(0.5), scalar(12), b, scalar(0.25), scalar(0), scalar(0.1), scalar(128)),
             c("uint8", "float32", "uint8", "uint8", "float32", "uint8", "float32", "uint8"), opset = 10L)
  expect_equal(q, pmin(pmax(round((a - 12) %*% b * (0.125 / 0.1)) + 128, 0), 255))
  conv <- bytes("QLinearConv", list(x, scalar(0.5), scalar(1), w, 0.25, 0, scalar(0.5), scalar(3), 4),
                c("uint8", "float32", "uint8", "uint8", "float32", "uint8", "float32", "uint8", "int32"), opset = 10L)
  expect_equal(as.vector(conv), round((as.vector(found) + 4) * 0.25) + 3)
})

test_that("a dynamic scale spans the values and zero", {
  x <- c(0, 2, -3, -2.5, 1.34, 0.5)
  found <- bytes("DynamicQuantizeLinear", list(x), "float32", out = c("uint8", "float32", "uint8"), opset = 11L)
  expect_equal(lapply(found, as.vector), list(y1 = c(153, 255, 0, 26, 221, 179), y2 = 0.0196078438, y3 = 153), tolerance = 1e-7)
})

test_that("bits are those of another type, where R holds them", {
  found <- bytes("BitCast", list(c(1, -2)), "float32", to = 6L, out = "int32", opset = 26L)
  expect_equal(as.vector(found), c(1065353216, -1073741824))
  expect_error(bytes("BitCast", list(c(1, -2)), "float64", to = 7L, out = "int64", opset = 26L), "64 bits", class = "onnx_unsupported")
})
