# A model in the clothes of sits: a function of a matrix of pixels, of class "sits_model".
#
# What sits asks of it was read in the public source of github.com/e-sensing/sits, tags v1.4.1 (6eac9ed), v1.4.2,
# v1.5.0 (e3205de), v1.5.1, v1.5.2, v1.5.3 (60e3733) and branch dev at 1.5.4 (f0a8094):
#
# * `samples`, in the function's environment, is a tibble of class "sits". Bands, labels and dates of the model are
#   those of the samples: bands the columns of the first series, labels sorted, the number of dates that of the first.
# * `model` is what sits_model_export() gives. `train_samples` has the predictors' names after its first two columns, and
#   sits names the columns of a cube's pixels after them. `stats` must not be there: it marks models of old versions.
# * values come as a data frame or a matrix with a row for each pixel: all dates of the first band, then of the second.
#   Columns are named after the band and the number of the date: NDVI1, NDVI2, ...
# * probabilities go back as a matrix with a column for each label, in the order of the labels, for a cube's layers are
#   named by position. From 1.5.1 on sits puts the scores of a "torch_model" through a softmax, and takes those of any
#   other class as probabilities; before, it took all as probabilities.
# * workers are processes of their own: the function is sent to them with its environment.

#' Use an ONNX model in sits
#'
#' Wraps a model in a function that `sits::sits_classify()` takes for one of
#' its own, for time series and for data cubes of the R package
#' [sits](https://github.com/e-sensing/sits). The package sits itself is not
#' needed to build or to call it.
#'
#' Bands, classes, axes, normalisation and head of the model are those that its
#' file names (metadata `harness.bands`, `harness.classes`, `harness.axes`,
#' `harness.normalisation`, `harness.head`). For a file that does not name
#' them, or names them otherwise than the data cube does (`B2` for `B02`), they
#' are arguments. Whatever does not fit is refused by name, here where it can
#' be: a band that the samples lack, a label that the model does not know, a
#' class without a sample, another number of dates.
#'
#' @section Normalisation:
#' Values must reach the model as they did in training, normalised once.
#' * `"model"`: as the file says, `(value - offset) * scale` for each band. Values
#'   must be in the unit in which the model was trained. Mind that sits itself
#'   scales what it reads: reflectance in a cube is between 0 and 1, where a
#'   file that was trained on digital numbers says `scale` 0.0001. Then the cube is
#'   normalised already, and `"none"` is right.
#' * `"sits"`: as sits documents it for its own models, the 2 % quantile
#'   of each band over all samples becomes 0, the 98 % quantile 1, and values are
#'   cut to 0.0001 to 1. Needs `samples`, and is refused where the file carries
#'   a normalisation, since one of the two would be wrong.
#' * a list of `q02` and `q98`, as from `sits::sits_stats(samples)`: the same with these
#'   limits. The versions of sits that were read (1.4.1 to 1.5.4) take their limits from the
#'   first sample alone, whatever their help says: pass the list where the
#'   model was trained with values that sits normalised.
#' * `"none"`: values go in as they are.
#'
#' @section What was read of sits:
#' The contract is not documented by sits; it was read in the source of versions
#' 1.4.1, 1.4.2, 1.5.0, 1.5.1, 1.5.2, 1.5.3 and 1.5.4 (branch `dev`, commit f0a8094). Samples with
#' base data (class `sits_base`) are refused. Labels are sorted by the rules of the
#' session's locale, as in sits: build the model in the session that uses it.
#'
#' @param onnx a model read by [onnx_read()], or the path of its file. Its input
#'   has the axes `sample`, `time` (or `date`) and `band`, `sample` first.
#' @param samples the samples of sits that the model stands for: a tibble with
#'   `label` and `time_series`, whose dates, bands and labels sits takes for the
#'   model's. Bands that the model does not use are left out. `NULL` where the
#'   file says enough.
#' @param normalise `"model"`, `"sits"`, `"none"`, or a list of `q02` and `q98`; see below.
#' @param timeline without samples, the dates of the model. If they are not given
#'   they are unknown, which is enough to classify a cube of as many dates; time
#'   series in a tibble are matched to dates, so they need them.
#' @param bands what sits calls the model's bands, in the model's order.
#' @param classes what sits calls the model's classes, in the model's order.
#' @param axes the axes of the model's input, for instance `c("sample", "band", "time")`.
#' @param head what the model's scores are: `"logits"`, `"log-softmax"` or `"softmax"`.
#' @param batch_size how many pixels to compute at once. `NULL` for 1024, or for as many as the file takes where it fixes
#'   their number: then the last batch is filled by repeating the last pixel, and cut, which a message tells once.
#' @return A function of class `sits_model`. It takes a matrix or data frame with a
#'   row for each pixel and a column for each band and date, all dates of the
#'   first band first, and returns a matrix of probabilities with a row for each
#'   pixel and a column for each label, in the order of sits.
#' @examples
#' m <- onnx_read(system.file("extdata", "crops.onnx", package = "plainonnx"))
#' dates <- seq(as.Date("2020-03-01"), by = "month", length.out = 8)
#' classify <- as_sits_model(
#'   m, normalise = "none", timeline = dates, bands = c("B02", "B04", "B08")
#' )
#' pixels <- matrix(runif(2 * 3 * 8), 2)
#' classify(pixels)
#'
#' \dontrun{
#' # With samples of sits, whose dates, bands and labels the model shares:
#' model <- as_sits_model("tempcnn.onnx", samples, normalise = "model")
#' probabilities <- sits::sits_classify(cube, model, output_dir = tempdir())
#' }
#' @seealso [onnx_read()], [predict.onnx_model()]
#' @export
as_sits_model <- function(onnx, samples = NULL, normalise = c("model", "sits", "none"), timeline = NULL, bands = NULL,
                          classes = NULL, axes = NULL, head = NULL, batch_size = NULL) {
  model <- if (inherits(onnx, "onnx_model")) onnx else onnx_read(onnx)
  normalise <- if (is.list(normalise)) normalise else match.arg(normalise)
  axes <- sits_axes(model, axes)
  if (is.null(batch_size)) batch_size <- sits_batch_size(model, axes)
  bands <- names_in_order(model, bands, "harness.bands", "bands")
  classes <- names_in_order(model, classes, "harness.classes", "classes")
  check_axis_size(model, axes, "band", length(bands), "bands")
  if (is.null(samples)) {
    if (identical(normalise, "sits")) {
      stop_bad_input("normalise = \"sits\" takes its quantiles from samples; give samples, or a list of q02 and q98")
    }
    stored_bands <- bands
    samples <- placeholder_samples(bands, classes, placeholder_dates(model, axes, timeline))
  } else {
    if (!is.null(timeline)) stop_bad_input("give samples or timeline, not both: samples hold their dates")
    check_sits_samples(samples, bands, classes)
    stored_bands <- setdiff(names(samples$time_series[[1L]]), "Index")
    samples <- samples_of_bands(samples, intersect(stored_bands, bands))
  }
  dates <- nrow(samples$time_series[[1L]])
  check_axis_size(model, axes, "time", dates, "dates")
  order <- setdiff(names(samples$time_series[[1L]]), "Index")
  normalisation <- sits_normalisation(model, normalise, samples, bands, stored_bands, order, dates)
  features <- paste0(rep(order, each = dates), seq_len(dates))
  labels <- sort(unique(samples$label), na.last = TRUE)
  contents <- list(
    model = model, samples = samples, labels = labels, bands = order, n_times = dates,
    ml_stats = normalisation$limits,
    train_samples = empty_predictors(features),
    layout = list(
      features = features, axes = axes, model_bands = bands, classes = classes, normalisation = normalisation,
      head = head, batch_size = batch_size
    )
  )
  classify <- function(values) sits_probabilities(values, model, layout, bands, n_times, labels)
  # Nothing but this goes to the workers of sits.
  environment(classify) <- list2env(contents, parent = topenv())
  # An unsuitable head or output is found now, not after hours of reading images.
  classify(matrix(0, 1L, length(features)))
  structure(classify, class = c("plainonnx_sits_model", "sits_model", "function"))
}

