# The messages of ONNX, as plain lists. Field numbers are those of onnx.proto3.

deepest_graph <- 32L

parse_model <- function(bytes, folder) {
  fields <- scan_message(bytes, 1, length(bytes))
  model <- list(ir_version = NA_real_, producer = character(), opsets = double(), metadata = character(), graph = NULL)
  for (k in seq_along(fields$field)) {
    from <- fields$start[k]
    to <- fields$end[k]
    switch(as.character(fields$field[k]),
      "1" = model$ir_version <- fields$value[k],
      "2" = model$producer[1L] <- text_of(bytes, fields, k),
      "3" = model$producer[2L] <- text_of(bytes, fields, k),
      "7" = {
        expect_wire(fields, k, 2L)
        model$graph <- parse_graph(bytes, from, to, folder, 1L)
      },
      "8" = {
        expect_wire(fields, k, 2L)
        entry <- parse_pair(bytes, from, to)
        model$opsets[[standard_domain(entry[[1L]])]] <- as.double(entry[[2L]])
      },
      "14" = {
        expect_wire(fields, k, 2L)
        entry <- parse_pair(bytes, from, to)
        model$metadata[[entry[[1L]]]] <- as.character(entry[[2L]])
      },
      "25" = {
        expect_wire(fields, k, 2L)
        model$functions <- c(model$functions, list(parse_function(bytes, from, to, folder)))
      }
    )
  }
  if (is.null(model$graph)) stop_bad_input("not a valid ONNX file: it holds no graph")
  model$producer <- paste(stats::na.omit(model$producer[nzchar(model$producer)]), collapse = " ")
  model
}

# A domain as a name in R: the default one, which has no name, as its other spelling.
standard_domain <- function(domain) if (nzchar(domain)) domain else "ai.onnx"

expect_wire <- function(fields, k, wire) {
  if (fields$wire[k] != wire) {
    stop_corrupt("field ", fields$field[k], " with wire type ", fields$wire[k], " instead of ", wire)
  }
}

text_of <- function(bytes, fields, k) {
  expect_wire(fields, k, 2L)
  text_field(bytes, fields$start[k], fields$end[k])
}

# Messages of two fields: an operator set (domain, version), a metadata entry (key, value).
parse_pair <- function(bytes, from, to) {
  fields <- scan_message(bytes, from, to)
  pair <- list("", "")
  for (k in seq_along(fields$field)) {
    if (fields$field[k] <= 2L) {
      pair[[fields$field[k]]] <- if (fields$wire[k] == 0L) fields$value[k] else text_of(bytes, fields, k)
    }
  }
  if (!is.character(pair[[1L]])) stop_corrupt("a name that is not a text")
  pair
}

parse_graph <- function(bytes, from, to, folder, depth) {
  if (depth > deepest_graph) stop_corrupt("graphs nested more than ", deepest_graph, " deep")
  fields <- scan_message(bytes, from, to)
  known <- fields$field %in% c(1L, 2L, 5L, 11L, 12L, 13L, 15L)
  if (any(fields$wire[known] != 2L)) stop_corrupt("a part of the graph that is not a message")
  each <- function(number, parse) {
    lapply(which(fields$field == number), function(k) parse(bytes, fields$start[k], fields$end[k]))
  }
  if (any(fields$field == 15L)) stop_unsupported("sparse initializers are not supported")
  list(
    name = c(unlist(each(2L, text_field)), "")[1L],
    nodes = sort_nodes(each(1L, function(b, f, t) parse_node(b, f, t, folder, depth))),
    initializers = each(5L, function(b, f, t) parse_tensor(b, f, t, folder, later = TRUE)),
    inputs = each(11L, parse_value_info),
    outputs = each(12L, parse_value_info),
    values = each(13L, parse_value_info)
  )
}

