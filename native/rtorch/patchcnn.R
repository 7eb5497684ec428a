# PatchCNN in R torch: the labels of an image patch, any number of them.
#
# A design of the project that it belongs to, under its licence (MIT). Needs torch (and safetensors and jsonlite, which torch
# brings, to load weights), and weights.R beside it. The names are those of the twin in native/pytorch/patchcnn.py and in the
# harness's canonical weights.
#
#   source("patchcnn.R")
#   model <- patchcnn_load("weights.safetensors")   # with model.json beside it
#   model(torch::torch_randn(8, 4, 16, 12))

# weights.R lies beside this file, whose path source() holds as `ofile` and sys.source() as `file`.
local({
  reader <- Find(function(frame) is.character(c(frame$ofile, frame$file)), rev(sys.frames()))
  folder <- if (isTRUE(reader$chdir)) "." else dirname(c(reader$ofile, reader$file, "weights.R")[1L])
  sys.source(file.path(folder, "weights.R"), parent.env(environment()))
})

#' Two convolutions with a 2 x 2 maximum between them, the mean over all positions, then the labels
#'
#' Input (sample, band, row, column); output (sample, label), 0 to 1. A last odd row or column is left out of the maximum.
#'
#' @param bands,labels sizes of the patch and of the output.
#' @param filters of the two convolutions.
#' @param head what the output holds: "sigmoid" alone.
PatchCNN <- torch::nn_module(
  "PatchCNN",
  initialize = function(bands, labels, filters = c(16, 32), head = "sigmoid") {
    if (head != "sigmoid") stop("head must be sigmoid, not '", head, "'", call. = FALSE)
    self$conv1 <- torch::nn_conv2d(bands, filters[1L], 3, padding = 1)
    self$norm1 <- torch::nn_batch_norm2d(filters[1L], eps = 1e-5, momentum = 0.1)
    self$conv2 <- torch::nn_conv2d(filters[1L], filters[2L], 3, padding = 1)
    self$norm2 <- torch::nn_batch_norm2d(filters[2L], eps = 1e-5, momentum = 0.1)
    self$classifier <- torch::nn_linear(filters[2L], labels)
  },
  forward = function(x) {
    x <- torch::nnf_relu(self$norm1(self$conv1(x)))
    x <- torch::nnf_max_pool2d(x, 2)
    x <- torch::nnf_relu(self$norm2(self$conv2(x)))
    x <- torch::torch_mean(x, dim = c(3, 4))
    torch::torch_sigmoid(self$classifier(x))
  }
)

#' See `canonical_names()`
patchcnn_names <- function() canonical_names(c("conv1", "norm1", "conv2", "norm2", "classifier"))

#' Put canonical weights into a PatchCNN, see `canonical_weights()`
patchcnn_weights <- function(model, weights) canonical_weights(model, weights, patchcnn_names())

#' A PatchCNN from its canonical weights
#'
#' @param path a canonical `.safetensors` file.
#' @param settings arguments of `PatchCNN` by name, by default those of the `model.json` beside the weights.
#' @return The model, in evaluation mode.
patchcnn_load <- function(path, settings = patchcnn_settings(file.path(dirname(path), "model.json"))) {
  patchcnn_weights(do.call(PatchCNN, settings), canonical_file(path))
}

#' The arguments of `PatchCNN` in a model specification of the harness
patchcnn_settings <- model_settings
