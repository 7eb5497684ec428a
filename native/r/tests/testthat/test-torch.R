# The graph of an ONNX file as a module of R torch.

crops <- system.file("extdata", "crops.onnx", package = "plainonnx")

test_that("a module computes what plain R computes, in either precision", {
  skip_without_torch()
  x <- wavy(5, 3, 8)
  plain <- predict(onnx_read(crops, "float64"), x)
  double <- as_nn_module(onnx_read(crops, "float64"))
  expect_equal(unname(as.array(double(as_torch_input(x, TRUE)))), unname(plain), tolerance = 1e-14)
  single <- as_nn_module(onnx_read(crops))
  y <- single(as_torch_input(x))
  expect_true(y$dtype == torch::torch_float())
  expect_equal(unname(as.array(y)), unname(plain), tolerance = 1e-5)
  # By name, and in float32 for a model that computes in double.
  expect_equal(as.array(double(x = as_torch_input(x))), as.array(y), tolerance = 1e-5)
})

test_that("weights are parameters, running statistics and ratios are buffers", {
  skip_without_torch()
  module <- as_nn_module(onnx_read(trainable_model()))
  expect_setequal(names(module$parameters), c("w", "b", "scale", "shift", "dense", "bias"))
  expect_setequal(names(module$buffers), c("mean", "variance", "ratio"))
  expect_setequal(names(module$state_dict()), c(names(module$parameters), names(module$buffers)))
  expect_true(all(vapply(module$parameters, function(p) p$requires_grad, NA)))
})

test_that("a module trains on, and evaluates the same every time", {
  skip_without_torch()
  torch::torch_manual_seed(1)
  module <- as_nn_module(onnx_read(trainable_model()))
  expect_false(module$training)
  x <- as_torch_input(wavy(32, 2, 6))
  # Classes that the series tell.
  target <- (torch::torch_mean(x[, 1, ], dim = 2) > 0)$to(dtype = torch::torch_long()) + 1L
  loss_of <- function() torch::nnf_cross_entropy(module(x), target)
  before <- lapply(module$parameters, function(p) p$detach()$clone())
  first <- loss_of()$item()
  optimiser <- torch::optim_adam(module$parameters, lr = 0.05)
  module$train()
  for (step in 1:60) {
    optimiser$zero_grad()
    loss <- loss_of()
    loss$backward()
    optimiser$step()
  }
  expect_gt(torch::torch_max(torch::torch_abs(module(x) - module(x)))$item(), 0)
  module$eval()
  expect_lt(loss_of()$item(), first / 2)
  # A shift before batch normalisation has no effect, so no gradient; everything else moved.
  for (name in setdiff(names(before), "b")) {
    expect_false(torch::torch_equal(before[[name]], module$parameters[[name]]), info = name)
  }
  expect_true(torch::torch_equal(module(x), module(x)))
})

test_that("batch normalisation follows torch's rule in training and the file's numbers in evaluation", {
  skip_without_torch()
  module <- as_nn_module(onnx_read(trainable_model()))
  x <- as_torch_input(wavy(8, 2, 6))
  parameters <- module$parameters
  c <- torch::nnf_conv1d(x, parameters$w, parameters$b, padding = 1)
  held <- module$buffers$mean$clone()
  module(x)
  expect_true(torch::torch_equal(module$buffers$mean, held))
  module$train()
  module(x)
  # ONNX momentum 0.75 is the weight of the old value.
  expected <- held * 0.75 + torch::torch_mean(c, dim = c(1, 3)) * 0.25
  expect_equal(as.numeric(module$buffers$mean), as.numeric(expected), tolerance = 1e-6)
  again <- torch::torch_var(c, dim = c(1, 3), unbiased = TRUE) * 0.25
  expect_equal(as.numeric(module$buffers$variance), as.numeric(again) + 0.75 * c(1, 2, 0.5, 1.5), tolerance = 1e-6)
})

test_that("a state dictionary goes from one module to another", {
  skip_without_torch()
  one <- as_nn_module(onnx_read(trainable_model()))
  other <- as_nn_module(onnx_read(trainable_model()))
  torch::with_no_grad(one$parameters$w$mul_(2))
  x <- as_torch_input(wavy(4, 2, 6))
  expect_false(torch::torch_equal(one(x), other(x)))
  other$load_state_dict(one$state_dict())
  expect_true(torch::torch_equal(one(x), other(x)))
})

