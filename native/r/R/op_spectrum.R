# Discrete Fourier transforms as products with cosines and sines, put together from other operators, see compose.R; and windows.

#' Cosines and sines of 2 pi k n / length, exact at whole quarters
#' @return list(cosine, sine): matrices (k, n) of `rows` and `columns`.
#' @noRd
fourier_matrices <- function(length, rows, columns) {
  turn <- 2 * (outer(seq_len(rows) - 1, seq_len(columns) - 1) %% length) / length
  list(cosine = cospi(turn), sine = sinpi(turn))
}

# A matrix as a constant tensor of the dtype of x.
matrix_like <- function(values, x) tensor(as.vector(t(values)), as.double(dim(values)), dtype_of(x))

build_dft <- function(op, inputs, node) {
  x <- inputs[[1L]]
  rank <- length(sizes_of(x))
  axis <- if (node$since < 20) node$attributes$axis else -2
  stated <- optional_input(inputs, 3L)
  if (!is.null(stated)) axis <- stated$data
  length <- optional_input(inputs, 2L)
  fourier_transform(op, x, resolve_axis(axis, rank), if (!is.null(length)) length$data, node$attributes)
}

#' A Fourier transform along one axis of real (..., 1) or complex (..., 2) values
#' @noRd
fourier_transform <- function(op, x, axis, length, attributes) {
  size <- sizes_of(x)
  rank <- base::length(size)
  inverse <- attributes$inverse != 0
  onesided <- attributes$onesided != 0
  parts <- size[rank]
  if (rank < 2L || axis == rank - 1 || !parts %in% 1:2) stop_bad_input("a shape of ", shape_text(size), " has no real or complex signal along axis ", axis)
  real_result <- inverse && onesided
  if (is.null(length)) length <- if (real_result) 2 * (size[axis + 1] - 1) else size[axis + 1]
  if (base::length(length) != 1L || length < 1) stop_bad_input("dft_length must be a positive number")
  half <- floor(length / 2) + 1
  read <- if (real_result) half else length
  made <- if (onesided && !inverse) half else length
  # The signal becomes the last axis but one, of the length that is read.
  perm <- c(setdiff(seq_len(rank) - 1, c(axis, rank - 1)), axis, rank - 1)
  x <- op("Transpose", x, with = list(perm = perm))
  if (size[axis + 1] > read) x <- part_of_axis(op, x, rank - 2, 0, read)
  if (size[axis + 1] < read) x <- op("Pad", x, whole_numbers_of(c(0, read - size[axis + 1])), NULL, whole_numbers_of(rank - 2))
  matrices <- fourier_matrices(length, made, read)
  if (real_result) {
    # What is not given mirrors what is, but for the first and, of an even length, the last.
    twice <- rep(2, read)
    twice[c(1L, if (length %% 2 == 0) read)] <- 1
    matrices <- lapply(matrices, function(m) m * rep(twice, each = made))
  }
  if (inverse) matrices <- lapply(matrices, `/`, length)
  times <- function(m, part) op("MatMul", matrix_like(m, x), part_of_axis(op, x, rank - 1, part - 1, part))
  sign <- if (inverse) -1 else 1
  real <- times(matrices$cosine, 1)
  other <- times(-sign * matrices$sine, 1)
  if (parts == 2) {
    real <- op("Add", real, times(sign * matrices$sine, 2))
    other <- op("Add", other, times(matrices$cosine, 2))
  }
  y <- if (real_result) real else op("Concat", real, other, with = list(axis = rank - 1))
  op("Transpose", y, with = list(perm = order(perm) - 1))
}

# Frames of a signal (sample, step, 1 or 2), each times a window, and their spectra.
build_stft <- function(op, inputs, node) {
  x <- inputs[[1L]]
  size <- sizes_of(x)
  step <- inputs[[2L]]$data
  window <- optional_input(inputs, 3L)
  stated <- optional_input(inputs, 4L)
  length <- if (!is.null(stated)) stated$data else if (!is.null(window)) sizes_of(window)[1L] else size[2L]
  if (base::length(size) != 3L) stop_bad_input("the signal has shape ", shape_text(size), "; it needs 3 axes")
  if (!is.null(window) && !identical(sizes_of(window), as.double(length))) {
    stop_bad_input("a window of shape ", shape_text(sizes_of(window)), " does not fit frames of ", length)
  }
  if (step < 1 || length < 1 || length > size[2L]) stop_bad_input("frames of ", length, " every ", step, " steps of a signal of ", size[2L])
  starts <- seq(0, size[2L] - length, by = step)
  places <- whole_numbers_of(outer(seq_len(length) - 1, starts, `+`), c(base::length(starts), length))
  frames <- op("Gather", x, places, with = list(axis = 1))
  if (!is.null(window)) frames <- op("Mul", frames, op("Reshape", window, whole_numbers_of(c(length, 1))))
  fourier_transform(op, frames, 2, length, list(inverse = 0, onesided = node$attributes$onesided))
}

# A table entry for a window of a number of values: `f` of their place, 0 to 1.
window_of <- function(f) {
  force(f)
  function(inputs, node) {
    count <- inputs[[1L]]$data
    extent <- if (node$attributes$periodic != 0) count else count - 1
    if (length(count) != 1L || count < 0 || (count > 0 && extent < 1)) stop_bad_input("a window of ", paste(count, collapse = ", "), " values")
    tensor(f((seq_len(count) - 1) / extent), as.double(count), dtype_names[node$attributes$output_datatype])
  }
}

refuse_window <- function(node) {
  if (!isTRUE(dtype_names[node$attributes$output_datatype] %in% floating_dtypes)) paste("output_datatype", node$attributes$output_datatype)
}

hann_window <- function(place) sinpi(place)^2
hamming_window <- function(place) 25 / 46 - 21 / 46 * cospi(2 * place)
blackman_window <- function(place) 0.42 - 0.5 * cospi(2 * place) + 0.08 * cospi(4 * place)
