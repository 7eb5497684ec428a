# Linear models and support vector machines of ai.onnx.ml.

op_linear_regressor <- function(inputs, node) {
  attributes <- node$attributes
  x <- inputs[[1L]]
  scores <- linear_scores(feature_matrix(x, node, narrow = FALSE), attributes, attributes$targets)
  tensor_of_rows(post_transformed(scores, attributes$post_transform), if (is_floating(x$dtype)) x$dtype else "float32")
}

# Samples (rows) and targets (columns); `targets` NULL for as many as the coefficients make.
linear_scores <- function(features, attributes, targets = NULL) {
  count <- length(attributes$coefficients)
  if (is.null(targets)) targets <- count / ncol(features)
  if (targets < 1 || targets != floor(targets) || count != targets * ncol(features)) {
    stop_bad_input(count, " coefficients do not fit ", ncol(features), " features")
  }
  scores <- features %*% matrix(attributes$coefficients, ncol(features))
  intercepts <- attributes$intercepts
  if (length(intercepts)) plus_base(scores, intercepts) else scores
}

op_linear_classifier <- function(inputs, node) {
  attributes <- node$attributes
  x <- inputs[[1L]]
  scores <- linear_scores(feature_matrix(x, node, narrow = FALSE), attributes)
  labels <- class_labels_of(attributes, "classlabels_ints")
  dtype <- "float32"
  if (ncol(scores) == 1L && length(labels$values) == 2L) {
    score <- scores[, 1L]
    if (attributes$post_transform != "LOGISTIC") {
      stop_unsupported("one row of coefficients for two classes is supported with post_transform 'LOGISTIC' alone")
    }
    return(list(labels_at(labels, ifelse(score > 0, 2L, 1L)), tensor_of_rows(second_class_scores(score, "LOGISTIC", FALSE), dtype)))
  }
  classified(scores, labels, attributes$post_transform, dtype)
}

# Implementations do not agree on scores of one class.
refuse_linear_classifier <- function(node) {
  if (length(class_labels_of(node$attributes, "classlabels_ints")$values) < 2L) return("a classifier of fewer than two classes")
  refuse_transform(node)
}

refuse_transform <- function(node) {
  check_post_transform(node$attributes$post_transform)
  NULL
}

#' Kernels between samples (rows) and support vectors (rows)
#' @return matrix of samples (rows) and vectors (columns).
#' @noRd
kernel_matrix <- function(features, vectors, type, parameters) {
  parameters <- c(parameters, rep(0, 3L))
  gamma <- parameters[1L]
  products <- features %*% t(vectors)
  switch(type,
    LINEAR = products,
    POLY = (gamma * products + parameters[2L])^parameters[3L],
    SIGMOID = tanh(gamma * products + parameters[2L]),
    RBF = exp(-gamma * (outer(rowSums(features^2), rowSums(vectors^2), `+`) - 2 * products))
  )
}

refuse_kernel <- function(node) {
  check_post_transform(node$attributes$post_transform)
  if (!node$attributes$kernel_type %in% c("LINEAR", "POLY", "RBF", "SIGMOID")) paste("kernel_type", node$attributes$kernel_type)
}

support_vectors <- function(attributes, features, count) {
  if (length(attributes$support_vectors) != count * ncol(features)) {
    stop_bad_input(length(attributes$support_vectors), " values do not make ", count, " support vectors of ", ncol(features), " features")
  }
  matrix(attributes$support_vectors, count, byrow = TRUE)
}

op_svm_regressor <- function(inputs, node) {
  attributes <- node$attributes
  x <- inputs[[1L]]
  features <- feature_matrix(x, node, narrow = FALSE)
  if (attributes$n_supports > 0) {
    vectors <- support_vectors(attributes, features, attributes$n_supports)
    values <- kernel_matrix(features, vectors, attributes$kernel_type, attributes$kernel_params) %*% attributes$coefficients
  } else {
    values <- kernel_matrix(features, rbind(attributes$coefficients), "LINEAR", NULL)
  }
  values <- values + attributes$rho[1L]
  if (attributes$one_class != 0) values <- ifelse(values > 0, 1, -1)
  tensor_of_rows(post_transformed(values, attributes$post_transform), "float32")
}
