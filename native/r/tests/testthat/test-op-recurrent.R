# Each formula of the standard written out for one sample and one direction.

sigmoid <- function(x) 1 / (1 + exp(-x))

# x (time, feature), w (gates x hidden, feature), r (gates x hidden, hidden), b (2 x gates x hidden), p (3 x hidden)
written_lstm <- function(x, w, r, b, p, h, c, f = sigmoid, g = tanh, last = tanh) {
  n <- length(h)
  rows <- function(k) (k - 1) * n + seq_len(n)
  states <- NULL
  for (t in seq_len(nrow(x))) {
    z <- as.vector(w %*% x[t, ] + r %*% h) + b[seq_len(4 * n)] + b[4 * n + seq_len(4 * n)]
    i <- f(z[rows(1)] + p[rows(1)] * c)
    forget <- f(z[rows(3)] + p[rows(3)] * c)
    c <- forget * c + i * g(z[rows(4)])
    o <- f(z[rows(2)] + p[rows(2)] * c)
    h <- o * last(c)
    states <- rbind(states, h)
  }
  list(states = unname(states), h = h, c = c)
}

written_gru <- function(x, w, r, b, h, linear) {
  n <- length(h)
  rows <- function(k) (k - 1) * n + seq_len(n)
  wb <- b[seq_len(3 * n)]
  rb <- b[3 * n + seq_len(3 * n)]
  states <- NULL
  for (t in seq_len(nrow(x))) {
    z <- sigmoid(as.vector(w %*% x[t, ] + r %*% h) + wb + rb)
    update <- z[rows(1)]
    reset <- z[rows(2)]
    own <- as.vector(w[rows(3), ] %*% x[t, ]) + wb[rows(3)]
    candidate <- tanh(own + if (linear) reset * (as.vector(r[rows(3), ] %*% h) + rb[rows(3)]) else as.vector(r[rows(3), ] %*% (reset * h)) + rb[rows(3)])
    h <- (1 - update) * candidate + update * h
    states <- rbind(states, h)
  }
  list(states = unname(states), h = h)
}

x <- wavy(5, 2, 3)
lengths <- c(5, 3)

test_that("LSTM follows its formula in both directions, with peepholes, states and lengths", {
  w <- wavy(2, 16, 3) / 2
  r <- wavy(2, 16, 4) / 3
  b <- wavy(2, 32) / 4
  p <- wavy(2, 12) / 5
  h <- wavy(2, 2, 4) / 2
  c <- wavy(2, 2, 4)
  for (layout in 0:1) {
    state <- function(s) if (layout == 1) aperm(s, c(2, 1, 3)) else s
    y <- run_operator("LSTM", list(state(x), w, r, b, lengths, state(h), state(c), p), hidden_size = 4L, layout = layout,
                      direction = "bidirectional", outputs = c("y", "yh", "yc"), out_dtypes = rep("float32", 3),
                      dtypes = c(rep("float32", 4), "int32", rep("float32", 3)))
    if (layout == 1) y <- list(y = aperm(y$y, c(2, 3, 1, 4)), yh = state(y$yh), yc = state(y$yc))
    for (sample in 1:2) for (direction in 1:2) {
      steps <- seq_len(lengths[sample])
      if (direction == 2) steps <- rev(steps)
      expected <- written_lstm(x[steps, sample, ], w[direction, , ], r[direction, , ], b[direction, ], p[direction, ],
                               h[direction, sample, ], c[direction, sample, ])
      expect_equal(y$y[steps, direction, sample, ], expected$states, tolerance = 1e-6)
      expect_true(all(y$y[-steps, direction, sample, ] == 0))
      expect_equal(y$yh[direction, sample, ], expected$h, tolerance = 1e-6)
      expect_equal(y$yc[direction, sample, ], expected$c, tolerance = 1e-6)
    }
  }
})

