# Makes inst/extdata/crops.onnx, the model of the examples: a small convolutional
# classifier of time series (3 bands, 8 dates) into 4 classes. Its weights are
# not trained, they only make the examples run. From the package's folder:
#
#     Rscript data-raw/crops.R

library(plainonnx)
source("tests/testthat/helper-model.R")

set.seed(1)
draw <- function(...) array(stats::rnorm(prod(...)) / sqrt(prod(...) / max(...)), c(...))

nodes <- list(
  onnx_node("Conv", c("x", "conv.weight", "conv.bias"), "features", kernel_shape = ints(3), pads = c(1L, 1L)),
  onnx_node("BatchNormalization", c("features", "norm.scale", "norm.bias", "norm.mean", "norm.variance"), "normalised"),
  onnx_node("Relu", "normalised", "active"),
  onnx_node("GlobalAveragePool", "active", "pooled"),
  onnx_node("Flatten", "pooled", "flat"),
  onnx_node("Gemm", c("flat", "dense.weight", "dense.bias"), "logits", transB = 1L)
)
initializers <- list(
  onnx_tensor("conv.weight", draw(c(6, 3, 3))), onnx_tensor("conv.bias", rep(0, 6)),
  onnx_tensor("norm.scale", rep(1, 6)), onnx_tensor("norm.bias", rep(0, 6)),
  onnx_tensor("norm.mean", rep(0, 6)), onnx_tensor("norm.variance", rep(1, 6)),
  onnx_tensor("dense.weight", draw(c(4, 6))), onnx_tensor("dense.bias", rep(0, 4))
)
metadata <- c(
  harness.model = "crops-example", harness.classes = '["barley","wheat","corn","meadow"]', harness.class_base = "0",
  harness.bands = '["red","near infrared","short-wave infrared"]', harness.axes = '{"x":["sample","band","date"]}',
  harness.head = "logits"
)
write_model(
  onnx_model(nodes, list(onnx_value("x", shape = list("sample", 3, 8))),
             list(onnx_value("logits", shape = list("sample", 4))), initializers, metadata = metadata),
  "inst/extdata/crops.onnx"
)