test_that("shapes that follow the batch are computed, and gradients pass through them", {
  skip_without_torch()
  path <- write_model(onnx_model(
    list(
      onnx_node("Shape", "x", "s", start = 0L, end = 1L),
      onnx_node("Concat", c("s", "rest"), "t", axis = 0L),
      onnx_node("Mul", c("x", "w"), "m"),
      onnx_node("Reshape", c("m", "t"), "y")
    ),
    list(onnx_value("x", "float32", list("n", 2, 3))), list(onnx_value("y", "float32", list("n", 6))),
    list(onnx_tensor("rest", -1, "int64"), onnx_tensor("w", wavy(2, 3)))
  ))
  module <- as_nn_module(onnx_read(path))
  expect_equal(names(module$parameters), "w")
  x <- as_torch_input(wavy(4, 2, 3))
  y <- module(x)
  expect_equal(dim(y), c(4, 6))
  y$sum()$backward()
  expect_equal(as.array(module$parameters$w$grad), as.array(torch::torch_sum(x, dim = 1)), tolerance = 1e-6)
})

test_that("wrong inputs and types that torch lacks are refused by name", {
  skip_without_torch()
  module <- as_nn_module(onnx_read(crops))
  expect_error(module(as_torch_input(wavy(2, 3, 8), TRUE)), "'x' is float64; the model takes float32", class = "onnx_bad_input")
  expect_error(module(as_torch_input(wavy(2, 4, 8))), "shape \\(2, 4, 8\\)", class = "onnx_bad_input")
  expect_error(module(wavy(2, 3, 8)), "'x' is not a torch tensor", class = "onnx_bad_input")
  wide <- write_model(onnx_model(
    list(onnx_node("Identity", "x", "y")), list(onnx_value("x", "uint32", list(2))), list(onnx_value("y", "uint32", list(2)))
  ))
  expect_error(as_nn_module(onnx_read(wide)), "dtype uint32 \\('x'\\) is not supported by r/torch", class = "onnx_unsupported")
})

test_that("weights with a scale per channel are computed with where no gradient is recorded", {
  skip_without_torch()
  path <- write_model(onnx_model(
    list(onnx_node("DequantizeLinear", c("w", "scale", "zero"), "held", axis = 0L), onnx_node("Mul", c("x", "held"), "y")),
    list(onnx_value("x", "float32", list(2, 3))), list(onnx_value("y")),
    list(onnx_tensor("w", matrix(1:6, 2), "uint8"), onnx_tensor("scale", c(0.5, 0.25)), onnx_tensor("zero", c(0, 2), "uint8"))
  ))
  module <- as_nn_module(onnx_read(path))
  x <- as_torch_input(matrix(1, 2, 3))
  expect_equal(as.array(torch::with_no_grad(module(x))), rbind(c(0.5, 1.5, 2.5), c(0, 0.5, 1)))
  expect_error(module(x), "a gradient through this operator is not supported by r/torch", class = "onnx_unsupported")
})

test_that("a cast to the type of another tensor is refused where a double hides that type", {
  skip_without_torch()
  casting <- function(dtype) {
    write_model(onnx_model(
      list(onnx_node("CastLike", c("x", "like"), "y")), list(onnx_value("x", "float64", list("n", 3))),
      list(onnx_value("y", dtype, list("n", 3))), list(onnx_tensor("like", 0, dtype))
    ))
  }
  x <- as_torch_input(matrix(c(-1.75, 0.1, 300), 1), double = TRUE)
  expect_equal(as.vector(as.array(as_nn_module(onnx_read(casting("int32")))(x))), c(-1, 0, 300))
  expect_equal(as.vector(as.array(as_nn_module(onnx_read(casting("float32"), "float64"))(x))), c(-1.75, 0.1, 300))
  expect_equal(as.vector(as.array(as_nn_module(onnx_read(casting("float16")))(x)$to(dtype = torch::torch_double()))),
               c(-1.75, plainonnx:::round_to_dtype(0.1, "float16"), 300))
  expect_error(as_nn_module(onnx_read(casting("float16"), "float64")), "CastLike.*half precision", class = "onnx_unsupported")
})

test_that("a Dropout that an input switches on is refused, unless the module trains", {
  skip_without_torch()
  path <- write_model(onnx_model(
    list(onnx_node("Dropout", c("x", "", "on"), "y")), list(onnx_value("x", "float32", list(200)), onnx_value("on", "bool", list())),
    list(onnx_value("y"))
  ))
  module <- as_nn_module(onnx_read(path))
  x <- torch::torch_ones(200)
  on <- torch::torch_tensor(TRUE)$reshape(integer())
  expect_error(module(x, on), "training mode, which draws at random", class = "onnx_unsupported")
  expect_true(torch::torch_equal(module(x, torch::torch_logical_not(on)), x))
  module$train()
  expect_setequal(unique(as.numeric(module(x, on))), c(0, 2))
})

