# Operators that are put together from others, against their definitions written out.

unsupported <- function(object, regexp) expect_error(object, regexp, class = "onnx_unsupported")
bad <- function(object, regexp) expect_error(object, regexp, class = "onnx_bad_input")

test_that("Attention is a softmax of scaled products for each head, with groups, masks and a cache", {
  q <- wavy(2, 4, 3, 5)
  k <- wavy(2, 2, 6, 5) / 2
  v <- wavy(2, 2, 6, 4)
  written <- function(bias = matrix(0, 3, 6)) {
    y <- array(0, c(2, 4, 3, 4))
    for (n in 1:2) for (h in 1:4) {
      own <- (h + 1) %/% 2
      scores <- q[n, h, , ] %*% t(k[n, own, , ]) / sqrt(5) + bias
      weights <- exp(scores) / rowSums(exp(scores))
      weights[is.nan(weights)] <- 0
      y[n, h, , ] <- weights %*% v[n, own, , ]
    }
    y
  }
  attend <- function(inputs, ...) run_operator("Attention", inputs, ..., opset = 25L)
  expect_equal(attend(list(q, k, v)), written(), tolerance = 1e-6)
  causal <- ifelse(col(matrix(0, 3, 6)) <= row(matrix(0, 3, 6)), 0, -Inf)
  expect_equal(attend(list(q, k, v), is_causal = 1L), written(causal), tolerance = 1e-6)
  mask <- matrix(rep(c(TRUE, FALSE, TRUE), 6), 3)
  mask[2, ] <- FALSE
  found <- attend(list(q, k, v, mask), dtypes = c(rep("float32", 3), "bool"))
  expect_equal(found, written(ifelse(mask, 0, -Inf)), tolerance = 1e-6)
  expect_true(all(found[, , 2, ] == 0))
  window <- ifelse(abs(col(mask) - row(mask)) <= 1, 0, -Inf)
  expect_equal(attend(list(q, k, v), left_window_size = 1L, right_window_size = 1L), written(window), tolerance = 1e-6)
  # The first four keys come from the cache; the result is that of all of them at once.
  cached <- attend(list(q, k[, , 5:6, ], v[, , 5:6, ], NULL, k[, , 1:4, ], v[, , 1:4, ]), outputs = c("y", "keys", "values"))
  expect_equal(cached$y, written(), tolerance = 1e-6)
  expect_equal(cached$keys, k, tolerance = 1e-6)
  flat <- function(x) array(aperm(x, c(1, 3, 4, 2)), c(dim(x)[1], dim(x)[3], prod(dim(x)[c(2, 4)])))
  joined <- function(x) {
    y <- array(0, c(dim(x)[1], dim(x)[3], prod(dim(x)[c(2, 4)])))
    for (h in seq_len(dim(x)[2])) y[, , (h - 1) * dim(x)[4] + seq_len(dim(x)[4])] <- x[, h, , ]
    y
  }
  expect_equal(attend(list(joined(q), joined(k), joined(v)), q_num_heads = 4L, kv_num_heads = 2L), joined(written()), tolerance = 1e-6)
  bad(attend(list(joined(q), joined(k), joined(v))), "unknown number of heads")
  bad(attend(list(q, k[, , 5:6, ], v[, , 5:6, ], NULL, k[, , 1:4, ])), "past_key and past_value")
  unsupported(attend(list(q, k, v), qk_matmul_output_mode = 4L), "qk_matmul_output_mode 4")
})

test_that("Einsum sums over what the result does not name", {
  a <- wavy(3, 4)
  b <- wavy(4, 5)
  c <- wavy(5, 3)
  x <- wavy(2, 3, 4)
  e <- function(equation, ...) run_operator("Einsum", list(...), equation = equation)
  expect_equal(e("ij,jk->ik", a, b), a %*% b, tolerance = 1e-6)
  expect_equal(e("ij,jk", a, b), a %*% b, tolerance = 1e-6)
  expect_equal(e("ij,jk,kl->il", a, b, c), a %*% b %*% c, tolerance = 1e-6)
  expect_equal(e("ij->ji", a), t(a), tolerance = 1e-6)
  expect_equal(as.vector(e("ij->", a)), sum(a), tolerance = 1e-6)
  expect_equal(as.vector(e("ij->j", a)), colSums(a), tolerance = 1e-6)
  expect_equal(as.vector(e("ii->i", c[1:3, ])), diag(c[1:3, ]), tolerance = 1e-6)
  expect_equal(as.vector(e("ii", c[1:3, ])), sum(diag(c[1:3, ])), tolerance = 1e-6)
  expect_equal(e("ij,kl->ilkj", a, b)[2, 3, 4, 1], a[2, 1] * b[4, 3], tolerance = 1e-6)
  expect_equal(e("...j,jk->...k", x, b)[2, 3, ], as.vector(x[2, 3, ] %*% b), tolerance = 1e-6)
  expect_equal(e("bij,bij->bi", x, x), apply(x^2, 1:2, sum), tolerance = 1e-6)
  expect_equal(e("bij,bij->bij", x, x), x^2, tolerance = 1e-6)
  expect_equal(e("ij,ij->ij", a, a[1, , drop = FALSE]), a * rep(a[1, ], each = 3), tolerance = 1e-6)
  bad(e("ij,jk->il", a, b), "cannot be read")
  bad(e("ijk,jk->i", a, b), "does not fit")
  bad(e("ij,jk->ik", a, a), "sizes 4 and 3")
})

