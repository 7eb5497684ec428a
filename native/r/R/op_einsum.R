# Einsum as products of two factors at a time, put together from other operators, see compose.R.

#' Labels of the factors and of the result
#' @return list(factors, result): character vectors; the axes of an ellipsis are labelled "-1", "-2", ... from the last.
#' @noRd
read_equation <- function(equation, ranks) {
  sides <- strsplit(gsub("[[:space:]]", "", equation), "->", fixed = TRUE)[[1L]]
  explicit <- grepl("->", equation, fixed = TRUE)
  terms <- strsplit(paste0(sides[1L], ","), ",", fixed = TRUE)[[1L]]
  if (length(terms) != length(ranks)) stop_bad_input("the equation '", equation, "' has ", length(terms), " terms for ", length(ranks), " inputs")
  labels_of <- function(term, rank) {
    letters <- strsplit(sub("...", ".", term, fixed = TRUE), "")[[1L]]
    if (any(!grepl("^[A-Za-z.]$", letters)) || sum(letters == ".") > 1L) stop_bad_input("the equation '", equation, "' cannot be read")
    if (!"." %in% letters) return(letters)
    spread <- max(rank - length(letters) + 1L, 0L)
    at <- match(".", letters)
    c(letters[seq_len(at - 1L)], if (spread) as.character(-rev(seq_len(spread))), letters[-seq_len(at)])
  }
  factors <- Map(labels_of, terms, ranks)
  for (k in seq_along(ranks)) {
    if (length(factors[[k]]) != ranks[k]) stop_bad_input("the term '", terms[k], "' does not fit an input of rank ", ranks[k])
  }
  all <- unlist(factors)
  spread <- max(c(0, -as.numeric(grep("^-", all, value = TRUE))))
  result <- if (explicit) {
    labels_of(if (length(sides) > 1L) sides[2L] else "", spread + nchar(gsub(".", "", sides[2L], fixed = TRUE)))
  } else {
    once <- names(which(table(all[!grepl("^-", all)]) == 1L))
    # In the order of the alphabet, capitals first, whatever the locale.
    c(if (spread) as.character(-rev(seq_len(spread))), once[order(match(once, c(LETTERS, letters)))])
  }
  if (anyDuplicated(result) || !all(result %in% all)) stop_bad_input("the equation '", equation, "' cannot be read")
  list(factors = unname(factors), result = result)
}

build_einsum <- function(op, inputs, node) {
  equation <- read_equation(node$attributes$equation, vapply(inputs, function(x) length(sizes_of(x)), 0L))
  sizes <- label_sizes(inputs, equation$factors)
  factors <- Map(function(x, labels) without_repetition(op, x, labels, sizes), inputs, equation$factors)
  while (length(factors) > 1L) {
    pair <- cheapest_pair(factors, equation$result, sizes)
    others <- factors[-pair]
    kept <- unique(c(equation$result, unlist(lapply(others, `[[`, "labels"))))
    factors <- c(others, list(product_of_pair(op, factors[[pair[1L]]], factors[[pair[2L]]], kept, sizes)))
  }
  last <- summed_to(op, factors[[1L]], equation$result)
  order <- match(equation$result, last$labels)
  if (length(order) > 1L) op("Transpose", last$x, with = list(perm = order - 1)) else last$x
}

# One size for each label; a size of 1 fits all.
label_sizes <- function(inputs, factors) {
  labels <- unlist(factors)
  given <- unlist(lapply(inputs, sizes_of))
  found <- split(given, labels)
  vapply(found, function(of_label) {
    wide <- unique(of_label[of_label != 1])
    if (length(wide) > 1L) stop_bad_input("one label has the sizes ", paste(wide, collapse = " and "))
    if (length(wide)) wide else 1
  }, 0)
}

# A factor with every label once: diagonals taken, axes of size 1 left out where the label is longer elsewhere.
without_repetition <- function(op, x, labels, sizes) {
  own <- sizes_of(x)
  narrow <- own == 1 & sizes[labels] != 1
  if (any(narrow)) {
    x <- op("Reshape", x, whole_numbers_of(own[!narrow]))
    labels <- labels[!narrow]
    own <- own[!narrow]
  }
  if (anyDuplicated(labels)) {
    strides <- row_major_strides(own)
    unique_labels <- unique(labels)
    steps <- vapply(unique_labels, function(label) sum(strides[labels == label]), 0)
    places <- strided_offsets(unname(sizes[unique_labels]), steps)
    x <- op("Gather", op("Reshape", x, whole_numbers_of(-1)), whole_numbers_of(places, sizes[unique_labels]), with = list(axis = 0))
    labels <- unique_labels
  }
  list(x = x, labels = labels)
}

cheapest_pair <- function(factors, result, sizes) {
  pairs <- utils::combn(length(factors), 2L)
  cost <- apply(pairs, 2L, function(pair) {
    others <- unlist(lapply(factors[-pair], `[[`, "labels"))
    both <- unique(unlist(lapply(factors[pair], `[[`, "labels")))
    prod(sizes[both[both %in% c(result, others)]])
  })
  pairs[, which.min(cost)]
}

# A factor with all labels summed that are not kept.
summed_to <- function(op, factor, kept) {
  gone <- which(!factor$labels %in% kept)
  if (!length(gone)) return(factor)
  x <- op("ReduceSum", factor$x, whole_numbers_of(gone - 1), with = list(keepdims = 0))
  list(x = x, labels = factor$labels[-gone])
}

# One product: labels of both that are kept count the products, those that are not are summed over.
product_of_pair <- function(op, a, b, kept, sizes) {
  a <- summed_to(op, a, c(kept, b$labels))
  b <- summed_to(op, b, c(kept, a$labels))
  shared <- intersect(a$labels, b$labels)
  batch <- intersect(shared, kept)
  inner <- setdiff(shared, kept)
  rows <- setdiff(a$labels, shared)
  columns <- setdiff(b$labels, shared)
  arranged <- function(factor, first, second) {
    order <- match(c(batch, first, second), factor$labels)
    x <- if (length(order) > 1L) op("Transpose", factor$x, with = list(perm = order - 1)) else factor$x
    op("Reshape", x, whole_numbers_of(c(prod(sizes[batch]), prod(sizes[first]), prod(sizes[second]))))
  }
  # Without a sum an outer product is cheaper than many small products of matrices.
  x <- op(if (length(inner)) "MatMul" else "Mul", arranged(a, rows, inner), arranged(b, inner, columns))
  labels <- c(batch, rows, columns)
  list(x = op("Reshape", x, whole_numbers_of(unname(sizes[labels]), length(labels))), labels = labels)
}
