# Writes small ONNX files, so that every test says in its own lines what it reads.

wire_varint <- function(value) {
  if (value < 0) {
    # Two's complement in 64 bits: the lower 49 bits, then the upper 15.
    low <- value %% 2^49
    high <- (value - low) / 2^49 + 2^15
    digits <- c(low %/% 128^(0:6) %% 128, high %/% 128^(0:2) %% 128)
    return(as.raw(digits + c(rep(128, 9), 0)))
  }
  digits <- value %% 128
  while ((value <- value %/% 128) > 0) digits <- c(digits, value %% 128)
  as.raw(digits + c(rep(128, length(digits) - 1), 0))
}

wire_tag <- function(field, wire) wire_varint(field * 8 + wire)
wire_number <- function(field, value) c(wire_tag(field, 0), wire_varint(value))
wire_bytes <- function(field, bytes) c(wire_tag(field, 2), wire_varint(length(bytes)), bytes)
wire_text <- function(field, text) wire_bytes(field, charToRaw(enc2utf8(text)))
wire_float <- function(field, value) c(wire_tag(field, 5), writeBin(value, raw(), 4, endian = "little"))

dtype_code <- function(dtype) match(dtype, plainonnx:::dtype_names)

# A TensorProto of an R array in ONNX axis order; a vector of length one without dim may be a scalar.
onnx_tensor <- function(name, values, dtype = "float32", scalar = FALSE) {
  x <- plainonnx:::from_r(values, dtype)
  shape <- if (scalar) double() else x$shape
  c(
    if (length(shape)) do.call(c, lapply(shape, function(size) wire_number(1, size))),
    wire_number(2, dtype_code(dtype)), wire_text(8, name),
    wire_bytes(9, plainonnx:::encode_values(x$data, dtype))
  )
}

onnx_attribute <- function(name, value) {
  body <- if (inherits(value, "onnx_graph")) {
    c(wire_bytes(6, unclass(value)), wire_number(20, 5))
  } else if (is.raw(value)) {
    c(wire_bytes(5, value), wire_number(20, 4))
  } else if (is.character(value) && (length(value) > 1 || !is.null(attr(value, "list")))) {
    c(do.call(c, lapply(value, function(v) wire_text(9, v))), wire_number(20, 8))
  } else if (is.character(value)) {
    c(wire_text(4, value), wire_number(20, 3))
  } else if (is.integer(value) && length(value) == 1 && is.null(attr(value, "list"))) {
    c(wire_number(3, value), wire_number(20, 2))
  } else if (is.integer(value)) {
    c(do.call(c, lapply(value, function(v) wire_number(8, v))), wire_number(20, 7))
  } else if (length(value) == 1) {
    c(wire_float(2, value), wire_number(20, 1))
  } else {
    c(do.call(c, lapply(value, function(v) wire_float(7, v))), wire_number(20, 6))
  }
  c(wire_text(1, name), body)
}

# Integers in a list of one: attributes such as kernel_shape = ints(3).
ints <- function(...) structure(as.integer(c(...)), list = TRUE)

onnx_node <- function(operator, inputs, outputs, ..., name = paste0(tolower(operator), "_0"), domain = "") {
  attributes <- list(...)
  c(
    do.call(c, lapply(inputs, function(i) wire_text(1, i))),
    do.call(c, lapply(outputs, function(o) wire_text(2, o))),
    wire_text(3, name), wire_text(4, operator),
    do.call(c, Map(function(n, v) wire_bytes(5, onnx_attribute(n, v)), names(attributes), attributes)),
    if (nzchar(domain)) wire_text(7, domain)
  )
}

# A ValueInfoProto; an axis is a number or a name, shape NULL is any shape.
onnx_value <- function(name, dtype = "float32", shape = NULL) {
  axes <- do.call(c, lapply(shape, function(axis) {
    wire_bytes(1, if (is.character(axis)) wire_text(2, axis) else wire_number(1, axis))
  }))
  type <- c(wire_number(1, dtype_code(dtype)), if (!is.null(shape)) wire_bytes(2, if (is.null(axes)) raw() else axes))
  c(wire_text(1, name), wire_bytes(2, wire_bytes(1, type)))
}

# A GraphProto: a model's own, or the value of an attribute.
onnx_graph <- function(nodes, inputs, outputs, initializers = list()) {
  each <- function(field, parts) do.call(c, lapply(parts, function(part) wire_bytes(field, part)))
  graph <- c(each(1, nodes), wire_text(2, "graph"), each(5, initializers), each(11, inputs), each(12, outputs))
  structure(graph, class = "onnx_graph")
}

onnx_model <- function(nodes, inputs, outputs, initializers = list(), opset = 17, metadata = character(),
                       domains = character()) {
  c(
    wire_number(1, 8), wire_text(2, "plainonnx-tests"), wire_bytes(7, unclass(onnx_graph(nodes, inputs, outputs, initializers))),
    wire_bytes(8, c(wire_text(1, ""), wire_number(2, opset))),
    do.call(c, lapply(domains, function(d) wire_bytes(8, c(wire_text(1, d), wire_number(2, 1))))),
    do.call(c, Map(function(k, v) wire_bytes(14, c(wire_text(1, k), wire_text(2, v))), names(metadata), metadata))
  )
}

write_model <- function(bytes, path = tempfile(fileext = ".onnx")) {
  writeBin(bytes, path)
  path
}

# One operator on R arrays in ONNX axis order. Inputs are graph inputs; NULL
# leaves an optional one out. `dtypes` names other dtypes than float32.
run_operator <- function(operator, inputs, ..., opset = 17, outputs = "y", dtypes = rep("float32", length(inputs)),
                         out_dtypes = rep("float32", length(outputs)), precision = "float64") {
  given <- !vapply(inputs, is.null, NA)
  names <- ifelse(given, paste0("in", seq_along(inputs)), "")
  sizes <- function(x) if (is.null(dim(x))) length(x) else dim(x)
  scalar <- vapply(inputs, function(x) isTRUE(attr(x, "scalar")), NA)
  infos <- Map(function(n, x, d, s) onnx_value(n, d, if (s) list() else as.list(sizes(x))),
               names[given], inputs[given], dtypes[given], scalar[given])
  path <- write_model(onnx_model(
    list(onnx_node(operator, names, outputs, ...)), unname(infos),
    Map(onnx_value, outputs, out_dtypes), opset = opset
  ))
  on.exit(unlink(path))
  model <- onnx_read(path, precision)
  tensors <- Map(function(x, d, s) {
    t <- plainonnx:::from_r(x, d)
    if (s) t$shape <- double()
    t
  }, inputs[given], dtypes[given], scalar[given])
  names(tensors) <- names[given]
  results <- lapply(plainonnx:::run_batches(model$graph, tensors)$results, plainonnx:::to_r)
  if (length(results) == 1) results[[1]] else results
}

scalar <- function(x) structure(x, scalar = TRUE)

# Numbers that are not round, the same in every run, without touching the random seed.
wavy <- function(...) {
  size <- c(...)
  array(sin(seq_len(prod(size)) * 1.7) * 2, size)
}