test_that("TopK gives the first of equal values first, along any axis", {
  x <- array(c(1, 3, 3, 0, 3, 5, 5, 5, 5, 4, -1, 5), c(2, 3, 2))
  top <- function(...) {
    run_operator("TopK", list(x, 2), ..., dtypes = c("float32", "int64"), outputs = c("v", "i"), out_dtypes = c("float32", "int64"))
  }
  found <- top(axis = 1L)
  expect_equal(found$v[1, , 1], sort(x[1, , 1], decreasing = TRUE)[1:2])
  expect_equal(found$i[2, , 2], c(0, 2))
  expect_equal(found$i[1, , 1], order(-x[1, , 1])[1:2] - 1)
  least <- top(axis = 1L, largest = 0L)
  expect_equal(least$v[2, , 1], sort(x[2, , 1])[1:2])
  bad(run_operator("TopK", list(x, 4), axis = 1L, dtypes = c("float32", "int64"), outputs = c("v", "i")), "k is 4 of 3")
  old <- run_operator("TopK", list(x), axis = 1L, k = 2L, opset = 9L, outputs = c("v", "i"), out_dtypes = c("float32", "int64"))
  expect_equal(old, found)
})

test_that("Unique keeps slices once, and says where they were", {
  x <- matrix(c(1, 1, 2, 0, 0, 3, 0, 0, 4), 3)
  outputs <- c("y", "first", "which", "count")
  found <- run_operator("Unique", list(x[c(3, 1, 2), ]), axis = 0L, outputs = outputs, out_dtypes = c("float32", rep("int64", 3)))
  expect_equal(found$y, x[2:3, ])
  expect_equal(lapply(found[-1], as.vector), list(first = c(1, 0), which = c(1, 0, 0), count = c(2, 1)))
  unsorted <- run_operator("Unique", list(c(2, 1, 1, 3, 4, 3)), sorted = 0L, outputs = outputs, out_dtypes = c("float32", rep("int64", 3)))
  expect_equal(lapply(unsorted, as.vector), list(y = c(2, 1, 3, 4), first = c(0, 1, 3, 4), which = c(0, 1, 1, 2, 3, 2), count = c(1, 2, 2, 1)))
})

test_that("bits of integers are those of two's complement", {
  two <- function(operator, a, b, dtype, ...) {
    as.vector(run_operator(operator, list(a, b), ..., dtypes = c(dtype, dtype), out_dtypes = dtype, opset = 28L))
  }
  a <- c(-5, 12, -2^31, 2^31 - 1)
  b <- c(3, -8, -1, 2^30)
  expect_equal(two("BitwiseAnd", a, b, "int32"), c(3, 8, -2^31, 2^30))
  expect_equal(two("BitwiseOr", a, b, "int32"), c(-5, -4, -1, 2^31 - 1))
  expect_equal(two("BitwiseXor", a, b, "int32"), c(-8, -12, 2^31 - 1, 2^30 - 1))
  expect_equal(two("BitwiseAnd", c(-1, 2^40 + 7), c(2^33 + 1, -4), "int64"), c(2^33 + 1, 2^40 + 4))
  # A quality band: bits 3 and 4.
  expect_equal(two("BitShift", two("BitwiseAnd", c(24, 8, 7), rep(24, 3), "uint16"), rep(3, 3), "uint16", direction = "RIGHT"), c(3, 1, 0))
  expect_equal(two("BitShift", c(200, 1), c(1, 9), "uint8", direction = "LEFT"), c(144, 0))
  expect_equal(two("BitShift", c(-9, -9, 100), c(1, 40, 1), "int8", direction = "RIGHT"), c(-5, -1, 50))
  expect_equal(two("BitShift", 100, 1, "int8", direction = "LEFT"), -56)
  expect_equal(as.vector(run_operator("BitwiseNot", list(c(0, 255, 7)), dtypes = "uint8", out_dtypes = "uint8", opset = 18L)), c(255, 0, 248))
  unsupported(two("BitShift", 1, 1, "uint8", direction = "UP"), "direction 'UP'")
})

