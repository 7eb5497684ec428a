# Files that are wrong, or meant to do harm. Every one ends in one clear line.

relu_model <- function(...) {
  onnx_model(list(onnx_node("Relu", "x", "y")), list(onnx_value("x", shape = list("n", 2))), list(onnx_value("y")), ...)
}

read_bytes <- function(bytes) {
  path <- write_model(bytes)
  on.exit(unlink(path))
  onnx_read(path)
}

test_that("a missing, empty or foreign file is named", {
  expect_error(onnx_read("/no/such.onnx"), "no such file: /no/such.onnx", class = "onnx_bad_input")
  expect_error(read_bytes(raw()), "empty", class = "onnx_bad_input")
  expect_error(read_bytes(charToRaw("this is a text, not a model\n")), "not a valid ONNX file", class = "onnx_bad_input")
  expect_error(onnx_read(tempdir()), "folder", class = "onnx_bad_input")
  named <- function(text, told) expect_error(read_bytes(charToRaw(text)), told, class = "onnx_bad_input")
  named("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n", "is a Git LFS pointer.*git lfs pull")
  named("\n<!DOCTYPE html>\n<html>", "is a web page \\(HTML\\), not a model; download the file itself")
  named("../blobs/aaaa", "holds the text of a link, '../blobs/aaaa', not a model")
})

test_that("a file of a later IR is refused", {
  later <- relu_model()
  later[2L] <- as.raw(99)
  expect_error(read_bytes(later), "IR version 99 is newer.*export the model again", class = "onnx_unsupported")
})

test_that("a file cut anywhere is refused, never half-read", {
  whole <- onnx_model(
    list(onnx_node("Add", c("x", "w"), "y")), list(onnx_value("x", shape = list(2))), list(onnx_value("y")),
    list(onnx_tensor("w", c(1, 2)))
  )
  for (length in seq(1, length(whole) - 1)) {
    expect_error(read_bytes(whole[seq_len(length)]), class = "onnx_bad_input")
  }
})

test_that("a byte changed anywhere ends in an answer or in one of our errors", {
  body <- onnx_graph(
    list(onnx_node("Add", c("sum", "w"), "more")),
    list(onnx_value("step", "int64", list()), onnx_value("keep", "bool", list()), onnx_value("sum")),
    list(onnx_value("keep", "bool", list()), onnx_value("more")), list(onnx_tensor("w", c(1, 2)))
  )
  loop <- onnx_model(
    list(onnx_node("Loop", c("times", "", "x"), "y", body = body)), list(onnx_value("x")), list(onnx_value("y")),
    list(onnx_tensor("times", 2, "int64", scalar = TRUE))
  )
  for (whole in list(relu_model(), loop)) {
    for (at in seq_along(whole)) {
      for (byte in as.raw(c(0, 127, 255))) {
        changed <- replace(whole, at, byte)
        expect_true(tryCatch({
          read_bytes(changed)
          TRUE
        }, onnx_error = function(e) !grepl("\n", conditionMessage(e))))
      }
    }
  }
})

test_that("graphs nested too deeply are refused", {
  inner <- onnx_node("Relu", "x", "y")
  for (k in 1:60) {
    graph <- wire_bytes(1, inner)
    attribute <- c(wire_text(1, "body"), wire_bytes(6, graph), wire_number(20, 5))
    inner <- c(wire_text(4, "Loop"), wire_bytes(5, attribute))
  }
  expect_error(read_bytes(onnx_model(list(inner), list(), list(onnx_value("y")))), "nested", class = "onnx_bad_input")
})

test_that("a tensor whose shape and bytes disagree is refused before memory is asked for", {
  lying <- function(shape, bytes) {
    onnx_model(
      list(onnx_node("Relu", "w", "y")), list(), list(onnx_value("y")),
      list(c(do.call(c, lapply(shape, function(s) wire_number(1, s))), wire_number(2, 1), wire_text(8, "w"),
             wire_bytes(9, raw(bytes))))
    )
  }
  expect_error(read_bytes(lying(c(2, 3), 20)), "needs 24 bytes but holds 20", class = "onnx_bad_input")
  expect_error(read_bytes(lying(c(2^31, 2^31), 4)), "larger than the limit", class = "onnx_bad_input")
  expect_error(read_bytes(lying(-1, 4)), "impossible shape", class = "onnx_bad_input")
})

