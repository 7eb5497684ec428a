# The number formats of ONNX, and how each is held in R: floating-point and
# integer values as doubles, bool as logical, string as character. An integer is exact up to 2^53.

dtype_names <- c(
  "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16", "float64",
  "uint32", "uint64", "complex64", "complex128", "bfloat16", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2",
  "float8e5m2fnuz", "uint4", "int4", "float4e2m1", "float8e8m0", "uint2", "int2"
)

# The dtypes that a tensor here can have.
held_dtypes <- function() c(names(dtype_bytes), "string")

floating_dtypes <- c("float16", "bfloat16", "float32", "float64")

dtype_bytes <- c(
  float64 = 8, float32 = 4, float16 = 2, bfloat16 = 2, int64 = 8, uint64 = 8, int32 = 4, uint32 = 4,
  int16 = 2, uint16 = 2, int8 = 1, uint8 = 1, bool = 1
)

integer_lowest <- c(
  int8 = -2^7, int16 = -2^15, int32 = -2^31, int64 = -2^63, uint8 = 0, uint16 = 0, uint32 = 0, uint64 = 0
)
integer_highest <- c(
  int8 = 2^7 - 1, int16 = 2^15 - 1, int32 = 2^31 - 1, int64 = 2^63, uint8 = 2^8 - 1, uint16 = 2^16 - 1,
  uint32 = 2^32 - 1, uint64 = 2^64
)

is_floating <- function(dtype) dtype %in% floating_dtypes
is_integer <- function(dtype) dtype %in% names(integer_lowest)

# The name of an ONNX data type number; refuses those no tensor here can hold.
dtype_of_code <- function(code, what) {
  if (length(code) != 1L || is.na(code) || code < 1 || code > length(dtype_names)) {
    stop_bad_input(what, " has data type number ", code, ", which ONNX does not know")
  }
  dtype <- dtype_names[code]
  if (!dtype %in% held_dtypes()) stop_unsupported("dtype ", dtype, " (", what, ") is not supported")
  dtype
}

#' Values of little-endian bytes
#' @param bytes raw; `dtype` a dtype name.
#' @return doubles, logicals for bool, texts for string.
#' @noRd
decode_values <- function(bytes, dtype) {
  if (dtype == "string") return(decode_texts(bytes))
  count <- length(bytes) / dtype_bytes[[dtype]]
  read_integer <- function(size, signed) readBin(bytes, "integer", count, size, signed, endian = "little")
  switch(dtype,
    float64 = readBin(bytes, "double", count, 8L, endian = "little"),
    float32 = readBin(bytes, "double", count, 4L, endian = "little"),
    float16 = float16_values()[read_integer(2L, FALSE) + 1L],
    bfloat16 = {
      wide <- matrix(raw(4 * count), 4L)
      wide[3:4, ] <- bytes
      readBin(as.vector(wide), "double", count, 4L, endian = "little")
    },
    int8 = as.double(read_integer(1L, TRUE)),
    uint8 = as.double(read_integer(1L, FALSE)),
    int16 = as.double(read_integer(2L, TRUE)),
    uint16 = as.double(read_integer(2L, FALSE)),
    int32 = signed_words(bytes, count),
    uint32 = signed_words(bytes, count) %% 2^32,
    int64 = ,
    uint64 = {
      words <- matrix(signed_words(bytes, 2 * count), 2L)
      high <- if (dtype == "uint64") words[2L, ] %% 2^32 else words[2L, ]
      words[1L, ] %% 2^32 + high * 2^32
    },
    bool = bytes != as.raw(0L)
  )
}

# R reads the bits of -2^31 as NA.
signed_words <- function(bytes, count) {
  words <- as.double(readBin(bytes, "integer", count, 4L, endian = "little"))
  words[is.na(words)] <- -2^31
  words
}

#' Little-endian bytes of values, rounded to the dtype
#' @noRd
encode_values <- function(values, dtype) {
  if (dtype == "string") return(encode_texts(values))
  write_integer <- function(size) writeBin(as.integer(values), raw(), size, endian = "little")
  switch(dtype,
    float64 = writeBin(as.double(values), raw(), 8L, endian = "little"),
    float32 = writeBin(as.double(values), raw(), 4L, endian = "little"),
    float16 = writeBin(float16_bits(round_to_dtype(as.double(values), "float16")), raw(), 2L, endian = "little"),
    bfloat16 = {
      wide <- writeBin(round_to_dtype(as.double(values), "bfloat16"), raw(), 4L, endian = "little")
      as.vector(matrix(wide, 4L)[3:4, ])
    },
    int8 = ,
    uint8 = write_integer(1L),
    int16 = ,
    uint16 = write_integer(2L),
    int32 = ,
    uint32 = word_bytes(values),
    int64 = ,
    uint64 = {
      # 2^63 and 2^64 stand for the largest integer, which no double holds.
      top <- integer_highest[[dtype]]
      high <- floor(values / 2^32)
      low <- values - high * 2^32
      saturated <- values >= top
      high[saturated] <- top / 2^32 - 1
      low[saturated] <- 2^32 - 1
      word_bytes(rbind(low, high))
    },
    bool = as.raw(as.logical(values))
  )
}