test_that("GridSample at the centres of pixels gives the pixels, and zero or the border outside", {
  x <- wavy(1, 2, 3, 4)
  centres <- function(n) (2 * seq_len(n) - 1) / n - 1
  grid <- array(0, c(1, 3, 4, 2))
  grid[1, , , 1] <- rep(centres(4), each = 3)
  grid[1, , , 2] <- centres(3)
  for (mode in c("linear", "nearest", "cubic")) {
    expect_equal(run_operator("GridSample", list(x, grid), mode = mode, opset = 20L), x, tolerance = 1e-5)
  }
  outside <- grid
  outside[1, , , 1] <- 3
  sample <- function(padding) run_operator("GridSample", list(x, outside), padding_mode = padding, opset = 20L)
  expect_true(all(sample("zeros") == 0))
  expect_equal(sample("border"), x[, , , rep(4, 4), drop = FALSE], tolerance = 1e-5)
  half <- run_operator("GridSample", list(x, array(c(-0.5, -2 / 3), c(1, 1, 1, 2))), opset = 16L, mode = "bilinear")
  expect_equal(as.vector(half), apply(x[1, , 1, 1:2], 1, mean), tolerance = 1e-5)
  unsupported(run_operator("GridSample", list(x, grid), mode = "bicubic", opset = 20L), "mode 'bicubic'")
})

test_that("losses weigh classes and leave out what is ignored", {
  x <- wavy(4, 3)
  target <- c(0, 2, 1, 2)
  weight <- c(0.5, 2, 1)
  likelihood <- log(exp(x) / rowSums(exp(x)))
  each <- -likelihood[cbind(1:4, target + 1)]
  loss <- function(inputs, ...) {
    as.vector(run_operator("SoftmaxCrossEntropyLoss", inputs, ..., dtypes = c("float32", "int64", "float32")[seq_along(inputs)]))
  }
  expect_equal(loss(list(x, target)), mean(each), tolerance = 1e-6)
  expect_equal(loss(list(x, target, weight)), sum(each * weight[target + 1]) / sum(weight[target + 1]), tolerance = 1e-6)
  expect_equal(loss(list(x, target), ignore_index = 2L), mean(each[c(1, 3)]), tolerance = 1e-6)
  expect_equal(loss(list(x, target), ignore_index = 2L, reduction = "none"), each * c(1, 0, 1, 0), tolerance = 1e-6)
  bad(loss(list(x, c(0, 3, 1, 2))), "outside the 3 classes")
  unsupported(loss(list(x, target), reduction = "median"), "reduction 'median'")
})

test_that("boxes that overlap a better one are left out", {
  boxes <- array(0, c(1, 3, 4))
  boxes[1, , ] <- rbind(c(0, 0, 1, 1), c(1, 1.1, 0, 0.1), c(0, 5, 1, 6))
  scores <- array(c(0.9, 0.95, 0.3), c(1, 1, 3))
  kept <- function(most, overlap, least) {
    run_operator("NonMaxSuppression", list(boxes, scores, most, overlap, least), opset = 11L,
                 dtypes = c("float32", "float32", "int64", "float32", "float32"), out_dtypes = "int64")[, 3]
  }
  expect_equal(kept(3, 0.5, 0), c(1, 2))
  expect_equal(kept(3, 0.9, 0), c(1, 0, 2))
  expect_equal(kept(1, 0.5, 0), 1)
  expect_equal(kept(3, 0.5, 0.4), 1)
})

test_that("crops and pads lie in the middle; compressing takes what holds", {
  x <- wavy(5, 2)
  cropped <- run_operator("CenterCropPad", list(x, c(2, 5)), dtypes = c("float32", "int64"), opset = 18L)
  expect_equal(cropped, cbind(0, x[2:3, ], 0, 0), tolerance = 1e-6)
  found <- run_operator("Compress", list(x, c(FALSE, TRUE, TRUE)), axis = 0L, dtypes = c("float32", "bool"))
  expect_equal(found, x[2:3, ], tolerance = 1e-6)
})

test_that("torch computes the same, and its gradients are those of the numbers", {
  skip_without_torch()
  q <- wavy(1, 2, 3, 4)
  model <- function(operator, inputs, ...) {
    names <- names(inputs)
    path <- write_model(onnx_model(
      list(onnx_node(operator, names, "y", ...)), Map(function(n, x) onnx_value(n, shape = as.list(dim(x))), names, inputs),
      list(onnx_value("y")), opset = 23L
    ))
    onnx_read(path, "float64")
  }
  check <- function(operator, inputs, ...) {
    m <- model(operator, inputs, ...)
    module <- as_nn_module(m)
    given <- lapply(inputs, as_torch_input, TRUE)
    expect_equal(as.array(do.call(module, unname(given))), predict(m, inputs), tolerance = 1e-12)
    for (x in given) x$requires_grad_(TRUE)
    do.call(module, unname(given))$pow(2)$sum()$backward()
    for (name in names(inputs)) {
      moved <- function(by) {
        changed <- inputs
        changed[[name]][2] <- changed[[name]][2] + by
        sum(predict(m, changed)^2)
      }
      expect_equal(as.array(given[[name]]$grad)[2], (moved(1e-5) - moved(-1e-5)) / 2e-5, tolerance = 1e-6, info = paste(operator, name))
    }
  }
  check("Attention", list(q = q, k = wavy(1, 2, 5, 4) / 2, v = wavy(1, 2, 5, 3)), softcap = 2)
  check("Einsum", list(a = wavy(3, 4), b = wavy(4, 5)), equation = "ij,jk->ki")
  check("GridSample", list(x = wavy(1, 2, 3, 4), grid = wavy(1, 2, 2, 2) / 3), mode = "cubic")
})
