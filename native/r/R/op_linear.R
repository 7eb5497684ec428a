# Matrix products and determinants. A row-major (rows x columns) matrix is an R matrix of
# columns x rows, so A B becomes B A on the reversed arrays.

# Rows and columns of a constant factor, see operator().
factor_sizes <- function(shape, position) if (length(shape) == 2L && position <= 2L) rev(shape)

#' A product of finite matrices
#'
#' R looks through both factors of every product for NaN and infinities, which
#' some BLAS lose. Where there are none for certain the same BLAS routine is
#' called without that look.
#' @param finite whether that is so; @param product the product, evaluated here.
#' @noRd
without_nan_check <- function(finite, product) {
  if (finite) {
    before <- options(matprod = "blas")
    on.exit(options(before))
  }
  product
}

# Worth asking where one factor is known: its own look is what R's would cost.
finite_factors <- function(a, b) {
  if (!isTRUE(a$finite) && !isTRUE(b$finite)) return(FALSE)
  (isTRUE(a$finite) || all_finite(a$data)) && (isTRUE(b$finite) || all_finite(b$data))
}

#' Gemm: alpha A' B' + beta C
#' @noRd
op_gemm <- function(inputs, node) {
  a <- inputs[[1L]]
  b <- inputs[[2L]]
  attributes <- node$attributes
  if (length(a$shape) != 2L || length(b$shape) != 2L) stop_bad_input("both factors must have rank 2")
  left <- reversed_array(a)
  right <- reversed_array(b)
  transposed_a <- attributes$transA != 0
  transposed_b <- attributes$transB != 0
  rows <- a$shape[if (transposed_a) 2L else 1L]
  columns <- b$shape[if (transposed_b) 1L else 2L]
  if (a$shape[if (transposed_a) 1L else 2L] != b$shape[if (transposed_b) 2L else 1L]) {
    stop_bad_input("shapes ", shape_text(a$shape), " and ", shape_text(b$shape), " do not fit a product")
  }
  product <- without_nan_check(finite_factors(a, b), if (transposed_a && transposed_b) {
    crossprod(right, t(left))
  } else if (transposed_a) {
    tcrossprod(right, left)
  } else if (transposed_b) {
    crossprod(right, left)
  } else {
    right %*% left
  })
  data <- as_vector(product)
  if (attributes$alpha != 1) data <- data * attributes$alpha
  shape <- c(rows, columns)
  if (length(inputs) > 2L && !is.null(inputs[[3L]])) {
    added <- inputs[[3L]]
    if (!identical(as.double(broadcast_shape(added$shape, shape)), as.double(shape))) {
      stop_bad_input("C of shape ", shape_text(added$shape), " does not fit ", shape_text(shape))
    }
    data <- data + attributes$beta * broadcast_data(added, shape)
  }
  arithmetic_result(data, shape, a$dtype)
}

#' MatMul with numpy's rules: leading axes are broadcast, vectors get an axis
#' @noRd
op_matmul <- function(inputs, node) {
  a <- inputs[[1L]]
  b <- inputs[[2L]]
  if (length(a$shape) == 0L || length(b$shape) == 0L) stop_bad_input("a factor is a scalar")
  drop_row <- length(a$shape) == 1L
  drop_column <- length(b$shape) == 1L
  if (drop_row) a$shape <- c(1, a$shape)
  if (drop_column) b$shape <- c(b$shape, 1)
  rank_a <- length(a$shape)
  rank_b <- length(b$shape)
  rows <- a$shape[rank_a - 1L]
  common <- a$shape[rank_a]
  columns <- b$shape[rank_b]
  if (b$shape[rank_b - 1L] != common) {
    stop_bad_input("shapes ", shape_text(a$shape), " and ", shape_text(b$shape), " do not fit a product")
  }
  batch_a <- a$shape[seq_len(rank_a - 2L)]
  batch_b <- b$shape[seq_len(rank_b - 2L)]
  batch <- broadcast_shape(batch_a, batch_b)
  element_count(c(batch, rows, columns), "the product")
  if (prod(batch_b) == 1) {
    # One right factor for all: a single product.
    left <- as_dim(a$data, c(common, rows * prod(batch_a)))
    right <- as_dim(b$data, c(columns, common))
    data <- as_vector(without_nan_check(finite_factors(a, b), right %*% left))
  } else {
    left <- array(a$data, c(common, rows, prod(batch_a)))
    right <- array(b$data, c(columns, common, prod(batch_b)))
    number <- function(of) broadcast_data(tensor(seq_len(prod(of)), of, "int64"), batch)
    from_a <- number(batch_a)
    from_b <- number(batch_b)
    data <- array(0, c(columns, rows, prod(batch)))
    for (k in seq_len(prod(batch))) {
      data[, , k] <- matrix(right[, , from_b[k]], columns) %*% matrix(left[, , from_a[k]], common)
    }
    data <- as.vector(data)
  }
  shape <- c(batch, if (!drop_row) rows, if (!drop_column) columns)
  arithmetic_result(data, shape, a$dtype)
}

# The determinant of each matrix along the last two axes.
op_det <- function(inputs, node) {
  x <- inputs[[1L]]
  rank <- length(x$shape)
  if (rank < 2L || x$shape[rank] != x$shape[rank - 1L]) stop_bad_input("the input has shape ", shape_text(x$shape), "; square matrices are needed")
  n <- x$shape[rank]
  matrices <- array(x$data, c(n, n, prod(x$shape[seq_len(rank - 2L)])))
  tensor(as.double(apply(matrices, 3L, function(m) det(matrix(m, n)))), x$shape[seq_len(rank - 2L)], x$dtype)
}
