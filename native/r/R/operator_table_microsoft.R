# The operators of the domain com.microsoft that onnxruntime's optimiser and quantiser write.

# Rows of the operator table, see operator().
microsoft_rows <- function() {
  window_attributes <- list(group = 1, pads = none("numbers"), auto_pad = "NOTSET", strides = none("numbers"),
    dilations = none("numbers"), kernel_shape = none("numbers"))
  axis <- list(axis = 1)
  rows <- list(
    # Several operators in one
    FusedConv = operator(composed(build_fused_conv), 1, c(2, 4), c(window_attributes, list(activation = none("text"),
      activation_params = none("numbers"))), refuse = refuse_fused, factor = filter_matrix_sizes),
    FusedGemm = operator(composed(build_fused_gemm), 1, c(2, 3), list(alpha = 1, beta = 1, transA = 0, transB = 0,
      activation = none("text"), activation_alpha = none("number"), activation_beta = none("number"),
      activation_gamma = none("number")), refuse = refuse_fused_gemm, factor = factor_sizes),
    FusedMatMul = operator(composed(build_fused_matmul), 1, 2, list(alpha = 1, transA = 0, transB = 0, transBatchA = 0,
      transBatchB = 0)),
    Gelu = operator(composed(build_gelu), 1, 1),
    BiasGelu = operator(composed(build_gelu), 1, 2),
    FastGelu = operator(composed(build_fast_gelu), 1, c(1, 2)),
    QuickGelu = operator(composed(build_quick_gelu), 1, 1, list(alpha = 1.702)),
    SkipLayerNormalization = operator(composed(build_skip_normalization(FALSE)), 1, c(3, 5), list(epsilon = 1e-12),
      refuse = refuse_statistics),
    SkipSimplifiedLayerNormalization = operator(composed(build_skip_normalization(TRUE)), 1, c(3, 4), list(epsilon = 1e-12),
      refuse = refuse_statistics),

    # On quantised values
    QuantizeLinear = operator(composed(scaled_as_standard("QuantizeLinear")), 1, c(2, 3), axis),
    DequantizeLinear = operator(composed(scaled_as_standard("DequantizeLinear")), 1, c(2, 3), axis),
    QLinearAdd = operator(composed(quantised_binary("Add")), 1, c(5, 8)),
    QLinearMul = operator(composed(quantised_binary("Mul")), 1, c(5, 8)),
    QLinearSigmoid = operator(composed(quantised_unary(function(op, x, node) op("Sigmoid", x))), 1, c(2, 5)),
    QLinearLeakyRelu = operator(composed(quantised_unary(function(op, x, node) op("LeakyRelu", x, with = node$attributes))), 1,
      c(2, 5), list(alpha = 0.01)),
    QLinearSoftmax = operator(composed(build_qlinear_softmax), 1, c(2, 5), list(axis = -1, opset = needed("number"))),
    QLinearConcat = operator(composed(build_qlinear_concat), 1, c(1, Inf), list(axis = needed("number"))),
    QLinearAveragePool = operator(composed(quantised_pool("AveragePool", c("auto_pad", "ceil_mode", "count_include_pad",
      "kernel_shape", "pads", "strides"))), 1, c(2, 5), list(auto_pad = "NOTSET", ceil_mode = 0, channels_last = 0,
      count_include_pad = 0, kernel_shape = needed("numbers"), pads = none("numbers"), strides = none("numbers"))),
    QLinearGlobalAveragePool = operator(composed(quantised_pool("GlobalAveragePool")), 1, c(2, 5), list(channels_last = 0)),
    QGemm = operator(composed(build_qgemm), 1, c(6, 9), list(alpha = 1, transA = 0, transB = 0)),
    MatMulIntegerToFloat = operator(composed(build_matmul_integer_to_float), 1, c(4, 7)),
    DynamicQuantizeMatMul = operator(composed(build_dynamic_quantize_matmul), 1, c(3, 5))
  )
  stats::setNames(rows, paste0("com.microsoft.", names(rows)))
}

# Those whose gradients torch follows.
fused_operators <- function() {
  builders <- list(
    FusedConv = build_fused_conv, FusedGemm = build_fused_gemm, FusedMatMul = build_fused_matmul, Gelu = build_gelu,
    BiasGelu = build_gelu, FastGelu = build_fast_gelu, QuickGelu = build_quick_gelu,
    SkipLayerNormalization = build_skip_normalization(FALSE),
    SkipSimplifiedLayerNormalization = build_skip_normalization(TRUE)
  )
  stats::setNames(builders, paste0("com.microsoft.", names(builders)))
}
