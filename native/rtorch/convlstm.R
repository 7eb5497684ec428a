# ConvLSTM in R torch.
#
# Shi, Chen, Wang, Yeung, Wong, Woo (2015): Convolutional LSTM Network: A Machine Learning Approach for Precipitation
# Nowcasting. Advances in Neural Information Processing Systems 28. https://arxiv.org/abs/1506.04214
#
# Needs torch (and safetensors and jsonlite, which torch brings, to load weights), and weights.R beside it. The names are those
# of the twin in native/pytorch/convlstm.py and in the harness's canonical weights.
#
#   source("convlstm.R")
#   model <- convlstm_load("weights.safetensors")   # with model.json beside it
#   model(torch::torch_randn(2, 1, 18, 64, 64))

# weights.R lies beside this file, whose path source() holds as `ofile` and sys.source() as `file`.
local({
  reader <- Find(function(frame) is.character(c(frame$ofile, frame$file)), rev(sys.frames()))
  folder <- if (isTRUE(reader$chdir)) "." else dirname(c(reader$ofile, reader$file, "weights.R")[1L])
  sys.source(file.path(folder, "weights.R"), parent.env(environment()))
})

#' An activation by name: "linear", "tanh" or "leaky-relu" with a slope
convlstm_activated <- function(x, name, slope) {
  switch(name, linear = x, tanh = torch::torch_tanh(x), `leaky-relu` = torch::nnf_leaky_relu(x, slope))
}

#' A convolutional LSTM over time: equation 3 of the paper without peepholes
#'
#' Input (sample, channel, time, row, column), output (sample, filter, time, row, column). One convolution of the frame and
#' the hidden state gives the four gates; weight (4 filters, channels + filters, kernel, kernel).
#'
#' @param gate_order how the gates lie in weight and bias: i input, f forget, o output, g candidate.
#' @param activation that of candidate and cell output; recurrent_activation that of the three gates.
#' @param forget_bias what the bias of the forget gate begins with; all others begin with 0.
ConvLSTMLayer <- torch::nn_module(
  "ConvLSTMLayer",
  inherit = torch::nn_conv2d,
  initialize = function(channels, filters, kernel, activation, recurrent_activation, slope, gate_order, forget_bias) {
    super$initialize(channels + filters, 4 * filters, kernel, padding = kernel %/% 2)
    self$filters <- filters
    self$gates <- strsplit(gate_order, "")[[1L]]
    self$activation <- activation
    self$recurrent_activation <- recurrent_activation
    self$slope <- slope
    self$hard_slope <- 0.2
    torch::with_no_grad({
      begun <- lapply(self$gates, function(gate) torch::torch_full(filters, if (gate == "f") forget_bias else 0))
      self$bias$copy_(torch::torch_cat(begun))
    })
  },
  forward = function(x) {
    size <- dim(x)
    hidden <- torch::torch_zeros(size[1L], self$filters, size[4L], size[5L], dtype = x$dtype, device = x$device)
    cell <- hidden
    steps <- vector("list", size[3L])
    for (step in seq_along(steps)) {
      joined <- torch::torch_cat(list(x[, , step], hidden), dim = 2)
      convolved <- torch::nnf_conv2d(joined, self$weight, self$bias, padding = self$padding)
      gates <- stats::setNames(torch::torch_chunk(convolved, 4, dim = 2), self$gates)
      candidate <- convlstm_activated(gates$g, self$activation, self$slope)
      cell <- self$gate(gates$f) * cell + self$gate(gates$i) * candidate
      hidden <- self$gate(gates$o) * convlstm_activated(cell, self$activation, self$slope)
      steps[[step]] <- hidden
    }
    torch::torch_stack(steps, dim = 3)
  },
  # How far a gate is open, 0 to 1.
  gate = function(x) {
    if (self$recurrent_activation == "hard-sigmoid") torch::torch_clamp(self$hard_slope * x + 0.5, 0, 1) else torch::torch_sigmoid(x)
  }
)

