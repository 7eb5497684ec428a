# What the models of this folder share: their canonical weights put into them, and their settings read from `model.json`.
#
# Every model's file reads this one by itself, from the folder in which it lies.

#' The canonical names of the tensors of layers, each with its name in the module's state
#'
#' Equal names prove nothing, so they are said one by one.
#'
#' @param layers names of the layers; one with `norm` in its name is a batch normalisation.
#' @return A character vector, named by canonical name.
canonical_names <- function(layers) {
  trained <- c("weight", "bias")
  tensors <- lapply(layers, function(layer) {
    paste0(layer, ".", if (grepl("norm", layer)) c(trained, "running_mean", "running_var") else trained)
  })
  stats::setNames(nm = unlist(tensors))
}

#' Put canonical weights into a model
#'
#' @param model a module of torch.
#' @param weights named list of torch tensors in PyTorch's layout: convolutions (out, in, ...), dense layers (out, in).
#' @param names see `canonical_names()`.
#' @param hint what to add where weights are missing.
#' @return The model, in evaluation mode. Names that are missing, left over or of another shape stop it.
canonical_weights <- function(model, weights, names, hint = "") {
  # How often a batch normalisation was updated is no parameter.
  weights <- weights[!grepl("num_batches_tracked$", base::names(weights))]
  missing <- setdiff(names(names), base::names(weights))
  if (length(missing)) stop("the weights lack ", paste(missing, collapse = ", "), hint, call. = FALSE)
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

#' The tensors of a canonical `.safetensors` file, as a named list
canonical_file <- function(path) safetensors::safe_load_file(path, framework = "torch")

#' The settings of a model in its specification: its hyperparameters, and `head`, what its output holds
#'
#' @param path the `model.json` that the harness writes beside weights; a file that is not there stops it.
model_settings <- function(path) {
  if (!file.exists(path)) stop(path, " is missing; give the settings of the model", call. = FALSE)
  specification <- jsonlite::fromJSON(path)
  c(specification$hyperparameters, list(head = specification$head))
}
