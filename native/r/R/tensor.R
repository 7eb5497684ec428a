# THE LAYOUT, decided here and nowhere else.
#
# ONNX describes a row-major buffer: the last axis runs fastest. R's arrays are
# column-major: the first dimension runs fastest. The same buffer is therefore
# an R array with the dimensions reversed, and nothing needs to move. A tensor is
#
#   data   a bare vector in the row-major order of ONNX, without dim;
#   shape  the ONNX shape, doubles, empty for a scalar;
#   dtype  the name of the format it stands for.
#
# Inside the package "axis" counts as ONNX does (0 is the slowest), and
# "dimension" counts as R does on rev(shape) (1 is the fastest). Only from_r()
# and to_r() permute: they are the border to the user.
#
# Two liberties are taken for speed, and end at the operators that know of them.
# Between convolutions a tensor may be `channel_major`: axes 0 and 1 of its data
# exchanged, which spares two permutations; see settled(). And a constant that
# is only a factor of products holds its data as that matrix, and `finite`
# whether it is known to hold no NaN; see hold_factor().

tensor <- function(data, shape, dtype) {
  list(data = data, shape = shape, dtype = dtype)
}

largest_tensor <- 2^29

# The number of elements of a shape; refuses absurd ones before memory is asked for.
element_count <- function(shape, what = "a tensor") {
  if (anyNA(shape) || any(shape < 0)) stop_bad_input(what, " has the impossible shape ", shape_text(shape))
  count <- prod(shape)
  limit <- getOption("plainonnx.max_elements", largest_tensor)
  if (count > limit) {
    stop_bad_input(what, " of shape ", shape_text(format(shape, scientific = FALSE, trim = TRUE)),
                   " is larger than the limit of ", format(limit, scientific = FALSE),
                   " elements (option plainonnx.max_elements)")
  }
  count
}

# The tensor as an R array with reversed dimensions (a scalar gets dimension 1).
reversed_array <- function(x) as_dim(x$data, if (length(x$shape)) rev(x$shape) else 1L)

# R copies data whose dim is set, even to what it is.
as_dim <- function(data, sizes) {
  if (!identical(dim(data), as.integer(sizes))) dim(data) <- sizes
  data
}

# A tensor with its data in the order of its axes.
settled <- function(x) {
  if (is.null(x$channel_major)) return(x)
  data <- array(x$data, c(prod(x$shape[-(1:2)]), x$shape[1:2]))
  tensor(as_vector(aperm(data, c(1L, 3L, 2L))), x$shape, x$dtype)
}

# Marks a function of (inputs, node) that takes its first input in any order; run_node() settles all others.
any_order <- function(run) structure(run, any_order = TRUE)

# as.vector() copies, which a value that nothing else holds does not need.
as_vector <- function(data) {
  dim(data) <- NULL
  data
}

# No NaN and no infinity: read once, without the vector that all(is.finite()) makes. A sum that overflows is one too many.
all_finite <- function(values) is.finite(sum(values))

# An R array in ONNX axis order to a tensor.
from_r <- function(values, dtype) {
  shape <- dim(values)
  if (is.null(shape)) shape <- length(values)
  data <- if (length(shape) > 1L) aperm(values, rev(seq_along(shape))) else values
  # What is missing is not a number to every operator: is.nan(NA) is FALSE.
  if (is_floating(dtype) && anyNA(data)) data[is.na(data)] <- NaN
  tensor(as_stored(as.vector(data), dtype), as.double(shape), dtype)
}

as_stored <- function(data, dtype) {
  switch(dtype, bool = as.logical(data), string = as.character(data), as.double(data))
}

# A tensor to an R array in ONNX axis order.
to_r <- function(x) {
  if (!is.null(x$keys)) return(named_maps(x))
  if (length(x$shape) == 0L) return(x$data)
  data <- reversed_array(x)
  if (length(x$shape) > 1L) aperm(data) else data
}

# 0-based axes, negative ones counted from the end, checked.
resolve_axis <- function(axis, rank) {
  resolved <- ifelse(axis < 0, axis + rank, axis)
  if (any(resolved < 0 | resolved >= rank)) {
    stop_bad_input("axis ", paste(axis, collapse = ", "), " is outside a tensor of rank ", rank)
  }
  resolved
}

# The shape seen from one axis: elements after it (they run fastest), along it, before it.
axis_view <- function(shape, axis) {
  position <- axis + 1
  c(
    after = prod(shape[seq_along(shape) > position]),
    along = shape[position],
    before = prod(shape[seq_along(shape) < position])
  )
}

# How far apart the neighbours along each axis lie in the row-major buffer.
row_major_strides <- function(shape) rev(cumprod(c(1, rev(shape)))[seq_along(shape)])

# Reorder axes: axis i of the result is axis perm[i] of the tensor.
permute_axes <- function(data, shape, perm) {
  if (length(shape) < 2L || identical(as.double(perm), as.double(seq_along(shape) - 1))) return(data)
  dim(data) <- rev(shape)
  as.vector(aperm(data, length(shape) - rev(perm)))
}

# numpy's rule for two shapes.
broadcast_shape <- function(a, b) {
  rank <- max(length(a), length(b))
  a <- c(rep(1, rank - length(a)), a)
  b <- c(rep(1, rank - length(b)), b)
  if (any(a != b & a != 1 & b != 1)) {
    stop_bad_input("shapes ", shape_text(a), " and ", shape_text(b), " cannot be broadcast together")
  }
  shape <- ifelse(a == 1, b, a)
  element_count(shape)
  shape
}

# Repeat a tensor along its axes of length one until it has the shape. With
# `recycle`, repetition along the slowest axes is left to R's own recycling.
broadcast_data <- function(x, shape, recycle = FALSE) {
  data <- x$data
  have <- rev(c(rep(1, length(shape) - length(x$shape)), x$shape))
  want <- rev(shape)
  differs <- which(have != want)
  if (length(differs) == 0L) return(data)
  if (recycle && length(data) == 1L && prod(want) > 0) return(data)
  # Neighbouring axes that both repeat are one axis.
  groups <- split(differs, cumsum(c(1, diff(differs) != 1)))
  for (group in groups) {
    times <- prod(want[group])
    before <- prod(want[seq_len(group[1L] - 1L)])
    after <- prod(have[seq_along(have) > group[length(group)]])
    if (before == 1) {
      data <- rep(data, each = times)
    } else if (after == 1) {
      if (!recycle || times == 0) data <- rep(data, times)
    } else {
      dim(data) <- c(before, after)
      data <- as.vector(data[, rep(seq_len(after), each = times)])
    }
  }
  data
}
