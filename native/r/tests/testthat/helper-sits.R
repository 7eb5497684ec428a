# A stand-in for sits::sits_classify(), written from what sits asks of a model (R/sits.R says where that was read):
# what it reads in the function's environment, how it names and orders columns, what it does with the answer.

sits_contract <- function(model) {
  stopifnot(inherits(model, "sits_model"), is.function(model))
  held <- as.list(environment(model))
  stopifnot(
    inherits(held$samples, "sits"), nrow(held$samples) > 0, is.null(held$stats), "model" %in% names(held),
    all(c("longitude", "latitude", "start_date", "end_date", "label") %in% names(held$samples))
  )
  series <- held$samples$time_series[[1]]
  list(
    bands = setdiff(names(series), "Index"), dates = nrow(series), timeline = as.Date(series$Index),
    labels = sort(unique(held$samples$label), na.last = TRUE), features = names(held$train_samples)[-(1:2)]
  )
}

# The scores of torch models go through a softmax, those of all others are probabilities.
sits_finish <- function(values, model) {
  values[is.na(values)] <- 0
  if (!inherits(model, "torch_model")) return(values)
  exp(values) / rowSums(exp(values))
}

# Time series of a tibble: a data frame with named columns, all dates of a band together.
sits_predictors <- function(data, bands, dates) {
  columns <- lapply(bands, function(band) {
    values <- t(vapply(data$time_series, function(series) series[[band]][seq_len(dates)], double(dates)))
    colnames(values) <- paste0(band, seq_len(dates))
    values
  })
  as.data.frame(do.call(cbind, columns))
}

sits_classify_series <- function(data, model) {
  contract <- sits_contract(model)
  stopifnot(!anyNA(contract$timeline))
  values <- sits_finish(model(sits_predictors(data, contract$bands, contract$dates)), model)
  stopifnot(nrow(values) == nrow(data))
  data.frame(class = colnames(values)[max.col(values, "first")], values, check.names = FALSE)
}

# Images of a cube: a list of matrices (pixel, date), one for each band. Layers are named by position.
sits_classify_cube <- function(cube, model) {
  contract <- sits_contract(model)
  stopifnot(all(contract$bands %in% names(cube)), all(vapply(cube, ncol, 0L) == contract$dates))
  values <- do.call(cbind, unname(cube[contract$bands]))
  colnames(values) <- contract$features
  values[is.na(values)] <- 0
  values <- sits_finish(model(values), model)
  stopifnot(nrow(values) == nrow(cube[[1]]), ncol(values) == length(contract$labels))
  layers <- lapply(seq_along(contract$labels), function(k) round(unname(values[, k]) * 10000))
  stats::setNames(layers, contract$labels)
}
