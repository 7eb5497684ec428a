# How long a model's own call takes: first call apart, calibrated inner loops,
# raw numbers. The same request, bounds and answer as in the other languages.

# A sample lasts at least this many times the resolution of the coarser clock.
timing_ticks <- 100
# Seconds of a sample that no interruption explains.
timing_certain <- 0.1
timing_fewest <- 3L
timing_most <- 1000L
timing_samples <- 500L
timing_batch_sizes <- 16L
timing_seconds <- 600
timing_largest_batch <- 2^20

# proc.time() counts wall time in milliseconds only.
wall_clock <- function() as.numeric(Sys.time())

cpu_clock <- function() {
  spent <- proc.time()
  sum(spent[c("user.self", "sys.self")])
}

clock_resolution <- function(clock, tries = 3L) {
  min(vapply(seq_len(tries), function(k) {
    began <- clock()
    repeat {
      now <- clock()
      if (now > began) return(now - began)
    }
  }, 0))
}

time_calls <- function(call, calls) {
  cpu <- cpu_clock()
  wall <- wall_clock()
  for (k in seq_len(calls)) call()
  wall <- wall_clock() - wall
  c(wall = wall, cpu = cpu_clock() - cpu)
}

# How many calls make a sample of at least `shortest` seconds; warms up on the way.
calibrate_calls <- function(call, shortest) {
  calls <- 1
  while (calls < 1e6) {
    wall <- undisturbed(call, calls, shortest)
    if (wall >= shortest) break
    needed <- if (wall > 0) ceiling(1.2 * calls * shortest / wall) else 10 * calls
    calls <- min(max(needed, calls + 1), 10 * calls, 1e6)
  }
  calls
}

# Wall seconds of some calls; where they seem to be long enough, the least of three, since others interrupt.
undisturbed <- function(call, calls, shortest) {
  wall <- time_calls(call, calls)[["wall"]]
  for (k in 1:2) {
    if (wall < shortest || wall >= timing_certain) break
    wall <- min(wall, time_calls(call, calls)[["wall"]])
  }
  wall
}

time_batch <- function(call, shortest, seconds, repeats) {
  gc()
  first <- time_calls(call, 1L)
  calls <- calibrate_calls(call, shortest)
  samples <- list()
  deadline <- wall_clock() + seconds
  while (length(samples) < repeats && (length(samples) < timing_fewest || wall_clock() < deadline)) {
    samples[[length(samples) + 1L]] <- time_calls(call, calls) / calls
  }
  of <- function(name) as.list(round(vapply(samples, `[[`, 0, name), 9))
  list(
    calls = calls, first_seconds = first[["wall"]], first_cpu_seconds = first[["cpu"]], seconds = of("wall"),
    cpu_seconds = of("cpu")
  )
}

# The first samples of stored tensors, from the beginning again where there are too few; what all samples share stays whole.
stored_batch <- function(stored, size, axes = list()) {
  lapply(stored, function(x) {
    axis <- axis_of(axes, x$name)
    if (is.na(axis)) return(x)
    if (length(x$shape) <= axis || x$shape[axis + 1] < 1) {
      stop_bad_input("input '", x$name, "' has no samples along axis ", axis, " to make batches of")
    }
    stored_samples$take(x, axis, rep_len(seq_len(x$shape[axis + 1]), size))
  })
}

# The most memory that this process held at once, in bytes; NULL where the system does not tell.
resident_peak <- function() {
  status <- tryCatch(readLines("/proc/self/status"), error = function(e) character(), warning = function(e) character())
  line <- grep("^VmHWM:", status, value = TRUE)
  if (length(line) != 1L) return(NULL)
  as.numeric(gsub("[^0-9]", "", line)) * 1024
}

whole_numbers <- function(values) {
  all(vapply(values, function(x) is.numeric(x) && length(x) == 1L && is.finite(x) && x == floor(x), NA))
}

answer_time <- function(request) {
  engine <- session$engine
  if (is.null(engine$prepare)) stop_unsupported("request 'time' is not supported by ", runtime_name())
  sizes <- request$batch_sizes
  if (!is.list(sizes) || !length(sizes) || length(sizes) > timing_batch_sizes || !whole_numbers(sizes) ||
    anyDuplicated(sizes)) {
    stop_bad_input("batch_sizes must be a list of 1 to ", timing_batch_sizes, " different integers")
  }
  if (any(unlist(sizes) < 1 | unlist(sizes) > timing_largest_batch)) {
    stop_bad_input("every batch size must be from 1 to ", timing_largest_batch)
  }
  seconds <- argument(request, "seconds", is.numeric)
  if (!is.finite(seconds) || seconds <= 0 || seconds > timing_seconds) {
    stop_bad_input("seconds must be a number over 0 and at most ", timing_seconds)
  }
  repeats <- if (is.null(request$repeats)) timing_samples else argument(request, "repeats", is.numeric)
  if (!whole_numbers(list(repeats)) || repeats < timing_fewest || repeats > timing_most) {
    stop_bad_input("repeats must be an integer from ", timing_fewest, " to ", timing_most)
  }
  model <- loaded_model()
  axes <- requested_axes(request, model$graph)
  stored <- read_stored_tensors(path_argument(request, "inputs"))
  calls <- lapply(sizes, function(size) {
    path <- tempfile(fileext = ".safetensors")
    on.exit(unlink(path))
    write_stored_tensors(stored_batch(stored, size, axes), path)
    engine$prepare(model, path)
  })
  shortest <- timing_ticks * max(clock_resolution(wall_clock), clock_resolution(cpu_clock))
  batches <- Map(function(size, call) {
    c(list(batch_size = size), time_batch(call, shortest, seconds, repeats))
  }, sizes, calls)
  list(batches = batches, resident_peak_bytes = resident_peak(), threads = json_object(engine$threads()))
}

# What it costs to hand arrays over: from the file to R's own numbers, and back.
answer_echo <- function(request) {
  inputs <- path_argument(request, "inputs")
  outputs <- path_argument(request, "outputs")
  began <- wall_clock()
  tensors <- lapply(read_stored_tensors(inputs), decode_tensor)
  middle <- wall_clock()
  stored <- Map(encode_tensor, tensors, names(tensors))
  write_stored_tensors(stored, outputs)
  ended <- wall_clock()
  bytes <- sum(vapply(stored, function(x) as.double(length(x$bytes)), 0))
  list(bytes = bytes, read_seconds = middle - began, write_seconds = ended - middle)
}

# The call of r/base that is timed: inputs are decoded and checked beforehand.
base_prepare <- function(model, path) {
  inputs <- read_inputs(path, model)
  check_inputs(model$graph, inputs)
  function() compute_outputs(model$graph, inputs)
}

# The call of r/torch that is timed: inputs are tensors beforehand.
torch_prepare <- function(model, path) {
  inputs <- torch_inputs(model, path)
  function() torch::with_no_grad(model$run(inputs))
}
