# What ai.onnx.ml does to features, labels and classes before and after its models.

op_scaler <- function(inputs, node) {
  x <- inputs[[1L]]
  features <- x$shape[length(x$shape)]
  per_feature <- function(values, otherwise) {
    if (!length(values)) return(otherwise)
    if (!length(values) %in% c(1, features)) stop_bad_input(length(values), " numbers do not fit ", features, " features")
    rep_len(values, features)
  }
  offset <- per_feature(node$attributes$offset, 0)
  scale <- per_feature(node$attributes$scale, 1)
  tensor((x$data - offset) * scale, x$shape, score_dtype)
}

op_normalizer <- function(inputs, node) {
  x <- inputs[[1L]]
  rows <- matrix(x$data, x$shape[length(x$shape)])
  if (node$attributes$norm == "MAX" && any(rows < 0)) {
    # The standard divides by the largest, its reference implementation by the largest without its sign.
    stop_unsupported("norm 'MAX' of negative features is not supported")
  }
  norm <- switch(node$attributes$norm,
    MAX = apply(abs(rows), 2L, max), L1 = colSums(abs(rows)), L2 = sqrt(colSums(rows^2))
  )
  tensor(as.vector(rows / rep(pmax(norm, 1e-30), each = nrow(rows))), x$shape, score_dtype)
}

refuse_norm <- function(node) if (!node$attributes$norm %in% c("MAX", "L1", "L2")) paste("norm", node$attributes$norm)

op_imputer <- function(inputs, node) {
  x <- inputs[[1L]]
  attributes <- node$attributes
  floats <- length(attributes$imputed_value_floats) > 0L
  values <- if (floats) attributes$imputed_value_floats else attributes$imputed_value_int64s
  replaced <- if (floats) attributes$replaced_value_float else attributes$replaced_value_int64
  features <- x$shape[length(x$shape)]
  if (!length(values) %in% c(1, features)) stop_bad_input(length(values), " values do not fit ", features, " features")
  missing <- if (is.nan(replaced)) is.nan(x$data) | is.na(x$data) else x$data == replaced
  missing <- which(missing)
  x$data[missing] <- rep_len(values, features)[(missing - 1) %% features + 1]
  x
}

op_binarizer <- function(inputs, node) {
  x <- inputs[[1L]]
  tensor(as.double(x$data > node$attributes$threshold), x$shape, x$dtype)
}

op_array_feature_extractor <- function(inputs, node) {
  x <- inputs[[1L]]
  places <- inputs[[2L]]$data
  size <- x$shape[length(x$shape)]
  if (any(places < 0 | places >= size)) stop_bad_input("a place is outside of ", size, " features")
  columns <- matrix(x$data, size)[places + 1, , drop = FALSE]
  before <- if (length(x$shape) == 1L) 1 else x$shape[-length(x$shape)]
  tensor(as.vector(columns), c(before, length(places)), x$dtype)
}

op_feature_vectorizer <- function(inputs, node) {
  sizes <- node$attributes$inputdimensions
  if (length(sizes) && length(sizes) != length(inputs)) stop_bad_input("there are ", length(inputs), " inputs and ", length(sizes), " sizes")
  parts <- lapply(seq_along(inputs), function(k) {
    x <- inputs[[k]]
    values <- if (length(x$shape) == 1L) matrix(x$data) else feature_matrix(x, node, narrow = FALSE)
    wanted <- if (length(sizes)) sizes[k] else ncol(values)
    filled <- cbind(values, matrix(0, nrow(values), max(wanted - ncol(values), 0)))
    filled[, seq_len(wanted), drop = FALSE]
  })
  if (length(unique(vapply(parts, nrow, 0L))) != 1L) stop_bad_input("the inputs differ in their number of samples")
  tensor_of_rows(do.call(cbind, parts), score_dtype)
}

