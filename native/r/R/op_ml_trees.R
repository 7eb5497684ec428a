# Trees of ai.onnx.ml: TreeEnsembleClassifier, TreeEnsembleRegressor, and TreeEnsemble, which came after them.

# Samples (rows) and features (columns) of a tensor as R's matrix, in the dtype that the trees were made for: a split decides, so
# that nothing may be more exact here.
feature_matrix <- function(x, node, narrow = TRUE) {
  if (length(x$shape) > 2L || length(x$shape) < 1L) stop_bad_input("the features have shape ", shape_text(x$shape), "; they need 2 axes")
  if (x$dtype == "string") stop_bad_input("the features are texts")
  data <- if (narrow && node$precision == "float32" && x$dtype == "float32") round_to_dtype(x$data, "float32") else as.double(x$data)
  matrix(data, ncol = x$shape[length(x$shape)], byrow = TRUE)
}

# A matrix of samples (rows) as a tensor.
tensor_of_rows <- function(values, dtype) tensor(as.vector(t(values)), as.double(dim(values)), dtype)

# The standard gives scores as float, whatever the features are.
score_dtype <- "float32"

# Whether sums round to float32 after each tree, as those of other implementations do.
sums_in_single <- function(x, node) node$precision == "float32" && x$dtype != "float64"

#' Values of an attribute that comes as numbers or, under its name and `_as_tensor`, as a tensor
#' @noRd
numbers_or_tensor <- function(node, name) {
  stored <- node$attributes[[paste0(name, "_as_tensor")]]
  if (is.null(stored)) node$attributes[[name]] else decode_values(stored$bytes, stored$dtype)
}

#' The leaf that each tree takes each sample to
#'
#' @param features samples (rows) and features (columns).
#' @param trees list(roots, feature, mode, value, yes, no, missing, members): a place in the vectors for each node, those from
#'   `roots` on are looked at; `yes` and `no` are the places that follow, `mode` a text, NA for a leaf.
#' @return matrix of places: samples (rows) and trees (columns).
#' @noRd
leaves_of_trees <- function(features, trees) {
  if (length(trees$feature) && any(trees$feature[!is.na(trees$mode)] >= ncol(features))) {
    stop_bad_input("the trees ask for feature ", max(trees$feature), " of ", ncol(features), ", counted from 0")
  }
  samples <- nrow(features)
  at <- rep(trees$roots, each = samples)
  row <- rep(seq_len(samples), length(trees$roots))
  going <- which(!is.na(trees$mode[at]))
  steps <- 0
  while (length(going)) {
    steps <- steps + 1
    if (steps > length(trees$mode)) stop_bad_input("a tree leads back to one of its own nodes")
    here <- at[going]
    x <- features[cbind(row[going], trees$feature[here] + 1)]
    yes <- holds_at(x, here, trees)
    at[going] <- ifelse(yes, trees$yes[here], trees$no[here])
    going <- going[!is.na(trees$mode[at[going]])]
  }
  matrix(at, samples)
}

# Whether each value fulfils the condition of its node.
holds_at <- function(x, here, trees) {
  value <- trees$value[here]
  result <- rep(FALSE, length(x))
  for (mode in unique(trees$mode[here])) {
    these <- which(trees$mode[here] == mode)
    a <- x[these]
    b <- value[these]
    result[these] <- switch(mode,
      LEQ = a <= b, LT = a < b, GTE = a >= b, GT = a > b, EQ = a == b, NEQ = a != b,
      MEMBER = mapply(function(one, node) one %in% trees$members[[node]], a, here[these])
    )
  }
  missing <- is.nan(x) | is.na(x)
  # Only NEQ holds of what is no number.
  result[missing] <- trees$missing[here][missing] | trees$mode[here][missing] == "NEQ"
  result
}