# Texts as bytes: UTF-8, each ended by a zero, as in C.
encode_texts <- function(texts) {
  if (!length(texts)) return(raw())
  do.call(c, lapply(enc2utf8(texts), function(text) c(charToRaw(text), as.raw(0L))))
}

decode_texts <- function(bytes) {
  ends <- which(bytes == as.raw(0L))
  starts <- c(1L, utils::head(ends, -1L) + 1L)
  texts <- vapply(seq_along(ends), function(k) rawToChar(bytes[seq_len(ends[k] - starts[k]) + starts[k] - 1L]), "")
  Encoding(texts) <- "UTF-8"
  texts
}

# Rows of bytes, filled with zeros to the longest text, as texts; `shape` ends in their length.
texts_of_rows <- function(bytes, shape) {
  width <- shape[length(shape)]
  count <- prod(shape[-length(shape)])
  rows <- matrix(bytes, width, count)
  bytes <- do.call(c, lapply(seq_len(count), function(k) c(rows[rows[, k] != as.raw(0L), k], as.raw(0L))))
  tensor(decode_texts(if (is.null(bytes)) raw() else bytes), shape[-length(shape)], "string")
}

# The other way round: what a file of arrays holds in place of texts.
rows_of_texts <- function(stored) {
  texts <- lapply(decode_texts(stored$bytes), charToRaw)
  width <- max(lengths(texts), 0L)
  rows <- do.call(c, lapply(texts, function(text) c(text, raw(width - length(text)))))
  list(name = stored$name, dtype = "uint8", shape = c(stored$shape, width), bytes = if (is.null(rows)) raw() else rows)
}

# 32-bit words of integers of either sign; NA is how R writes the bits of -2^31.
word_bytes <- function(values) {
  signed <- (values + 2^31) %% 2^32 - 2^31
  signed[signed == -2^31] <- NA
  writeBin(as.integer(signed), raw(), 4L, endian = "little")
}

float16_cache <- new.env(parent = emptyenv())

# The value of every 16-bit pattern, IEEE 754-2008 binary16.
float16_values <- function() {
  if (is.null(float16_cache$values)) {
    bits <- 0:65535
    exponent <- bits %/% 1024L %% 32L
    fraction <- bits %% 1024L
    magnitude <- ifelse(exponent == 0L, fraction * 2^-24, (1024 + fraction) * 2^(exponent - 25))
    magnitude[exponent == 31L] <- ifelse(fraction[exponent == 31L] == 0L, Inf, NaN)
    float16_cache$values <- ifelse(bits >= 32768L, -magnitude, magnitude)
  }
  float16_cache$values
}

# The bit pattern of values that binary16 holds exactly.
float16_bits <- function(values) {
  magnitude <- abs(values)
  sign <- ifelse(values < 0 | (values == 0 & 1 / values < 0), 32768, 0)
  exponent <- pmax(binary_exponent(magnitude), -14)
  bits <- ifelse(
    magnitude < 2^-14, magnitude * 2^24,
    (exponent + 15) * 1024 + (magnitude * 2^-exponent - 1) * 1024
  )
  bits[is.infinite(values)] <- 31744
  bits <- bits + sign
  bits[is.nan(values)] <- 32256
  as.integer(bits)
}

# floor(log2(x)), exact also just below a power of two.
binary_exponent <- function(magnitude) {
  exponent <- floor(log2(magnitude))
  exponent[!is.finite(exponent)] <- 0
  exponent - (2^exponent > magnitude & magnitude > 0)
}

#' Round doubles to the nearest value of a floating-point dtype, ties to even
#' @noRd
round_to_dtype <- function(values, dtype) {
  if (dtype == "float32") {
    return(readBin(writeBin(values, raw(), 4L), "double", length(values), 4L))
  }
  if (dtype == "float64") return(values)
  digits <- if (dtype == "float16") 11 else 8
  lowest <- if (dtype == "float16") -14 else -126
  largest <- if (dtype == "float16") 65504 else (2 - 2^-7) * 2^127
  finite <- is.finite(values)
  x <- values[finite]
  quantum <- 2^(pmax(binary_exponent(abs(x)), lowest) - (digits - 1))
  rounded <- round(x / quantum) * quantum
  too_large <- abs(rounded) > largest
  rounded[too_large] <- sign(rounded[too_large]) * Inf
  values[finite] <- rounded
  values
}

#' Bring integer results back into their dtype, as two's complement does
#' @noRd
wrap_integer <- function(values, dtype) {
  if (dtype %in% c("int64", "uint64")) return(exact_integer(values, dtype))
  low <- integer_lowest[[dtype]]
  high <- integer_highest[[dtype]]
  outside <- which(!(values >= low & values <= high))
  if (length(outside)) {
    exact_integer(values[outside], dtype)
    values[outside] <- (values[outside] - low) %% (high - low + 1) + low
  }
  values
}

# Refuses integers that a double does not hold exactly.
exact_integer <- function(values, dtype) {
  if (length(values)) {
    extent <- range(values)
    if (anyNA(extent) || extent[1L] < -2^53 || extent[2L] > 2^53) {
      stop_unsupported("an ", dtype, " value beyond 2^53 (or a division by zero) cannot be computed exactly")
    }
  }
  values
}
