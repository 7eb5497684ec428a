# Which axis is the sample: shared inputs, outputs with the samples elsewhere, files of one number of samples.

refused <- function(object, regexp) expect_error(object, regexp, class = "onnx_bad_input")

read_model_of <- function(...) {
  path <- write_model(onnx_model(...))
  on.exit(unlink(path))
  onnx_read(path)
}

# Inputs x (sample, head, feature); outputs y, and attention (head, sample, feature).
heads_model <- function(samples = "n", heads = 3) {
  read_model_of(
    list(onnx_node("Transpose", "x", "attention", perm = ints(1, 0, 2)), onnx_node("Neg", "x", "y")),
    list(onnx_value("x", shape = list(samples, heads, 2))),
    list(onnx_value("y", shape = list(samples, heads, 2)), onnx_value("attention", shape = list(heads, samples, 2)))
  )
}

# Input x (sample, date), doy (date) for all samples; outputs y, and season, which belongs to no sample.
dates_model <- function(doy = list(4), x = list("n", 4)) {
  read_model_of(
    list(onnx_node("Add", c("x", "doy"), "y"), onnx_node("Neg", "doy", "season")),
    list(onnx_value("x", shape = x), onnx_value("doy", shape = doy)), list(onnx_value("y"), onnx_value("season"))
  )
}

test_that("an output is joined along the axis of its samples, also where another axis is as long as a batch", {
  for (heads in c(3, 2)) {
    x <- wavy(7, heads, 2)
    for (size in c(1, 2, 3, 6)) {
      expect_message(found <- predict(heads_model(heads = heads), x, batch_size = size),
                     "the sample axis of output 'attention' is 2, counted from 1")
      expect_equal(found$attention, aperm(x, c(2, 1, 3)), tolerance = 1e-6)
      expect_equal(found$y, -x, tolerance = 1e-6)
    }
    expect_silent(found <- predict(heads_model(heads = heads), x, batch_size = 2, sample_axes = list(attention = 2L)))
    expect_equal(found$attention, aperm(x, c(2, 1, 3)), tolerance = 1e-6)
  }
  refused(predict(heads_model(heads = 2), x, batch_size = 2, sample_axes = list(attention = 1)), "'attention'")
  refused(predict(heads_model(), wavy(7, 3, 2), batch_size = 2, sample_axes = list(attention = 5)), "'attention'")
})

test_that("an input of another first axis is shared by all samples", {
  x <- wavy(7, 4)
  doy <- c(3, 50, 120, 300)
  expected <- x + rep(doy, each = 7)
  for (declared in list(list(4), list("dates"))) {
    m <- dates_model(declared)
    said <- capture_messages(found <- predict(m, list(x = x, doy = doy), batch_size = 3))
    expect_match(said[1], "input 'doy' is shared by all samples")
    expect_match(said[2], "output 'season' belongs to no sample")
    expect_equal(found$y, expected, tolerance = 1e-6)
    expect_equal(found$season, as.array(-doy))
  }
  expect_silent(found <- predict(m, list(x = x, doy = doy), batch_size = 3, shared = c("doy", "season")))
  expect_equal(found$y, expected, tolerance = 1e-6)
})

test_that("where there are as many samples as dates, what computes rightly tells", {
  doy <- c(3, 50, 120, 300)
  x <- wavy(4, 4)
  for (declared in list(list("dates"), list("?"), NULL)) {
    found <- suppressMessages(predict(dates_model(declared), list(x = x, doy = doy), batch_size = 2))
    expect_equal(found$y, x + rep(doy, each = 4), tolerance = 1e-6)
  }
  # The other way round: the name of the axis speaks for a shared input, the computation against it.
  weighted <- read_model_of(
    list(onnx_node("Mul", c("x", "w"), "y")),
    list(onnx_value("x", shape = list("n", 4)), onnx_value("w", shape = list("m", 1))), list(onnx_value("y"))
  )
  expect_equal(predict(weighted, list(x = x, w = matrix(doy)), batch_size = 2), x * doy, tolerance = 1e-6)
})

test_that("lengths and masks travel with the samples", {
  m <- read_model_of(
    list(onnx_node("Where", c("mask", "x", "zero"), "y")),
    list(onnx_value("x", shape = list("n", 4)), onnx_value("mask", "bool", list("n", 4))), list(onnx_value("y")),
    list(onnx_tensor("zero", 0, scalar = TRUE))
  )
  x <- wavy(5, 4)
  expect_silent(found <- predict(m, list(x = x, mask = x > 0), batch_size = 2))
  expect_equal(found, x * (x > 0), tolerance = 1e-6)
  refused(predict(m, list(x = x, mask = (x > 0)[1:4, ]), batch_size = 2), "differ in their number of samples")
})

