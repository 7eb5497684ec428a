read_model <- function(...) {
  path <- write_model(onnx_model(...))
  on.exit(unlink(path))
  onnx_read(path)
}
x <- list(onnx_value("x", shape = list("n", 2)))
y <- list(onnx_value("y"))

test_that("what is not supported is refused by name when the file is read", {
  unknown <- list(onnx_node("Relu", "x", "h"), onnx_node("NoSuchOperator", "h", "y", name = "odd"))
  expect_error(read_model(unknown, x, y), "operator NoSuchOperator \\(opset 17, node 'odd'\\)", class = "onnx_unsupported")
  foreign <- list(onnx_node("Relu", "x", "y", domain = "com.example"))
  expect_error(read_model(foreign, x, y), "domain 'com.example'", class = "onnx_unsupported")
  expect_error(read_model(list(onnx_node("Relu", "x", "y")), x, y, opset = 0), "opset 0", class = "onnx_unsupported")
  expect_error(read_model(list(onnx_node("Relu", "x", "y")), x, y, opset = 99), "opset 99", class = "onnx_unsupported")
  expect_error(read_model(list(onnx_node("Gelu", "x", "y")), x, y), "Gelu .*does not exist", class = "onnx_unsupported")
  expect_error(read_model(list(onnx_node("Relu", "x", "y", slope = 2)), x, y), "'slope'", class = "onnx_unsupported")
  expect_error(read_model(list(onnx_node("Relu", "x", "y")), list(onnx_value("x", "float8e5m2")), y),
               "float8e5m2", class = "onnx_unsupported")
})

test_that("nodes out of order are sorted, and that is told", {
  nodes <- list(
    onnx_node("Neg", "h", "y", name = "last"), onnx_node("Add", c("x", "g"), "h", name = "sum"),
    onnx_node("Relu", "x", "g", name = "first")
  )
  expect_message(model <- read_model(nodes, x, y), "out of order and were sorted: 'last' and 1 more", class = "onnx_message")
  expect_equal(vapply(model$graph$nodes, `[[`, "", "operator"), c("Relu", "Add", "Neg"))
  expect_equal(as.vector(predict(model, matrix(c(-1, 2), 1))), c(1, -4))
})

test_that("a graph that is no order, or not whole, is refused", {
  circle <- list(onnx_node("Relu", "h", "y"), onnx_node("Relu", "y", "h"))
  expect_error(read_model(circle, x, y), "before it is computed", class = "onnx_bad_input")
  expect_error(read_model(list(onnx_node("Relu", "nowhere", "y")), x, y), "'nowhere'", class = "onnx_bad_input")
  expect_error(read_model(list(onnx_node("Relu", "y", "y")), x, y), "before it is computed", class = "onnx_bad_input")
  expect_error(read_model(list(onnx_node("Relu", "x", "y"), onnx_node("Abs", "x", "y")), x, y),
               "'y' is computed twice", class = "onnx_bad_input")
  expect_error(read_model(list(onnx_node("Relu", "x", "h")), x, y), "output 'y'", class = "onnx_bad_input")
  expect_error(read_model(list(onnx_node("Add", "x", "y")), x, y), "1 inputs", class = "onnx_bad_input")
  expect_error(read_model(list(onnx_node("MaxPool", "x", "y")), x, y), "kernel_shape", class = "onnx_bad_input")
  expect_error(read_model(list(onnx_node("Softmax", "x", "y", axis = "one")), x, y), "'axis'", class = "onnx_bad_input")
})

test_that("'ai.onnx' is the default domain", {
  model <- read_model(list(onnx_node("Relu", "x", "y", domain = "ai.onnx")), x, y)
  expect_equal(predict(model, matrix(c(-1, 2), 1)), matrix(c(0, 2), 1))
})

test_that("a value is forgotten after its last use and outputs are kept", {
  model <- read_model(
    list(onnx_node("Relu", "x", "a"), onnx_node("Abs", "a", "b"), onnx_node("Add", c("a", "b"), "y")),
    x, c(y, list(onnx_value("b")))
  )
  freed <- lapply(model$graph$release, function(slots) model$graph$names[slots])
  expect_setequal(freed[[3]], c("a"))
  expect_true("x" %in% freed[[1]])
  expect_false("b" %in% unlist(freed))
})