# Probabilities (pixel, label) of values (pixel, band and date).
sits_probabilities <- function(values, model, layout, bands, dates, labels) {
  values <- sits_columns(values, layout$features, bands, dates)
  pixels <- nrow(values)
  if (pixels == 0L) return(matrix(0, 0L, length(labels), dimnames = list(NULL, labels)))
  values <- normalise_columns(values, layout$normalisation)
  dim(values) <- c(pixels, dates, length(bands))
  values <- values[, , match(layout$model_bands, bands), drop = FALSE]
  values <- aperm(values, match(layout$axes, c("sample", "time", "band")))
  # What predict() has to say was said when the function was made.
  scores <- suppressMessages(
    stats::predict(model, values, type = "prob", head = layout$head, batch_size = layout$batch_size),
    classes = "onnx_message"
  )
  if (length(dim(scores)) != 2L || ncol(scores) != length(layout$classes)) {
    stop_bad_input("the model's output has shape ", shape_text(dim(scores)), "; sits needs one score for each of its ",
                   length(layout$classes), " classes")
  }
  scores <- scores[, match(labels, layout$classes), drop = FALSE]
  dimnames(scores) <- list(NULL, labels)
  scores
}

# The columns that the model takes, in its order; by name where they are named.
sits_columns <- function(values, features, bands, dates) {
  if (is.data.frame(values)) values <- as.matrix(values)
  if (!is.matrix(values) || !is.numeric(values)) {
    stop_bad_input("sits models take a numeric matrix or data frame, one row for each pixel")
  }
  given <- colnames(values)
  named <- !is.null(given) && !identical(given, features)
  if (named && !anyDuplicated(features) && !anyDuplicated(given)) {
    if (setequal(given, features)) return(unname(values[, features, drop = FALSE]))
  }
  if (named) refuse_columns(given, features, bands, dates)
  if (ncol(values) != length(features)) {
    stop_bad_input("there are ", ncol(values), " columns; the model takes ", length(features), ", ", dates,
                   " dates of each of the bands ", quoted(bands))
  }
  unname(values)
}

