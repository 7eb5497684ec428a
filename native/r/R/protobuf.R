# The protobuf wire format: a message is a run of (field number, wire type,
# value). Nothing here knows ONNX.
# https://protobuf.dev/programming-guides/encoding/

window_length <- 65536L

#' Scan one message into its fields
#'
#' Bytes are turned into integers one window at a time, so that a message that
#' holds gigabytes of weights costs no more memory than its file.
#'
#' @param bytes the whole file, raw.
#' @param from,to first and last byte of the message, one-based.
#' @return a list of parallel vectors: `field`, `wire`, `value` (of wire type
#'   0), and `start` and `end`, the first and last byte of a value.
#' @noRd
scan_message <- function(bytes, from, to) {
  capacity <- 32L
  field <- wire <- integer(capacity)
  value <- start <- end <- double(capacity)
  count <- 0L
  at <- from
  window <- integer()
  window_from <- from
  window_to <- from - 1
  while (at <= to) {
    # A tag and a length take at most 20 bytes together.
    if (at + 19 > window_to && window_to < to) {
      window_from <- at
      window_to <- min(to, at + window_length)
      window <- as.integer(bytes[window_from:window_to])
    }
    index <- at - window_from + 1
    tag <- window[index]
    if (tag >= 128L) {
      read <- read_varint(window, index)
      tag <- read[1L]
      index <- read[2L]
    } else {
      index <- index + 1
    }
    kind <- tag %% 8L
    number <- tag %/% 8L
    if (number < 1L || number > 536870911L) stop_corrupt("field number ", number)
    if (kind == 2L || kind == 0L) {
      length_or_value <- if (index > length(window)) 128L else window[index]
      if (length_or_value >= 128L) {
        read <- read_varint(window, index)
        length_or_value <- read[1L]
        index <- read[2L]
      } else {
        index <- index + 1
      }
      first <- window_from + index - 1
      last <- if (kind == 2L) first + length_or_value - 1 else first - 1
      if (kind == 2L && length_or_value < 0) stop_corrupt("a negative length")
    } else if (kind == 5L || kind == 1L) {
      length_or_value <- 0
      first <- window_from + index - 1
      last <- first + if (kind == 5L) 3 else 7
    } else {
      stop_corrupt("wire type ", kind)
    }
    if (last > to) {
      stop_corrupt("a field of ", format(last - first + 1, scientific = FALSE), " bytes where ",
                   format(to - first + 1, scientific = FALSE), " are left; the file may be truncated")
    }
    count <- count + 1L
    if (count > capacity) {
      capacity <- capacity * 4L
      length(field) <- length(wire) <- length(value) <- capacity
      length(start) <- length(end) <- capacity
    }
    field[count] <- as.integer(number)
    wire[count] <- as.integer(kind)
    value[count] <- length_or_value
    start[count] <- first
    end[count] <- last
    at <- last + 1
  }
  kept <- seq_len(count)
  list(field = field[kept], wire = wire[kept], value = value[kept], start = start[kept], end = end[kept])
}

stop_corrupt <- function(...) {
  stop_bad_input("not a valid ONNX file: its protobuf holds ", ...)
}

# One varint at `index` of a vector of byte values: c(signed value, next index).
# A 64-bit integer is exact up to 2^53 in magnitude and rounded beyond it.
read_varint <- function(window, index) {
  total <- 0
  scale <- 1
  for (k in 0:9) {
    if (index + k > length(window)) stop_corrupt("a number that does not end; the file may be truncated")
    byte <- window[index + k]
    digit <- byte %% 128
    if (k < 7L) {
      total <- total + digit * scale
      scale <- scale * 128
    } else {
      if (k == 7L) high <- digit
      if (k == 8L) high <- high + digit * 128
      if (k == 9L) high <- (high + digit * 16384) %% 32768
    }
    if (byte < 128L) {
      if (k >= 7L) {
        # The 15 highest bits, as two's complement.
        if (high >= 16384) high <- high - 32768
        total <- total + high * 562949953421312
      }
      return(c(total, index + k + 1))
    }
  }
  stop_corrupt("a number of more than 10 bytes")
}

#' All varints of a packed field, as doubles
#' @noRd
packed_varints <- function(bytes, from, to) {
  parts <- packed_varint_parts(bytes, from, to)
  negative <- parts$high >= 16384
  parts$high[negative] <- parts$high[negative] - 32768
  parts$low + parts$high * 562949953421312
}

#' All varints of a packed field as 8-byte little-endian integers, every bit kept
#' @noRd
packed_varint_words <- function(bytes, from, to) {
  parts <- packed_varint_parts(bytes, from, to)
  word_bytes(rbind(parts$low %% 2^32, parts$low %/% 2^32 + parts$high * 2^17))
}

# The lowest 49 and the highest 15 bits of each, both without a sign.
packed_varint_parts <- function(bytes, from, to) {
  if (to < from) return(list(low = double(), high = double()))
  values <- as.integer(bytes[from:to])
  ends <- which(values < 128L)
  if (length(ends) == 0L || ends[length(ends)] != length(values)) {
    stop_corrupt("a number that does not end; the file may be truncated")
  }
  starts <- c(1L, ends[-length(ends)] + 1L)
  lengths <- ends - starts + 1L
  longest <- max(lengths)
  if (longest > 10L) stop_corrupt("a number of more than 10 bytes")
  digits <- values %% 128L
  low <- as.double(digits[starts])
  high <- double(length(starts))
  for (k in seq_len(longest - 1L)) {
    which_long <- which(lengths > k)
    digit <- digits[starts[which_long] + k]
    if (k < 7L) {
      low[which_long] <- low[which_long] + digit * 128^k
    } else {
      high[which_long] <- high[which_long] + digit * 128^(k - 7L)
    }
  }
  list(low = low, high = high %% 32768)
}

# Bytes `from` to `to`, also when there are none.
byte_slice <- function(bytes, from, to) {
  if (to < from) raw() else bytes[from:to]
}

# rawToChar() stops at a zero byte; parse_file() turns that into our own error.
text_field <- function(bytes, from, to) {
  if (to < from) return("")
  text <- rawToChar(bytes[from:to])
  Encoding(text) <- "UTF-8"
  text
}
