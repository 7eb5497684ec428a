# Loop, Scan and If, and the graphs inside of nodes.

flag <- function(name) onnx_value(name, "bool", list())
counter <- function(name) onnx_value(name, "int64", list())
numbers <- function(name) onnx_value(name, "float32", list(paste("size of", name)))
number_of <- function(name, value) onnx_tensor(name, value, "int64", scalar = TRUE)
true <- onnx_tensor("true", TRUE, "bool", scalar = TRUE)

# A running sum: each step adds `by` to its state, and hands out the state.
summing <- function(nodes = list(), last = "keep", initializers = list()) {
  onnx_graph(
    c(list(onnx_node("Add", c("sum", "by"), "more"), onnx_node("Identity", "more", "seen")), nodes),
    list(counter("step"), flag("keep"), numbers("sum")), list(flag(last), numbers("more"), onnx_value("seen", "float32", list(2))),
    initializers
  )
}

loop_model <- function(body, inputs = c("times", "", "start"), extra = list(), outputs = c("end", "steps"), ...) {
  read_model_of(
    list(onnx_node("Loop", inputs, outputs, body = body)), list(numbers("start"), numbers("by")),
    lapply(outputs, onnx_value), c(list(number_of("times", 3)), extra), ...
  )
}

read_model_of <- function(..., precision = "float32") {
  path <- write_model(onnx_model(...))
  on.exit(unlink(path))
  onnx_read(path, precision)
}

start <- c(1, 2)
by <- c(10, 20)

test_that("a loop runs as often as it is told, and its steps are put together", {
  found <- predict(loop_model(summing()), list(start = start, by = by))
  expect_equal(as.vector(found$end), c(31, 62))
  expect_equal(found$steps, rbind(c(11, 22), c(21, 42), c(31, 62)))
})

test_that("a loop ends when its condition says so, with or without a number of steps", {
  until <- summing(
    list(onnx_node("ReduceMax", "more", "most", keepdims = 0L), onnx_node("Less", c("most", "limit"), "on")), "on",
    list(onnx_tensor("limit", 40, scalar = TRUE))
  )
  for (inputs in list(c("times", "", "start"), c("", "", "start"), c("", "true", "start"))) {
    found <- predict(loop_model(until, inputs, list(true)), list(start = start, by = by))
    expect_equal(found$steps, rbind(c(11, 22), c(21, 42)))
  }
})

test_that("a loop without a step gives back what it got, and steps of the declared size", {
  never <- onnx_tensor("never", FALSE, "bool", scalar = TRUE)
  for (model in list(
    loop_model(summing(), c("none", "", "start"), list(number_of("none", 0))),
    loop_model(summing(), c("none", "", "start"), list(number_of("none", -4))),
    loop_model(summing(), c("times", "never", "start"), list(never))
  )) {
    found <- predict(model, list(start = start, by = by))
    expect_equal(as.vector(found$end), start)
    expect_equal(dim(found$steps), c(0, 2))
  }
})

test_that("names of all graphs around are visible, the innermost first", {
  # Twice a loop of three steps; the inner one reads the outermost 'by' and the outer loop's 'factor'.
  inner <- onnx_graph(
    list(onnx_node("Mul", c("by", "factor"), "scaled"), onnx_node("Add", c("s", "scaled"), "t")),
    list(counter("j"), flag("kj"), numbers("s")), list(flag("kj"), numbers("t"))
  )
  outer <- onnx_graph(
    list(
      onnx_node("Cast", "step", "turn", to = 1L), onnx_node("Add", c("turn", "one"), "factor"),
      onnx_node("Loop", c("times", "", "sum"), "more", body = inner, name = "inner")
    ),
    list(counter("step"), flag("keep"), numbers("sum")), list(flag("keep"), numbers("more")),
    list(onnx_tensor("one", 1, scalar = TRUE))
  )
  model <- loop_model(outer, c("two", "", "start"), list(number_of("two", 2)), "end")
  # 3 steps of 1 x by, 3 of 2 x by.
  expect_equal(as.vector(predict(model, list(start = start, by = by))), start + 9 * by)
})