refuse_columns <- function(given, features, bands, dates) {
  belongs <- lapply(bands, function(band) {
    startsWith(given, band) & grepl("^[0-9]+$", substring(given, nchar(band) + 1L))
  })
  absent <- bands[!vapply(belongs, any, NA)]
  if (length(absent)) stop_bad_input("the band ", quoted(absent), " is missing; the model takes ", quoted(bands))
  unknown <- given[!Reduce(`|`, belongs)]
  if (length(unknown)) {
    stop_bad_input("the columns ", quoted(utils::head(unknown, 5L)), " belong to no band of the model: ", quoted(bands))
  }
  counts <- vapply(belongs, sum, 0L)
  wrong <- which(counts != dates)[1L]
  if (!is.na(wrong) && !anyDuplicated(features)) {
    stop_bad_input("the band '", bands[wrong], "' has ", counts[wrong], " dates; the model takes ", dates)
  }
  stop_bad_input("the columns are not those of the model, ", quoted(utils::head(features, 2L)), " to '",
                 features[length(features)], "'")
}

# --- normalisation -----------------------------------------------------------

# What is done to each column: an offset, and a scale to multiply or an extent to divide by; limits to cut at.
# `bands` are the model's, `stored_bands` those of the samples as given, `order` those of the closure.
sits_normalisation <- function(model, normalise, samples, bands, stored_bands, order, dates) {
  own <- model_normalisation(model, length(bands))
  each <- function(values) rep(values, each = dates)
  if (identical(normalise, "none")) return(list(kind = "none"))
  if (identical(normalise, "model")) {
    if (is.null(own)) {
      stop_bad_input("the file does not say how its values are normalised (metadata 'harness.normalisation'); give ",
                     "normalise = \"none\", \"sits\", or a list of q02 and q98")
    }
    place <- match(order, bands)
    return(list(kind = "model", offset = each(own$offset[place]), scale = each(own$scale[place])))
  }
  if (!is.null(own) && own$kind != "none") {
    stop_bad_input("the model carries its own normalisation ('", own$kind, "'), and values must not be normalised ",
                   "twice; give normalise = \"model\", or \"none\" for values that are normalised already")
  }
  limits <- if (is.list(normalise)) {
    given_limits(normalise, stored_bands, order, dates)
  } else {
    quantile_limits(samples, order)
  }
  constant <- order[!(limits$q98 > limits$q02) %in% TRUE]
  if (length(constant)) {
    stop_bad_input("the band ", quoted(constant), " has no extent between its limits, so it cannot be normalised")
  }
  limits <- lapply(limits, each)
  list(kind = "sits", offset = limits$q02, extent = limits$q98 - limits$q02, limits = limits)
}