# In one pass: a file may hold thousands of nodes.
parse_node <- function(bytes, from, to, folder, depth) {
  fields <- scan_message(bytes, from, to)
  number <- fields$field
  wire <- fields$wire
  start <- fields$start
  end <- fields$end
  name <- operator <- domain <- overload <- ""
  inputs <- outputs <- repeated <- character()
  attributes <- list()
  for (k in seq_along(number)) {
    n <- number[k]
    if (n > 8L || n == 6L) next
    if (wire[k] != 2L) stop_corrupt("a node with a part of the wrong wire type")
    if (n == 5L) {
      attribute <- parse_attribute(bytes, start[k], end[k], folder, depth)
      # A list element is set by list(), so that a NULL value would be kept.
      attributes[attribute$name] <- list(attribute$value)
      if (attribute$repeated) repeated <- c(repeated, attribute$name)
    } else {
      text <- text_field(bytes, start[k], end[k])
      if (n == 1L) inputs[length(inputs) + 1L] <- text
      else if (n == 2L) outputs[length(outputs) + 1L] <- text
      else if (n == 3L) name <- text
      else if (n == 4L) operator <- text
      else if (n == 8L) overload <- text
      else domain <- if (text == "ai.onnx") "" else text
    }
  }
  list(
    name = name, operator = operator, domain = domain, overload = overload, inputs = inputs, outputs = outputs,
    attributes = attributes, repeated = repeated
  )
}

# A FunctionProto: its own names of inputs and outputs, its nodes, the opset they are written in, and attributes with their
# defaults.
parse_function <- function(bytes, from, to, folder) {
  fields <- scan_message(bytes, from, to)
  fn <- list(
    name = "", domain = "", overload = "", inputs = character(), outputs = character(), defaults = list(), nodes = list(),
    opsets = double()
  )
  for (k in seq_along(fields$field)) {
    start <- fields$start[k]
    end <- fields$end[k]
    switch(as.character(fields$field[k]),
      "1" = fn$name <- text_of(bytes, fields, k),
      "4" = fn$inputs <- c(fn$inputs, text_of(bytes, fields, k)),
      "5" = fn$outputs <- c(fn$outputs, text_of(bytes, fields, k)),
      "7" = {
        expect_wire(fields, k, 2L)
        fn$nodes <- c(fn$nodes, list(parse_node(bytes, start, end, folder, 1L)))
      },
      "9" = {
        expect_wire(fields, k, 2L)
        entry <- parse_pair(bytes, start, end)
        fn$opsets[[standard_domain(entry[[1L]])]] <- as.double(entry[[2L]])
      },
      "10" = fn$domain <- text_of(bytes, fields, k),
      "11" = {
        expect_wire(fields, k, 2L)
        attribute <- parse_attribute(bytes, start, end, folder, 1L)
        fn$defaults[attribute$name] <- list(attribute$value)
      },
      "13" = fn$overload <- text_of(bytes, fields, k)
    )
  }
  fn$nodes <- sort_nodes(fn$nodes)
  fn
}

