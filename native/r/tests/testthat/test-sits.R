bands <- c("NDVI", "EVI")
crops3 <- c("Soy", "Forest", "Corn")
dates <- as.Date("2020-01-01") + 16 * (0:3)

# A linear model of pixels: scores = sum over bands and dates of weight (band, time, class) times value.
weights <- function(bands, dates, classes) wavy(bands, dates, classes)

series_model <- function(w = weights(2, 4, 3), axes = c("sample", "band", "time"), names = bands, classes = crops3,
                         head = "logits", normalisation = NULL, samples = "n", free_time = FALSE) {
  sizes <- list(sample = samples, band = dim(w)[1], time = if (free_time) "t" else dim(w)[2])
  flat <- matrix(aperm(w, c(match(rev(axes[-1]), c("band", "time")), 3)), ncol = dim(w)[3])
  metadata <- c(
    if (!is.null(axes)) c(harness.axes = jsonlite::toJSON(list(x = axes, logits = c("sample", "class")))),
    if (!is.null(names)) c(harness.bands = jsonlite::toJSON(names)),
    if (!is.null(classes)) c(harness.classes = jsonlite::toJSON(classes)),
    if (!is.null(head)) c(harness.head = head),
    if (!is.null(normalisation)) {
      c(harness.normalisation = jsonlite::toJSON(c(list(kind = jsonlite::unbox("scale")), normalisation), digits = NA))
    }
  )
  last <- switch(if (is.null(head)) "logits" else head, softmax = "Softmax", `log-softmax` = "LogSoftmax", "Identity")
  path <- write_model(onnx_model(
    list(onnx_node("Flatten", "x", "flat"), onnx_node("MatMul", c("flat", "w"), "scores"),
         onnx_node(last, "scores", "logits")),
    list(onnx_value("x", shape = unname(sizes[axes]))), list(onnx_value("logits", shape = list("n", dim(w)[3]))),
    list(onnx_tensor("w", flat)), metadata = metadata
  ))
  on.exit(unlink(path))
  onnx_read(path, "float64")
}

# The same written out: probabilities (pixel, class) of values, a list of matrices (pixel, date) in the order of w.
written_out <- function(values, w, classes = crops3) {
  scores <- sapply(seq_along(classes), function(k) {
    Reduce(`+`, lapply(seq_along(values), function(b) as.vector(values[[b]] %*% w[b, , k])))
  })
  scores <- matrix(scores, ncol = length(classes), dimnames = list(NULL, classes))
  exp(scores) / rowSums(exp(scores))
}

# Weights as the file stores them.
stored <- function(w) array(plainonnx:::round_to_dtype(as.vector(w), "float32"), dim(w))

sits_tibble <- function(labels = c("Corn", "Soy", "Forest", "Soy", "Corn"), of = bands, index = dates) {
  series <- lapply(seq_along(labels), function(k) {
    values <- lapply(seq_along(of), function(b) sin(seq_along(index) * b + k) / 2 + 0.4)
    data.frame(Index = index, stats::setNames(values, of), check.names = FALSE)
  })
  data <- data.frame(longitude = -54, latitude = -14, start_date = index[1], end_date = index[length(index)],
                     label = labels)
  data$time_series <- series
  structure(data, class = c("sits", "data.frame"))
}

values_of <- function(data, bands) {
  stats::setNames(lapply(bands, function(band) t(sapply(data$time_series, `[[`, band))), bands)
}

refused <- function(object, regexp) expect_error(object, regexp, class = "onnx_bad_input")

test_that("the function holds what sits reads in it", {
  data <- sits_tibble()
  model <- series_model()
  f <- as_sits_model(model, data, normalise = "none")
  expect_equal(tail(class(f), 2), c("sits_model", "function"))
  expect_false(inherits(f, "torch_model"))
  contract <- sits_contract(f)
  expect_equal(contract$bands, bands)
  expect_equal(contract$labels, c("Corn", "Forest", "Soy"))
  expect_equal(contract$timeline, dates)
  expect_equal(contract$features, c(paste0("NDVI", 1:4), paste0("EVI", 1:4)))
  expect_identical(environment(f)$model, model)
})

