# The operators that are put together from others, on torch; and those that plain arrays compute for it.

torch_composed_table <- function() {
  c(
    lapply(composed_operators(), torch_composed),
    lapply(plainly_computed(), torch_by_plain)
  )
}

composed_operators <- function() {
  list(
    Attention = build_attention, RotaryEmbedding = build_rotary_embedding, SwiGLU = build_swiglu,
    NegativeLogLikelihoodLoss = build_likelihood_loss, SoftmaxCrossEntropyLoss = build_cross_entropy_loss,
    Einsum = build_einsum, TopK = build_top_k, Compress = build_compress, CenterCropPad = build_center_crop_pad,
    GridSample = build_grid_sample, Col2Im = build_col_to_im
  )
}

plainly_computed <- function() {
  list(
    Unique = op_unique, NonMaxSuppression = op_non_max_suppression, BitwiseAnd = bitwise(bitwAnd),
    BitwiseOr = bitwise(bitwOr), BitwiseXor = bitwise(bitwXor), BitwiseNot = op_bitwise_not, BitShift = op_bit_shift
  )
}
