# SpectralNet in R torch: physical variables from a reflectance spectrum.
#
# A design of the project that it belongs to, under its licence (MIT). Needs nothing but torch (and safetensors and jsonlite, which
# torch brings, to load weights). The names are those of the twin in native/pytorch/spectralnet.py and in the harness's canonical
# weights.
#
#   source("spectralnet.R")
#   model <- spectralnet_load("weights.safetensors")   # with model.json beside it
#   model(torch::torch_randn(8, 40))

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

#' Canonical name to the name in the module's state, one by one: equal names prove nothing, so they are said.
spectralnet_names <- function() {
  trained <- c("weight", "bias")
  normalised <- c(trained, "running_mean", "running_var")
  names <- c(
    paste0("conv1.", trained), paste0("norm1.", normalised), paste0("dense.", trained), paste0("dense_norm.", normalised),
    paste0("output.", trained)
  )
  stats::setNames(names, names)
}

#' Put canonical weights into a SpectralNet
#'
#' @param model a SpectralNet.
#' @param weights named list of torch tensors in PyTorch's layout.
#' @return The model, in evaluation mode. Names that are missing, left over or of another shape stop it.
spectralnet_weights <- function(model, weights) {
  names <- spectralnet_names()
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

#' A SpectralNet from its canonical weights
#'
#' @param path a canonical `.safetensors` file.
#' @param settings arguments of `SpectralNet` by name, by default those of the `model.json` beside the weights.
#' @return The model, in evaluation mode.
spectralnet_load <- function(path, settings = spectralnet_settings(file.path(dirname(path), "model.json"))) {
  spectralnet_weights(do.call(SpectralNet, settings), safetensors::safe_load_file(path, framework = "torch"))
}

#' The arguments of `SpectralNet` in a model specification of the harness
spectralnet_settings <- function(path) {
  if (!file.exists(path)) stop(path, " is missing; give the settings of the model", call. = FALSE)
  specification <- jsonlite::fromJSON(path)
  c(specification$hyperparameters, list(head = specification$head))
}
