# PatchCNN in R torch: the labels of an image patch, any number of them.
#
# A design of the project that it belongs to, under its licence (MIT). Needs nothing but torch (and safetensors and jsonlite, which
# torch brings, to load weights). The names are those of the twin in native/pytorch/patchcnn.py and in the harness's canonical
# weights.
#
#   source("patchcnn.R")
#   model <- patchcnn_load("weights.safetensors")   # with model.json beside it
#   model(torch::torch_randn(8, 4, 16, 12))

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

#' Canonical name to the name in the module's state, one by one: equal names prove nothing, so they are said.
patchcnn_names <- function() {
  trained <- c("weight", "bias")
  normalised <- c(trained, "running_mean", "running_var")
  names <- c(
    paste0("conv1.", trained), paste0("norm1.", normalised), paste0("conv2.", trained), paste0("norm2.", normalised),
    paste0("classifier.", trained)
  )
  stats::setNames(names, names)
}

#' Put canonical weights into a PatchCNN
#'
#' @param model a PatchCNN.
#' @param weights named list of torch tensors in PyTorch's layout.
#' @return The model, in evaluation mode. Names that are missing, left over or of another shape stop it.
patchcnn_weights <- function(model, weights) {
  names <- patchcnn_names()
  # How often a batch normalisation was updated is no parameter.
  weights <- weights[!grepl("num_batches_tracked$", base::names(weights))]
  missing <- setdiff(names(names), base::names(weights))
  if (length(missing)) stop("the weights lack ", paste(missing, collapse = ", "), call. = FALSE)
  left_over <- setdiff(base::names(weights), names(names))
  if (length(left_over)) stop("no place for ", paste(left_over, collapse = ", "), call. = FALSE)
  state <- model$state_dict()
  torch::with_no_grad({
    for (name in names(names)) {
      target <- state[[names[[name]]]]
      if (!identical(as.integer(target$shape), as.integer(weights[[name]]$shape))) {
        stop(name, " is ", paste(weights[[name]]$shape, collapse = " x "), ", the model wants ",
             paste(target$shape, collapse = " x "), call. = FALSE)
      }
      target$copy_(weights[[name]])
    }
  })
  model$eval()
}

#' A PatchCNN from its canonical weights
#'
#' @param path a canonical `.safetensors` file.
#' @param settings arguments of `PatchCNN` by name, by default those of the `model.json` beside the weights.
#' @return The model, in evaluation mode.
patchcnn_load <- function(path, settings = patchcnn_settings(file.path(dirname(path), "model.json"))) {
  patchcnn_weights(do.call(PatchCNN, settings), safetensors::safe_load_file(path, framework = "torch"))
}

#' The arguments of `PatchCNN` in a model specification of the harness
patchcnn_settings <- function(path) {
  if (!file.exists(path)) stop(path, " is missing; give the settings of the model", call. = FALSE)
  specification <- jsonlite::fromJSON(path)
  c(specification$hyperparameters, list(head = specification$head))
}