test_that("a branch is chosen as the graph runs", {
  branch <- function(operator, output) onnx_graph(list(onnx_node(operator, c("x", "w"), output)), list(), list(numbers(output)))
  model <- read_model_of(
    list(
      onnx_node("ReduceSum", "x", "total", keepdims = 0L), onnx_node("Greater", c("total", "zero"), "positive"),
      onnx_node("If", "positive", "y", then_branch = branch("Add", "a"), else_branch = branch("Mul", "m"))
    ),
    list(numbers("x")), list(numbers("y")), list(onnx_tensor("zero", 0, scalar = TRUE), onnx_tensor("w", c(2, 3))), opset = 12
  )
  expect_equal(as.vector(predict(model, c(1, 1))), c(3, 4))
  expect_equal(as.vector(predict(model, c(-1, -1))), c(-2, -3))
})

test_that("a scan goes along any axis in either direction", {
  body <- onnx_graph(
    list(onnx_node("Add", c("s", "x"), "t"), onnx_node("Identity", "t", "seen")),
    list(numbers("s"), numbers("x")), list(numbers("t"), numbers("seen"))
  )
  run <- function(...) {
    model <- read_model_of(
      list(onnx_node("Scan", c("s0", "xs"), c("end", "all"), body = body, num_scan_inputs = 1L, ...)),
      list(numbers("s0"), onnx_value("xs", "float32", list("a", "b"))), list(onnx_value("end"), onnx_value("all"))
    )
    predict(model, list(s0 = c(0, 0, 0), xs = xs))
  }
  xs <- rbind(c(1, 2, 3), c(10, 20, 30))
  found <- run()
  expect_equal(as.vector(found$end), c(11, 22, 33))
  expect_equal(found$all, rbind(c(1, 2, 3), c(11, 22, 33)))
  found <- run(scan_input_directions = ints(1), scan_output_axes = ints(1))
  expect_equal(found$all, t(rbind(c(10, 20, 30), c(11, 22, 33))))
  found <- run(scan_input_directions = ints(1), scan_output_directions = ints(1), scan_output_axes = ints(-1))
  expect_equal(found$all, t(rbind(c(11, 22, 33), c(10, 20, 30))))
  xs <- t(xs)
  expect_equal(run(scan_input_axes = ints(-1))$all, rbind(c(1, 2, 3), c(11, 22, 33)))
})

test_that("scan 8 runs over the samples of a batch, whose sequences may end early", {
  body <- onnx_graph(
    list(onnx_node("Add", c("s", "x"), "t"), onnx_node("Identity", "t", "seen")),
    list(numbers("s"), numbers("x")), list(numbers("t"), numbers("seen"))
  )
  model <- read_model_of(
    list(onnx_node("Scan", c("lengths", "s0", "xs"), c("end", "all"), body = body, num_scan_inputs = 1L)),
    list(onnx_value("s0"), onnx_value("xs")), list(onnx_value("end"), onnx_value("all")),
    list(onnx_tensor("lengths", c(2, 1), "int64")), opset = 8
  )
  found <- predict(model, list(s0 = matrix(0, 2, 1), xs = array(c(1, 10, 2, 20), c(2, 2, 1))))
  expect_equal(found$end, matrix(c(3, 10)))
  expect_equal(found$all, array(c(1, 10, 3, 0), c(2, 2, 1)))
})

test_that("initializers of subgraphs are the file's, the second of equal names is told apart", {
  body <- function(weight) {
    onnx_graph(
      list(onnx_node("Mul", c("sum", "w"), "more")), list(counter("step"), flag("keep"), numbers("sum")),
      list(flag("keep"), numbers("more")), list(onnx_tensor("w", weight), number_of(paste0("only_", weight[1]), 1))
    )
  }
  model <- read_model_of(
    list(
      onnx_node("Loop", c("times", "", "start"), "mid", body = body(c(2, 3)), name = "one"),
      onnx_node("Loop", c("times", "", "mid"), "end", body = body(c(5, 7)), name = "")
    ),
    list(numbers("start")), list(numbers("end")), list(number_of("times", 2))
  )
  expect_equal(summary(model)$parameters$name, c("times", "w", "only_2", "w#2", "only_5"))
  expect_equal(as.vector(predict(model, c(1, 1))), c(4 * 25, 9 * 49))
})

test_that("in double precision nothing rounds inside of a body", {
  body <- onnx_graph(
    list(
      onnx_node("Constant", character(), "c", value = onnx_tensor("", 0.1, scalar = TRUE)), onnx_node("Cast", "sum", "cast", to = 1L),
      onnx_node("Mul", c("cast", "w"), "m"), onnx_node("Add", c("m", "c"), "more")
    ),
    list(counter("step"), flag("keep"), numbers("sum")), list(flag("keep"), numbers("more")), list(onnx_tensor("w", 0.3, scalar = TRUE))
  )
  model <- loop_model(body, outputs = "end", precision = "float64")
  stored <- plainonnx:::round_to_dtype(c(0.1, 0.3), "float32")
  expected <- c(1, 2)
  for (step in 1:3) expected <- expected * stored[2] + stored[1]
  expect_identical(as.vector(predict(model, list(start = start, by = by))), expected)
})