test_that("the serve loop answers for r/torch, parameters bit for bit", {
  skip_without_torch()
  ask <- function(...) {
    line <- jsonlite::toJSON(list(id = 1, ...), auto_unbox = TRUE, null = "null")
    jsonlite::fromJSON(onnx_answer(line, "torch"), simplifyVector = FALSE)
  }
  folder <- tempfile("torch")
  dir.create(folder)
  said <- ask(request = "describe")$result
  expect_equal(said$runtime, "r/torch")
  expect_null(said$operators$ImageDecoder)
  expect_equal(said$operators$Conv, list(1L, 11L, 22L))
  ask(request = "load", path = crops, precision = "float32")
  ask(request = "parameters", outputs = file.path(folder, "p.safetensors"))
  held <- plainonnx:::read_stored_tensors(file.path(folder, "p.safetensors"))
  for (stored in plainonnx:::parse_file(crops)$graph$initializers) {
    expect_identical(held[[stored$name]]$bytes, stored$bytes)
  }
  safetensors_write(list(x = wavy(5, 3, 8)), file.path(folder, "x.safetensors"), "float32")
  said <- ask(request = "predict", inputs = file.path(folder, "x.safetensors"), outputs = file.path(folder, "y.safetensors"),
              batch_size = 2)
  expect_equal(said$result$batches, 3)
  found <- safetensors_read(file.path(folder, "y.safetensors"))$logits
  expect_equal(as.vector(found), as.vector(predict(onnx_read(crops), wavy(5, 3, 8))), tolerance = 1e-5)
  ask(request = "activations", inputs = file.path(folder, "x.safetensors"), names = list("flat"),
      outputs = file.path(folder, "a.safetensors"))
  expect_equal(dim(safetensors_read(file.path(folder, "a.safetensors"))$flat), c(5L, 6L))
})

test_that("without torch the engine says how to install it", {
  skip_if(requireNamespace("torch", quietly = TRUE), "torch is installed")
  expect_error(as_nn_module(onnx_read(crops)), "install.packages")
})

recurrent_input <- function(name, double = FALSE) {
  x <- safetensors_read(test_path("fixtures", "recurrent.safetensors"))[[paste0(name, "_x")]]
  as_torch_input(array(x, dim(x)), double)
}

test_that("a recurrent layer that Keras or PyTorch exported is a module with its weights", {
  skip_without_torch()
  weights <- list(loop = "conv_lstm", scan = "cell.conv")
  for (name in c("loop", "scan")) {
    path <- test_path("fixtures", paste0(name, ".onnx"))
    module <- as_nn_module(onnx_read(path, "float64"))
    x <- recurrent_input(name, TRUE)
    expect_equal(unname(as.array(module(x))), unname(predict(onnx_read(path, "float64"), as.array(x))), tolerance = 1e-13)
    expect_gte(sum(grepl(weights[[name]], names(module$parameters))), 2)
  }
})

test_that("gradients pass through the steps of Loop and Scan", {
  skip_without_torch()
  for (name in c("loop", "scan")) {
    module <- as_nn_module(onnx_read(test_path("fixtures", paste0(name, ".onnx")), "float64"))
    x <- recurrent_input(name, TRUE)
    loss <- function() module(x)$pow(2)$sum()
    loss()$backward()
    for (parameter in names(module$parameters)) {
      values <- module$parameters[[parameter]]
      flat <- values$detach()$view(-1)
      for (k in unique(c(1, flat$shape))) {
        shifted <- function(by) {
          torch::with_no_grad(flat[k]$add_(by))
          on.exit(torch::with_no_grad(flat[k]$sub_(by)))
          loss()$item()
        }
        central <- (shifted(1e-5) - shifted(-1e-5)) / 2e-5
        difference <- abs(values$grad$reshape(-1)[k]$item() - central)
        expect_lt(difference, 1e-7 + 1e-5 * abs(central), label = paste(name, parameter, k))
      }
    }
  }
})

test_that("a reloaded recurrent layer trains on", {
  skip_without_torch()
  module <- as_nn_module(onnx_read(test_path("fixtures", "loop.onnx")))
  x <- recurrent_input("loop")
  target <- torch::torch_flip(x, 2)
  loss_of <- function() torch::nnf_mse_loss(module(x), target)
  first <- loss_of()$item()
  optimiser <- torch::optim_adam(module$parameters, lr = 0.05)
  module$train()
  for (step in 1:30) {
    optimiser$zero_grad()
    loss <- loss_of()
    loss$backward()
    optimiser$step()
  }
  expect_lt(loss_of()$item(), 0.8 * first)
})