test_that("columns reach the model's axes by name, whichever way they lie", {
  data <- sits_tibble()
  w <- weights(2, 4, 3)
  expected <- written_out(values_of(data, bands), stored(w))[, c("Corn", "Forest", "Soy")]
  for (axes in list(c("sample", "band", "time"), c("sample", "time", "band"))) {
    f <- as_sits_model(series_model(w, axes), data, normalise = "none")
    found <- sits_classify_series(data, f)
    expect_equal(as.matrix(found[-1]), expected, tolerance = 1e-12, ignore_attr = "dimnames")
    expect_equal(names(found), c("class", "Corn", "Forest", "Soy"))
    expect_equal(found$class, colnames(expected)[max.col(expected)])
  }
})

test_that("bands that samples hold in another order, or beyond the model's, change nothing", {
  data <- sits_tibble()
  model <- series_model()
  expected <- sits_classify_series(data, as_sits_model(model, data, normalise = "none"))
  turned <- data
  turned$time_series <- lapply(data$time_series, function(s) cbind(s[c("Index", "EVI")], RED = 9, s["NDVI"]))
  f <- as_sits_model(model, turned, normalise = "none")
  expect_equal(sits_contract(f)$bands, c("EVI", "NDVI"))
  expect_equal(sits_classify_series(turned, f), expected)
  expect_equal(sits_classify_cube(values_of(data, bands), f),
               lapply(expected[-1], function(p) round(p * 10000)))
})

test_that("layers of a cube are in the order of the sorted labels", {
  data <- sits_tibble()
  w <- weights(2, 4, 3)
  cube <- values_of(data, rev(bands))
  layers <- sits_classify_cube(cube, as_sits_model(series_model(w), data, normalise = "none"))
  expect_equal(names(layers), c("Corn", "Forest", "Soy"))
  expected <- written_out(cube[bands], stored(w))
  for (label in crops3) expect_equal(layers[[label]], round(expected[, label] * 10000))
})

test_that("the model's own normalisation is applied band by band", {
  data <- sits_tibble()
  data$time_series <- lapply(data$time_series, `[`, c("Index", "EVI", "NDVI"))
  w <- weights(2, 4, 3)
  own <- list(offset = c(0.25, -0.5), scale = c(2, 3))
  f <- as_sits_model(series_model(w, normalisation = own), data)
  values <- values_of(data, bands)
  expected <- written_out(list((values$NDVI - 0.25) * 2, (values$EVI + 0.5) * 3), stored(w))
  expect_equal(as.matrix(sits_classify_series(data, f)[-1])[, crops3], expected, tolerance = 1e-12,
               ignore_attr = "dimnames")
})

test_that("the normalisation of sits is the 2 % and 98 % quantiles of all samples, cut to 0.0001 and 1", {
  data <- sits_tibble()
  w <- weights(2, 4, 3)
  f <- as_sits_model(series_model(w), data, normalise = "sits")
  values <- values_of(data, bands)
  limits <- lapply(values, quantile, c(0.02, 0.98), names = FALSE)
  expect_equal(environment(f)$ml_stats,
               list(q02 = rep(c(limits$NDVI[1], limits$EVI[1]), each = 4),
                    q98 = rep(c(limits$NDVI[2], limits$EVI[2]), each = 4)))
  scaled <- Map(function(v, l) pmin(pmax((v - l[1]) / (l[2] - l[1]), 0.0001), 1), values, limits)
  expect_true(any(unlist(scaled) == 0.0001) && any(unlist(scaled) == 1))
  found <- as.matrix(sits_classify_series(data, f)[-1])
  expect_equal(found[, crops3], written_out(scaled, stored(w)), tolerance = 1e-12, ignore_attr = "dimnames")
})

test_that("limits as sits_stats() gives them follow the samples' order of bands", {
  data <- sits_tibble(of = c("EVI", "RED", "NDVI"))
  limits <- list(q02 = rep(c(0.1, 9, 0.2), each = 4), q98 = rep(c(0.7, 99, 0.8), each = 4))
  w <- weights(2, 4, 3)
  f <- as_sits_model(series_model(w), data, normalise = limits)
  values <- values_of(data, bands)
  cut <- function(v, low, high) pmin(pmax((v - low) / (high - low), 0.0001), 1)
  expected <- written_out(list(cut(values$NDVI, 0.2, 0.8), cut(values$EVI, 0.1, 0.7)), stored(w))
  found <- as.matrix(sits_classify_series(data, f)[-1])
  expect_equal(found[, crops3], expected, tolerance = 1e-12, ignore_attr = "dimnames")
  refused(as_sits_model(series_model(w), data, normalise = list(q02 = 1:8, q98 = 2:9)), "12 finite numbers")
  refused(as_sits_model(series_model(w), data, normalise = list(q02 = 1:12, q98 = 2:13)), "differs between dates")
  refused(as_sits_model(series_model(w), data, normalise = list(low = 1)), "q02 and q98")
  same <- list(q02 = rep(c(0, 9, 0.5), each = 4), q98 = rep(c(1, 99, 0.5), each = 4))
  refused(as_sits_model(series_model(w), data, normalise = same), "'NDVI' has no extent")
})

