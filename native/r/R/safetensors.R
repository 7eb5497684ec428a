# The safetensors format: eight bytes with the length of a JSON header, the
# header, the data. https://huggingface.co/docs/safetensors

safetensors_dtypes <- c(
  F64 = "float64", F32 = "float32", F16 = "float16", BF16 = "bfloat16", I64 = "int64", I32 = "int32",
  I16 = "int16", I8 = "int8", U64 = "uint64", U32 = "uint32", U16 = "uint16", U8 = "uint8", BOOL = "bool"
)

largest_header <- 100e6

# All tensors of a file as stored: named list of list(name, dtype, shape, bytes); without their bytes where those are not wanted.
read_stored_tensors <- function(path, bytes = TRUE) {
  if (!file.exists(path) || dir.exists(path)) stop_bad_input("no such file: ", path)
  size <- file.size(path)
  connection <- file(path, "rb")
  on.exit(close(connection))
  bad <- function(...) stop_bad_input("not a valid safetensors file: ", ..., " (", path, ")")
  if (size < 8) bad("it has ", size, " bytes")
  header_length <- decode_values(readBin(connection, "raw", 8L), "uint64")
  if (header_length > min(largest_header, size - 8)) bad("its header should be ", header_length, " bytes long")
  header <- tryCatch(
    {
      text <- rawToChar(readBin(connection, "raw", header_length))
      Encoding(text) <- "UTF-8"
      jsonlite::fromJSON(text, simplifyVector = FALSE)
    },
    error = function(e) bad("its header is not JSON")
  )
  if (!is.list(header) || (length(header) && is.null(names(header)))) bad("its header is not a JSON object")
  header[["__metadata__"]] <- NULL
  room <- size - 8 - header_length
  tensors <- lapply(names(header), function(name) {
    entry <- header[[name]]
    if (!is.list(entry)) bad("'", name, "' is not described by an object")
    if (!isTRUE(entry$dtype %in% names(safetensors_dtypes))) {
      stop_unsupported("dtype ", entry$dtype, " ('", name, "' in ", path, ") is not supported")
    }
    dtype <- safetensors_dtypes[[entry$dtype]]
    numbers <- function(x) {
      if (length(x) && !all(vapply(x, is.numeric, NA))) bad("'", name, "' has a shape or offset that is not a number")
      as.double(unlist(x))
    }
    shape <- numbers(entry$shape)
    span <- numbers(entry$data_offsets)
    count <- element_count(shape, paste0("'", name, "'"))
    if (length(span) != 2L || anyNA(span) || span[1L] < 0 || span[2L] > room ||
      span[2L] - span[1L] != count * dtype_bytes[[dtype]]) {
      bad("'", name, "' lies outside the file or does not fit its shape")
    }
    if (!bytes) return(list(name = name, dtype = dtype, shape = shape))
    seek(connection, 8 + header_length + span[1L])
    list(name = name, dtype = dtype, shape = shape, bytes = readBin(connection, "raw", span[2L] - span[1L]))
  })
  names(tensors) <- names(header)
  tensors
}

# Writes stored tensors (as read_stored_tensors() gives them); complete or not at all.
write_stored_tensors <- function(tensors, path) {
  # The format has no texts: they are written as bytes, with one axis more.
  tensors <- lapply(tensors, function(x) if (x$dtype == "string") rows_of_texts(x) else x)
  # The widest dtype first keeps every tensor aligned.
  widths <- vapply(tensors, function(x) dtype_bytes[[x$dtype]], 0)
  tensors <- tensors[order(-widths, names(tensors), method = "radix")]
  ends <- cumsum(vapply(tensors, stored_size, 0))
  starts <- c(0, ends)[seq_along(tensors)]
  header <- lapply(seq_along(tensors), function(k) {
    list(
      dtype = names(safetensors_dtypes)[match(tensors[[k]]$dtype, safetensors_dtypes)],
      shape = as.list(tensors[[k]]$shape), data_offsets = list(starts[k], ends[k])
    )
  })
  names(header) <- names(tensors)
  text <- if (length(header)) jsonlite::toJSON(header, auto_unbox = TRUE, digits = NA) else "{}"
  text <- charToRaw(enc2utf8(as.character(text)))
  text <- c(text, rep(charToRaw(" "), -length(text) %% 8L))
  write_beside(path, function(connection) {
    writeBin(encode_values(length(text), "uint64"), connection)
    writeBin(text, connection)
    for (x in tensors) with_bytes(x, function(bytes) writeBin(bytes, connection))
  })
}

# A file is written beside its place and then moved there.
write_beside <- function(path, write) {
  if (!dir.exists(dirname(path))) stop_bad_input("no such folder: ", dirname(path))
  beside <- tempfile(paste0(".", basename(path), "-"), tmpdir = dirname(path))
  on.exit(unlink(beside))
  connection <- tryCatch(
    file(beside, "wb"),
    error = function(e) stop_bad_input("cannot write in ", dirname(path)),
    warning = function(e) stop_bad_input("cannot write in ", dirname(path))
  )
  tryCatch(write(connection), finally = close(connection))
  if (!file.rename(beside, path)) stop_failed("cannot write ", path)
  invisible(path)
}

encode_tensor <- function(x, name) {
  list(name = name, dtype = x$dtype, shape = x$shape, bytes = encode_values(x$data, x$dtype))
}

#' Read and write safetensors files
#'
#' A file holds named arrays without any code in it. Axes keep their order: an
#' array stored with shape N x C x W arrives with `dim` `c(N, C, W)`. Every
#' number arrives as a double, a bool as a logical; 64-bit integers beyond
#' 2^53 are rounded.
#'
#' @param path the file.
#' @param tensors a named list of arrays (or vectors).
#' @param dtypes the format to store each array in, recycled: `"float64"`,
#'   `"float32"`, `"float16"`, `"bfloat16"`, `"int8"` to `"int64"`, `"uint8"`
#'   to `"uint64"`, `"bool"`. By default logicals become `"bool"`, R integers
#'   `"int32"` and doubles `"float64"`.
#' @return `safetensors_read()` a named list of arrays, each with the attribute
#'   `dtype`; `safetensors_write()` the path, invisibly.
#' @examples
#' path <- tempfile(fileext = ".safetensors")
#' safetensors_write(list(x = matrix(1:6, 2)), path)
#' safetensors_read(path)$x
#' @export
safetensors_read <- function(path) {
  lapply(read_stored_tensors(path), function(stored) {
    values <- to_r(decode_tensor(stored))
    attr(values, "dtype") <- stored$dtype
    values
  })
}

#' @rdname safetensors_read
#' @export
safetensors_write <- function(tensors, path, dtypes = NULL) {
  if (is.null(names(tensors)) || !all(nzchar(names(tensors)))) stop_bad_input("every tensor needs a name")
  natural <- vapply(tensors, function(x) {
    if (is.character(x)) stop_bad_input("a safetensors file holds no texts")
    if (is.logical(x)) "bool" else if (is.integer(x)) "int32" else "float64"
  }, "")
  dtypes <- if (is.null(dtypes)) natural else rep_len(dtypes, length(tensors))
  unknown <- setdiff(dtypes, safetensors_dtypes)
  if (length(unknown)) stop_bad_input("unknown dtype ", quoted(unknown))
  stored <- Map(function(x, dtype, name) encode_tensor(from_r(x, dtype), name), tensors, dtypes, names(tensors))
  write_stored_tensors(stored, path)
}