# An attribute's value: a number, numbers, a text, texts, a tensor, or a
# list(graph = ...) for the kinds that only unsupported operators use.
parse_attribute <- function(bytes, from, to, folder, depth) {
  fields <- scan_message(bytes, from, to)
  name <- ""
  kind <- 0
  reference <- NULL
  parts <- vector("list", 11L)
  for (k in seq_along(fields$field)) {
    number <- fields$field[k]
    if (number == 1L) {
      name <- text_of(bytes, fields, k)
    } else if (number == 20L) {
      kind <- fields$value[k]
    } else if (number == 21L) {
      reference <- text_of(bytes, fields, k)
    } else if (number == 2L) {
      expect_wire(fields, k, 5L)
      parts[[2L]] <- floats_of(bytes, fields$start[k], fields$end[k])
    } else if (number == 3L) {
      expect_wire(fields, k, 0L)
      parts[[3L]] <- fields$value[k]
    } else if (number == 4L) {
      parts[[4L]] <- text_of(bytes, fields, k)
    } else if (number == 5L) {
      expect_wire(fields, k, 2L)
      parts[[5L]] <- parse_tensor(bytes, fields$start[k], fields$end[k], folder)
    } else if (number == 6L || number == 11L) {
      expect_wire(fields, k, 2L)
      parts[[6L]] <- list(graph = parse_graph(bytes, fields$start[k], fields$end[k], folder, depth + 1L))
    } else if (number == 7L) {
      parts[[7L]] <- c(parts[[7L]], floats_of(bytes, fields$start[k], fields$end[k]))
    } else if (number == 8L) {
      parts[[8L]] <- c(parts[[8L]], varints_of(bytes, fields, k))
    } else if (number == 9L) {
      parts[[9L]] <- c(parts[[9L]], text_of(bytes, fields, k))
    } else if (number %in% c(10L, 14L, 15L, 22L, 23L)) {
      parts[[10L]] <- list(unsupported = number)
    }
  }
  # The value is that of an attribute of the function's call.
  if (!is.null(reference)) return(list(name = name, value = list(reference = reference), repeated = FALSE))
  # Which part counts is said by `type`; files before IR 2 leave it out.
  value <- if (kind == 0) {
    Find(Negate(is.null), parts)
  } else if (kind >= 1 && kind <= 8) {
    part <- parts[[attribute_fields[kind]]]
    if (is.null(part)) attribute_empty[[kind]] else part
  } else {
    list(unsupported = kind)
  }
  if (is.null(value)) stop_corrupt("the attribute '", name, "' without a value")
  list(name = name, value = value, repeated = kind >= 6 && kind <= 8)
}

# By attribute type 1 to 8: the field that holds the value, and what it is when
# the field is left out, as protobuf leaves out zeros.
attribute_fields <- c(2L, 3L, 4L, 5L, 6L, 7L, 8L, 9L)
attribute_empty <- list(0, 0, "", NULL, NULL, double(), double(), character())

floats_of <- function(bytes, from, to) {
  if ((to - from + 1) %% 4 != 0) stop_corrupt("floats that end within a number")
  decode_values(byte_slice(bytes, from, to), "float32")
}

# A repeated integer field: packed, or one value at a time.
varints_of <- function(bytes, fields, k) {
  if (fields$wire[k] == 0L) return(fields$value[k])
  expect_wire(fields, k, 2L)
  packed_varints(bytes, fields$start[k], fields$end[k])
}

#' A TensorProto
#' @param later whether large external data are left where they lie until they are used, see stored_bytes().
#' @return list(name, dtype, shape, bytes): `bytes` are the values as stored,
#'   little-endian and row-major, so that no bit is lost on the way through R's doubles.
#' @noRd
parse_tensor <- function(bytes, from, to, folder, later = FALSE) {
  fields <- scan_message(bytes, from, to)
  number <- fields$field
  shape <- unlist(lapply(which(number == 1L), function(k) varints_of(bytes, fields, k)))
  at <- which(number == 8L)
  name <- if (length(at)) text_of(bytes, fields, at[length(at)]) else ""
  what <- paste0("tensor '", name, "'")
  shape <- if (is.null(shape)) double() else shape
  dtype <- dtype_of_code(c(fields$value[number == 2L], 0)[1L], what)
  count <- element_count(shape, what)
  if (any(number == 3L)) stop_unsupported("a tensor stored in segments (", what, ") is not supported")
  location <- which(number == 14L)
  if (dtype == "string") return(parse_texts(bytes, fields, name, shape, count, what))
  stored <- if (length(location) && fields$value[location[length(location)]] == 1) {
    entries <- lapply(which(number == 13L), function(k) parse_pair(bytes, fields$start[k], fields$end[k]))
    place <- external_place(entries, folder, count * dtype_bytes[[dtype]], what)
    if (later && place$length >= large_stored) return(list(name = name, dtype = dtype, shape = shape, place = place))
    bytes_at(place)
  } else if (any(number == 9L)) {
    k <- which(number == 9L)[1L]
    expect_wire(fields, k, 2L)
    byte_slice(bytes, fields$start[k], fields$end[k])
  } else {
    typed_bytes(bytes, fields, dtype)
  }
  if (length(stored) != count * dtype_bytes[[dtype]]) {
    stop_bad_input(what, " of dtype ", dtype, " and shape ", shape_text(shape), " needs ",
                   format(count * dtype_bytes[[dtype]], scientific = FALSE), " bytes but holds ", length(stored))
  }
  list(name = name, dtype = dtype, shape = shape, bytes = stored)
}