test_that("nothing is normalised twice, nor silently not at all", {
  data <- sits_tibble()
  own <- list(offset = c(0, 0), scale = c(2, 2))
  refused(as_sits_model(series_model(normalisation = own), data, normalise = "sits"), "normalised twice")
  limits <- list(q02 = rep(0, 8), q98 = rep(1, 8))
  refused(as_sits_model(series_model(normalisation = own), data, normalise = limits), "normalised twice")
  refused(as_sits_model(series_model(), data), "harness.normalisation")
  refused(as_sits_model(series_model(normalisation = list(offset = 1, scale = 1)), data), "each of the 2 bands")
  refused(as_sits_model(series_model(), normalise = "sits", timeline = dates), "from samples")
  flat <- data
  flat$time_series <- lapply(data$time_series, function(s) transform(s, EVI = 0.5))
  refused(as_sits_model(series_model(), flat, normalise = "sits"), "'EVI' has no extent")
})

test_that("a missing band is refused by name, in samples and in values", {
  data <- sits_tibble()
  model <- series_model()
  without <- data
  without$time_series[[3]]$EVI <- NULL
  refused(as_sits_model(model, without, normalise = "none"), "band 'EVI' is missing in sample 3")
  f <- as_sits_model(model, data, normalise = "none")
  pixels <- as.matrix(sits_predictors(data, bands, 4))
  refused(f(pixels[, 1:4]), "band 'EVI' is missing")
  refused(f(pixels[, -8]), "band 'EVI' has 3 dates; the model takes 4")
  refused(f(cbind(pixels, RED1 = 0)), "'RED1' belong to no band")
  refused(f(unname(pixels)[, -8]), "7 columns; the model takes 8, 4 dates of each of the bands 'NDVI', 'EVI'")
  refused(f(as.data.frame(lapply(as.data.frame(pixels), as.character))), "numeric")
})

test_that("named columns may come in any order, but not where names are ambiguous", {
  data <- sits_tibble()
  f <- as_sits_model(series_model(), data, normalise = "none")
  pixels <- as.matrix(sits_predictors(data, bands, 4))
  expect_equal(f(pixels[, 8:1]), f(pixels))
  expect_equal(f(unname(pixels)), f(pixels))
  expect_equal(dim(f(pixels[0, ])), c(0L, 3L))
  # With 11 dates the 11th of B1 and the first of B11 are both B111.
  many <- as.Date("2020-01-01") + 0:10
  f <- as_sits_model(series_model(weights(2, 11, 3), names = c("B1", "B11")), normalise = "none", timeline = many)
  names <- sits_contract(f)$features
  expect_equal(anyDuplicated(names) > 0, TRUE)
  pixels <- matrix(wavy(2, 22), 2, dimnames = list(NULL, names))
  expect_equal(f(pixels), f(unname(pixels)))
  refused(f(pixels[, 22:1]), "not those of the model")
})

test_that("labels that do not match are refused by name", {
  model <- series_model()
  refused(as_sits_model(model, sits_tibble(c(crops3, "Water")), normalise = "none"), "label 'Water' of the samples")
  refused(as_sits_model(model, sits_tibble(c("Soy", "Corn")), normalise = "none"), "no sample has the label 'Forest'")
  refused(as_sits_model(model, sits_tibble(c(crops3, NA)), normalise = "none"), "does not know the label 'NA'")
})

test_that("another number of dates is refused", {
  short <- sits_tibble(index = dates[1:3])
  refused(as_sits_model(series_model(), short, normalise = "none"), "takes 4 dates, not 3")
  uneven <- sits_tibble()
  uneven$time_series[[2]] <- uneven$time_series[[2]][1:3, ]
  refused(as_sits_model(series_model(), uneven, normalise = "none"), "sample 2 has 3 dates")
  refused(as_sits_model(series_model(), normalise = "none", timeline = dates[1:3]), "takes 4 dates, not 3")
})

