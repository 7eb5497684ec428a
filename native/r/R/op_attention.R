# Attention, RotaryEmbedding and SwiGLU, put together from other operators, see compose.R.

#' Attention: softmax(Q K' / sqrt(size)) V for each head
#'
#' Q, K and V are (sample, head, step, size), or (sample, step, heads x size) where the attributes count the heads. Opset 24 adds
#' how many keys of each sample are no padding, opset 25 windows.
#' @noRd
build_attention <- function(op, inputs, node) {
  attributes <- node$attributes
  mask <- optional_input(inputs, 4L)
  past <- list(optional_input(inputs, 5L), optional_input(inputs, 6L))
  counts <- optional_input(inputs, 7L)
  flat <- length(sizes_of(inputs[[1L]])) == 3L
  parts <- attention_heads(op, inputs[1:3], attributes)
  if (is.null(past[[1L]]) != is.null(past[[2L]])) stop_bad_input("past_key and past_value come together")
  if (!is.null(counts) && !is.null(past[[1L]])) stop_bad_input("nonpad_kv_seqlen does not go with past_key")
  cached <- if (is.null(past[[1L]])) 0 else sizes_of(past[[1L]])[3L]
  keys <- if (is.null(past[[1L]])) parts[[2L]] else op("Concat", past[[1L]], parts[[2L]], with = list(axis = 2))
  values <- if (is.null(past[[2L]])) parts[[3L]] else op("Concat", past[[2L]], parts[[3L]], with = list(axis = 2))
  query <- parts[[1L]]
  size <- sizes_of(query)
  scale <- if (is.null(attributes$scale)) 1 / sqrt(size[4L]) else attributes$scale
  scale <- number_like(sqrt(scale), query, node)
  repeated <- lapply(list(keys, values), repeat_heads, op, size[2L])
  turned <- op("Transpose", repeated[[1L]], with = list(perm = c(0, 1, 3, 2)))
  scores <- op("MatMul", op("Mul", query, scale), op("Mul", turned, scale))
  shown <- list(scores)
  if (attributes$softcap > 0) {
    cap <- number_like(attributes$softcap, query, node)
    scores <- op("Mul", op("Tanh", op("Div", scores, cap)), cap)
  }
  shown[[2L]] <- scores
  bias <- attention_bias(op, mask, query, sizes_of(keys)[3L], cached, counts, node)
  hidden <- NULL
  if (!is.null(bias)) {
    scores <- op("Add", scores, bias)
    # A query that sees no key gives zeros.
    zero <- number_like(0, query, node)
    hidden <- op("Equal", op("ReduceMax", bias, whole_numbers_of(-1)), number_like(-Inf, query, node))
  }
  shown[[3L]] <- scores
  if (!is.null(hidden)) scores <- op("Where", hidden, zero, scores)
  wide <- attributes$softmax_precision
  to <- function(x, code) if (is.null(wide) || node$precision == "float64") x else op("Cast", x, with = list(to = code))
  weights <- to(op("Softmax", to(scores, wide), with = list(axis = -1)), match(dtype_of(query), dtype_names))
  if (!is.null(hidden)) weights <- op("Where", hidden, zero, weights)
  shown[[4L]] <- weights
  result <- op("MatMul", weights, repeated[[2L]])
  if (flat) {
    result <- op("Transpose", result, with = list(perm = c(0, 2, 1, 3)))
    result <- op("Reshape", result, whole_numbers_of(c(size[1L], size[3L], size[2L] * sizes_of(values)[4L])))
  }
  list(result, keys, values, shown[[attributes$qk_matmul_output_mode + 1]])
}

refuse_attention <- function(node) {
  attributes <- node$attributes
  if (!attributes$qk_matmul_output_mode %in% 0:3) return(paste("qk_matmul_output_mode", attributes$qk_matmul_output_mode))
  if (any(c(attributes$left_window_size, attributes$right_window_size) < -1)) return("a window of negative size")
  if (!is.null(attributes$softmax_precision) && !attributes$softmax_precision %in% c(1, 10, 11, 16)) {
    return(paste("softmax_precision", attributes$softmax_precision))
  }
  NULL
}

# Q, K and V as (sample, head, step, size).
attention_heads <- function(op, parts, attributes) {
  ranks <- vapply(parts, function(x) length(sizes_of(x)), 0L)
  if (length(unique(ranks)) != 1L || !ranks[1L] %in% 3:4) stop_bad_input("Q, K and V have ranks ", paste(ranks, collapse = ", "))
  if (ranks[1L] == 4L) return(parts)
  heads <- list(attributes$q_num_heads, attributes$kv_num_heads, attributes$kv_num_heads)
  Map(function(x, count) {
    size <- sizes_of(x)
    if (is.null(count) || count < 1 || size[3L] %% count != 0) {
      stop_bad_input("shape ", shape_text(size), " does not make ", if (is.null(count)) "an unknown number of" else count, " heads")
    }
    op("Transpose", op("Reshape", x, whole_numbers_of(c(size[1:2], count, size[3L] / count))), with = list(perm = c(0, 2, 1, 3)))
  }, parts, heads)
}

# Each head of keys or values for several heads of queries.
repeat_heads <- function(x, op, heads) {
  own <- sizes_of(x)[2L]
  if (own == heads) return(x)
  if (own < 1 || heads %% own != 0) stop_bad_input(heads, " heads of queries do not share ", own, " heads of keys")
  op("Gather", x, whole_numbers_of(rep(seq_len(own) - 1, each = heads / own)), with = list(axis = 1))
}

