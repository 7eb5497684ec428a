test_that("arrays keep axes, values and dtype", {
  path <- tempfile(fileext = ".safetensors")
  on.exit(unlink(path))
  x <- array(as.double(1:24), 2:4)
  safetensors_write(list(x = x, b = c(TRUE, FALSE), i = 1:3), path)
  back <- safetensors_read(path)
  expect_equal(back$x, structure(x, dtype = "float64"))
  expect_equal(as.vector(back$b), c(TRUE, FALSE))
  expect_equal(attr(back$i, "dtype"), "int32")
})

test_that("the data are row-major on disk", {
  path <- tempfile(fileext = ".safetensors")
  on.exit(unlink(path))
  safetensors_write(list(x = matrix(1:6, 2)), path, "uint8")
  bytes <- readBin(path, "raw", file.size(path))
  expect_equal(as.integer(utils::tail(bytes, 6)), c(1L, 3L, 5L, 2L, 4L, 6L))
  header <- plainonnx:::decode_values(bytes[1:8], "uint64")
  expect_equal(header %% 8, 0)
})

test_that("damaged files are refused with their path", {
  path <- tempfile(fileext = ".safetensors")
  on.exit(unlink(path))
  refuse <- function(bytes, pattern) {
    writeBin(bytes, path)
    expect_error(safetensors_read(path), pattern, class = "onnx_bad_input")
  }
  with_header <- function(text, data = raw()) {
    c(plainonnx:::encode_values(nchar(text), "uint64"), charToRaw(text), data)
  }
  refuse(as.raw(1:4), "4 bytes")
  refuse(c(as.raw(rep(255, 8)), raw(8)), "header")
  refuse(with_header("{nonsense"), "not JSON")
  refuse(with_header('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', raw(4)), "'a'")
  refuse(with_header('{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}', raw(8)), "impossible shape")
  refuse(with_header('{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}', raw(8)), "'a'")
  writeBin(with_header('{"a":{"dtype":"F8_E5M2","shape":[1],"data_offsets":[0,1]}}', raw(1)), path)
  expect_error(safetensors_read(path), "F8_E5M2", class = "onnx_unsupported")
})