test_that("what does not change from step to step is computed once", {
  body <- summing(list(onnx_node("Exp", "by", "e", name = "exp"), onnx_node("Dropout", "e", "d"), onnx_node("Neg", "step", "n")))
  prepared <- loop_model(body)$graph$nodes[[1]]$attributes$body
  plan <- plainonnx:::split_body(prepared, prepared$captured_slots)
  expect_equal(vapply(prepared$nodes[plan$once], `[[`, "", "operator"), "Exp")
  # A state that is handed on as it came does not change either.
  handed <- onnx_graph(
    list(onnx_node("Exp", "w", "e"), onnx_node("Add", c("s", "e"), "t")),
    list(counter("step"), flag("keep"), numbers("s"), numbers("w")), list(flag("keep"), numbers("t"), numbers("w"))
  )
  model <- read_model_of(
    list(onnx_node("Loop", c("times", "", "start", "by"), c("end", "weight"), body = handed)),
    list(numbers("start"), numbers("by")), list(onnx_value("end"), onnx_value("weight")), list(number_of("times", 3))
  )
  found <- predict(model, list(start = start, by = c(0, 1)))
  expect_equal(as.vector(found$end), c(1 + 3, 2 + 3 * exp(1)), tolerance = 1e-6)
  expect_equal(as.vector(found$weight), c(0, 1))
})

test_that("bounds of Slice inside of a body may be as large as they go, other numbers not", {
  body <- function(operator, inputs) {
    onnx_graph(
      list(onnx_node(operator, inputs, "more")), list(counter("step"), flag("keep"), numbers("sum")),
      list(flag("keep"), onnx_value("more", "float32")), list(onnx_tensor("end", 2^63, "int64"), onnx_tensor("from", 1, "int64"))
    )
  }
  model <- loop_model(body("Slice", c("sum", "from", "end")), c("far", "", "start"), list(number_of("far", 1)), "y")
  expect_equal(as.vector(predict(model, list(start = 1:4, by = by))), 2:4)
  expect_error(loop_model(body("Add", c("end", "end")), outputs = "y"), "Add .* beyond 2\\^53", class = "onnx_unsupported")
  # As often as it goes.
  until <- summing(
    list(onnx_node("ReduceMax", "more", "most", keepdims = 0L), onnx_node("Less", c("most", "limit"), "on")), "on",
    list(onnx_tensor("limit", 40, scalar = TRUE))
  )
  model <- loop_model(until, c("ever", "", "start"), list(number_of("ever", 2^63)))
  expect_equal(nrow(predict(model, list(start = start, by = by))$steps), 2)
})

test_that("exports of Keras (Loop) and PyTorch (Scan) give what they gave", {
  expected <- safetensors_read(test_path("fixtures", "recurrent.safetensors"))
  for (name in c("loop", "scan")) {
    x <- expected[[paste0(name, "_x")]]
    y <- expected[[paste0(name, "_y")]]
    double <- predict(onnx_read(test_path("fixtures", paste0(name, ".onnx")), "float64"), array(x, dim(x)))
    # Normalisation was folded into float32 by the one exporter.
    expect_equal(double, array(y, dim(y)), tolerance = 1e-6)
    single <- predict(onnx_read(test_path("fixtures", paste0(name, ".onnx"))), array(x, dim(x)))
    expect_equal(single, array(y, dim(y)), tolerance = 1e-5)
  }
})

test_that("what a subgraph cannot do is refused by name, with where it stands", {
  odd <- summing(list(onnx_node("NoSuchOperator", "more", "o", name = "odd")))
  expect_error(loop_model(odd), "node 'loop_0' \\(Loop\\), body: operator NoSuchOperator .*'odd'", class = "onnx_unsupported")
  lost <- summing(list(onnx_node("Relu", "nowhere", "o", name = "lost")))
  expect_error(loop_model(lost), "body: node 'lost' reads 'nowhere', which nothing computes", class = "onnx_bad_input")
  # A name of a graph beside it, not around it.
  branch <- function(from) onnx_graph(list(onnx_node("Relu", from, paste0(from, "_r"))), list(), list(numbers(paste0(from, "_r"))))
  expect_error(
    read_model_of(
      list(onnx_node("If", "c", "y", then_branch = branch("x"), else_branch = branch("x_r"))),
      list(flag("c"), numbers("x")), list(numbers("y"))
    ),
    "then_branch: node 'relu_0' reads 'x_r'|else_branch: node 'relu_0' reads 'x_r'", class = "onnx_bad_input"
  )
})

