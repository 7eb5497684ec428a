# The operators that are put together from others, on torch; and those that plain arrays compute for it.

torch_composed_table <- function() {
  c(
    list(plainonnx.Align = torch_op_align, Det = function(inputs, node) torch::linalg_det(inputs[[1L]])),
    lapply(composed_operators(), torch_composed),
    lapply(plainly_computed(), torch_by_plain),
    lapply(fused_operators(), torch_composed),
    lapply(quantised_rows(), function(row) torch_by_plain(row$run)),
    lapply(rows_of_domain("ai.onnx.ml"), function(row) torch_by_plain(row$run))
  )
}

quantised_rows <- function() {
  rows <- rows_of_domain("com.microsoft")
  rows[setdiff(names(rows), names(fused_operators()))]
}

# The rows of the operator table of one domain.
rows_of_domain <- function(domain) {
  rows <- operator_table()
  rows[startsWith(names(rows), paste0(domain, "."))]
}

composed_operators <- function() {
  list(
    Attention = build_attention, RotaryEmbedding = build_rotary_embedding, SwiGLU = build_swiglu,
    NegativeLogLikelihoodLoss = build_likelihood_loss, SoftmaxCrossEntropyLoss = build_cross_entropy_loss,
    Einsum = build_einsum, TopK = build_top_k, Compress = build_compress, CenterCropPad = build_center_crop_pad,
    GridSample = build_grid_sample, Col2Im = build_col_to_im, AffineGrid = build_affine_grid,
    RoiAlign = build_roi_align, DeformConv = build_deform_conv,
    MaxUnpool = build_max_unpool, Scatter = build_scatter, TensorScatter = build_tensor_scatter, DFT = build_dft,
    STFT = build_stft
  )
}

plainly_computed <- function() {
  list(
    Unique = op_unique, NonMaxSuppression = op_non_max_suppression, BitwiseAnd = bitwise(bitwAnd),
    BitwiseOr = bitwise(bitwOr), BitwiseXor = bitwise(bitwXor), BitwiseNot = op_bitwise_not, BitShift = op_bit_shift,
    QuantizeLinear = op_quantize_linear, DequantizeLinear = op_dequantize_linear,
    DynamicQuantizeLinear = op_dynamic_quantize_linear, MatMulInteger = op_matmul_integer, ConvInteger = op_conv_integer,
    HannWindow = window_of(hann_window), HammingWindow = window_of(hamming_window),
    BlackmanWindow = window_of(blackman_window), QLinearMatMul = op_qlinear_matmul, QLinearConv = op_qlinear_conv, BitCast = op_bit_cast
  )
}
