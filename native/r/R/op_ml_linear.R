# Linear models and support vector machines of ai.onnx.ml.

op_linear_regressor <- function(inputs, node) {
  attributes <- node$attributes
  x <- inputs[[1L]]
  scores <- linear_scores(feature_matrix(x, node, narrow = FALSE), attributes, attributes$targets)
  tensor_of_rows(post_transformed(scores, attributes$post_transform), score_dtype)
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

#' SVMClassifier
#'
#' Every pair of classes has a score, and a vote by its sign; the class of the most votes is the label. Scores are those of
#' the pairs or, where the file says how to make them, probabilities of the classes.
#' @noRd
op_svm_classifier <- function(inputs, node) {
  attributes <- node$attributes
  features <- feature_matrix(inputs[[1L]], node, narrow = FALSE)
  labels <- class_labels_of(attributes, "classlabels_ints")
  classes <- length(labels$values)
  pairs <- pairs_of_classes(classes)
  scores <- pair_scores(features, attributes, pairs)
  votes <- matrix(0, nrow(features), classes)
  for (k in seq_len(nrow(pairs))) {
    at <- cbind(seq_len(nrow(features)), ifelse(scores[, k] > 0, pairs[k, 1L], pairs[k, 2L]))
    votes[at] <- votes[at] + 1
  }
  chosen <- labels_at(labels, max.col(votes, ties.method = "first"))
  if (length(attributes$prob_a)) {
    scores <- probabilities_of_pairs(scores, attributes$prob_a, attributes$prob_b, pairs, classes)
  } else if (classes == 2L) {
    return(list(chosen, tensor_of_rows(second_class_scores(scores[, 1L], attributes$post_transform, FALSE), "float32")))
  }
  list(chosen, tensor_of_rows(post_transformed(scores, attributes$post_transform), "float32"))
}

# The pairs of classes (rows), in the order of their scores.
pairs_of_classes <- function(classes) {
  first <- rep(seq_len(classes), classes - seq_len(classes))
  cbind(first, first + sequence(classes - seq_len(classes)))
}

# Samples (rows) and pairs (columns).
pair_scores <- function(features, attributes, pairs) {
  counts <- attributes$vectors_per_class
  total <- sum(counts)
  vectors <- support_vectors(attributes, features, total)
  # Of each vector (row) the factors against all other classes.
  coefficients <- matrix(attributes$coefficients, total)
  kernel <- kernel_matrix(features, vectors, attributes$kernel_type, attributes$kernel_params)
  of <- split(seq_len(total), factor(rep(seq_along(counts), counts), seq_along(counts)))
  scores <- vapply(seq_len(nrow(pairs)), function(k) {
    i <- pairs[k, 1L]
    j <- pairs[k, 2L]
    as.vector(
      kernel[, of[[i]], drop = FALSE] %*% coefficients[of[[i]], j - 1] +
        kernel[, of[[j]], drop = FALSE] %*% coefficients[of[[j]], i]
    ) + attributes$rho[k]
  }, numeric(nrow(features)))
  matrix(scores, nrow(features))
}

probabilities_of_pairs <- function(scores, slopes, shifts, pairs, classes) {
  rows <- vapply(seq_len(nrow(scores)), function(sample) {
    wins <- matrix(0, classes, classes)
    wins[pairs] <- pmin(pmax(stats::plogis(-(scores[sample, ] * slopes + shifts)), 1e-7), 1 - 1e-7)
    wins[pairs[, 2:1, drop = FALSE]] <- 1 - wins[pairs]
    coupled(wins)
  }, numeric(classes))
  t(rows)
}

#' Probabilities of classes that fit best to those of each against each
#'
#' The second method of Wu, Lin and Weng (2004), with the limits of its iteration that LIBSVM has, as all implementations do.
#' @noRd
coupled <- function(wins) {
  classes <- nrow(wins)
  quadratic <- -wins * t(wins)
  diag(quadratic) <- colSums(wins^2)
  p <- rep(1 / classes, classes)
  for (round in seq_len(max(100, classes))) {
    products <- as.vector(quadratic %*% p)
    total <- sum(p * products)
    if (max(abs(products - total)) < 0.005 / classes) break
    for (k in seq_len(classes)) {
      step <- (total - products[k]) / quadratic[k, k]
      p[k] <- p[k] + step
      total <- (total + step * (step * quadratic[k, k] + 2 * products[k])) / (1 + step)^2
      products <- (products + step * quadratic[k, ]) / (1 + step)
      p <- p / (1 + step)
    }
  }
  p
}

# Implementations do not agree on machines without support vectors, nor on all scores of two classes.
refuse_svm_classifier <- function(node) {
  attributes <- node$attributes
  counts <- attributes$vectors_per_class
  classes <- length(counts)
  pairs <- classes * (classes - 1) / 2
  labels <- length(class_labels_of(attributes, "classlabels_ints")$values)
  if (sum(counts) == 0) return("a support vector classifier without support vectors")
  if (classes < 2L || labels != classes) stop_bad_input(node_title(node), ": there are ", labels, " labels of ", classes, " classes")
  sizes <- lengths(attributes[c("rho", "coefficients")])
  chances <- lengths(list(attributes$prob_a, attributes$prob_b))
  if (any(sizes != c(pairs, (classes - 1) * sum(counts))) || chances[1L] != chances[2L] || !chances[1L] %in% c(0, pairs)) {
    stop_bad_input(node_title(node), ": the attributes do not fit ", classes, " classes")
  }
  if (classes == 2L && chances[1L] == 0) {
    if (!attributes$post_transform %in% c("NONE", "LOGISTIC")) {
      return(paste0("post_transform '", attributes$post_transform, "' of the scores of two classes"))
    }
    if (all(attributes$coefficients >= 0)) return("a support vector classifier with no negative coefficient")
  }
  refuse_kernel(node)
}