#' The trees of the attributes of TreeEnsembleClassifier and TreeEnsembleRegressor
#' @return what leaves_of_trees() takes, and `keys`: tree and node of each place.
#' @noRd
trees_of_nodes <- function(node) {
  attributes <- node$attributes
  tree <- attributes$nodes_treeids
  key <- paste(tree, attributes$nodes_nodeids)
  if (anyDuplicated(key)) stop_bad_input("two nodes of a tree have one number")
  mode <- sub("^BRANCH_", "", attributes$nodes_modes)
  mode[mode == "LEAF"] <- NA
  unknown <- setdiff(mode, c("LEQ", "LT", "GTE", "GT", "EQ", "NEQ", NA))
  if (length(unknown)) stop_unsupported("nodes of mode ", quoted(unknown), " are not supported")
  yes <- match(paste(tree, attributes$nodes_truenodeids), key)
  no <- match(paste(tree, attributes$nodes_falsenodeids), key)
  if (anyNA(c(yes[!is.na(mode)], no[!is.na(mode)]))) stop_bad_input("a node leads to one that its tree does not have")
  missing <- attributes$nodes_missing_value_tracks_true
  list(
    roots = which(!duplicated(tree)), feature = attributes$nodes_featureids, mode = mode,
    value = numbers_or_tensor(node, "nodes_values"), yes = yes, no = no,
    missing = if (length(missing)) missing != 0 else rep(FALSE, length(key)), keys = key
  )
}

check_trees <- function(node) {
  attributes <- node$attributes
  values <- numbers_or_tensor(node, "nodes_values")
  sizes <- lengths(c(
    attributes[c("nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_modes", "nodes_truenodeids", "nodes_falsenodeids")],
    list(values)
  ))
  missing <- length(attributes$nodes_missing_value_tracks_true)
  if (length(unique(sizes)) != 1L || sizes[1L] == 0 || !missing %in% c(0, sizes[1L])) {
    stop_bad_input(node_title(node), ": the attributes of the nodes differ in length")
  }
  check_post_transform(attributes$post_transform)
}

#' What the leaves of each sample add up to
#'
#' @param leaves see leaves_of_trees(); `keys` of all places; `leaf_keys`, `ids` and `weights` of what leaves give.
#' @param combine `SUM`, `AVERAGE`, `MIN` or `MAX`; `single` whether each sum is rounded to float32.
#' @return list(values, given): matrices of samples (rows) and targets (columns); `given` whether a leaf gives the target.
#' @noRd
gathered_leaves <- function(leaves, weights_at, ids, weights, targets, combine = "SUM", single = FALSE) {
  samples <- nrow(leaves)
  values <- matrix(switch(combine, MIN = Inf, MAX = -Inf, 0), samples, targets)
  given <- matrix(FALSE, samples, targets)
  if (length(ids) && (min(ids) < 0 || max(ids) >= targets)) stop_bad_input("a leaf gives target ", max(ids), " of ", targets, ", counted from 0")
  by_leaf <- split(seq_along(ids), weights_at)
  for (tree in seq_len(ncol(leaves))) {
    entries <- by_leaf[as.character(leaves[, tree])]
    sample <- rep(seq_len(samples), lengths(entries))
    entry <- unlist(entries, use.names = FALSE)
    # A leaf may give a target several times: one time after the other.
    while (length(entry)) {
      place <- cbind(sample, ids[entry] + 1)
      first <- !duplicated(place)
      at <- place[first, , drop = FALSE]
      w <- weights[entry[first]]
      joined <- switch(combine, MIN = pmin(values[at], w), MAX = pmax(values[at], w), values[at] + w)
      values[at] <- if (single) round_to_dtype(joined, "float32") else joined
      given[at] <- TRUE
      sample <- sample[!first]
      entry <- entry[!first]
    }
  }
  if (combine == "AVERAGE") values <- values / ncol(leaves)
  values[!given] <- 0
  list(values = values, given = given)
}

op_tree_ensemble_regressor <- function(inputs, node) {
  attributes <- node$attributes
  x <- inputs[[1L]]
  trees <- trees_of_nodes(node)
  leaves <- leaves_of_trees(feature_matrix(x, node), trees)
  weights_at <- match(paste(attributes$target_treeids, attributes$target_nodeids), trees$keys)
  targets <- if (is.null(attributes$n_targets)) max(attributes$target_ids) + 1 else attributes$n_targets
  values <- gathered_leaves(leaves, weights_at, attributes$target_ids, numbers_or_tensor(node, "target_weights"), targets,
                            attributes$aggregate_function, sums_in_single(x, node))$values
  tensor_of_rows(post_transformed(plus_base(values, numbers_or_tensor(node, "base_values")), attributes$post_transform), "float32")
}

plus_base <- function(values, base) {
  if (!length(base)) return(values)
  if (!length(base) %in% c(1, ncol(values))) stop_bad_input("there are ", length(base), " base values for ", ncol(values), " targets")
  values + rep(rep_len(base, ncol(values)), each = nrow(values))
}

