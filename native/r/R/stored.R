# Tensors as a file holds them: list(name, dtype, shape, bytes), the bytes little-endian and row-major. Large weights that
# lie in a file of their own have a `place` instead of `bytes`, and are read when they are asked for: a model in double
# precision need not be held twice.

large_stored <- 2^20

# Where bytes lie in a file, and by what it is known to be the same file later.
place_in_file <- function(path, offset, length) {
  list(path = path, offset = offset, length = length, size = file.size(path), changed = file.mtime(path))
}

bytes_at <- function(place) {
  if (!identical(file.size(place$path), place$size) || !identical(file.mtime(place$path), place$changed)) {
    stop_bad_input("the weights in ", place$path, " have changed since the model was read: read it again")
  }
  connection <- file(place$path, "rb")
  on.exit(close(connection))
  seek(connection, place$offset)
  bytes <- readBin(connection, "raw", place$length)
  if (length(bytes) != place$length) stop_bad_input("the weights in ", place$path, " end too early")
  bytes
}

stored_bytes <- function(stored) if (is.null(stored$place)) stored$bytes else bytes_at(stored$place)

stored_size <- function(stored) if (is.null(stored$place)) as.double(length(stored$bytes)) else stored$place$length

#' What a function makes of the bytes of a stored tensor
#'
#' R collects garbage when it is more than what is in use. Bytes that count beside a whole model are given back at once.
#' @noRd
with_bytes <- function(stored, use) {
  result <- use(stored_bytes(stored))
  if (!is.null(stored$place)) give_back(stored$place$length)
  result
}

counted_garbage <- 2^25

give_back <- function(size) if (size >= counted_garbage) gc(FALSE)

decode_tensor <- function(stored) {
  tensor(with_bytes(stored, function(bytes) decode_values(bytes, stored$dtype)), stored$shape, stored$dtype)
}