parse_texts <- function(bytes, fields, name, shape, count, what) {
  at <- which(fields$field == 6L)
  if (any(fields$wire[at] != 2L)) stop_corrupt("a text with another wire type")
  texts <- lapply(at, function(k) byte_slice(bytes, fields$start[k], fields$end[k]))
  if (length(texts) != count) {
    stop_bad_input(what, " of dtype string and shape ", shape_text(shape), " needs ", count, " texts but holds ", length(texts))
  }
  if (any(vapply(texts, function(text) any(text == as.raw(0L)), NA))) stop_unsupported("a text with a zero byte (", what, ") is not supported")
  stored <- do.call(c, lapply(texts, c, as.raw(0L)))
  list(name = name, dtype = "string", shape = shape, bytes = if (is.null(stored)) raw() else stored)
}

# The bytes of a tensor whose values are in a typed field instead of raw_data.
typed_bytes <- function(bytes, fields, dtype) {
  number <- switch(dtype,
    float32 = 4L, float64 = 10L, int64 = 7L, uint32 = , uint64 = 11L, 5L
  )
  at <- which(fields$field == number)
  if (number == 4L || number == 10L) {
    wide <- if (number == 4L) 4 else 8
    parts <- lapply(at, function(k) byte_slice(bytes, fields$start[k], fields$end[k]))
    if (any(lengths(parts) %% wide != 0)) stop_corrupt("floats that end within a number")
    return(if (length(parts)) do.call(c, parts) else raw())
  }
  if (dtype %in% c("int64", "uint64") && all(fields$wire[at] == 2L)) {
    parts <- lapply(at, function(k) packed_varint_words(bytes, fields$start[k], fields$end[k]))
    return(if (length(parts)) do.call(c, parts) else raw())
  }
  values <- unlist(lapply(at, function(k) varints_of(bytes, fields, k)))
  if (is.null(values)) return(raw())
  # One by one they were read as doubles.
  if (dtype %in% c("int64", "uint64")) exact_integer(values, dtype)
  if (dtype %in% c("float16", "bfloat16")) {
    return(writeBin(as.integer(values), raw(), 2L, endian = "little"))
  }
  encode_values(values, dtype)
}

