# FieldSeg in R torch: a class for every pixel of a field, from an image, the day of its year and a mask.
#
# A design of the project that it belongs to, under its licence (MIT). Needs torch (and safetensors and jsonlite, which torch
# brings, to load weights), and weights.R beside it. The names are those of the twin in native/pytorch/fieldseg.py and in the
# harness's canonical weights.
#
#   source("fieldseg.R")
#   model <- fieldseg_load("weights.safetensors")   # with model.json beside it
#   model(torch::torch_randn(8, 4, 16, 12), torch::torch_full(8, 180), torch::torch_ones(8, 16, 12, dtype = torch::torch_bool()))

# weights.R lies beside this file, whose path source() holds as `ofile` and sys.source() as `file`.
local({
  reader <- Find(function(frame) is.character(c(frame$ofile, frame$file)), rev(sys.frames()))
  folder <- if (isTRUE(reader$chdir)) "." else dirname(c(reader$ofile, reader$file, "weights.R")[1L])
  sys.source(file.path(folder, "weights.R"), parent.env(environment()))
})

#' Radians per day, 2 pi / 365.25 rounded to single precision: in double precision it must be the same number
fieldseg_radians_per_day <- 0.01720242388546467

#' Two convolutions at full resolution, told the day of the year and what lies in the field, then the classes
#'
#' Inputs x (sample, band, row, column), doy (sample), the day of the year, and mask, logical (sample, row, column), TRUE on the
#' pixels of the field. Output: a list of logits (sample, class, row, column), and of the mean of the classes' probabilities over
#' the pixels of the field (sample, class), 0 where it has none.
#'
#' @param bands,classes sizes of the image and of the output.
#' @param width channels between the layers.
#' @param head what the first output holds: "logits" alone.
FieldSeg <- torch::nn_module(
  "FieldSeg",
  initialize = function(bands, classes, width = 16, head = "logits") {
    if (head != "logits") stop("head must be logits, not '", head, "'", call. = FALSE)
    self$season <- torch::nn_linear(2, width)
    self$conv1 <- torch::nn_conv2d(bands, width, 3, padding = 1)
    self$norm1 <- torch::nn_batch_norm2d(width, eps = 1e-5, momentum = 0.1)
    self$conv2 <- torch::nn_conv2d(width, width, 3, padding = 1)
    self$norm2 <- torch::nn_batch_norm2d(width, eps = 1e-5, momentum = 0.1)
    self$context <- torch::nn_linear(width, width)
    self$classifier <- torch::nn_conv2d(width, classes, 1)
  },
  forward = function(x, doy, mask) {
    everywhere <- function(channels) channels$unsqueeze(3)$unsqueeze(4)
    angle <- doy * fieldseg_radians_per_day
    season <- self$season(torch::torch_stack(list(torch::torch_sin(angle), torch::torch_cos(angle)), dim = 2))
    x <- torch::nnf_relu(self$norm1(self$conv1(x)) + everywhere(season))
    x <- torch::nnf_relu(self$norm2(self$conv2(x)))
    weight <- mask$to(dtype = x$dtype)$unsqueeze(2)
    # A field without a pixel has means of 0.
    pixels <- torch::torch_clamp(torch::torch_sum(weight, dim = c(3, 4)), min = 1)
    context <- self$context(torch::torch_sum(x * weight, dim = c(3, 4)) / pixels)
    scores <- self$classifier(x + everywhere(context))
    share <- torch::torch_sum(torch::nnf_softmax(scores, dim = 2) * weight, dim = c(3, 4)) / pixels
    list(scores, share)
  }
)

#' See `canonical_names()`
fieldseg_names <- function() canonical_names(c("season", "conv1", "norm1", "conv2", "norm2", "context", "classifier"))

#' Put canonical weights into a FieldSeg, see `canonical_weights()`
fieldseg_weights <- function(model, weights) canonical_weights(model, weights, fieldseg_names())

#' A FieldSeg from its canonical weights
#'
#' @param path a canonical `.safetensors` file.
#' @param settings arguments of `FieldSeg` by name, by default those of the `model.json` beside the weights.
#' @return The model, in evaluation mode.
fieldseg_load <- function(path, settings = fieldseg_settings(file.path(dirname(path), "model.json"))) {
  fieldseg_weights(do.call(FieldSeg, settings), canonical_file(path))
}

#' The arguments of `FieldSeg` in a model specification of the harness
fieldseg_settings <- model_settings