# What the file says, offset and scale in the order of its bands, or NULL.
model_normalisation <- function(model, count) {
  own <- metadata_json(model, "harness.normalisation")
  if (is.null(own)) return(NULL)
  numbers <- lapply(own[c("offset", "scale")], function(values) suppressWarnings(as.double(unlist(values))))
  if (any(lengths(numbers) != count) || !all(is.finite(unlist(numbers)))) {
    stop_bad_input("the metadata 'harness.normalisation' does not hold one finite offset and scale for each of the ",
                   count, " bands")
  }
  list(kind = if (is.character(own$kind)) own$kind else "unnamed", offset = numbers$offset, scale = numbers$scale)
}

# Over all samples and dates, as sits_stats() documents it.
quantile_limits <- function(samples, bands) {
  values <- lapply(bands, function(band) unlist(lapply(samples$time_series, `[[`, band)))
  at <- function(share) vapply(values, stats::quantile, 0, probs = share, na.rm = TRUE, names = FALSE)
  list(q02 = at(0.02), q98 = at(0.98))
}

# sits repeats a band's limits for each date, in the order of the samples' bands.
given_limits <- function(limits, stored_bands, order, dates) {
  if (!all(c("q02", "q98") %in% names(limits))) {
    stop_bad_input("normalise must be \"model\", \"sits\", \"none\" or a list of q02 and q98, as from sits_stats()")
  }
  lapply(stats::setNames(nm = c("q02", "q98")), function(name) {
    values <- limits[[name]]
    if (!is.numeric(values) || length(values) != length(stored_bands) * dates || !all(is.finite(values))) {
      stop_bad_input("normalise$", name, " must hold ", length(stored_bands) * dates, " finite numbers, one for each ",
                     "of ", dates, " dates of the bands ", quoted(stored_bands))
    }
    values <- matrix(values, dates)
    if (any(values != rep(values[1L, ], each = dates))) {
      stop_bad_input("normalise$", name, " differs between dates of a band")
    }
    values[1L, match(order, stored_bands)]
  })
}

normalise_columns <- function(values, normalisation) {
  if (normalisation$kind == "none") return(values)
  pixels <- nrow(values)
  values <- values - rep(normalisation$offset, each = pixels)
  if (normalisation$kind == "model") return(values * rep(normalisation$scale, each = pixels))
  values <- values / rep(normalisation$extent, each = pixels)
  # pmin and pmax keep missing values, and the matrix's dimensions.
  pmin(pmax(values, 0.0001), 1)
}

# --- what the file says --------------------------------------------------------

sits_axes <- function(model, axes) {
  inputs <- model$graph$inputs
  if (length(inputs) != 1L) stop_bad_input("sits gives a model one input; this one takes ", length(inputs))
  if (is.null(axes)) axes <- unlist(metadata_json(model, "harness.axes")[[inputs[[1L]]$name]])
  if (is.null(axes)) {
    stop_bad_input("the file does not name the axes of its input (metadata 'harness.axes'); give them, for instance ",
                   "axes = c(\"sample\", \"band\", \"time\")")
  }
  axes[axes == "date"] <- "time"
  if (length(axes) != 3L || !setequal(axes, c("sample", "time", "band"))) {
    stop_bad_input("the model's input has the axes ", quoted(axes), "; sits gives 'sample', 'time' and 'band'")
  }
  if (axes[1L] != "sample") stop_bad_input("the first axis of the model's input must be 'sample', not '", axes[1L], "'")
  shape <- inputs[[1L]]$shape
  if (!is.null(shape) && length(shape) != 3L) {
    stop_bad_input("the model's input is ", shape_of_info(inputs[[1L]]), "; sits gives 'sample', 'time' and 'band'")
  }
  axes
}

# How many pixels at once: as many as the file takes, where it fixes their number.
sits_batch_size <- function(model, axes) {
  size <- axis_size(model, axes, "sample")
  if (is.null(size)) return(1024)
  if (size > 1) tell("the file takes exactly ", size, " samples at once: the last batch is filled and cut")
  size
}

# The declared size of an axis of the input, or NULL where it is free.
axis_size <- function(model, axes, axis) {
  size <- model$graph$inputs[[1L]]$shape[[match(axis, axes)]]
  if (is.numeric(size) && !is.na(size)) size
}

check_axis_size <- function(model, axes, axis, given, what) {
  size <- axis_size(model, axes, axis)
  if (!is.null(size) && size != given) stop_bad_input("the model takes ", size, " ", what, ", not ", given)
}