# What is added to the scores (..., query, key): minus infinity where a query does not see a key; NULL where all see all.
attention_bias <- function(op, mask, query, keys, cached, counts, node) {
  attributes <- node$attributes
  queries <- sizes_of(query)[3L]
  if (!is.null(mask)) {
    size <- sizes_of(mask)
    truth <- dtype_of(mask) == "bool"
    short <- keys - size[length(size)]
    if (short > 0) {
      filling <- replace(size, length(size), short)
      filling <- tensor(rep(if (truth) FALSE else -Inf, prod(filling)), filling, dtype_of(mask))
      mask <- op("Concat", mask, filling, with = list(axis = length(size) - 1))
    }
    if (truth) mask <- op("Where", mask, number_like(0, query, node), number_like(-Inf, query, node))
  }
  own <- visible_keys(attributes, queries, keys, cached, if (!is.null(counts)) counts$data)
  if (is.null(own)) return(mask)
  own <- tensor(ifelse(own$seen, 0, -Inf), own$shape, dtype_of(query))
  if (is.null(mask)) own else op("Add", mask, own)
}

# Which keys each query sees by order, windows and the number of keys of its sample: list(seen, shape), or NULL for all.
visible_keys <- function(attributes, queries, keys, cached, counts) {
  left <- if (is.null(attributes$left_window_size)) -1 else attributes$left_window_size
  right <- if (is.null(attributes$right_window_size)) -1 else attributes$right_window_size
  if (attributes$is_causal == 0 && left < 0 && right < 0 && is.null(counts)) return(NULL)
  key <- rep(seq_len(keys) - 1, queries)
  of_sample <- function(before, count) {
    position <- rep(seq_len(queries) - 1 + before, each = keys)
    seen <- key < count
    if (attributes$is_causal != 0) seen <- seen & key <= position
    if (left >= 0) seen <- seen & key >= position - left
    if (right >= 0) seen <- seen & key <= position + right
    seen
  }
  if (is.null(counts)) return(list(seen = of_sample(cached, keys), shape = c(queries, keys)))
  list(
    seen = unlist(lapply(counts, function(count) of_sample(count - queries, count))),
    shape = c(length(counts), 1, queries, keys)
  )
}

#' RotaryEmbedding: pairs of features turned by an angle that grows with their position
#' @noRd
build_rotary_embedding <- function(op, inputs, node) {
  x <- inputs[[1L]]
  stated <- sizes_of(x)
  attributes <- node$attributes
  if (length(stated) == 4L) {
    x <- op("Transpose", x, with = list(perm = c(0, 2, 1, 3)))
  } else if (length(stated) == 3L) {
    heads <- attributes$num_heads
    if (is.null(heads) || heads < 1 || stated[3L] %% heads != 0) stop_bad_input("num_heads does not divide ", stated[3L])
    x <- op("Reshape", x, whole_numbers_of(c(stated[1:2], heads, stated[3L] / heads)))
  } else {
    stop_bad_input("the input has rank ", length(stated), ", not 3 or 4")
  }
  size <- sizes_of(x)
  turned <- if (attributes$rotary_embedding_dim == 0) size[4L] else attributes$rotary_embedding_dim
  if (turned > size[4L] || turned %% 2 != 0) stop_bad_input("rotary_embedding_dim ", turned, " of ", size[4L], " features")
  half <- turned / 2
  positions <- optional_input(inputs, 4L)
  cache <- lapply(inputs[2:3], function(values) {
    if (!is.null(positions)) values <- op("Gather", values, positions, with = list(axis = 0))
    found <- sizes_of(values)
    if (length(found) != 3L || found[3L] != half) stop_bad_input("a cache has shape ", shape_text(found), " for ", half, " angles")
    op("Unsqueeze", values, whole_numbers_of(2))
  })
  rotated <- part_of_axis(op, x, 3, 0, turned)
  pair <- if (attributes$interleaved != 0) {
    list(part_of_axis(op, rotated, 3, 0, turned, 2), part_of_axis(op, rotated, 3, 1, turned, 2))
  } else {
    list(part_of_axis(op, rotated, 3, 0, half), part_of_axis(op, rotated, 3, half, turned))
  }
  real <- op("Sub", op("Mul", cache[[1L]], pair[[1L]]), op("Mul", cache[[2L]], pair[[2L]]))
  other <- op("Add", op("Mul", cache[[2L]], pair[[1L]]), op("Mul", cache[[1L]], pair[[2L]]))
  if (attributes$interleaved != 0) {
    both <- lapply(list(real, other), function(part) op("Unsqueeze", part, whole_numbers_of(4)))
    rotated <- op("Reshape", op("Concat", both[[1L]], both[[2L]], with = list(axis = 4)), whole_numbers_of(c(size[1:3], turned)))
  } else {
    rotated <- op("Concat", real, other, with = list(axis = 3))
  }
  if (turned < size[4L]) rotated <- op("Concat", rotated, part_of_axis(op, x, 3, turned, size[4L]), with = list(axis = 3))
  if (length(stated) == 4L) return(op("Transpose", rotated, with = list(perm = c(0, 2, 1, 3))))
  op("Reshape", rotated, whole_numbers_of(stated))
}

build_swiglu <- function(op, inputs, node) {
  if (!identical(sizes_of(inputs[[1L]]), sizes_of(inputs[[2L]]))) stop_bad_input("the inputs differ in shape")
  op("Mul", op("Swish", inputs[[1L]], with = node$attributes["alpha"]), inputs[[2L]])
}
