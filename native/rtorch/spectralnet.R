# SpectralNet in R torch: physical variables from a reflectance spectrum.
#
# A design of the project that it belongs to, under its licence (MIT). Needs torch (and safetensors and jsonlite, which torch
# brings, to load weights), and weights.R beside it. The names are those of the twin in native/pytorch/spectralnet.py and in the
# harness's canonical weights.
#
#   source("spectralnet.R")
#   model <- spectralnet_load("weights.safetensors")   # with model.json beside it
#   model(torch::torch_randn(8, 40))

# weights.R lies beside this file, whose path source() holds as `ofile` and sys.source() as `file`.
local({
  reader <- Find(function(frame) is.character(c(frame$ofile, frame$file)), rev(sys.frames()))
  folder <- if (isTRUE(reader$chdir)) "." else dirname(c(reader$ofile, reader$file, "weights.R")[1L])
  sys.source(file.path(folder, "weights.R"), parent.env(environment()))
})

#' A convolution along the spectrum, a dense layer, then the variables
#'
#' Input (sample, band); output (sample, variable). Convolution and dense layer are followed by batch normalisation and ReLU.
#'
#' @param bands,variables sizes of the spectrum and of the output.
#' @param filters,kernel of the convolution.
#' @param dense_width of the dense layer.
#' @param head what the output holds: "linear" alone.
SpectralNet <- torch::nn_module(
  "SpectralNet",
  initialize = function(bands, variables, filters = 6, kernel = 5, dense_width = 24, head = "linear") {
    if (head != "linear") stop("head must be linear, not '", head, "'", call. = FALSE)
    self$conv1 <- torch::nn_conv1d(1, filters, kernel, padding = kernel %/% 2)
    self$norm1 <- torch::nn_batch_norm1d(filters, eps = 1e-5, momentum = 0.1)
    self$dense <- torch::nn_linear(filters * bands, dense_width)
    self$dense_norm <- torch::nn_batch_norm1d(dense_width, eps = 1e-5, momentum = 0.1)
    self$output <- torch::nn_linear(dense_width, variables)
  },
  forward = function(x) {
    x <- torch::nnf_relu(self$norm1(self$conv1(x$unsqueeze(2))))
    # Channel-major: all bands of the first channel, then all of the second.
    x <- torch::torch_flatten(x, start_dim = 2)
    x <- torch::nnf_relu(self$dense_norm(self$dense(x)))
    self$output(x)
  }
)

#' See `canonical_names()`
spectralnet_names <- function() canonical_names(c("conv1", "norm1", "dense", "dense_norm", "output"))

#' Put canonical weights into a SpectralNet, see `canonical_weights()`
spectralnet_weights <- function(model, weights) canonical_weights(model, weights, spectralnet_names())

#' A SpectralNet from its canonical weights
#'
#' @param path a canonical `.safetensors` file.
#' @param settings arguments of `SpectralNet` by name, by default those of the `model.json` beside the weights.
#' @return The model, in evaluation mode.
spectralnet_load <- function(path, settings = spectralnet_settings(file.path(dirname(path), "model.json"))) {
  spectralnet_weights(do.call(SpectralNet, settings), canonical_file(path))
}

#' The arguments of `SpectralNet` in a model specification of the harness
spectralnet_settings <- model_settings