#' Stacked convolutional LSTMs, then a 3-D convolution to one band
#'
#' Input (sample, band, time, row, column), output (sample, 1, time, row, column): what follows, as many frames as were seen,
#' 0 to 1. Every layer is followed by an activation, every layer but the last by batch normalisation too.
#'
#' @param bands of a frame.
#' @param filters,kernels one entry per layer.
#' @param cell_activation,layer_activation "linear", "tanh" or "leaky-relu".
#' @param recurrent_activation "sigmoid" or "hard-sigmoid", which is clip(0.2 x + 0.5, 0, 1).
#' @param slope of every LeakyReLU.
#' @param gate_order,forget_bias of the layers.
#' @param epsilon,momentum of batch normalisation; momentum is the weight of the new value.
#' @param output_kernel time, rows and columns of the last convolution.
ConvLSTM <- torch::nn_module(
  "ConvLSTM",
  initialize = function(bands, filters = c(64, 64, 64, 64), kernels = c(7, 5, 3, 1), cell_activation = "tanh",
                        recurrent_activation = "sigmoid", layer_activation = "leaky-relu", slope = 0.01,
                        gate_order = "ifog", forget_bias = 0, epsilon = 1e-3, momentum = 0.99,
                        output_kernel = c(3, 3, 3)) {
    convlstm_check(cell_activation, recurrent_activation, layer_activation, gate_order)
    if (length(filters) != length(kernels)) stop("filters and kernels must be equally long", call. = FALSE)
    self$layers <- length(filters)
    self$layer_activation <- layer_activation
    self$slope <- slope
    channels <- bands
    for (index in seq_along(filters)) {
      self$add_module(paste0("lstm", index), ConvLSTMLayer(
        channels, filters[index], kernels[index], cell_activation, recurrent_activation, slope, gate_order, forget_bias
      ))
      if (index < self$layers) {
        self$add_module(paste0("norm", index), torch::nn_batch_norm3d(filters[index], eps = epsilon, momentum = momentum))
      }
      channels <- filters[index]
    }
    self$output <- torch::nn_conv3d(channels, 1, output_kernel, padding = output_kernel %/% 2)
  },
  forward = function(x) {
    for (index in seq_len(self$layers)) {
      x <- convlstm_activated(self[[paste0("lstm", index)]](x), self$layer_activation, self$slope)
      if (index < self$layers) x <- self[[paste0("norm", index)]](x)
    }
    torch::torch_sigmoid(self$output(x))
  }
)

#' Stop at a setting that no ConvLSTM has
convlstm_check <- function(cell_activation, recurrent_activation, layer_activation, gate_order) {
  given <- list(cell_activation = cell_activation, layer_activation = layer_activation,
                recurrent_activation = recurrent_activation)
  known <- list(c("linear", "tanh", "leaky-relu"), c("linear", "tanh", "leaky-relu"), c("sigmoid", "hard-sigmoid"))
  for (index in seq_along(given)) {
    if (!given[[index]] %in% known[[index]]) {
      stop(names(given)[index], " must be one of ", paste(known[[index]], collapse = ", "), ", not '", given[[index]], "'",
           call. = FALSE)
    }
  }
  if (!identical(sort(strsplit(gate_order, "")[[1L]]), c("f", "g", "i", "o"))) {
    stop("gate_order must hold i, f, o and g once each, not '", gate_order, "'", call. = FALSE)
  }
}

#' See `canonical_names()`
convlstm_names <- function(layers) {
  names <- paste0(c("lstm", "norm"), rep(seq_len(layers), each = 2L))
  # The last layer is not normalised.
  canonical_names(c(names[-length(names)], "output"))
}

#' Put canonical weights into a ConvLSTM, see `canonical_weights()`; the gates lie in the model's `gate_order`
convlstm_weights <- function(model, weights) canonical_weights(model, weights, convlstm_names(model$layers))

#' A ConvLSTM from its canonical weights
#'
#' @param path a canonical `.safetensors` file.
#' @param settings arguments of `ConvLSTM` by name. The weights do not know them: two activations make two functions of the
#'   same weights. By default those of the `model.json` beside the weights.
#' @return The model, in evaluation mode.
convlstm_load <- function(path, settings = convlstm_settings(file.path(dirname(path), "model.json"))) {
  convlstm_weights(do.call(ConvLSTM, settings), canonical_file(path))
}

#' The arguments of `ConvLSTM` in a model specification of the harness, which takes no head
convlstm_settings <- function(path) {
  settings <- model_settings(path)
  settings[names(settings) != "head"]
}