# Where implementations of weights of one class alone, of two, do not agree.
refuse_tree_classifier <- function(node) {
  check_trees(node)
  attributes <- node$attributes
  labels <- class_labels_of(attributes, "classlabels_int64s")$values
  if (length(labels) < 2L) return("a classifier of fewer than two classes")
  if (length(labels) > 2L || length(unique(attributes$class_ids)) != 1L) return(NULL)
  if (attributes$class_ids[1L] != 0) return("a classifier of two classes with weights of the second alone")
  if (length(numbers_or_tensor(node, "base_values")) > 1L) return("a classifier of two classes with weights of one and two base values")
  NULL
}

refuse_aggregate <- function(node) {
  check_trees(node)
  if (!node$attributes$aggregate_function %in% c("SUM", "AVERAGE", "MIN", "MAX")) {
    paste("aggregate_function", node$attributes$aggregate_function)
  }
}

#' TreeEnsembleClassifier
#'
#' Weights of one class alone, of two, are those of the second: as a probability where all weights are positive, else as
#' a score against nought.
#' @noRd
op_tree_ensemble_classifier <- function(inputs, node) {
  attributes <- node$attributes
  x <- inputs[[1L]]
  trees <- trees_of_nodes(node)
  leaves <- leaves_of_trees(feature_matrix(x, node), trees)
  labels <- class_labels_of(attributes, "classlabels_int64s")
  weights <- numbers_or_tensor(node, "class_weights")
  base <- numbers_or_tensor(node, "base_values")
  weights_at <- match(paste(attributes$class_treeids, attributes$class_nodeids), trees$keys)
  classes <- length(labels$values)
  one_class <- classes == 2L && length(unique(attributes$class_ids)) == 1L
  ids <- if (one_class) rep(0, length(attributes$class_ids)) else attributes$class_ids
  scores <- gathered_leaves(leaves, weights_at, ids, weights, if (one_class) 1 else classes,
                            single = sums_in_single(x, node))$values
  if (!one_class) {
    scores <- plus_base(scores, base)
    return(classified(scores, labels, attributes$post_transform, score_dtype))
  }
  score <- scores[, 1L] + if (length(base)) base[length(base)] else 0
  positive <- all(weights >= 0)
  chosen <- ifelse(score > if (positive) 0.5 else 0, 2L, 1L)
  both <- second_class_scores(score, attributes$post_transform, positive)
  list(labels_at(labels, chosen), tensor_of_rows(both, "float32"))
}

#' The scores of both classes where the model has those of the second
#' @param probability whether the score is one already.
#' @noRd
second_class_scores <- function(score, transform, probability) {
  if (transform == "LOGISTIC") return(cbind(stats::plogis(-score), stats::plogis(score)))
  if (transform == "PROBIT") {
    stop_unsupported("post_transform 'PROBIT' of the scores of one of two classes is not supported")
  }
  if (probability) cbind(1 - score, score) else cbind(-score, score)
}

# Class labels of whole numbers (attribute `numbers`) or texts: list(values, dtype).
class_labels_of <- function(attributes, numbers) {
  texts <- attributes$classlabels_strings
  if (length(texts)) return(list(values = texts, dtype = "string"))
  list(values = attributes[[numbers]], dtype = "int64")
}

labels_at <- function(labels, places) tensor(labels$values[places], as.double(length(places)), labels$dtype)

# Labels of the largest scores, and the scores.
classified <- function(scores, labels, transform, dtype) {
  if (ncol(scores) != length(labels$values)) {
    stop_bad_input("there are scores of ", ncol(scores), " classes and ", length(labels$values), " labels")
  }
  chosen <- max.col(replace(scores, is.nan(scores), -Inf), ties.method = "first")
  list(labels_at(labels, chosen), tensor_of_rows(post_transformed(scores, transform), dtype))
}

post_transforms <- c("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")

check_post_transform <- function(transform) {
  if (!is.null(transform) && !transform %in% post_transforms) stop_unsupported("post_transform ", quoted(transform), " is not supported")
}

# Scores of samples (rows) and classes (columns).
post_transformed <- function(scores, transform) {
  switch(transform,
    NONE = scores,
    LOGISTIC = matrix(stats::plogis(scores), nrow(scores)),
    SOFTMAX = t(softmax_columns(t(scores))),
    SOFTMAX_ZERO = softmax_zero_rows(scores),
    PROBIT = probit(scores)
  )
}

# The quantile of a normal distribution as the implementations of the standard have it: by Winitzki's approximation to the
# inverse of the error function, with the constant 0.147.
probit <- function(p) {
  x <- 2 * p - 1
  logarithm <- suppressWarnings(log((1 - x) * (1 + x)))
  shift <- 2 / (pi * 0.147) + logarithm / 2
  1.41421356 * ifelse(x < 0, -1, 1) * sqrt(sqrt(shift^2 - logarithm / 0.147) - shift)
}

