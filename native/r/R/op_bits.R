# Operators on the bits of integers, in two's complement. A word is 32 bits, 64 are two of them.

bits_of_dtype <- function(dtype) {
  if (!is_integer(dtype)) stop_bad_input("bits of ", dtype)
  8 * dtype_bytes[[dtype]]
}

# The lower and upper 32 bits as numbers from 0; exact for integers up to 2^53 of either sign.
words_of <- function(values) {
  high <- floor(values / 2^32)
  list(low = values - high * 2^32, high = high %% 2^32)
}

integer_of_words <- function(low, high, dtype) {
  bits <- bits_of_dtype(dtype)
  signed <- startsWith(dtype, "int")
  if (bits < 64) {
    low <- low %% 2^bits
    return(if (signed) low - ifelse(low >= 2^(bits - 1), 2^bits, 0) else low)
  }
  if (signed) high <- high - ifelse(high >= 2^31, 2^32, 0)
  exact_integer(high * 2^32 + low, dtype)
}

# Two words bit by bit; R's own functions take 31 bits.
by_bits <- function(f, a, b) {
  half <- function(x, y) as.double(f(as.integer(x), as.integer(y)))
  half(a %/% 65536, b %/% 65536) * 65536 + half(a %% 65536, b %% 65536)
}

# A table entry: f is one of bitwAnd, bitwOr and bitwXor.
bitwise <- function(f) {
  force(f)
  function(inputs, node) {
    dtype <- inputs[[1L]]$dtype
    bits_of_dtype(dtype)
    pair <- aligned(inputs[[1L]], inputs[[2L]])
    a <- words_of(rep_len(pair$x, prod(pair$shape)))
    b <- words_of(rep_len(pair$y, prod(pair$shape)))
    tensor(integer_of_words(by_bits(f, a$low, b$low), by_bits(f, a$high, b$high), dtype), pair$shape, dtype)
  }
}

op_bitwise_not <- function(inputs, node) {
  x <- inputs[[1L]]
  bits_of_dtype(x$dtype)
  values <- if (startsWith(x$dtype, "int")) -x$data - 1 else integer_highest[[x$dtype]] - x$data
  tensor(exact_integer(values, x$dtype), x$shape, x$dtype)
}

refuse_bit_shift <- function(node) {
  if (!node$attributes$direction %in% c("LEFT", "RIGHT")) paste0("direction '", node$attributes$direction, "'")
}

op_bit_shift <- function(inputs, node) {
  dtype <- inputs[[1L]]$dtype
  bits <- bits_of_dtype(dtype)
  pair <- aligned(inputs[[1L]], inputs[[2L]])
  x <- rep_len(pair$x, prod(pair$shape))
  by <- rep_len(pair$y, prod(pair$shape))
  # A negative shift, like one by all bits, leaves the sign alone.
  by[by < 0] <- bits
  if (node$attributes$direction == "RIGHT") return(tensor(floor(x / 2^pmin(by, bits)), pair$shape, dtype))
  # Only the bits that stay are moved, so that nothing overflows.
  staying <- x %% 2^pmax(bits - by, 0) * 2^pmin(by, bits)
  if (startsWith(dtype, "int")) staying <- staying - ifelse(staying >= 2^(bits - 1), 2^bits, 0)
  tensor(exact_integer(staying, dtype), pair$shape, dtype)
}