test_that("activations take alpha and beta in the order in which they need them", {
  w <- wavy(1, 16, 3)
  r <- wavy(1, 16, 4) / 3
  activated <- function(activations, ...) {
    run_operator("LSTM", list(x[, 1, , drop = FALSE], w, r), hidden_size = 4L, activations = activations, ...)[, 1, 1, ]
  }
  expected <- function(...) written_lstm(x[, 1, ], w[1, , ], r[1, , ], rep(0, 32), rep(0, 12), rep(0, 4), rep(0, 4), ...)$states
  hard <- function(x) pmin(pmax(0.3 * x + 0.4, 0), 1)
  leaky <- function(x) ifelse(x < 0, 0.125 * x, x)
  expect_error(activated(structure("Sigmoid", list = TRUE)), "1 activations where 3 are needed", class = "onnx_unsupported")
  expect_error(activated(c("Sine", "Tanh", "Tanh")), "activation 'Sine'", class = "onnx_unsupported")
  expect_error(activated(c("Affine", "Tanh", "Tanh")), "without alpha and beta", class = "onnx_unsupported")
  expect_error(activated(c("Sigmoid", "LeakyRelu", "Tanh"), activation_alpha = c(0.5, 0.1, 0.2)), "longer than the activations",
               class = "onnx_unsupported")
  found <- activated(c("hardsigmoid", "LeakyRelu", "Tanh"), activation_alpha = c(0.3, 0.125), activation_beta = c(0.4, 0, 0))
  expect_equal(found, expected(hard, leaky, tanh), tolerance = 1e-5)
  clipped <- function(f) function(x) f(pmin(pmax(x, -0.5), 0.5))
  expect_equal(activated(c("Sigmoid", "Tanh", "Tanh"), clip = 0.5), expected(clipped(sigmoid), clipped(tanh), tanh), tolerance = 1e-6)
})

test_that("GRU follows its formula, the reset before or after the product", {
  w <- wavy(1, 12, 3) / 2
  r <- wavy(1, 12, 4) / 2
  b <- wavy(1, 24)
  for (linear in 0:1) {
    y <- run_operator("GRU", list(x, w, r, b), hidden_size = 4L, linear_before_reset = linear, outputs = c("y", "yh"))
    for (sample in 1:2) {
      expected <- written_gru(x[, sample, ], w[1, , ], r[1, , ], b[1, ], rep(0, 4), linear == 1)
      expect_equal(y$y[, 1, sample, ], expected$states, tolerance = 1e-6)
      expect_equal(y$yh[1, sample, ], expected$h, tolerance = 1e-6)
    }
  }
})

test_that("sizes that do not fit are refused by name", {
  w <- wavy(1, 12, 3)
  r <- wavy(1, 12, 4)
  refused <- function(regexp, ...) expect_error(run_operator("GRU", ...), regexp, class = "onnx_bad_input")
  refused("W has shape \\(1, 12, 3\\) where", list(x, w, aperm(r, c(1, 3, 2))))
  refused("W has shape", list(x, w[, 1:9, , drop = FALSE], r))
  refused("hidden_size is 5", list(x, w, r), hidden_size = 5L)
  refused("sequence_lens must be from 1 to 5", list(x, w, r, NULL, c(6, 1)), dtypes = c(rep("float32", 4), "int32"))
  expect_error(run_operator("GRU", list(x, w, r), direction = "sideways"), "direction 'sideways'", class = "onnx_unsupported")
})

test_that("ReverseSequence turns the first steps of each sample, whichever axis comes first", {
  y <- run_operator("ReverseSequence", list(x, lengths), dtypes = c("float32", "int64"))
  expect_equal(y[, 1, ], x[5:1, 1, ], tolerance = 1e-6)
  expect_equal(y[, 2, ], x[c(3:1, 4:5), 2, ], tolerance = 1e-6)
  turned <- run_operator("ReverseSequence", list(aperm(x, c(2, 1, 3)), lengths), batch_axis = 0L, time_axis = 1L,
                         dtypes = c("float32", "int64"))
  expect_equal(aperm(turned, c(2, 1, 3)), y)
})

test_that("a recurrent layer on torch has the gradients of its weights", {
  skip_without_torch()
  path <- write_model(onnx_model(
    list(onnx_node("LSTM", c("x", "w", "r", "b"), c("", "y"), hidden_size = 4L, direction = "bidirectional")),
    list(onnx_value("x", shape = list("t", "n", 3))), list(onnx_value("y")),
    list(onnx_tensor("w", wavy(2, 16, 3) / 2), onnx_tensor("r", wavy(2, 16, 4) / 3), onnx_tensor("b", wavy(2, 32)))
  ))
  module <- as_nn_module(onnx_read(path, "float64"))
  given <- as_torch_input(x, TRUE)
  expect_equal(as.array(module(given)), predict(onnx_read(path, "float64"), x), tolerance = 1e-12)
  module(given)$sum()$backward()
  for (name in c("w", "r", "b")) {
    values <- module$parameters[[name]]
    moved <- function(by) {
      torch::with_no_grad(values$view(-1)[7]$add_(by))
      as.numeric(module(given)$sum())
    }
    rise <- (moved(1e-5) - moved(-2e-5)) / 2e-5
    moved(1e-5)
    expect_equal(as.numeric(values$grad$reshape(-1)[7]), rise, tolerance = 1e-6)
  }
})
