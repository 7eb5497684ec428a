test_that("files of both PyTorch exporters give what PyTorch gave", {
  expected <- safetensors_read(test_path("fixtures", "expected.safetensors"))
  x <- array(expected$x, dim(expected$x))
  logits <- array(expected$logits, dim(expected$logits))
  # The folded weights were rounded to float32; the unfolded ones are the same numbers.
  expect_equal(predict(onnx_read(test_path("fixtures", "dynamo.onnx"), "float64"), x), logits, tolerance = 1e-6)
  expect_equal(predict(onnx_read(test_path("fixtures", "script.onnx"), "float64"), x), logits, tolerance = 1e-12)
})
