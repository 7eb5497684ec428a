# Discrete Fourier transforms as products with cosines and sines, put together from other operators, see compose.R; and windows.

#' Cosines and sines of 2 pi k n / points, exact at whole quarters
#' @return list(cosine, sine): matrices (k, n) of `rows` and `columns`.
#' @noRd
fourier_matrices <- function(points, rows, columns) {
  turn <- 2 * (outer(seq_len(rows) - 1, seq_len(columns) - 1) %% points) / points
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
  points <- optional_input(inputs, 2L)
  fourier_transform(op, x, resolve_axis(axis, rank), if (!is.null(points)) points$data, node$attributes)
}

#' A Fourier transform along one axis of real (..., 1) or complex (..., 2) values
#' @param points the length of the transform, to which the signal is cut or filled with zeros; NULL for its own.
#' @param attributes inverse and onesided.
#' @noRd
fourier_transform <- function(op, x, axis, points, attributes) {
  size <- sizes_of(x)
  rank <- length(size)
  inverse <- attributes$inverse != 0
  onesided <- attributes$onesided != 0
  parts <- size[rank]
  if (rank < 2L || axis == rank - 1 || !parts %in% 1:2) stop_bad_input("a shape of ", shape_text(size), " has no real or complex signal along axis ", axis)
  real_result <- inverse && onesided
  if (is.null(points)) points <- if (real_result) 2 * (size[axis + 1] - 1) else size[axis + 1]
  if (length(points) != 1L || points < 1) stop_bad_input("dft_length must be a positive number")
  half <- floor(points / 2) + 1
  read <- if (real_result) half else points
  made <- if (onesided && !inverse) half else points
  # The signal becomes the last axis but one, of the length that is read.
  perm <- c(setdiff(seq_len(rank) - 1, c(axis, rank - 1)), axis, rank - 1)
  x <- op("Transpose", x, with = list(perm = perm))
  if (size[axis + 1] > read) x <- part_of_axis(op, x, rank - 2, 0, read)
  if (size[axis + 1] < read) x <- op("Pad", x, whole_numbers_of(c(0, read - size[axis + 1])), NULL, whole_numbers_of(rank - 2))
  matrices <- fourier_matrices(points, made, read)
  if (real_result) {
    # What is not given mirrors what is, but for the first and, of an even length, the last.
    twice <- rep(2, read)
    twice[c(1L, if (points %% 2 == 0) read)] <- 1
    matrices <- lapply(matrices, function(m) m * rep(twice, each = made))
  }
  if (inverse) matrices <- lapply(matrices, `/`, points)
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
  points <- if (!is.null(stated)) stated$data else if (!is.null(window)) sizes_of(window)[1L] else size[2L]
  if (length(size) != 3L) stop_bad_input("the signal has shape ", shape_text(size), "; it needs 3 axes")
  if (!is.null(window) && !identical(sizes_of(window), as.double(points))) {
    stop_bad_input("a window of shape ", shape_text(sizes_of(window)), " does not fit frames of ", points)
  }
  if (step < 1 || points < 1 || points > size[2L]) stop_bad_input("frames of ", points, " every ", step, " steps of a signal of ", size[2L])
  starts <- seq(0, size[2L] - points, by = step)
  places <- whole_numbers_of(outer(seq_len(points) - 1, starts, `+`), c(length(starts), points))
  frames <- op("Gather", x, places, with = list(axis = 1))
  if (!is.null(window)) frames <- op("Mul", frames, op("Reshape", window, whole_numbers_of(c(points, 1))))
  fourier_transform(op, frames, 2, points, list(inverse = 0, onesided = node$attributes$onesided))
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