test_that("a node that a body reads from may stand behind the loop", {
  late <- list(onnx_node("Loop", c("times", "", "start"), c("end", "s"), body = summing()), onnx_node("Relu", "start", "by"))
  expect_message(
    model <- read_model_of(late, list(numbers("start")), list(numbers("end")), list(number_of("times", 1))),
    "out of order and were sorted: 'loop_0'", class = "onnx_message"
  )
  expect_equal(as.vector(predict(model, c(1, 2))), c(2, 4))
})

test_that("a body whose inputs or outputs do not fit is refused when the file is read", {
  expect_error(loop_model(summing(), c("times", "", "start", "start")), "its body has 3 inputs where 4 are needed",
               class = "onnx_bad_input")
  expect_error(loop_model(summing(), outputs = c("end", "steps", "more")), "its body has 3 outputs where at least 4 are needed",
               class = "onnx_bad_input")
  scan <- function(...) {
    read_model_of(list(onnx_node("Scan", c("a", "b"), "y", body = summing(), ...)), list(numbers("a"), numbers("b"), numbers("by")),
                  list(numbers("y")))
  }
  expect_error(scan(num_scan_inputs = 1L), "its body has 3 inputs where 2 are needed", class = "onnx_bad_input")
  expect_error(scan(num_scan_inputs = 3L), "2 inputs, of which 3 are scanned", class = "onnx_bad_input")
  expect_error(scan(), "num_scan_inputs", class = "onnx_bad_input")
  expect_error(
    read_model_of(list(onnx_node("If", "c", "y", then_branch = summing(), else_branch = summing())),
                  list(flag("c"), numbers("by")), list(numbers("y"))),
    "has 3 inputs where 0 are needed", class = "onnx_bad_input"
  )
  expect_error(read_model_of(list(onnx_node("Loop", c("", ""), "y", body = 3L)), list(), list(numbers("y"))),
               "'body' is not of the type", class = "onnx_bad_input")
})

test_that("a loop without an end is refused, and so are steps that do not fit", {
  model <- loop_model(summing(), c("", "", "start"))
  expect_error(predict(model, list(start = start, by = by)), "the loop has no end", class = "onnx_bad_input")
  always <- summing(list(onnx_node("Not", "never", "on")), "on", list(onnx_tensor("never", FALSE, "bool", scalar = TRUE)))
  expect_error(predict(loop_model(always, c("", "", "start")), list(start = start, by = by)), "no end", class = "onnx_bad_input")

  growing <- function(...) {
    onnx_graph(
      list(onnx_node("Concat", c("sum", "by"), "more", axis = 0L), onnx_node("Identity", "more", "seen")),
      list(counter("step"), flag("keep"), numbers("sum")), list(flag("keep"), numbers("more"), ...)
    )
  }
  expect_equal(as.vector(predict(loop_model(growing(), outputs = "end"), list(start = 1, by = 2))), c(1, 2, 2, 2))
  expect_error(predict(loop_model(growing(numbers("seen"))), list(start = 1, by = 2)), "'seen' .* another shape or dtype", class = "onnx_bad_input")
  failing <- onnx_graph(
    list(onnx_node("Gather", c("by", "step"), "v", name = "pick"), onnx_node("Add", c("sum", "v"), "more")),
    list(counter("step"), flag("keep"), numbers("sum")), list(flag("keep"), numbers("more"))
  )
  expect_error(predict(loop_model(failing, outputs = "end"), list(start = start, by = by)),
               "node 'loop_0' \\(Loop\\): step 2: node 'pick' \\(Gather\\)", class = "onnx_bad_input")
})

test_that("an endless loop that collects its steps ends at the largest tensor", {
  old <- options(plainonnx.max_elements = 100)
  on.exit(options(old))
  body <- summing(list(onnx_node("Less", c("step", "far"), "on")), "on", list(number_of("far", 1e9)))
  expect_error(predict(loop_model(body, c("", "", "start")), list(start = start, by = by)), "'seen' of all steps .*limit",
               class = "onnx_bad_input")
})
