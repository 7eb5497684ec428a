scan <- function(bytes) plainonnx:::scan_message(bytes, 1, length(bytes))

test_that("fields of all wire types are found where they are", {
  bytes <- c(wire_number(1, 300), wire_text(2, "abc"), wire_float(3, 1.5), c(wire_tag(4, 1), raw(8)))
  fields <- scan(bytes)
  expect_equal(fields$field, 1:4)
  expect_equal(fields$wire, c(0L, 2L, 5L, 1L))
  expect_equal(fields$value[1], 300)
  expect_equal(rawToChar(bytes[fields$start[2]:fields$end[2]]), "abc")
  expect_equal(fields$end - fields$start + 1, c(0, 3, 4, 8))
})

test_that("64-bit integers keep their sign and all 53 bits", {
  values <- c(0, 1, -1, 127, 128, 2^31, -2^31, 2^53 - 1, -(2^53 - 1))
  for (value in values) expect_identical(scan(wire_number(1, value))$value, value)
  packed <- do.call(c, lapply(values, wire_varint))
  expect_identical(plainonnx:::packed_varints(packed, 1, length(packed)), values)
  largest <- as.raw(c(rep(255, 8), 127))
  expect_identical(plainonnx:::packed_varints(largest, 1, 9), 2^63)
  expect_identical(scan(c(wire_tag(1, 0), largest))$value, 2^63)
})

test_that("a message longer than the window is scanned like a short one", {
  parts <- lapply(1:30000, function(k) wire_number(3, k))
  fields <- scan(do.call(c, parts))
  expect_equal(fields$value, as.double(1:30000))
})

test_that("lengths beyond the buffer, endless numbers and unknown wire types are refused", {
  expect_error(scan(c(wire_tag(1, 2), wire_varint(10), raw(3))), "10 bytes where 3 are left", class = "onnx_bad_input")
  expect_error(scan(c(wire_tag(1, 2), wire_varint(2^62))), "truncated", class = "onnx_bad_input")
  expect_error(scan(c(wire_tag(1, 2), wire_varint(-5))), "negative", class = "onnx_bad_input")
  expect_error(scan(as.raw(c(8, 200))), "does not end", class = "onnx_bad_input")
  expect_error(scan(as.raw(c(8, rep(255, 11)))), "more than 10 bytes", class = "onnx_bad_input")
  expect_error(scan(wire_tag(1, 3)), "wire type 3", class = "onnx_bad_input")
  expect_error(scan(as.raw(c(0, 0))), "field number 0", class = "onnx_bad_input")
})
