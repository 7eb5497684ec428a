# TempCNN in R torch.
#
# Pelletier, Webb, Petitjean (2019): Temporal Convolutional Neural Network for the Classification of Satellite Image
# Time Series. Remote Sensing 11(5), 523. https://doi.org/10.3390/rs11050523
#
# Needs torch (and safetensors, which torch brings, to load weights), and weights.R beside it. The names are those of the twin
# in native/pytorch/tempcnn.py and in the harness's canonical weights.
#
#   source("tempcnn.R")
#   model <- tempcnn_load("weights.safetensors", head = "logits")
#   model(torch::torch_randn(8, 13, 45))

# weights.R lies beside this file, whose path source() holds as `ofile` and sys.source() as `file`.
local({
  reader <- Find(function(frame) is.character(c(frame$ofile, frame$file)), rev(sys.frames()))
  folder <- if (isTRUE(reader$chdir)) "." else dirname(c(reader$ofile, reader$file, "weights.R")[1L])
  sys.source(file.path(folder, "weights.R"), parent.env(environment()))
})

#' Convolutions over time, then a dense layer, then the classes
#'
#' Input (sample, band, time); output (sample, class). Every convolution keeps the length of the series and is followed
#' by batch normalisation, ReLU and dropout; so is the dense layer.
#'
#' @param bands,dates,classes sizes of the series and of the output.
#' @param filters,kernels,dropouts one entry per convolution.
#' @param dense_width,dense_dropout of the dense layer.
#' @param head what the output holds, over the classes: "logits", "log-softmax" or "softmax".
TempCNN <- torch::nn_module(
  "TempCNN",
  initialize = function(bands, dates, classes, filters = c(64, 64, 64), kernels = c(5, 5, 5),
                        dropouts = c(0.5, 0.5, 0.5), dense_width = 256, dense_dropout = 0.5, head = "logits") {
    if (!head %in% c("logits", "log-softmax", "softmax")) {
      stop("head must be logits, log-softmax or softmax, not '", head, "'", call. = FALSE)
    }
    if (length(filters) != length(kernels) || length(filters) != length(dropouts)) {
      stop("filters, kernels and dropouts must be equally long", call. = FALSE)
    }
    self$head <- head
    self$convolutions <- length(filters)
    channels <- bands
    for (index in seq_along(filters)) {
      self$add_module(paste0("conv", index), torch::nn_conv1d(channels, filters[index], kernels[index],
                                                              padding = kernels[index] %/% 2))
      self$add_module(paste0("norm", index), torch::nn_batch_norm1d(filters[index], eps = 1e-5, momentum = 0.1))
      self$add_module(paste0("dropout", index), torch::nn_dropout(dropouts[index]))
      channels <- filters[index]
    }
    self$dense <- torch::nn_linear(channels * dates, dense_width)
    self$dense_norm <- torch::nn_batch_norm1d(dense_width, eps = 1e-5, momentum = 0.1)
    self$dense_dropout <- torch::nn_dropout(dense_dropout)
    self$classifier <- torch::nn_linear(dense_width, classes)
  },
  forward = function(x) {
    for (index in seq_len(self$convolutions)) {
      x <- self[[paste0("conv", index)]](x)
      x <- self[[paste0("norm", index)]](x)
      x <- self[[paste0("dropout", index)]](torch::nnf_relu(x))
    }
    # Channel-major: all dates of the first channel, then all of the second.
    x <- torch::torch_flatten(x, start_dim = 2)
    x <- torch::nnf_relu(self$dense_norm(self$dense(x)))
    x <- self$classifier(self$dense_dropout(x))
    switch(self$head, logits = x, `log-softmax` = torch::nnf_log_softmax(x, dim = 2),
           softmax = torch::nnf_softmax(x, dim = 2))
  }
)

#' See `canonical_names()`
tempcnn_names <- function(convolutions) {
  index <- rep(seq_len(convolutions), each = 2L)
  canonical_names(c(paste0(c("conv", "norm"), index), "dense", "dense_norm", "classifier"))
}

#' Put canonical weights into a TempCNN, see `canonical_weights()`
tempcnn_weights <- function(model, weights) {
  canonical_weights(model, weights, tempcnn_names(model$convolutions),
                    hint = "; of an ONNX file, that means that batch normalisation was folded")
}

#' A TempCNN of the sizes that its weights have
#'
#' @param path a canonical `.safetensors` file, or an `.onnx` file whose batch normalisation is not folded (read by the
#'   package plainonnx).
#' @param dropouts,dense_dropout only matter for further training; the weights do not know them.
#' @param head what the output is to hold, by default what the `model.json` beside the weights says.
#' @return The model, in evaluation mode.
tempcnn_load <- function(path, dropouts = NULL, dense_dropout = 0.5,
                         head = tempcnn_head(file.path(dirname(path), "model.json"))) {
  weights <- if (grepl("\\.onnx$", path)) {
    plainonnx::as_nn_module(plainonnx::onnx_read(path))$state_dict()
  } else {
    canonical_file(path)
  }
  convolutions <- sum(grepl("^conv[0-9]+\\.weight$", names(weights)))
  shapes <- lapply(seq_len(convolutions), function(index) weights[[paste0("conv", index, ".weight")]]$shape)
  filters <- vapply(shapes, `[`, 0, 1L)
  if (is.null(weights[["dense.weight"]]) || is.null(weights[["classifier.weight"]]) || convolutions == 0) {
    stop("these are not the weights of a TempCNN: ", path, call. = FALSE)
  }
  model <- TempCNN(
    bands = shapes[[1L]][2L], dates = weights[["dense.weight"]]$shape[2L] / filters[convolutions],
    classes = weights[["classifier.weight"]]$shape[1L], filters = filters, kernels = vapply(shapes, `[`, 0, 3L),
    dropouts = if (is.null(dropouts)) rep(0.5, convolutions) else dropouts,
    dense_width = weights[["dense.weight"]]$shape[1L], dense_dropout = dense_dropout, head = head
  )
  tempcnn_weights(model, weights)
}

#' The head in a model specification of the harness, logits where there is none
tempcnn_head <- function(path) if (file.exists(path)) jsonlite::fromJSON(path)$head else "logits"
