# Convolutions against loops that follow the definition word by word.

# x (N, C, W), w (M, C / group, K)
conv1d_loop <- function(x, w, b, stride = 1, dilation = 1, pads = c(0, 0), group = 1) {
  n <- dim(x)[1]
  channels <- dim(x)[2]
  width <- dim(x)[3]
  filters <- dim(w)[1]
  per_group <- dim(w)[2]
  kernel <- dim(w)[3]
  padded <- array(0, c(n, channels, width + sum(pads)))
  padded[, , pads[1] + seq_len(width)] <- x
  out <- (dim(padded)[3] - (kernel - 1) * dilation - 1) %/% stride + 1
  y <- array(0, c(n, filters, out))
  for (i in seq_len(n)) for (m in seq_len(filters)) for (o in seq_len(out)) {
    total <- b[m]
    first <- ((m - 1) %/% (filters / group)) * per_group
    for (c in seq_len(per_group)) for (k in seq_len(kernel)) {
      total <- total + padded[i, first + c, (o - 1) * stride + (k - 1) * dilation + 1] * w[m, c, k]
    }
    y[i, m, o] <- total
  }
  y
}

test_that("Conv in one dimension follows its definition", {
  x <- wavy(3, 4, 11)
  for (case in list(
    list(stride = 1, dilation = 1, pads = c(0, 0), group = 1), list(stride = 2, dilation = 1, pads = c(3, 1), group = 1),
    list(stride = 1, dilation = 2, pads = c(2, 2), group = 2), list(stride = 3, dilation = 2, pads = c(0, 4), group = 4)
  )) {
    w <- wavy(8, 4 / case$group, 3)
    b <- wavy(8)
    y <- run_operator("Conv", list(x, w, b), strides = ints(case$stride), dilations = ints(case$dilation),
                      pads = as.integer(case$pads), group = as.integer(case$group))
    expect_equal(y, conv1d_loop(x, w, b, case$stride, case$dilation, case$pads, case$group), tolerance = 1e-12)
  }
})

test_that("a bias is added once, at the edges too, with and without padding or groups", {
  x <- wavy(2, 4, 5)
  b <- c(1e3, -2e3)
  for (pads in list(c(0, 0), c(1, 1), c(2, 0))) for (group in c(1, 2)) {
    w <- wavy(2, 4 / group, 3)
    y <- run_operator("Conv", list(x, w, b), pads = as.integer(pads), group = as.integer(group))
    expect_equal(y, conv1d_loop(x, w, b, pads = pads, group = group), tolerance = 1e-13)
  }
  # Whole numbers stay exact.
  y <- run_operator("Conv", list(array(1:6, c(1, 1, 6)), array(c(1, 2, 1), c(1, 1, 3)), 7), pads = ints(1, 1))
  expect_identical(as.vector(y), c(4, 8, 12, 16, 20, 17) + 7)
})

test_that("Conv does not flip its kernel", {
  x <- array(c(0, 0, 1, 0, 0), c(1, 1, 5))
  w <- array(c(1, 2, 3), c(1, 1, 3))
  expect_equal(as.vector(run_operator("Conv", list(x, w))), c(3, 2, 1))
})

test_that("Conv in two dimensions keeps height and width apart", {
  x <- wavy(2, 1, 5, 4)
  w <- wavy(1, 1, 2, 3)
  y <- run_operator("Conv", list(x, w), strides = c(2L, 1L))
  expect_equal(dim(y), c(2L, 1L, 2L, 2L))
  for (n in 1:2) for (i in 1:2) for (j in 1:2) {
    expect_equal(y[n, 1, i, j], sum(x[n, 1, 2 * (i - 1) + 1:2, j + 0:2] * w[1, 1, , ]))
  }
})

test_that("SAME puts the odd padding where its name says", {
  x <- array(1:4, c(1, 1, 4))
  w <- array(c(1, 1), c(1, 1, 2))
  expect_equal(as.vector(run_operator("Conv", list(x, w), auto_pad = "SAME_UPPER")), c(3, 5, 7, 4))
  expect_equal(as.vector(run_operator("Conv", list(x, w), auto_pad = "SAME_LOWER")), c(1, 3, 5, 7))
  expect_equal(as.vector(run_operator("Conv", list(x, w), auto_pad = "VALID")), c(3, 5, 7))
})

test_that("tiles give the same result as one product", {
  rows <- matrix(wavy(40 * 3), 40)
  starts <- 1:30
  filters <- matrix(wavy(12 * 5), 12)
  whole <- plainonnx:::window_products(rows, starts, c(0, 2, 4, 6), 1:3, filters)
  local_mocked <- plainonnx:::workspace_bytes
  space <- asNamespace("plainonnx")
  unlockBinding("workspace_bytes", space)
  assign("workspace_bytes", 8 * 12 * 7, space)
  tiled <- plainonnx:::window_products(rows, starts, c(0, 2, 4, 6), 1:3, filters)
  assign("workspace_bytes", local_mocked, space)
  lockBinding("workspace_bytes", space)
  expect_equal(tiled, whole)
})

test_that("ConvTranspose is the transpose of Conv", {
  # <conv(x), y> = <x, conv_transpose(y)> for every x and y.
  for (case in list(list(s = 1L, d = 1L, p = c(0L, 0L)), list(s = 2L, d = 1L, p = c(1L, 1L)), list(s = 2L, d = 2L, p = c(2L, 1L)))) {
    x <- wavy(2, 4, 9)
    w <- wavy(6, 2, 3)
    forward <- run_operator("Conv", list(x, w), strides = ints(case$s), dilations = ints(case$d), pads = case$p, group = 2L)
    y <- array(cos(seq_along(forward)), dim(forward))
    reached <- (dim(y)[3] - 1) * case$s + 2 * case$d + 1 - sum(case$p)
    back <- run_operator("ConvTranspose", list(y, w), strides = ints(case$s), dilations = ints(case$d), pads = case$p,
                         group = 2L, output_padding = ints(9 - reached))
    expect_equal(dim(back), dim(x))
    expect_equal(sum(forward * y), sum(x * back))
  }
})

test_that("a shape that does not fit is named", {
  expect_error(run_operator("Conv", list(wavy(1, 3, 5), wavy(2, 4, 3))), "3 channels", class = "onnx_bad_input")
  expect_error(run_operator("Conv", list(wavy(1, 3, 2), wavy(2, 3, 5))), "does not fit", class = "onnx_bad_input")
})

test_that("NaN reaches exactly the windows that hold it", {
  x <- array(1, c(1, 1, 6))
  x[1, 1, 2] <- NaN
  y <- run_operator("Conv", list(x, array(c(0, 1), c(1, 1, 2))))
  expect_equal(is.nan(as.vector(y)), c(TRUE, TRUE, FALSE, FALSE, FALSE))
})
