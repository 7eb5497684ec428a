# Classical models, texts and maps: operators of ai.onnx.ml.

ml <- function(operator, inputs, outputs, ...) onnx_node(operator, inputs, outputs, ..., domain = "ai.onnx.ml")

# A sequence of maps from texts to float32.
maps_value <- function(name) {
  tensor <- wire_bytes(1, wire_number(1, 1))
  map <- wire_bytes(5, c(wire_number(1, 8), wire_bytes(2, tensor)))
  c(wire_text(1, name), wire_bytes(2, wire_bytes(4, wire_bytes(1, map))))
}

# Two trees: x[0] <= 0.5, and x[1] > 1 where what is missing goes on.
forest <- function(...) {
  ml("TreeEnsembleClassifier", "x", c("label", "scores"),
     nodes_treeids = ints(0, 0, 0, 1, 1, 1), nodes_nodeids = ints(0, 1, 2, 0, 1, 2), nodes_featureids = ints(0, 0, 0, 1, 0, 0),
     nodes_modes = c("BRANCH_LEQ", "LEAF", "LEAF", "BRANCH_GT", "LEAF", "LEAF"), nodes_values = c(0.5, 0, 0, 1, 0, 0),
     nodes_truenodeids = ints(1, 0, 0, 1, 0, 0), nodes_falsenodeids = ints(2, 0, 0, 2, 0, 0),
     nodes_missing_value_tracks_true = ints(0, 0, 0, 1, 0, 0), class_treeids = ints(0, 0, 1, 1, 1),
     class_nodeids = ints(1, 2, 1, 2, 2), class_ids = ints(0, 1, 1, 0, 2), class_weights = c(0.5, 0.5, 0.5, 0.25, 0.25), ...)
}

write_forest <- function(nodes = list(), outputs = list(onnx_value("label", "string"), onnx_value("scores"))) {
  write_model(onnx_model(
    c(list(forest(classlabels_strings = c("oak", "ash", "elm"))), nodes), list(onnx_value("x", shape = list("n", 2))), outputs,
    domains = "ai.onnx.ml"
  ))
}

rows <- rbind(c(0, 0), c(1, 2), c(0, NA))

test_that("a forest goes the way of each split, also where values are missing", {
  found <- predict(onnx_read(write_forest()), rows)
  expect_identical(c(found$label), c("oak", "ash", "oak"))
  expect_equal(unname(found$scores), rbind(c(0.75, 0, 0.25), c(0, 1, 0), c(0.5, 0.5, 0)))
})

test_that("sums over trees round after each tree, so that equal votes are equal", {
  # 0.1 + 0.1 + 0.1 is 0.3 in single precision alone; the first of equal classes counts.
  votes <- function(dtype) {
    none <- ints(0, 0, 0, 0)
    node <- ml("TreeEnsembleClassifier", "x", c("l", "s"), classlabels_int64s = ints(5, 7, 9), nodes_treeids = ints(0, 1, 2, 3),
               nodes_nodeids = none, nodes_featureids = none, nodes_modes = rep("LEAF", 4), nodes_values = rep(0, 4),
               nodes_truenodeids = none, nodes_falsenodeids = none, class_treeids = ints(0, 1, 2, 3), class_nodeids = none,
               class_ids = ints(0, 0, 0, 1), class_weights = c(0.1, 0.1, 0.1, 0.3))
    path <- write_model(onnx_model(
      list(node), list(onnx_value("x", dtype, list("n", 2))), list(onnx_value("l", "int64"), onnx_value("s")), domains = "ai.onnx.ml"
    ))
    c(predict(onnx_read(path), rbind(c(0, 1)))$l)
  }
  expect_identical(votes("float32"), 5)
  expect_identical(votes("float64"), 7)
})

test_that("maps are named lists, and scores of classes", {
  zip <- ml("ZipMap", "scores", "maps", classlabels_strings = c("oak", "ash", "elm"))
  model <- onnx_read(write_forest(list(zip), list(onnx_value("label", "string"), maps_value("maps"))))
  raw <- predict(model, rows)
  expect_identical(raw$maps[[1L]], list(ash = 0, elm = 0.25, oak = 0.75))
  expect_identical(dimnames(predict(model, rows, type = "prob"))[[2L]], c("ash", "elm", "oak"))
  expect_identical(as.character(predict(model, rows, type = "class")[1:2]), c("oak", "ash"))
  expect_identical(predict(model, rows, type = "class", output = "label"), factor(c("oak", "ash", "oak")))
  expect_error(
    onnx_read(write_forest(list(zip, onnx_node("Identity", "maps", "y")), list(onnx_value("y")))), "ZipMap", class = "onnx_unsupported"
  )
})