test_that("a model that does not take series of pixels is refused", {
  data <- sits_tibble()
  bare <- write_model(onnx_model(list(onnx_node("Identity", "x", "y")), list(onnx_value("x")), list(onnx_value("y"))))
  on.exit(unlink(bare))
  refused(as_sits_model(bare, data, normalise = "none"), "harness.axes")
  model <- series_model()
  refused(as_sits_model(model, data, normalise = "none", axes = c("sample", "time", "row")),
          "axes 'sample', 'time', 'row'")
  refused(as_sits_model(model, data, normalise = "none", axes = c("band", "sample", "time")), "must be 'sample'")
  refused(as_sits_model(model, data, normalise = "none", bands = c("A", "B", "C")),
          "2 bands \\('NDVI', 'EVI'\\), not 3")
  refused(as_sits_model(series_model(head = NULL), data, normalise = "none"), "harness.head")
  refused(as_sits_model(series_model(names = NULL), data, normalise = "none"), "harness.bands")
  refused(as_sits_model(model, structure(data, class = c("sits_base", class(data))), normalise = "none"), "sits_base")
  refused(as_sits_model(model, unclass(data), normalise = "none"), "tibble of sits")
  refused(as_sits_model(model, data[setdiff(names(data), "end_date")], normalise = "none"), "column 'end_date'")
})

test_that("probabilities follow the head", {
  data <- sits_tibble()
  expected <- sits_classify_series(data, as_sits_model(series_model(), data, normalise = "none"))
  for (head in c("softmax", "log-softmax")) {
    found <- sits_classify_series(data, as_sits_model(series_model(head = head), data, normalise = "none"))
    expect_equal(found, expected, tolerance = 1e-12)
  }
  f <- as_sits_model(series_model(head = NULL), data, normalise = "none", head = "logits")
  expect_equal(sits_classify_series(data, f), expected)
})

test_that("a file that says enough needs no samples, and names can be those of the cube", {
  data <- sits_tibble()
  expected <- sits_classify_series(data, as_sits_model(series_model(), data, normalise = "none"))
  f <- as_sits_model(series_model(), normalise = "none", timeline = dates)
  expect_equal(sits_classify_series(data, f), expected)
  unknown <- as_sits_model(series_model(), normalise = "none")
  expect_true(all(is.na(sits_contract(unknown)$timeline)))
  expect_equal(length(sits_contract(unknown)$timeline), 4)
  expect_equal(sits_classify_cube(values_of(data, bands), unknown), sits_classify_cube(values_of(data, bands), f))
  renamed <- as_sits_model(series_model(), normalise = "none", timeline = dates, bands = c("B08", "B04"),
                           classes = c("s", "f", "c"))
  cube <- stats::setNames(values_of(data, bands), c("B08", "B04"))
  expect_equal(sits_classify_cube(cube, renamed)[c("c", "f", "s")],
               stats::setNames(sits_classify_cube(values_of(data, bands), f), c("c", "f", "s")))
  refused(as_sits_model(series_model(), data, normalise = "none", timeline = dates), "not both")
  refused(as_sits_model(series_model(), normalise = "none", timeline = rev(dates)), "earliest first")
  refused(as_sits_model(series_model(free_time = TRUE), normalise = "none"), "give samples or timeline")
  free <- as_sits_model(series_model(free_time = TRUE), normalise = "none", timeline = dates)
  expect_equal(sits_contract(free)$dates, 4)
})

test_that("batches give what the whole gives, for sits too", {
  data <- sits_tibble()
  expected <- sits_classify_series(data, as_sits_model(series_model(), data, normalise = "none"))
  for (size in 1:3) {
    f <- as_sits_model(series_model(), data, normalise = "none", batch_size = size)
    expect_equal(sits_classify_series(data, f), expected)
  }
})

test_that("a file of one number of samples takes any number of pixels, which is told once", {
  data <- sits_tibble()
  expected <- sits_classify_series(data, as_sits_model(series_model(), data, normalise = "none"))
  expect_message(f <- as_sits_model(series_model(samples = 2), data, normalise = "none"), "exactly 2 samples at once")
  expect_silent(found <- sits_classify_series(data, f))
  expect_equal(found, expected)
  expect_silent(f <- as_sits_model(series_model(samples = 1), data, normalise = "none"))
  expect_equal(sits_classify_series(data, f), expected)
  refused(as_sits_model(series_model(samples = 2), data, normalise = "none", batch_size = 3),
          "batch_size 3 cannot be: the file takes exactly 2 samples")
})