test_that("large integers are bounds to Slice and refused elsewhere", {
  ends <- onnx_tensor("ends", 2^63, "int64")
  slice <- onnx_node("Slice", c("x", "starts", "ends"), "y")
  model <- read_model(list(slice), x, y, list(onnx_tensor("starts", 1, "int64"), ends))
  expect_equal(predict(model, matrix(1:6, 3)), matrix(c(2, 3, 5, 6), 2))
  expect_error(read_model(list(onnx_node("Add", c("ends", "ends"), "y")), list(), list(onnx_value("y", "int64")), list(ends)),
               "operator Add .* beyond 2\\^53", class = "onnx_unsupported")
})

test_that("a large integer may be moved on its way to Slice, but not computed with", {
  nodes <- list(onnx_node("Unsqueeze", c("end", "zero"), "ends"), onnx_node("Slice", c("x", "starts", "ends"), "y"))
  values <- list(onnx_tensor("end", 2^63, "int64", scalar = TRUE), onnx_tensor("zero", 0, "int64"), onnx_tensor("starts", 2, "int64"))
  expect_equal(predict(read_model(nodes, x, y, values), matrix(1:6, 3)), matrix(c(3, 6), 1))
  nodes <- c(nodes, list(onnx_node("Equal", c("ends", "starts"), "same")))
  expect_error(read_model(nodes, x, y, values), "operator Equal", class = "onnx_unsupported")
})

test_that("a large integer that comes as an input is refused as well", {
  model <- read_model(list(onnx_node("Equal", c("x", "x"), "y")), list(onnx_value("x", "int64", list(1))), list(onnx_value("y", "bool")))
  expect_error(predict(model, 2^60), "operator Equal .* beyond 2\\^53", class = "onnx_unsupported")
  expect_true(as.vector(predict(model, 2^53)))
})

test_that("typed 64-bit integers keep every bit", {
  patterns <- list(as.raw(c(1, 2, 3, 4, 5, 6, 7, 8)), as.raw(rep(255, 8)), as.raw(c(254, rep(255, 6), 127)), as.raw(c(0:6, 128)))
  varint <- function(bytes) {
    bits <- as.integer(rawToBits(bytes))
    digits <- vapply(0:9, function(k) sum(c(bits, rep(0, 6))[k * 7 + 1:7] * 2^(0:6)), 0)
    as.raw(digits + c(rep(128, 9), 0))
  }
  tensor <- c(wire_number(1, 4), wire_number(2, 7), wire_text(8, "w"), wire_bytes(7, do.call(c, lapply(patterns, varint))))
  parsed <- plainonnx:::parse_tensor(tensor, 1, length(tensor), NULL)
  expect_identical(parsed$bytes, do.call(c, patterns))
})

test_that("typed tensor fields hold the same values as raw bytes", {
  float_data <- c(wire_number(1, 2), wire_number(2, 1), wire_text(8, "w"),
                  wire_bytes(4, writeBin(c(1.5, -2), raw(), 4, endian = "little")))
  model <- read_model(list(onnx_node("Add", c("x", "w"), "y")), x, y, list(float_data))
  expect_equal(predict(model, matrix(0, 1, 2)), matrix(c(1.5, -2), 1))
  int_data <- c(wire_number(1, 2), wire_number(2, 6), wire_text(8, "w"), wire_bytes(5, c(wire_varint(-7), wire_varint(9))))
  model <- read_model(list(onnx_node("Identity", "w", "y")), list(), list(onnx_value("y", "int32")), list(int_data))
  expect_equal(as.vector(predict(model, list())), c(-7, 9))
})

# What the package holds for speed (see tensor.R) must not be seen from outside.

chain <- function(...) {
  onnx_model(
    list(
      onnx_node("Conv", c("x", "w"), "c1", kernel_shape = ints(3), pads = ints(1, 1), name = "first"),
      onnx_node("BatchNormalization", c("c1", "scale", "shift", "mean", "variance"), "n", name = "norm"),
      onnx_node("Relu", "n", "r", name = "relu"),
      onnx_node("Conv", c("r", "w2", "b2"), "c2", kernel_shape = ints(2), group = 2L, name = "second"),
      onnx_node("Add", c("c2", "offset"), "y", name = "add")
    ),
    list(onnx_value("x", "float32", list("sample", 2, 6)), ...), list(onnx_value("y"), onnx_value("c2"), onnx_value("r")),
    list(
      onnx_tensor("w", wavy(4, 2, 3)), onnx_tensor("scale", wavy(4)), onnx_tensor("shift", wavy(4) / 3),
      onnx_tensor("mean", wavy(4) / 2), onnx_tensor("variance", c(1, 2, 3, 4)), onnx_tensor("w2", wavy(6, 2, 2)),
      onnx_tensor("b2", wavy(6)), onnx_tensor("offset", wavy(6, 1))
    )
  )
}