test_that("what mixes its samples is not computed in batches", {
  centred <- read_model_of(
    list(onnx_node("ReduceMean", "x", "mean", axes = ints(0)), onnx_node("Sub", c("x", "mean"), "y")),
    list(onnx_value("x", shape = list("n", 4))), list(onnx_value("y"))
  )
  x <- wavy(5, 4)
  refused(predict(centred, x, batch_size = 2), "alone does not give its row along axis 1 of the output 'y'")
  expect_equal(colMeans(predict(centred, x)), rep(0, 4), tolerance = 1e-6)
  total <- read_model_of(
    list(onnx_node("ReduceSum", "x", "y", keepdims = 0L)), list(onnx_value("x", shape = list("n", 4))), list(onnx_value("y"))
  )
  refused(predict(total, x, batch_size = 2), "'y' has no axis of samples but depends on them")
  pairs <- read_model_of(
    list(onnx_node("Transpose", "x", "t"), onnx_node("MatMul", c("x", "t"), "y")),
    list(onnx_value("x", shape = list("n", 4))), list(onnx_value("y"))
  )
  refused(predict(pairs, x, batch_size = 2), "no axis of it is that of the samples")
})

test_that("a file of one number of samples takes any: the last batch is filled and cut", {
  m <- heads_model(samples = 4)
  for (samples in c(1, 3, 4, 8, 10)) {
    x <- wavy(samples, 3, 2)
    said <- capture_messages(found <- predict(m, x))
    expect_equal(found$attention, aperm(x, c(2, 1, 3)), tolerance = 1e-6)
    expect_equal(found$y, -x, tolerance = 1e-6)
    filled <- -samples %% 4
    expect_equal(sum(grepl(paste("takes exactly 4 samples at once: the last batch is filled with", filled, "and cut"), said)),
                 as.integer(filled > 0))
  }
  expect_equal(suppressMessages(predict(m, x, batch_size = 4)), found)
  for (size in c(1, 3, 10)) refused(predict(m, x, batch_size = size), "cannot be: the file takes exactly 4 samples at once")
  refused(predict(m, wavy(0, 3, 2)), "the model takes 4 x 3 x 2")
  refused(predict(m, wavy(10, 3, 3)), "the model takes 4 x 3 x 2")
  single <- dates_model(list(4), list(1, 4))
  expect_equal(suppressMessages(predict(single, list(x = wavy(3, 4), doy = 1:4)))$y, wavy(3, 4) + rep(1:4, each = 3),
               tolerance = 1e-6)
})

test_that("axes that cannot be are refused in one line", {
  m <- dates_model()
  given <- list(x = wavy(5, 4), doy = 1:4)
  refused(predict(m, given, batch_size = 2, shared = "day"), "no input or output named 'day'")
  refused(predict(m, given, batch_size = 2, sample_axes = list(1)), "name each axis")
  refused(predict(m, given, batch_size = 2, sample_axes = list(x = 0)), "1 for the first")
  refused(predict(m, given, batch_size = 2, sample_axes = list(doy = 1), shared = "doy"), "cannot be shared")
  refused(predict(m, given, batch_size = 2, sample_axes = list(x = 3)), "'x' cannot be 3: it has 2 axes")
  refused(predict(m, given, batch_size = 2, sample_axes = list(doy = 1)), "exactly 4 samples")
  refused(predict(m, given, batch_size = 1.5), "whole number")
})

# --- classes -------------------------------------------------------------------

one_output <- function(shape, dtype = "float32", ...) {
  read_model_of(list(onnx_node("Identity", "x", "y")), list(onnx_value("x", dtype, shape)), list(onnx_value("y", dtype, shape)), ...)
}

specified <- function(...) c(harness.spec = as.character(jsonlite::toJSON(list(...), auto_unbox = TRUE)))

test_that("what cannot be classes is refused", {
  mask <- array(1:2, c(2, 3, 3))
  refused(predict(one_output(list("n", "h", "w"), "uint8"), mask, type = "class"),
          "'y' \\(uint8, n x h x w\\) is a mask of whole numbers, not scores")
  refused(predict(one_output(list("n", "h", "w"), "uint8"), mask, type = "prob"), "mask")
  refused(predict(one_output(list("n", "h", "w")), wavy(2, 3, 3), type = "class"), "three axes")
  refused(predict(one_output(list("n", "b", "h", "w")), array(1:2, c(2, 3, 3, 3)), type = "class"), "whole numbers alone")
  refused(predict(one_output(list("n", 1)), wavy(5, 1), type = "class"), "one value where a score for each class")
  refused(predict(one_output(list("n")), wavy(5), type = "class"), "no class axis")
  refused(predict(one_output(list("n", 3), metadata = specified(task = "regression")), wavy(5, 3), type = "class"), "regression")
  classes <- c(harness.classes = "[\"a\", \"b\"]")
  refused(predict(one_output(list("n", 3), metadata = classes), wavy(5, 3), type = "class"), "each of the 2 classes")
  expect_equal(dim(predict(one_output(list("n", 2, "t"), metadata = classes), wavy(4, 2, 5), type = "class")), c(4L, 5L))
})

