crops <- function(...) onnx_read(system.file("extdata", "crops.onnx", package = "plainonnx"), ...)
classes <- c("barley", "wheat", "corn", "meadow")
x <- wavy(5, 3, 8)

# One graph of a single node, with the given head.
scores_model <- function(head = NULL, shape = list("n", 3), classes = c("a", "b", "c"), ...) {
  metadata <- c(harness.classes = jsonlite::toJSON(classes), harness.head = head)
  path <- write_model(onnx_model(
    list(onnx_node("Identity", "x", "y")), list(onnx_value("x", shape = shape)), list(onnx_value("y")),
    metadata = metadata, ...
  ))
  on.exit(unlink(path))
  onnx_read(path)
}

test_that("columns are named after the classes and class is a factor", {
  raw <- predict(crops(), x)
  expect_equal(dim(raw), c(5L, 4L))
  expect_equal(colnames(raw), classes)
  prob <- predict(crops(), x, type = "prob")
  expect_equal(rowSums(prob), rep(1, 5))
  expect_equal(colnames(prob), classes)
  chosen <- predict(crops(), x, type = "class")
  expect_s3_class(chosen, "factor")
  expect_equal(levels(chosen), classes)
  expect_equal(as.character(chosen), classes[max.col(raw)])
})

test_that("the whole network equals the same network written out", {
  model <- crops("float64")
  p <- lapply(model$graph$initializers, function(i) plainonnx:::to_r(plainonnx:::decode_tensor(i)))
  names(p) <- vapply(model$graph$initializers, `[[`, "", "name")
  padded <- array(0, c(3, 10))
  padded[, 2:9] <- x[2, , ]
  features <- sapply(1:8, function(t) apply(p$conv.weight, 1, function(w) sum(w * padded[, t + 0:2])))
  scale <- 1 / sqrt(1 + plainonnx:::round_to_dtype(1e-5, "float32"))
  pooled <- rowMeans(pmax(features * scale, 0))
  expect_equal(unname(predict(model, x)[2, ]), as.vector(p$dense.weight %*% pooled), tolerance = 1e-12)
})

test_that("batches give what the whole gives", {
  whole <- predict(crops(), x)
  for (size in 1:6) expect_equal(predict(crops(), x, batch_size = size), whole)
  expect_error(predict(crops(), x, batch_size = 0), "batch_size", class = "onnx_bad_input")
})

test_that("prob and link follow the head that the file declares", {
  logits <- matrix(c(1, 2, 4, 0, 0, 0), 2, byrow = TRUE)
  soft <- exp(logits) / rowSums(exp(logits))
  expect_equal(unname(predict(scores_model("logits"), logits, type = "prob")), soft, tolerance = 1e-6)
  expect_equal(unname(predict(scores_model("log-softmax"), log(soft), type = "prob")), soft, tolerance = 1e-6)
  expect_equal(unname(predict(scores_model("softmax"), soft, type = "prob")), soft, tolerance = 1e-6)
  expect_equal(unname(predict(scores_model("softmax"), soft, type = "link")), log(soft), tolerance = 1e-6)
  expect_error(predict(scores_model(), logits, type = "prob"), "harness.head", class = "onnx_bad_input")
  expect_equal(unname(predict(scores_model(), logits, type = "prob", head = "logits")), soft, tolerance = 1e-6)
})

test_that("a class is chosen for every pixel, and NaN has none", {
  scores <- wavy(2, 3, 4, 5)
  chosen <- predict(scores_model("logits", list("n", 3, "h", "w")), scores, type = "class")
  expect_equal(dim(chosen), c(2L, 4L, 5L))
  expect_equal(as.character(chosen[2, 3, 4]), c("a", "b", "c")[which.max(scores[2, , 3, 4])])
  expect_true(is.na(predict(scores_model("logits"), matrix(c(1, NaN, 2), 1), type = "class")))
})

test_that("outputs are rounded to float32, or kept in double", {
  value <- matrix(c(0.1, 0.2, 0.3), 1)
  expect_identical(as.vector(predict(scores_model(), value)), plainonnx:::round_to_dtype(c(0.1, 0.2, 0.3), "float32"))
})