# Where weights are kept in a file of their own, which must lie inside one of the model's folders, see folders_of_model().
external_place <- function(entries, folder, needed, what) {
  keys <- vapply(entries, function(e) as.character(e[[1L]]), "")
  value <- function(key, otherwise) {
    at <- match(key, keys)
    if (is.na(at)) otherwise else as.character(entries[[at]][[2L]])
  }
  location <- value("location", "")
  refuse <- function(...) stop_bad_input("the external data of ", what, ..., " ('", location, "')")
  if (is.null(folder)) refuse(" cannot be read here")
  if (!nzchar(location)) refuse(" has no location")
  parts <- strsplit(location, "[/\\\\]")[[1L]]
  if (grepl("^([/\\\\~]|[A-Za-z]:)", location) || ".." %in% parts) refuse(" lies outside the model's folder")
  path <- file.path(folder, location)
  path <- path[file.exists(path) & !dir.exists(path)]
  if (length(path) == 0L) refuse(" is missing")
  # A link may point anywhere: what counts is where it ends.
  roots <- paste0(sub("/+$", "", normalizePath(folder, "/", TRUE)), "/")
  path <- normalizePath(path[1L], "/", TRUE)
  if (!any(startsWith(path, roots))) refuse(" lies outside the model's folder")
  refuse_other_file(readBin(path, "raw", 1024L), path)
  number <- function(key, otherwise) {
    given <- value(key, NA)
    result <- if (is.na(given)) otherwise else suppressWarnings(as.numeric(given))
    if (is.na(result) || result < 0 || result != floor(result)) refuse(" has an impossible ", key)
    result
  }
  size <- file.size(path)
  offset <- number("offset", 0)
  length <- number("length", size - offset)
  if (length != needed || offset + length > size) {
    refuse(" should be ", format(needed, scientific = FALSE), " bytes at ", format(offset, scientific = FALSE),
           ", but the file has ", format(size, scientific = FALSE))
  }
  place_in_file(path, offset, length)
}

# A named value's type: list(name, dtype, shape); an axis is a number, the
# name of a dynamic dimension, or NA. The shape is NULL where none is declared.
parse_value_info <- function(bytes, from, to) {
  fields <- scan_message(bytes, from, to)
  info <- list(name = "", dtype = NA_character_, shape = NULL, kind = "tensor")
  for (k in seq_along(fields$field)) {
    if (fields$field[k] == 1L) info$name <- text_of(bytes, fields, k)
    if (fields$field[k] == 2L) {
      expect_wire(fields, k, 2L)
      type <- scan_message(bytes, fields$start[k], fields$end[k])
      for (j in seq_along(type$field)) {
        expect_wire(type, j, 2L)
        switch(as.character(type$field[j]),
          "1" = info[c("dtype", "shape")] <- parse_tensor_type(bytes, type$start[j], type$end[j]),
          "4" = info[c("kind", "dtype", "shape")] <- parse_sequence_type(bytes, type$start[j], type$end[j]), "5" = info$kind <- "map",
          "8" = info$kind <- "sparse tensor", "9" = info$kind <- "optional"
        )
      }
    }
  }
  info
}

# A sequence: its kind, and what is known of the values of maps.
parse_sequence_type <- function(bytes, from, to) {
  inner <- function(from, to, number) {
    fields <- scan_message(bytes, from, to)
    at <- which(fields$field == number & fields$wire == 2L)
    if (length(at)) c(fields$start[at[1L]], fields$end[at[1L]])
  }
  place <- c(from, to)
  # The type of an element, of it the map, the type of its values, and that as a tensor.
  for (number in c(1L, 5L, 2L, 1L)) {
    place <- inner(place[1L], place[2L], number)
    if (is.null(place)) return(list("sequence", NA_character_, NULL))
  }
  list(maps_kind, parse_tensor_type(bytes, place[1L], place[2L])[[1L]], list(NA, NA))
}

parse_tensor_type <- function(bytes, from, to) {
  fields <- scan_message(bytes, from, to)
  code <- c(fields$value[fields$field == 1L], 0)[1L]
  dtype <- if (code >= 1 && code <= length(dtype_names)) dtype_names[code] else NA_character_
  shape <- NULL
  for (k in which(fields$field == 2L)) {
    expect_wire(fields, k, 2L)
    axes <- scan_message(bytes, fields$start[k], fields$end[k])
    shape <- lapply(which(axes$field == 1L), function(j) {
      expect_wire(axes, j, 2L)
      axis <- scan_message(bytes, axes$start[j], axes$end[j])
      at <- which(axis$field %in% 1:2)
      if (length(at) == 0L) return(NA)
      if (axis$field[at[1L]] == 1L) axis$value[at[1L]] else text_of(bytes, axis, at[1L])
    })
  }
  list(dtype, shape)
}