test_that("labels that do not exclude each other have probabilities, but no class", {
  scores <- wavy(5, 3)
  several <- one_output(list("n", 3), metadata = c(specified(task = "multi-label"), harness.head = "logits"))
  expect_equal(predict(several, scores, type = "prob"), 1 / (1 + exp(-scores)), tolerance = 1e-6)
  refused(predict(several, scores, type = "class"), "do not exclude each other")
  expect_equal(predict(one_output(list("n", 3)), plogis(scores), type = "link", head = "sigmoid"), scores, tolerance = 1e-5)
})

test_that("of several outputs the one that can hold classes is used, or the one that the file names", {
  outputs <- function(...) {
    read_model_of(
      list(onnx_node("ReduceMean", "x", "value", axes = ints(1)), onnx_node("Neg", "x", "minus"), onnx_node("Identity", "x", "plus")),
      list(onnx_value("x", shape = list("n", 3))),
      list(onnx_value("value", shape = list("n", 1)), onnx_value("minus", shape = list("n", 3)), onnx_value("plus", shape = list("n", 3))),
      ...
    )
  }
  x <- wavy(5, 3)
  chosen <- function(...) as.integer(predict(..., type = "class"))
  expect_equal(chosen(outputs(), x), max.col(-x))
  expect_equal(chosen(outputs(metadata = specified(decided = "plus")), x), max.col(x))
  expect_equal(chosen(outputs(), x, output = "plus"), max.col(x))
  refused(predict(outputs(), x, type = "class", output = "value"), "'value'")
  refused(predict(outputs(), x, type = "class", output = "none"), "no output named 'none'")
})

test_that("classes do not lie along the axis of the samples", {
  turned <- function(shape) {
    read_model_of(list(onnx_node("Transpose", "x", "y", perm = ints(1, 0))), list(onnx_value("x", shape = list("n", 3))),
                  list(onnx_value("y", shape = shape)))
  }
  x <- wavy(4, 3)
  for (shape in list(list(3, "n"), NULL)) {
    expect_equal(as.integer(predict(turned(shape), x, type = "class")), max.col(x))
    expect_equal(as.integer(suppressMessages(predict(turned(shape), x, type = "class", batch_size = 3))), max.col(x))
  }
})

# --- the serve loop --------------------------------------------------------------

loop_fills_batches <- function(engine) {
  folder <- tempfile("samples")
  dir.create(folder)
  on.exit(unlink(folder, recursive = TRUE))
  ask <- function(...) {
    line <- jsonlite::toJSON(list(id = 1, ...), auto_unbox = TRUE, null = "null")
    jsonlite::fromJSON(onnx_answer(line, engine), simplifyVector = FALSE)
  }
  path <- write_model(onnx_model(
    list(onnx_node("Add", c("x", "doy"), "y")), list(onnx_value("x", shape = list(4, 3)), onnx_value("doy", shape = list(3))),
    list(onnx_value("y", shape = list(4, 3)))
  ))
  x <- wavy(6, 3)
  safetensors_write(list(x = x, doy = 1:3), file.path(folder, "x.safetensors"), "float32")
  asked <- function(...) {
    ask(inputs = file.path(folder, "x.safetensors"), outputs = file.path(folder, "y.safetensors"), ...)
  }
  ask(request = "load", path = path)
  answer <- asked(request = "predict", sample_axes = list(doy = NULL))$result
  expect_equal(answer[c("batches", "filled")], list(batches = 2L, filled = 2L))
  expect_equal(as.vector(safetensors_read(file.path(folder, "y.safetensors"))$y), as.vector(x + rep(1:3, each = 6)),
               tolerance = 1e-6)
  wrong <- asked(request = "predict", batch_size = 3, sample_axes = list(doy = NULL))
  expect_match(wrong$error$message, "batch_size 3 cannot be")
  wrong <- asked(request = "predict", sample_axes = list(day = NULL))
  expect_equal(wrong$error$kind, "bad-input")
  timed <- asked(request = "time", batch_sizes = list(4), seconds = 0.01, repeats = 3, sample_axes = list(doy = NULL))
  expect_equal(timed$result$batches[[1]]$batch_size, 4)
}

test_that("the loop takes sample axes, fills batches and says so", {
  loop_fills_batches("base")
})

test_that("so does that of r/torch", {
  skip_without_torch()
  loop_fills_batches("torch")
})
