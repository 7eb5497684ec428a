test_that("DFT is R's own transform, one-sided, inverse, and of another length", {
  x <- wavy(2, 7)
  dft <- function(x, ..., length = NULL) {
    run_operator("DFT", list(array(x, c(dim(x), if (length(dim(x)) < 3) 1)), if (!is.null(length)) scalar(length)), ...,
                 dtypes = c("float32", "int64"), opset = 20L)
  }
  complexes <- function(y) y[, , 1] + 1i * y[, , 2]
  expect_equal(complexes(dft(x)), t(apply(x, 1, fft)), tolerance = 1e-6)
  expect_equal(complexes(dft(x, onesided = 1L)), t(apply(x, 1, fft))[, 1:4], tolerance = 1e-6)
  expect_equal(complexes(dft(x, length = 5)), t(apply(x[, 1:5], 1, fft)), tolerance = 1e-6)
  expect_equal(complexes(dft(x, length = 9)), t(apply(cbind(x, 0, 0), 1, fft)), tolerance = 1e-6)
  z <- dft(x)
  back <- dft(z, inverse = 1L)
  expect_equal(back[, , 1], x, tolerance = 1e-6)
  expect_equal(max(abs(back[, , 2])), 0, tolerance = 1e-6)
  for (n in 6:7) {
    half <- dft(x[, seq_len(n)], onesided = 1L)
    expect_equal(dft(half, inverse = 1L, onesided = 1L, length = n)[, , 1], x[, seq_len(n)], tolerance = 1e-6)
  }
  old <- run_operator("DFT", list(array(x, c(2, 7, 1))), axis = 1L, opset = 17L)
  expect_equal(old, z)
})

test_that("STFT transforms windowed frames", {
  x <- wavy(1, 10, 1)
  window <- 0.5 - 0.5 * cos(2 * pi * 0:3 / 4)
  y <- run_operator("STFT", list(x, scalar(3), window, scalar(4)), dtypes = c("float32", "int64", "float32", "int64"))
  expect_equal(dim(y), c(1L, 3L, 3L, 2L))
  expect_equal(y[1, 2, , 1] + 1i * y[1, 2, , 2], fft(x[1, 4:7, 1] * window)[1:3], tolerance = 1e-6)
  expect_equal(as.vector(run_operator("HannWindow", list(scalar(4)), dtypes = "int32")), window, tolerance = 1e-6)
})

test_that("values go back to where MaxPool found them, and caches take updates", {
  x <- wavy(1, 2, 4, 4)
  pooled <- run_operator("MaxPool", list(x), kernel_shape = ints(2, 2), strides = ints(2, 2), outputs = c("y", "i"),
                         out_dtypes = c("float32", "int64"))
  back <- run_operator("MaxUnpool", list(pooled$y, pooled$i), kernel_shape = ints(2, 2), strides = ints(2, 2),
                       dtypes = c("float32", "int64"))
  expect_equal(back[back != 0], x[back != 0], tolerance = 1e-6)
  expect_equal(sum(back != 0), 8)
  cache <- array(0, c(2, 4, 3))
  update <- wavy(2, 2, 3)
  y <- run_operator("TensorScatter", list(cache, update, c(1, 3)), mode = "circular", dtypes = c("float32", "float32", "int64"), opset = 24L)
  expect_equal(y[1, 2:3, ], update[1, , ], tolerance = 1e-6)
  expect_equal(y[2, c(4, 1), ], update[2, , ], tolerance = 1e-6)
  expect_error(run_operator("TensorScatter", list(cache, update, c(1, 3)), dtypes = c("float32", "float32", "int64"), opset = 24L),
               "beyond the cache", class = "onnx_bad_input")
  square <- wavy(2, 3, 3)
  expect_equal(as.vector(run_operator("Det", list(square))), apply(square, 1, det), tolerance = 1e-5)
})

test_that("a grid that is not moved samples an image as it is", {
  theta <- array(c(1, 0, 0, 1, 0, 0), c(1, 2, 3))
  x <- wavy(1, 2, 3, 4)
  for (aligned in 0:1) {
    grid <- run_operator("AffineGrid", list(theta, c(1, 2, 3, 4)), align_corners = aligned, dtypes = c("float32", "int64"), opset = 20L)
    expect_equal(run_operator("GridSample", list(x, grid), align_corners = aligned, opset = 20L), x, tolerance = 1e-5)
  }
})
