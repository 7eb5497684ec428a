# The hand-written TempCNN of native/rtorch against the ONNX graph of the same weights.

tempcnn_file <- testthat::test_path("..", "..", "..", "rtorch", "tempcnn.R")

skip_without_tempcnn <- function() {
  skip_without_torch()
  skip_if_not(file.exists(tempcnn_file), "native/rtorch is not beside this package")
}

# A module with weights and statistics that are not round; three bands, eight dates, four classes.
written_tempcnn <- function(space) {
  torch::torch_manual_seed(20190306)
  model <- space$TempCNN(bands = 3, dates = 8, classes = 4, filters = c(5, 6), kernels = c(3, 5), dropouts = c(0.2, 0.3),
                         dense_width = 7)
  torch::with_no_grad(for (name in names(model$state_dict())) {
    values <- model$state_dict()[[name]]
    if (grepl("running_mean$|norm.*bias$", name)) values$normal_(0, 0.5)
    if (grepl("running_var$|norm.*weight$", name)) values$uniform_(0.5, 2)
  })
  model$eval()
}

canonical_weights <- function(model) {
  weights <- lapply(model$state_dict(), function(p) as.array(p$to(dtype = torch::torch_double())))
  weights[!grepl("num_batches_tracked$", names(weights))]
}

# The graph as an exporter writes it that folds nothing.
tempcnn_onnx <- function(weights) {
  norm <- function(name, from, to) {
    onnx_node("BatchNormalization", c(from, paste0(name, c(".weight", ".bias", ".running_mean", ".running_var"))), to)
  }
  nodes <- list(
    onnx_node("Conv", c("x", "conv1.weight", "conv1.bias"), "c1", kernel_shape = ints(3), pads = ints(1, 1)),
    norm("norm1", "c1", "n1"), onnx_node("Relu", "n1", "r1"),
    onnx_node("Conv", c("r1", "conv2.weight", "conv2.bias"), "c2", kernel_shape = ints(5), pads = ints(2, 2)),
    norm("norm2", "c2", "n2"), onnx_node("Relu", "n2", "r2"), onnx_node("Flatten", "r2", "f"),
    onnx_node("Gemm", c("f", "dense.weight", "dense.bias"), "d", transB = 1L), norm("dense_norm", "d", "dn"),
    onnx_node("Relu", "dn", "dr"), onnx_node("Gemm", c("dr", "classifier.weight", "classifier.bias"), "logits", transB = 1L)
  )
  write_model(onnx_model(
    nodes, list(onnx_value("x", "float32", list("sample", 3, 8))), list(onnx_value("logits", "float32", list("sample", 4))),
    unname(Map(onnx_tensor, names(weights), weights))
  ))
}

test_that("canonical weights and the ONNX graph of them give what the module gives", {
  skip_without_tempcnn()
  space <- new.env()
  sys.source(tempcnn_file, space)
  model <- written_tempcnn(space)
  weights <- canonical_weights(model)
  path <- tempfile(fileext = ".safetensors")
  safetensors_write(weights, path, "float32")
  onnx <- tempcnn_onnx(weights)
  x <- torch::torch_tensor(wavy(6, 3, 8), dtype = torch::torch_float())
  expected <- model(x)
  loaded <- space$tempcnn_load(path)
  expect_false(loaded$training)
  expect_true(torch::torch_equal(loaded(x), expected))
  expect_true(torch::torch_equal(space$tempcnn_load(onnx)(x), expected))
  # The same operators on the same tensors: the graph is the module, bit for bit.
  expect_true(torch::torch_equal(as_nn_module(onnx_read(onnx))(x), expected))
  expect_equal(as.array(expected), unname(predict(onnx_read(onnx), as.array(x))), tolerance = 1e-5)
})

test_that("heads are over the classes", {
  skip_without_tempcnn()
  space <- new.env()
  sys.source(tempcnn_file, space)
  weights <- canonical_weights(written_tempcnn(space))
  path <- tempfile(fileext = ".safetensors")
  safetensors_write(weights, path, "float32")
  x <- torch::torch_tensor(wavy(6, 3, 8), dtype = torch::torch_float())
  soft <- as.array(space$tempcnn_load(path, head = "softmax")(x))
  expect_equal(rowSums(soft), rep(1, 6), tolerance = 1e-6)
  expect_equal(as.array(space$tempcnn_load(path, head = "log-softmax")(x)), log(soft), tolerance = 1e-5)
  expect_error(space$tempcnn_load(path, head = "sigmoid"), "'sigmoid'")
})

test_that("weights that do not fit are refused by name", {
  skip_without_tempcnn()
  space <- new.env()
  sys.source(tempcnn_file, space)
  model <- written_tempcnn(space)
  tensors <- lapply(canonical_weights(model), torch::torch_tensor)
  expect_error(space$tempcnn_weights(model, tensors[names(tensors) != "norm1.weight"]), "lack norm1.weight")
  expect_error(space$tempcnn_weights(model, c(tensors, list(extra = tensors[[1]]))), "no place for extra")
  turned <- replace(tensors, "dense.weight", list(tensors[["dense.weight"]]$t()))
  expect_error(space$tempcnn_weights(model, turned), "dense.weight is 48 x 7, the model wants 7 x 48")
})