test_that("an operator that would make an absurdly large tensor is refused", {
  expect_error(
    run_operator("ConstantOfShape", list(c(1e6, 1e6)), dtypes = "int64"), "larger than the limit",
    class = "onnx_bad_input"
  )
  expect_error(
    run_operator("Expand", list(1, c(1e6, 1e6)), dtypes = c("float32", "int64")), "larger than the limit",
    class = "onnx_bad_input"
  )
})

external_model <- function(location, length = NULL, count = 2) {
  entry <- function(key, value) wire_bytes(13, c(wire_text(1, key), wire_text(2, value)))
  weight <- c(
    wire_number(1, count), wire_number(2, 1), wire_text(8, "w"), entry("location", location),
    if (!is.null(length)) entry("length", length), wire_number(14, 1)
  )
  onnx_model(list(onnx_node("Add", c("x", "w"), "y")), list(onnx_value("x", shape = list(count))), list(onnx_value("y")),
             list(weight))
}

test_that("external data are read from the model's folder and from nowhere else", {
  folder <- tempfile("model")
  outside <- tempfile("outside")
  dir.create(folder)
  dir.create(outside)
  on.exit(unlink(c(folder, outside), recursive = TRUE))
  writeBin(c(1, 2), file.path(outside, "w.bin"), size = 4)
  writeBin(c(3, 4), file.path(folder, "w.bin"), size = 4)
  read <- function(...) onnx_read(write_model(external_model(...), file.path(folder, "m.onnx")))

  expect_equal(predict(read("w.bin"), c(0, 0)), array(c(3, 4), 2))
  refused <- c(file.path(outside, "w.bin"), file.path("..", basename(outside), "w.bin"), "~/w.bin")
  for (location in refused) expect_error(read(location), "outside the model's folder", class = "onnx_bad_input")
  skip_if_not(file.symlink(file.path(outside, "w.bin"), file.path(folder, "link.bin")), "no symbolic links here")
  expect_error(read("link.bin"), "outside the model's folder", class = "onnx_bad_input")
  expect_error(read("nothing.bin"), "missing", class = "onnx_bad_input")
  expect_error(read("w.bin", "16"), "should be 8 bytes", class = "onnx_bad_input")
  expect_error(read("w.bin", "-1"), "impossible length", class = "onnx_bad_input")
})

test_that("large external data are read when they are used, from the file that was checked", {
  folder <- tempfile("model")
  dir.create(folder)
  on.exit(unlink(folder, recursive = TRUE))
  count <- 2^18
  values <- as.double(seq_len(count))
  writeBin(values, file.path(folder, "w.bin"), size = 4)
  model <- onnx_read(write_model(external_model("w.bin", count = count), file.path(folder, "m.onnx")))
  held <- model$graph$initializers[[1L]]
  expect_null(held$bytes)
  expect_equal(c(predict(model, double(count))), values)
  expect_identical(plainonnx:::stored_bytes(held), writeBin(values, raw(), size = 4))
  writeBin(values[-1L], file.path(folder, "w.bin"), size = 4)
  expect_error(plainonnx:::stored_bytes(held), "have changed since", class = "onnx_bad_input")
})

test_that("weights are found through the links of a hub's cache, and through no others", {
  hub <- tempfile("hub")
  snapshot <- file.path(hub, "snapshots", "main")
  dir.create(snapshot, recursive = TRUE)
  dir.create(file.path(hub, "blobs"))
  on.exit(unlink(hub, recursive = TRUE))
  write_model(external_model("w.bin"), file.path(hub, "blobs", "aaaa"))
  writeBin(c(3, 4), file.path(hub, "blobs", "bbbb"), size = 4)
  writeBin(c(1, 2), file.path(hub, "secret"), size = 4)
  skip_if_not(file.symlink("../../blobs/aaaa", file.path(snapshot, "m.onnx")), "no symbolic links here")
  link <- file.path(snapshot, "w.bin")
  file.symlink("../../blobs/bbbb", link)
  expect_equal(predict(onnx_read(file.path(snapshot, "m.onnx")), c(0, 0)), array(c(3, 4), 2))
  unlink(link)
  file.symlink("../../secret", link)
  expect_error(onnx_read(file.path(snapshot, "m.onnx")), "outside the model's folder", class = "onnx_bad_input")
  unlink(link)
  writeLines("version https://git-lfs.github.com/spec/v1", link)
  expect_error(onnx_read(file.path(snapshot, "m.onnx")), "is a Git LFS pointer.*w.bin", class = "onnx_bad_input")
})
