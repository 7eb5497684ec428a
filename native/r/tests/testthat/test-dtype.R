encode <- plainonnx:::encode_values
decode <- plainonnx:::decode_values

test_that("every dtype comes back from its bytes", {
  expect_identical(decode(encode(c(-2^31, -1, 0, 2^31 - 1), "int32"), "int32"), c(-2^31, -1, 0, 2^31 - 1))
  expect_identical(decode(encode(c(0, 2^31, 2^32 - 1), "uint32"), "uint32"), c(0, 2^31, 2^32 - 1))
  large <- c(-2^53, -1, 0, 2^32, 2^53)
  expect_identical(decode(encode(large, "int64"), "int64"), large)
  expect_identical(encode(2^63, "int64"), as.raw(c(rep(255, 7), 127)))
  expect_identical(encode(-2^63, "int64"), as.raw(c(rep(0, 7), 128)))
  expect_identical(decode(encode(c(-128, 127), "int8"), "int8"), c(-128, 127))
  expect_identical(decode(encode(c(0, 255), "uint8"), "uint8"), c(0, 255))
  expect_identical(decode(encode(65535, "uint16"), "uint16"), 65535)
  expect_identical(decode(encode(c(TRUE, FALSE), "bool"), "bool"), c(TRUE, FALSE))
  expect_identical(decode(raw(), "bfloat16"), double())
})

test_that("float16 rounds to nearest, ties to even, with subnormals and infinities", {
  bits <- function(x) encode(x, "float16")
  word <- function(hex) as.raw(c(hex %% 256, hex %/% 256))
  expect_identical(bits(1), word(0x3c00))
  expect_identical(bits(-2), word(0xc000))
  expect_identical(bits(65504), word(0x7bff))
  expect_identical(bits(65519.99), word(0x7bff))
  expect_identical(bits(65520), word(0x7c00))
  expect_identical(bits(2^-24), word(0x0001))
  expect_identical(bits(2^-25), word(0x0000))
  expect_identical(bits(1 + 2^-11), word(0x3c00))
  expect_identical(bits(1 + 3 * 2^-11), word(0x3c02))
  expect_identical(bits(-0), word(0x8000))
  finite <- 0:0x7bff
  values <- plainonnx:::float16_values()[finite + 1]
  expect_equal(plainonnx:::float16_bits(values), finite)
})

test_that("bfloat16 keeps the upper half of a float32", {
  expect_identical(encode(1, "bfloat16"), as.raw(c(0x80, 0x3f)))
  expect_identical(decode(as.raw(c(0x80, 0x3f)), "bfloat16"), 1)
  expect_identical(decode(encode(1 + 2^-8, "bfloat16"), "bfloat16"), 1)
  expect_identical(decode(encode(1 + 3 * 2^-8, "bfloat16"), "bfloat16"), 1 + 2^-6)
  expect_identical(decode(encode(3.4e38, "bfloat16"), "bfloat16"), Inf)
})

test_that("integers wrap as two's complement does", {
  wrap <- plainonnx:::wrap_integer
  expect_identical(wrap(c(128, -129, 255), "int8"), c(-128, 127, -1))
  expect_identical(wrap(c(-1, 256), "uint8"), c(255, 0))
  expect_error(wrap(2^60, "int64"), "beyond 2\\^53", class = "onnx_unsupported")
})

test_that("a signalling NaN keeps its bits in the parameters", {
  signalling <- as.raw(c(0x01, 0x00, 0xa0, 0x7f, 0x00, 0x00, 0x80, 0x3f))
  weight <- c(wire_number(1, 2), wire_number(2, 1), wire_text(8, "w"), wire_bytes(9, signalling))
  path <- write_model(onnx_model(
    list(onnx_node("Add", c("x", "w"), "y")), list(onnx_value("x", shape = list(2))), list(onnx_value("y")), list(weight)
  ))
  out <- tempfile(fileext = ".safetensors")
  on.exit(unlink(c(path, out)))
  onnx_answer(jsonlite::toJSON(list(request = "load", path = path), auto_unbox = TRUE))
  onnx_answer(jsonlite::toJSON(list(request = "parameters", outputs = out), auto_unbox = TRUE))
  expect_identical(plainonnx:::read_stored_tensors(out)$w$bytes, signalling)
})