test_that("values between convolutions keep the order of their axes, whoever reads them", {
  model <- onnx_read(write_model(chain()), "float64")
  x <- wavy(5, 2, 6)
  together <- plainonnx:::run_graph(model$graph, list(x = plainonnx:::from_r(x, "float32")), model$graph$names[-(1:9)])
  expect_true(all(vapply(together, function(v) is.null(v$channel_major) && is.null(dim(v$data)), NA)))
  # One sample at a time nothing is reordered.
  alone <- lapply(1:5, function(k) predict(model, x[k, , , drop = FALSE]))
  for (name in c("y", "c2", "r")) {
    whole <- plainonnx:::to_r(together[[name]])
    for (k in 1:5) expect_equal(whole[k, , , drop = FALSE], alone[[k]][[name]], tolerance = 1e-14, info = name)
  }
  by_hand <- function(k, filter, at) {
    padded <- cbind(0, x[k, , ], 0)
    sum(plainonnx:::round_to_dtype(as.vector(wavy(4, 2, 3)[filter, , ]), "float32") * padded[, at + 0:2])
  }
  c1 <- plainonnx:::to_r(together[["c1"]])
  expect_equal(c1[3, 2, 5], by_hand(3, 2, 5), tolerance = 1e-14)
  expect_equal(c1[5, 4, 1], by_hand(5, 4, 1), tolerance = 1e-14)
})

test_that("a constant is one matrix only where products alone read it, and another may take its place", {
  both <- onnx_model(
    list(onnx_node("Gemm", c("x", "w"), "p"), onnx_node("Add", c("p", "w"), "y")),
    list(onnx_value("x", "float32", list(2, 2)), onnx_value("w", "float32", list(2, 2))), list(onnx_value("y"), onnx_value("w")),
    list(onnx_tensor("w", matrix(c(1, 2, 3, 4), 2)))
  )
  model <- onnx_read(write_model(both), "float64")
  expect_null(dim(model$graph$tensors[[1]]$data))
  x <- matrix(c(1, 0, 2, 1), 2)
  expect_equal(predict(model, list(x = x))$y, x %*% matrix(1:4, 2) + matrix(1:4, 2))

  given <- onnx_read(write_model(chain(onnx_value("w", "float32", list(4, 2, 3)))), "float64")
  expect_equal(dim(given$graph$tensors[[1]]$data), c(6L, 4L))
  x <- wavy(2, 2, 6)
  expect_equal(predict(given, list(x = x, w = wavy(4, 2, 3) * 0))$r,
               predict(onnx_read(write_model(chain()), "float64"), x * 0)$r)
})

test_that("NaN and infinities in weights and inputs reach exactly the outputs that they should", {
  model <- function(weight) onnx_read(write_model(onnx_model(
    list(onnx_node("Gemm", c("x", "w"), "y")), list(onnx_value("x", "float32", list("n", 3))), list(onnx_value("y")),
    list(onnx_tensor("w", weight))
  )))
  x <- matrix(c(1, NaN, 0, 2, 0, 0, 3, 4, 0), 3)
  found <- predict(model(diag(3)), x)
  expect_equal(is.nan(found), matrix(c(FALSE, TRUE, FALSE), 3, 3))
  infinite <- diag(3)
  infinite[1, 2] <- Inf
  # 0 * Inf is NaN, 1 * Inf is not.
  expect_equal(predict(model(infinite), matrix(c(1, 0, 0, 0, 0, 0), 2)), rbind(c(1, Inf, 0), c(0, NaN, 0)))
  expect_equal(getOption("matprod"), "default")

  conv <- onnx_read(write_model(onnx_model(
    list(onnx_node("Conv", c("x", "w"), "y", kernel_shape = ints(2))), list(onnx_value("x", "float32", list("n", 1, 4))),
    list(onnx_value("y")), list(onnx_tensor("w", array(c(1, 1), c(1, 1, 2))))
  )))
  x <- array(c(1, 1, NaN, 1, 2, 1, 1, -Inf), c(2, 1, 4))
  expect_equal(predict(conv, x), array(c(NaN, 2, NaN, 2, 3, -Inf), c(2, 1, 3)))
  expect_equal(getOption("matprod"), "default")
})

test_that("a refusal inside a product leaves R's own options as they were", {
  expect_error(plainonnx:::without_nan_check(TRUE, stop("broken")), "broken")
  expect_equal(getOption("matprod"), "default")
})