# A softmax that leaves noughts as they are.
softmax_zero_rows <- function(scores) {
  largest <- apply(scores, 1L, max)
  small <- abs(scores) <= 1e-7
  powers <- exp(scores - largest)
  powers[small] <- (scores * exp(-largest))[small]
  sums <- rowSums(powers)
  result <- powers / sums
  result[sums == 0, ] <- 0.5
  result
}

#' TreeEnsemble
#' @noRd
op_tree_ensemble <- function(inputs, node) {
  attributes <- node$attributes
  x <- inputs[[1L]]
  values_of <- function(stored) if (is.null(stored)) NULL else decode_values(stored$bytes, stored$dtype)
  modes <- c("LEQ", "LT", "GTE", "GT", "EQ", "NEQ", "MEMBER")[values_of(attributes$nodes_modes) + 1]
  nodes <- length(modes)
  leaf <- length(attributes$leaf_targetids)
  place <- function(ids, to_leaf) ifelse(to_leaf != 0, nodes + ids, ids) + 1
  yes <- place(attributes$nodes_truenodeids, attributes$nodes_trueleafs)
  no <- place(attributes$nodes_falsenodeids, attributes$nodes_falseleafs)
  if (anyNA(modes) || any(c(yes, no) > nodes + leaf) || any(c(yes, no) < 1)) stop_bad_input("a node leads to one that is not there")
  roots <- attributes$tree_roots + 1
  # A tree of a leaf alone has a node whose ways are one.
  alone <- attributes$nodes_trueleafs[roots] != 0 & attributes$nodes_falseleafs[roots] != 0 & yes[roots] == no[roots]
  roots[alone] <- yes[roots[alone]]
  missing <- attributes$nodes_missing_value_tracks_true
  trees <- list(
    roots = roots, feature = c(attributes$nodes_featureids, rep(0, leaf)), mode = c(modes, rep(NA, leaf)),
    value = c(values_of(attributes$nodes_splits), rep(0, leaf)), yes = c(yes, rep(NA, leaf)), no = c(no, rep(NA, leaf)),
    missing = c(if (length(missing)) missing != 0 else rep(FALSE, nodes), rep(FALSE, leaf)),
    members = members_of_nodes(modes, values_of(attributes$membership_values), yes, no, attributes$tree_roots + 1)
  )
  leaves <- leaves_of_trees(feature_matrix(x, node), trees)
  targets <- if (is.null(attributes$n_targets)) max(attributes$leaf_targetids) + 1 else attributes$n_targets
  values <- gathered_leaves(
    leaves, nodes + seq_len(leaf), attributes$leaf_targetids, values_of(attributes$leaf_weights), targets,
    c("AVERAGE", "SUM", "MIN", "MAX")[attributes$aggregate_function + 1], sums_in_single(x, node)
  )$values
  tensor_of_rows(post_transformed(values, post_transforms[attributes$post_transform + 1]), x$dtype)
}

# The sets that nodes of mode MEMBER ask for, one after the other in the order of the nodes, each ended by a NaN.
members_of_nodes <- function(modes, values, yes, no, roots) {
  asking <- which(modes == "MEMBER")
  if (!length(asking)) return(list())
  ends <- which(is.nan(values))
  if (length(ends) != length(asking)) stop_bad_input("there are ", length(ends), " sets for ", length(asking), " nodes that ask for one")
  starts <- c(1, utils::head(ends, -1L) + 1)
  sets <- vector("list", length(modes))
  sets[asking] <- Map(function(start, end) values[seq_len(end - start) + start - 1], starts, ends)
  sets
}

refuse_tree_ensemble <- function(node) {
  attributes <- node$attributes
  nodes <- lengths(attributes[c("nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids", "nodes_trueleafs", "nodes_falseleafs")])
  modes <- attributes$nodes_modes
  if (length(unique(c(nodes, prod(modes$shape), prod(attributes$nodes_splits$shape)))) != 1L) {
    stop_bad_input(node_title(node), ": the attributes of the nodes differ in length")
  }
  if (!attributes$aggregate_function %in% 0:3) return(paste("aggregate_function", attributes$aggregate_function))
  if (!attributes$post_transform %in% 0:4) return(paste("post_transform", attributes$post_transform))
  NULL
}
