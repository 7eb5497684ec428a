test_that("a known time is measured, and the first call kept apart", {
  called <- 0
  call <- function() {
    called <<- called + 1
    Sys.sleep(if (called == 1) 0.2 else 0.01)
  }
  began <- wall_clock()
  found <- time_batch(call, shortest = 0.005, seconds = 0.1, repeats = 50)
  all_of_it <- wall_clock() - began
  expect_equal(found$calls, 1)
  expect_gte(found$first_seconds, 0.2)
  expect_gte(length(found$seconds), timing_fewest)
  expect_length(found$cpu_seconds, length(found$seconds))
  seconds <- unlist(found$seconds)
  expect_gte(min(seconds), 0.009)
  expect_lte(found$first_seconds + sum(seconds), all_of_it)
  # Sleeping costs no CPU time, however late a busy machine wakes it.
  expect_lt(stats::median(unlist(found$cpu_seconds)), stats::median(seconds))
})

test_that("short calls are looped until the clock resolves them", {
  expect_gt(calibrate_calls(function() NULL, 0.002), 50)
  expect_equal(calibrate_calls(function() Sys.sleep(0.01), 0.002), 1)
  # A call that was interrupted once is looped all the same.
  interruption <- 0.005
  expect_gt(calibrate_calls(function() {
    Sys.sleep(interruption)
    interruption <<- 0
  }, 0.002), 5)
})

test_that("the resolution of a coarse clock is seen", {
  ticks <- 0
  clock <- function() {
    ticks <<- ticks + 1
    (ticks %/% 50) * 0.01
  }
  expect_equal(clock_resolution(clock), 0.01)
})

test_that("a batch begins again where there are too few samples, byte for byte", {
  values <- array(as.double(1:12), c(3, 2, 2))
  path <- tempfile(fileext = ".safetensors")
  on.exit(unlink(path))
  safetensors_write(list(x = values), path, "float32")
  batch <- stored_batch(read_stored_tensors(path), 5)
  found <- to_r(decode_tensor(batch$x))
  expect_equal(dim(found), c(5, 2, 2))
  expect_equal(found[c(1, 2, 3, 4, 5), , , drop = FALSE], values[c(1, 2, 3, 1, 2), , ], ignore_attr = TRUE)
})

test_that("an engine that cannot prepare a call refuses to be timed", {
  on.exit(rm("plain", envir = engine_cache))
  assign("plain", list(name = "plain"), envir = engine_cache)
  answer <- onnx_answer('{"id": 1, "request": "time", "inputs": "x", "batch_sizes": [1], "seconds": 0.1}', "plain")
  expect_match(answer, '"unsupported"')
  expect_match(answer, "r/plain")
})