test_that("texts are looked up, and what is unknown has the default", {
  path <- write_model(onnx_model(
    list(ml("LabelEncoder", "x", "y", keys_strings = c("a", "b\u00e4"), values_int64s = ints(3, 4), default_int64 = 9L)),
    list(onnx_value("x", "string", list("n"))), list(onnx_value("y", "int64")), domains = c("ai.onnx.ml")
  ))
  # Opset 2 of the domain, which the helper writes as 1.
  bytes <- readBin(path, "raw", 1e5)
  at <- length(bytes)
  bytes[at] <- as.raw(2L)
  writeBin(bytes, path)
  expect_identical(c(predict(onnx_read(path), c("b\u00e4", "?", "a"))), c(4, 9, 3))
  expect_identical(c(predict(onnx_read(path), factor(c("a", "?")))), c(3, 9))
})

test_that("texts of a file are read from initializers", {
  texts <- c(wire_number(1, 2), wire_number(2, 8), wire_text(8, "t"), wire_text(6, "one"), wire_text(6, ""))
  path <- write_model(onnx_model(
    list(onnx_node("Gather", c("t", "x"), "y")), list(onnx_value("x", "int64", list("n"))), list(onnx_value("y", "string")), list(texts)
  ))
  expect_identical(c(predict(onnx_read(path), c(1, 0))), c("", "one"))
})

test_that("what implementations do not agree on is refused", {
  one <- function(...) {
    onnx_read(write_model(onnx_model(
      list(ml("LinearClassifier", "x", c("l", "s"), coefficients = c(1, 2), classlabels_ints = ints(0, 1), ...)),
      list(onnx_value("x", shape = list("n", 2))), list(onnx_value("l", "int64"), onnx_value("s")), domains = "ai.onnx.ml"
    )))
  }
  expect_error(one(post_transform = "SQUARE"), "SQUARE", class = "onnx_unsupported")
  expect_error(predict(one(), rbind(c(1, 2))), "one row", class = "onnx_unsupported")
  expect_equal(predict(one(post_transform = "LOGISTIC"), rbind(c(1, 2)))$s[2L], stats::plogis(5), tolerance = 1e-6)
})

test_that("a tree that leads back to its own node is an error", {
  loop <- ml("TreeEnsembleRegressor", "x", "y", nodes_treeids = ints(0, 0), nodes_nodeids = ints(0, 1), nodes_featureids = ints(0, 0),
             nodes_modes = c("BRANCH_LEQ", "BRANCH_LEQ"), nodes_values = c(0, 0), nodes_truenodeids = ints(1, 0),
             nodes_falsenodeids = ints(1, 0), target_ids = ints(0, 0), target_treeids = ints(0, 0), target_nodeids = ints(0, 1),
             target_weights = c(1, 1), n_targets = 1L)
  path <- write_model(onnx_model(list(loop), list(onnx_value("x", shape = list("n", 1))), list(onnx_value("y")), domains = "ai.onnx.ml"))
  expect_error(predict(onnx_read(path), matrix(1)), "leads back", class = "onnx_bad_input")
})

test_that("support vectors vote in pairs of classes", {
  machine <- function(...) {
    node <- ml("SVMClassifier", "x", c("l", "s"), classlabels_ints = ints(4, 5), support_vectors = c(1, 0, 0, 1),
               coefficients = c(2, -1), rho = 0.5, ...)
    onnx_read(write_model(onnx_model(
      list(node), list(onnx_value("x", shape = list("n", 2))), list(onnx_value("l", "int64"), onnx_value("s")), domains = "ai.onnx.ml"
    )))
  }
  found <- predict(machine(vectors_per_class = ints(1, 1)), rbind(c(1, 0), c(0, 3)))
  expect_equal(c(found$l), c(4, 5))
  expect_equal(unname(found$s), rbind(c(-2.5, 2.5), c(2.5, -2.5)))
  chances <- machine(vectors_per_class = ints(1, 1), prob_a = c(-1), prob_b = c(0))
  expect_equal(predict(chances, rbind(c(1, 0)))$s[1L], stats::plogis(2.5), tolerance = 1e-6)
  expect_error(machine(), "without support vectors", class = "onnx_unsupported")
})
