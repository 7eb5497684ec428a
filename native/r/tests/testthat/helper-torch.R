skip_without_torch <- function() {
  skip_if_not_installed("torch")
  skip_if_not(torch::torch_is_installed(), "R torch has no libtorch here")
}

# conv -> batch normalisation -> relu -> dropout -> mean over time -> dense; two classes of series (sample, band, time).
trainable_model <- function() {
  write_model(onnx_model(
    list(
      onnx_node("Conv", c("x", "w", "b"), "c", kernel_shape = ints(3), pads = ints(1, 1)),
      onnx_node("BatchNormalization", c("c", "scale", "shift", "mean", "variance"), "n", momentum = 0.75),
      onnx_node("Relu", "n", "r"),
      onnx_node("Dropout", c("r", "ratio"), "d"),
      onnx_node("GlobalAveragePool", "d", "g"),
      onnx_node("Flatten", "g", "f"),
      onnx_node("Gemm", c("f", "dense", "bias"), "y", transB = 1L)
    ),
    list(onnx_value("x", "float32", list("sample", 2, 6))), list(onnx_value("y", "float32", list("sample", 2))),
    list(
      onnx_tensor("w", wavy(4, 2, 3)), onnx_tensor("b", wavy(4)), onnx_tensor("scale", c(1, 0.9, 1.1, 1)),
      onnx_tensor("shift", wavy(4) / 4), onnx_tensor("mean", wavy(4) / 3), onnx_tensor("variance", c(1, 2, 0.5, 1.5)),
      onnx_tensor("ratio", 0.25, scalar = TRUE), onnx_tensor("dense", wavy(2, 4)), onnx_tensor("bias", c(0.1, -0.1))
    )
  ))
}

as_torch_input <- function(x, double = FALSE) {
  torch::torch_tensor(x, dtype = if (double) torch::torch_double() else torch::torch_float())
}
