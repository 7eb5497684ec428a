test_that("windows that are not moved are those of Conv, and moved by a pixel those of the image moved", {
  x <- wavy(2, 4, 6, 5)
  w <- wavy(6, 2, 3, 2)
  b <- wavy(6)
  offsets <- array(0, c(2, 2 * 2 * 6, 4, 4))
  deformed <- function(x, offsets, mask = NULL) {
    run_operator("DeformConv", c(list(x, w, offsets, b), if (!is.null(mask)) list(mask)), group = 2L, offset_group = 2L, opset = 19L)
  }
  plain <- run_operator("Conv", list(x, w, b), group = 2L)
  expect_equal(deformed(x, offsets), plain, tolerance = 1e-5)
  # The first of each pair of offsets moves down the rows.
  offsets[, seq(1, 24, by = 2), , ] <- 1
  down <- x
  down[, , 1:5, ] <- x[, , 2:6, ]
  down[, , 6, ] <- 0
  expect_equal(deformed(x, offsets), run_operator("Conv", list(down, w, b), group = 2L), tolerance = 1e-5)
  halved <- deformed(x, offsets * 0, array(0.5, c(2, 12, 4, 4)))
  expect_equal(halved - rep(b, each = 2), (plain - rep(b, each = 2)) / 2, tolerance = 1e-5)
  expect_error(deformed(x, offsets[, 1:12, , ]), "do not fit", class = "onnx_bad_input")
})

test_that("a region that is one pixel wide in each bin gives the pixels", {
  x <- wavy(2, 3, 4, 5)
  regions <- rbind(c(1, 1, 4, 3), c(0, 0, 5, 4))
  aligned <- function(...) {
    run_operator("RoiAlign", list(x, regions, c(1, 0)), ..., sampling_ratio = 1L, dtypes = c("float32", "float32", "int64"), opset = 16L)
  }
  found <- aligned(output_height = 2L, output_width = 3L)
  expect_equal(found[1, , , ], x[2, , 2:3, 2:4], tolerance = 1e-5)
  expect_equal(dim(found), c(2L, 3L, 2L, 3L))
  expect_equal(aligned(output_height = 4L, output_width = 5L)[2, , , ], x[1, , , ], tolerance = 1e-5)
  expect_error(run_operator("RoiAlign", list(x, regions, c(2, 0)), dtypes = c("float32", "float32", "int64"), opset = 16L),
               "a sample that is not there", class = "onnx_bad_input")
  expect_error(aligned(mode = "median"), "mode 'median'", class = "onnx_unsupported")
})