test_that("wrong inputs are refused, never guessed at", {
  m <- crops()
  expect_error(predict(m, aperm(x, c(1, 3, 2))), "\\(5, 8, 3\\); the model takes sample x 3 x 8; its axes are in another order: aperm\\(x, c\\(1, 3, 2\\)\\) fits",
               class = "onnx_bad_input")
  expect_error(predict(m, x[1, , ]), "shape", class = "onnx_bad_input")
  expect_error(predict(m, list(y = x)), "no input named 'y'; it takes 'x'", class = "onnx_bad_input")
  expect_error(predict(m, list()), "'x' is missing", class = "onnx_bad_input")
  expect_error(predict(m, array("1", c(1, 3, 8))), "character", class = "onnx_bad_input")
  expect_error(predict(m, array(TRUE, c(1, 3, 8))), "logical", class = "onnx_bad_input")
  path <- write_model(onnx_model(list(onnx_node("Identity", "i", "y")), list(onnx_value("i", "int32", list(1))),
                                 list(onnx_value("y", "int32"))))
  on.exit(unlink(path))
  expect_error(predict(onnx_read(path), 1.5), "whole numbers", class = "onnx_bad_input")
  expect_error(predict(onnx_read(path), 2^40), "beyond int32", class = "onnx_bad_input")
})

test_that("several inputs are a named list, and one axis name is one size", {
  path <- write_model(onnx_model(
    list(onnx_node("Add", c("a", "b"), "sum"), onnx_node("Sub", c("a", "b"), "difference")),
    list(onnx_value("a", shape = list("n", 2)), onnx_value("b", shape = list("n", 2))),
    list(onnx_value("sum"), onnx_value("difference"))
  ))
  on.exit(unlink(path))
  m <- onnx_read(path)
  a <- matrix(1:6, 3)
  result <- predict(m, list(b = a, a = 2 * a), batch_size = 2)
  expect_equal(result, list(sum = 3 * a, difference = a))
  expect_error(predict(m, a), "2 inputs", class = "onnx_bad_input")
  expect_error(predict(m, list(a = a, b = a[1:2, ])), "'b' has shape \\(2, 2\\)", class = "onnx_bad_input")
})

test_that("print and summary show what a reader wants to know", {
  expect_output(print(crops()), "x: float32, sample x 3 x 8")
  expect_output(print(crops()), "barley, wheat, corn, meadow")
  s <- summary(crops())
  expect_equal(s$nodes, 6)
  expect_equal(s$values, 6 * 3 * 3 + 6 * 5 + 4 * 6 + 4)
  expect_equal(s$operators[["Conv"]], 1)
  expect_equal(s$parameters$shape[1], "6 x 3 x 3")
  expect_output(print(s), "112 parameters in 8 initializers")
})

test_that("the operator table speaks of every opset that counts", {
  rows <- onnx_operators()
  expect_equal(rows$since[rows$operator == "Conv"], "1, 11, 22")
  expect_false(anyDuplicated(rows$operator) > 0)
})

test_that("what goes wrong in a node names it", {
  model <- scores_model()
  model$graph$nodes[[1]]$label <- "'odd'"
  model$graph$nodes[[1]]$run <- function(inputs, node) stop("two\nlines")
  expect_error(predict(model, wavy(1, 3)), "node 'odd' \\(Identity\\): two lines")
  model$graph$nodes[[1]]$run <- function(inputs, node) plainonnx:::stop_unsupported("this")
  expect_error(predict(model, wavy(1, 3)), "node 'odd' \\(Identity\\): this", class = "onnx_unsupported")
})

test_that("NA is NaN to every operator", {
  nodes <- list(onnx_node("IsNaN", "x", "missing"), onnx_node("Cast", "x", "kept", to = 9L))
  model <- onnx_read(write_model(onnx_model(
    nodes, list(onnx_value("x", shape = list("n"))), list(onnx_value("missing", "bool"), onnx_value("kept", "bool"))
  )))
  expect_identical(c(predict(model, c(NA, 0, 1))$missing), c(TRUE, FALSE, FALSE))
  expect_identical(predict(model, c(NA_real_, 0)), predict(model, c(NaN, 0)))
})

test_that("a number is given to an input without axes", {
  path <- write_model(onnx_model(
    list(onnx_node("Mul", c("x", "factor"), "y")), list(onnx_value("x", shape = list("n")), onnx_value("factor", shape = list())),
    list(onnx_value("y", shape = list("n")))
  ))
  expect_equal(as.vector(predict(onnx_read(path), list(x = c(1, 2), factor = 3))), c(3, 6))
  expect_error(predict(onnx_read(path), list(x = c(1, 2), factor = c(3, 4))), "has shape \\(2\\); the model takes scalar")
})