# Names of bands or classes in the model's order, as given or as the file has them.
names_in_order <- function(model, given, key, what) {
  held <- vapply(metadata_json(model, key), as.character, "")
  if (is.null(given)) given <- held
  if (length(given) == 0L) stop_bad_input("the file does not name its ", what, " (metadata '", key, "'); give ", what)
  if (!is.character(given) || anyNA(given) || anyDuplicated(given) || !all(nzchar(given))) {
    stop_bad_input(what, " must be texts, each once")
  }
  if (length(held) && length(held) != length(given)) {
    stop_bad_input("the model has ", length(held), " ", what, " (", quoted(held), "), not ", length(given))
  }
  given
}

placeholder_dates <- function(model, axes, timeline) {
  if (!is.null(timeline)) {
    timeline <- tryCatch(as.Date(timeline), error = function(e) NA)
    if (anyNA(timeline) || is.unsorted(timeline, strictly = TRUE)) {
      stop_bad_input("timeline must be dates, the earliest first")
    }
    return(timeline)
  }
  size <- axis_size(model, axes, "time")
  if (is.null(size)) stop_bad_input("the model takes any number of dates; give samples or timeline")
  rep(as.Date(NA), size)
}

# --- samples ---------------------------------------------------------------------

# The columns that sits asks of samples.
sits_columns_of_samples <- c("longitude", "latitude", "start_date", "end_date", "label", "time_series")

check_sits_samples <- function(samples, bands, classes) {
  if (!is.data.frame(samples) || !nrow(samples)) stop_bad_input("samples must be a tibble of sits with rows")
  if (inherits(samples, "sits_base")) stop_bad_input("samples with base data (class sits_base) are not supported")
  absent <- setdiff(sits_columns_of_samples, names(samples))
  if (length(absent)) stop_bad_input("samples lack the column ", quoted(absent))
  if (!all(vapply(samples$time_series, is.data.frame, NA))) stop_bad_input("a time series of samples is not a tibble")
  for (row in seq_len(nrow(samples))) {
    series <- samples$time_series[[row]]
    absent <- setdiff(c("Index", bands), names(series))
    if (length(absent)) {
      kind <- if (absent[1L] == "Index") "column " else "band "
      stop_bad_input("the ", kind, quoted(absent), " is missing in sample ", row, ", which has ", quoted(names(series)))
    }
    if (nrow(series) != nrow(samples$time_series[[1L]])) {
      stop_bad_input("sample ", row, " has ", nrow(series), " dates, the first has ", nrow(samples$time_series[[1L]]))
    }
  }
  labels <- unique(as.character(samples$label))
  unknown <- setdiff(labels, classes)
  if (length(unknown)) {
    stop_bad_input("the model does not know the label ", quoted(unknown), " of the samples; its classes are ",
                   quoted(classes))
  }
  unused <- setdiff(classes, labels)
  if (length(unused)) {
    stop_bad_input("no sample has the label ", quoted(unused), " of the model, so sits would not know it; add one, or ",
                   "build without samples")
  }
}

# Samples of these bands alone: sits reads the model's bands there, and in this order.
samples_of_bands <- function(samples, bands) {
  samples$label <- as.character(samples$label)
  samples$time_series <- lapply(samples$time_series, `[`, c("Index", bands))
  if (!inherits(samples, "sits")) class(samples) <- c("sits", class(samples))
  samples
}

# One row for each class, without values: all that sits asks of a model's samples but their values.
placeholder_samples <- function(bands, classes, timeline) {
  table <- c("tbl_df", "tbl", "data.frame")
  values <- stats::setNames(rep(list(rep(NA_real_, length(timeline))), length(bands)), bands)
  series <- structure(c(list(Index = timeline), values), row.names = seq_along(timeline), class = table)
  structure(
    list(
      longitude = rep(NA_real_, length(classes)), latitude = rep(NA_real_, length(classes)),
      start_date = rep(timeline[1L], length(classes)), end_date = rep(timeline[length(timeline)], length(classes)),
      label = classes, cube = rep(NA_character_, length(classes)), time_series = rep(list(series), length(classes))
    ),
    row.names = seq_along(classes), class = c("sits", table)
  )
}

# No predictors, but with the names that sits gives them.
empty_predictors <- function(features) {
  columns <- c(list(integer(), character()), rep(list(double()), length(features)))
  structure(columns, names = c("sample_id", "label", features), row.names = integer(), class = "data.frame")
}