test_that("what cannot be classes is refused when the function is made", {
  path <- write_model(onnx_model(
    list(onnx_node("Flatten", "x", "flat"), onnx_node("ArgMax", "flat", "y", axis = 1L, keepdims = 0L)),
    list(onnx_value("x", shape = list("n", 2, 4))), list(onnx_value("y", "int64", list("n"))),
    metadata = c(harness.head = "logits")
  ))
  on.exit(unlink(path))
  refused(as_sits_model(path, sits_tibble(), normalise = "none", axes = c("sample", "band", "time"), bands = bands,
                        classes = crops3), "is a mask of whole numbers")
})

test_that("the function travels to another process", {
  data <- sits_tibble()
  f <- as_sits_model(series_model(), data, normalise = "sits")
  cluster <- parallel::makePSOCKcluster(1)
  on.exit(parallel::stopCluster(cluster))
  parallel::clusterCall(cluster, .libPaths, .libPaths())
  pixels <- sits_predictors(data, bands, 4)
  expect_equal(parallel::clusterCall(cluster, f, pixels)[[1]], f(pixels))
  expect_setequal(ls(environment(f)),
                  c("model", "samples", "labels", "bands", "n_times", "ml_stats", "train_samples", "layout"))
})

modis <- function(name) {
  folder <- Sys.getenv("HARNESS_DATA")
  path <- file.path(folder, "sits-modis", paste0(name, ".rda"))
  skip_if(folder == "" || !file.exists(path), paste0("HARNESS_DATA does not hold sits-modis/", name, ".rda"))
  get(load(path, environment()))
}

test_that("published samples of sits are classified as the model computes them", {
  samples <- modis("cerrado_2classes")
  w <- weights(2, 23, 2)
  classes <- c("Pasture", "Cerrado")
  f <- as_sits_model(series_model(w, names = c("EVI", "NDVI"), classes = classes), samples, normalise = "sits")
  contract <- sits_contract(f)
  expect_equal(contract$bands, c("NDVI", "EVI"))
  expect_equal(contract$dates, 23)
  found <- sits_classify_series(samples, f)
  values <- values_of(samples, c("EVI", "NDVI"))
  scaled <- lapply(values, function(v) {
    limits <- quantile(v, c(0.02, 0.98), names = FALSE)
    pmin(pmax((v - limits[1]) / (limits[2] - limits[1]), 0.0001), 1)
  })
  expect_equal(as.matrix(found[classes]), written_out(scaled, stored(w), classes), tolerance = 1e-12,
               ignore_attr = "dimnames")
  expect_equal(nrow(found), 746)
  refused(as_sits_model(series_model(weights(2, 23, 2), names = c("EVI", "BLUE"), classes = classes), samples,
                        normalise = "none"), "band 'BLUE' is missing in sample 1")
})

test_that("a single band is named as sits names it", {
  samples <- modis("samples_modis_ndvi")
  dates <- nrow(samples$time_series[[1]])
  classes <- c("Soy_Corn", "Pasture", "Forest", "Cerrado")
  w <- weights(1, dates, 4)
  f <- as_sits_model(series_model(w, names = "NDVI", classes = classes), samples, normalise = "none")
  expect_equal(sits_contract(f)$features[c(1, dates)], paste0("NDVI", c(1, dates)))
  found <- sits_classify_series(samples, f)
  expect_equal(as.matrix(found[classes]), written_out(values_of(samples, "NDVI"), stored(w), classes), tolerance = 1e-12,
               ignore_attr = "dimnames")
})

test_that("sits itself takes the model", {
  skip_if_not_installed("sits")
  samples <- sits::samples_modis_ndvi
  dates <- nrow(samples$time_series[[1]])
  labels <- sits::sits_labels(samples)
  w <- weights(1, dates, length(labels)) / 4
  f <- as_sits_model(series_model(w, names = "NDVI", classes = rev(labels)), samples,
                     normalise = sits::sits_stats(samples))
  expect_equal(sits::sits_bands(f), "NDVI")
  expect_equal(sits::sits_labels(f), labels)
  some <- samples[round(seq(1, nrow(samples), length.out = 20)), ]
  found <- sits::sits_classify(some, f, multicores = 1, progress = FALSE)
  predictors <- sits::sits_pred_normalize(sits::sits_predictors(some), sits::sits_stats(samples))
  expected <- written_out(list(as.matrix(sits::sits_pred_features(predictors))), stored(w), rev(labels))
  for (row in seq_len(nrow(some))) {
    expect_equal(unlist(found$predicted[[row]][1, labels]), expected[row, labels], tolerance = 1e-6)
    expect_equal(found$predicted[[row]]$class[1], names(which.max(expected[row, labels])))
  }
})