#' LabelEncoder: each value by its key
#' @noRd
op_label_encoder <- function(inputs, node) {
  attributes <- node$attributes
  x <- inputs[[1L]]
  if (node$since < 2) {
    classes <- attributes$classes_strings
    numbers <- x$dtype == "string"
    keys <- if (numbers) classes else seq_along(classes) - 1
    found <- match(x$data, keys)
    values <- if (numbers) seq_along(classes) - 1 else classes
    default <- if (numbers) attributes$default_int64 else attributes$default_string
    return(tensor(replace_unknown(values[found], found, default), x$shape, if (numbers) "int64" else "string"))
  }
  keys <- coded(attributes, "keys")
  values <- coded(attributes, "values")
  if (length(keys$data) != length(values$data)) stop_bad_input("there are ", length(keys$data), " keys and ", length(values$data), " values")
  if ((keys$dtype == "string") != (x$dtype == "string")) stop_bad_input("the keys are ", keys$dtype, " where the input is ", x$dtype)
  # NaN is a key like others from opset 4 on.
  given <- if (is.numeric(x$data)) replace(x$data, is.na(x$data), NaN) else x$data
  found <- match(given, keys$data)
  if (node$since < 4) found[is.numeric(given) & is.na(given)] <- NA
  default <- switch(values$dtype,
    string = attributes$default_string, int64 = attributes$default_int64, attributes$default_float
  )
  stated <- attributes$default_tensor
  if (!is.null(stated)) default <- decode_values(stated$bytes, stated$dtype)
  tensor(replace_unknown(values$data[found], found, default), x$shape, values$dtype)
}

replace_unknown <- function(values, found, default) {
  values[is.na(found)] <- default
  values
}

# Keys or values: list(data, dtype), from the attribute that holds some.
coded <- function(attributes, what) {
  stored <- attributes[[paste0(what, "_tensor")]]
  if (!is.null(stored)) return(list(data = decode_values(stored$bytes, stored$dtype), dtype = stored$dtype))
  kinds <- c(string = "strings", int64 = "int64s", float32 = "floats")
  for (dtype in names(kinds)) {
    data <- attributes[[paste0(what, "_", kinds[[dtype]])]]
    if (length(data)) return(list(data = data, dtype = dtype))
  }
  stop_bad_input("the ", what, " are missing")
}

op_category_mapper <- function(inputs, node) {
  attributes <- node$attributes
  x <- inputs[[1L]]
  texts <- x$dtype == "string"
  found <- match(x$data, if (texts) attributes$cats_strings else attributes$cats_int64s)
  values <- if (texts) attributes$cats_int64s[found] else attributes$cats_strings[found]
  default <- if (texts) attributes$default_int64 else attributes$default_string
  tensor(replace_unknown(values, found, default), x$shape, if (texts) "int64" else "string")
}

op_one_hot_encoder <- function(inputs, node) {
  x <- inputs[[1L]]
  categories <- if (x$dtype == "string") node$attributes$cats_strings else node$attributes$cats_int64s
  data <- if (x$dtype == "string") x$data else trunc(x$data)
  found <- match(data, categories)
  if (anyNA(found) && node$attributes$zeros == 0) stop_bad_input("a value is none of the categories")
  rows <- matrix(0, length(categories), length(found))
  known <- which(!is.na(found))
  rows[cbind(found[known], known)] <- 1
  tensor(as.vector(rows), c(x$shape, length(categories)), "float32")
}

#' ZipMap: for each sample its scores by class
#'
#' The maps of all samples have the same keys. They are held as one tensor of samples and `keys`, by growing key, which is
#' also how they travel to others; see named_maps().
#' @noRd
op_zip_map <- function(inputs, node) {
  x <- inputs[[1L]]
  keys <- map_keys(node$attributes)
  if (length(x$shape) == 1L) x$shape <- c(1, x$shape)
  if (length(x$shape) != 2L || x$shape[2L] != length(keys)) {
    stop_bad_input("scores of shape ", shape_text(x$shape), " do not fit ", length(keys), " classes")
  }
  sorted <- order(keys, method = "radix")
  values <- matrix(x$data, x$shape[2L])[sorted, , drop = FALSE]
  c(tensor(as.vector(values), x$shape, x$dtype), list(keys = keys[sorted]))
}

map_keys <- function(attributes) {
  if (length(attributes$classlabels_strings)) attributes$classlabels_strings else attributes$classlabels_int64s
}

check_zip_map <- function(node) {
  keys <- map_keys(node$attributes)
  if (!length(keys) || anyDuplicated(keys)) stop_bad_input(node_title(node), ": the classes are missing, or one is named twice")
}

# Maps as R has them: for each sample a list named by the keys.
named_maps <- function(x) {
  names <- as.character(x$keys)
  columns <- matrix(x$data, length(names))
  lapply(seq_len(ncol(columns)), function(sample) stats::setNames(as.list(columns[, sample]), names))
}
