# What a reader has when docs/why-does-my-onnx-differ.md shows R code: a model, and the inputs that `harness sample` wrote.
model <- torch::nn_module(
  "reader", initialize = function() self$dense <- torch::nn_linear(3, 2), forward = function(x) self$dense(x)
)()
safetensors::safe_save_file(list(x = torch::torch_randn(4, 3)), "X.safetensors")