test_that("weights inside of a body are parameters of the module, and the branch that is taken gets the gradient", {
  skip_without_torch()
  branch <- function(weight) {
    onnx_graph(list(onnx_node("Mul", c("x", weight), paste0("y_", weight))), list(), list(onnx_value(paste0("y_", weight))),
               list(onnx_tensor(weight, c(2, 3))))
  }
  path <- write_model(onnx_model(
    list(
      onnx_node("ReduceSum", "x", "total", keepdims = 0L), onnx_node("Greater", c("total", "zero"), "positive"),
      onnx_node("If", "positive", "y", then_branch = branch("up"), else_branch = branch("down"))
    ),
    list(onnx_value("x", "float32", list(2))), list(onnx_value("y", "float32", list(2))),
    list(onnx_tensor("zero", 0, scalar = TRUE))
  ))
  module <- as_nn_module(onnx_read(path))
  expect_true(all(c("up", "down") %in% names(module$parameters)))
  module(as_torch_input(c(1, 2)))$sum()$backward()
  expect_equal(as.numeric(module$parameters$up$grad), c(1, 2))
  module(as_torch_input(c(-3, -4)))$sum()$backward()
  expect_equal(as.numeric(module$parameters$up$grad), c(1, 2))
  expect_equal(as.numeric(module$parameters$down$grad), c(-3, -4))
})

test_that("convolutions of one input in a body are joined, and compute what they did", {
  skip_without_torch()
  conv <- function(weight, from, to, ...) onnx_node("Conv", c(from, weight), to, name = to, ...)
  body <- onnx_graph(
    list(
      conv("w1", "s", "a", pads = ints(1, 1)), conv("w2", "s", "b", pads = ints(1, 1)), onnx_node("Add", c("a", "b"), "t"),
      # Another padding, another input, and a weight that changes: these stay by themselves.
      conv("w1", "s", "c", pads = ints(2, 0)), conv("w1", "t", "d", pads = ints(1, 1)), conv("u", "s", "e", pads = ints(1, 1)),
      onnx_node("Sum", c("c", "d", "e", "t"), "all"), onnx_node("Tanh", "all", "next"), onnx_node("Neg", "u", "v")
    ),
    list(onnx_value("step", "int64", list()), onnx_value("keep", "bool", list()), onnx_value("s"), onnx_value("u")),
    list(onnx_value("keep", "bool", list()), onnx_value("next"), onnx_value("v"))
  )
  plain <- onnx_read(write_model(onnx_model(
    list(onnx_node("Loop", c("times", "", "x", "w2"), c("y", "turned"), body = body)),
    list(onnx_value("x", "float32", list("n", 2, 5))), list(onnx_value("y")),
    list(onnx_tensor("times", 3, "int64", scalar = TRUE), onnx_tensor("w1", wavy(2, 2, 3)),
         onnx_tensor("w2", 1 - wavy(2, 2, 3) / 3))
  )), "float64")
  module <- as_nn_module(plain)
  convolutions <- function(graph) {
    sum(vapply(graph$nodes[[1]]$attributes$body$nodes, function(node) node$operator == "Conv", NA))
  }
  expect_equal(c(convolutions(plain$graph), convolutions(module$graph)), c(5, 4))
  x <- as_torch_input(wavy(3, 2, 5) / 4, TRUE)
  expect_equal(as.array(module(x)), unname(predict(plain, as.array(x))), tolerance = 1e-13)
  loss <- function() module(x)$pow(2)$sum()
  loss()$backward()
  for (name in c("w1", "w2")) {
    values <- module$parameters[[name]]
    flat <- values$detach()$view(-1)
    for (k in seq_len(flat$shape)) {
      shifted <- function(by) {
        torch::with_no_grad(flat[k]$add_(by))
        on.exit(torch::with_no_grad(flat[k]$sub_(by)))
        loss()$item()
      }
      central <- (shifted(1e-5) - shifted(-1e-5)) / 2e-5
      expect_lt(abs(values$grad$reshape(-1)[k]$item() - central), 1e-7 + 1e-5 * abs(central), label = paste(name, k))
    }
  }
})

test_that("a module takes as many samples as its file says", {
  skip_without_torch()
  path <- write_model(onnx_model(
    list(onnx_node("Identity", "x", "y")), list(onnx_value("x", "float32", list(2, 3))), list(onnx_value("y", "float32"))
  ))
  module <- as_nn_module(onnx_read(path))
  expect_error(module(torch::torch_zeros(6, 3)), "the model takes 2 x 3", class = "onnx_bad_input")
})
