# What the package can do: every operator with the opsets that changed it, its
# inputs, its attributes and their defaults. The rest of the package asks this
# table and knows no operator by name.

#' One row of the operator table
#'
#' @param run a function of (inputs, node): `inputs` is a list of tensors, NULL
#'   where an optional one is left out; `node` holds `attributes`, `since` (the
#'   version that applies), `outputs` (names), `opset` and `precision`. It returns
#'   a tensor, or a list of tensors.
#' @param since the versions, ascending; of those before opset 7 only the last.
#' @param inputs how many inputs: one number, or fewest and most.
#' @param attributes every attribute known, with its default. An attribute that
#'   is not listed is refused, so that none is ignored silently.
#' @param until the last opset that has the operator.
#' @param early whether onnxruntime's optimiser writes it into files of opsets that do not have it yet.
#' @param refuse NULL, or a function of the node that returns NULL or what
#'   about it is not supported.
#' @param factor NULL, or a function of the shape and the position of a constant
#'   input: rows and columns of the matrix as which alone it is read, or NULL.
#' @noRd
operator <- function(run, since, inputs, attributes = list(), until = Inf, refuse = NULL, factor = NULL, early = FALSE) {
  kinds <- vapply(attributes, attribute_kind, "")
  absent <- vapply(attributes, inherits, NA, "absent_default")
  required <- names(attributes)[absent][vapply(attributes[absent], `[[`, NA, "required")]
  attributes <- lapply(attributes, function(x) {
    if (inherits(x, "absent_default")) {
      NULL
    } else if (is.numeric(x)) {
      # ONNX stores attributes, and their defaults, as float32.
      round_to_dtype(as.double(x), "float32")
    } else {
      x
    }
  })
  list(
    run = run, since = since, inputs = range(inputs), attributes = attributes, kinds = kinds,
    required = required, until = until, refuse = refuse, factor = factor, early = early
  )
}

# Attributes without a default: optional, or required.
none <- function(kind) structure(list(kind = kind, required = FALSE), class = "absent_default")
needed <- function(kind) structure(list(kind = kind, required = TRUE), class = "absent_default")

attribute_kind <- function(x) {
  if (inherits(x, "absent_default")) x$kind
  else if (is.character(x)) "text"
  else if (length(x) == 1L) "number"
  else "numbers"
}

table_cache <- new.env(parent = emptyenv())

# The table: operator name to row.
operator_table <- function() {
  if (is.null(table_cache$rows)) table_cache$rows <- build_operator_table()
  table_cache$rows
}

build_operator_table <- function() {
  recurrent_attributes <- list(direction = "forward", hidden_size = none("number"), activations = none("texts"),
    activation_alpha = none("numbers"), activation_beta = none("numbers"), clip = none("number"), layout = 0)
  window_function <- list(output_datatype = 1, periodic = 1)
  window_attributes <- list(group = 1, pads = none("numbers"), auto_pad = "NOTSET", strides = none("numbers"),
    dilations = none("numbers"), kernel_shape = none("numbers"))
  tree_nodes <- list(base_values = none("numbers"), base_values_as_tensor = none("tensor"),
    nodes_falsenodeids = needed("numbers"), nodes_featureids = needed("numbers"), nodes_hitrates = none("numbers"),
    nodes_hitrates_as_tensor = none("tensor"), nodes_missing_value_tracks_true = none("numbers"),
    nodes_modes = needed("texts"), nodes_nodeids = needed("numbers"), nodes_treeids = needed("numbers"),
    nodes_truenodeids = needed("numbers"), nodes_values = none("numbers"), nodes_values_as_tensor = none("tensor"))
  c(list(
    # Windows
    Conv = operator(any_order(op_conv), c(1, 11, 22), c(2, 3), window_attributes, factor = filter_matrix_sizes),
    ConvTranspose = operator(op_conv_transpose, c(1, 11, 22), c(2, 3), c(window_attributes,
      list(output_padding = none("numbers"), output_shape = none("numbers")))),
    MaxPool = operator(op_max_pool, c(1, 8, 10, 11, 12, 22), 1, list(pads = none("numbers"),
      auto_pad = "NOTSET", strides = none("numbers"), kernel_shape = needed("numbers"), storage_order = 0,
      dilations = none("numbers"), ceil_mode = 0)),
    AveragePool = operator(op_average_pool, c(7, 10, 11, 19, 22), 1, list(count_include_pad = 0,
      pads = none("numbers"), auto_pad = "NOTSET", strides = none("numbers"),
      kernel_shape = needed("numbers"), ceil_mode = 0, dilations = none("numbers"))),
    GlobalMaxPool = operator(op_global_max_pool, c(1, 22), 1),
    GlobalAveragePool = operator(op_global_average_pool, c(1, 22), 1),
    LpPool = operator(op_lp_pool, c(2, 11, 18, 22), 1, list(p = 2, pads = none("numbers"),
      auto_pad = "NOTSET", strides = none("numbers"), kernel_shape = needed("numbers"), ceil_mode = 0,
      dilations = none("numbers"))),
    GlobalLpPool = operator(op_global_lp_pool, c(2, 22), 1, list(p = 2)),

    # Products and normalisations
    Gemm = operator(op_gemm, c(7, 9, 11, 13), c(2, 3), list(beta = 1, transB = 0, alpha = 1, transA = 0),
      factor = factor_sizes),
    MatMul = operator(op_matmul, c(1, 9, 13), 2, factor = factor_sizes),
    BatchNormalization = operator(any_order(op_batch_normalization), c(7, 9, 14, 15), 5, list(momentum = 0.9,
      epsilon = 1e-05, spatial = 1, training_mode = 0), refuse = refuse_training),
    LayerNormalization = operator(op_layer_normalization, 17, c(2, 3), list(stash_type = 1, epsilon = 1e-05,
      axis = -1), early = TRUE),
    InstanceNormalization = operator(op_instance_normalization, c(6, 22), 3, list(epsilon = 1e-05)),
    GroupNormalization = operator(op_group_normalization, c(18, 21), 3, list(num_groups = needed("number"),
      epsilon = 1e-05, stash_type = 1)),
    RMSNormalization = operator(op_rms_normalization, 23, 2, list(stash_type = 1, epsilon = 1e-05,
      axis = -1)),
    LpNormalization = operator(op_lp_normalization, c(1, 22), 1, list(p = 2, axis = -1),
      refuse = refuse_lp_normalization),
    MeanVarianceNormalization = operator(op_mean_variance_normalization, c(9, 13), 1, list(axes = c(0, 2,
      3))),
    LRN = operator(op_local_response_normalization, c(1, 13), 1, list(bias = 1, beta = 0.75, alpha = 0.0001,
      size = needed("number"))),

    # Arithmetic
    Add = operator(arithmetic(`+`), c(7, 13, 14), 2),
    Sub = operator(arithmetic(`-`), c(7, 13, 14), 2),
    Mul = operator(op_mul, c(7, 13, 14), 2),
    Div = operator(op_div, c(7, 13, 14), 2),
    Pow = operator(op_pow, c(7, 12, 13, 15), 2),
    Mod = operator(op_mod, c(10, 13, 28), 2, list(fmod = 0)),
    Min = operator(variadic(pmin.int), c(6, 8, 12, 13), c(1, Inf)),
    Max = operator(variadic(pmax.int), c(6, 8, 12, 13), c(1, Inf)),
    Sum = operator(variadic(`+`), c(6, 8, 13), c(1, Inf)),
    Mean = operator(op_mean, c(6, 8, 13), c(1, Inf)),

    # One value at a time
    Abs = operator(unary(abs), c(6, 13), 1),
    Neg = operator(unary(`-`), c(6, 13), 1),
    Sqrt = operator(unary(sqrt), c(6, 13), 1),
    Exp = operator(unary(exp), c(6, 13), 1),
    Log = operator(unary(log), c(6, 13), 1),
    Relu = operator(unary(relu), c(6, 13, 14), 1),
    LeakyRelu = operator(unary(leaky_relu, "alpha"), c(6, 16), 1, list(alpha = 0.01)),
    PRelu = operator(op_prelu, c(7, 9, 16), 2),
    Elu = operator(unary(elu, "alpha"), c(6, 22), 1, list(alpha = 1)),
    Selu = operator(unary(selu, c("alpha", "gamma")), c(6, 22), 1, list(gamma = 1.0507010221481323,
      alpha = 1.6732631921768188)),
    Celu = operator(unary(celu, "alpha"), c(12, 28), 1, list(alpha = 1)),
    Gelu = operator(unary(gelu, "approximate"), 20, 1, list(approximate = "none")),
    Sigmoid = operator(unary(stats::plogis), c(6, 13), 1),
    HardSigmoid = operator(unary(hard_sigmoid, c("alpha", "beta")), c(6, 22), 1, list(beta = 0.5,
      alpha = 0.2)),
    HardSwish = operator(unary(hard_swish), c(14, 22), 1),
    Tanh = operator(unary(tanh), c(6, 13), 1),
    Softplus = operator(unary(softplus), c(1, 22), 1),
    Softsign = operator(unary(softsign), c(1, 22), 1),
    ThresholdedRelu = operator(unary(thresholded_relu, "alpha"), c(10, 22), 1, list(alpha = 1)),
    Mish = operator(unary(mish), c(18, 22), 1),
    Swish = operator(unary(swish, "alpha"), 24, 1, list(alpha = 1)),
    Shrink = operator(unary(shrink, c("bias", "lambd")), 9, 1, list(bias = 0, lambd = 0.5)),
    Erf = operator(unary(erf), c(9, 13), 1),
    Floor = operator(unary(floor), c(6, 13), 1),
    Ceil = operator(unary(ceiling), c(6, 13), 1),
    Round = operator(unary(round), c(11, 22), 1),
    Sign = operator(unary(sign), c(9, 13), 1),
    Reciprocal = operator(unary(reciprocal), c(6, 13), 1),
    Clip = operator(op_clip, c(6, 11, 12, 13), c(1, 3), list(max = 3.4028234663852886e+38,
      min = -3.4028234663852886e+38)),
    Sin = operator(unary(sin), c(7, 22), 1),
    Cos = operator(unary(cos), c(7, 22), 1),
    Tan = operator(unary(tan), c(7, 22), 1),
    Asin = operator(unary(asin), c(7, 22), 1),
    Acos = operator(unary(acos), c(7, 22), 1),
    Atan = operator(unary(atan), c(7, 22), 1),
    Sinh = operator(unary(sinh), c(9, 22), 1),
    Cosh = operator(unary(cosh), c(9, 22), 1),
    Asinh = operator(unary(asinh), c(9, 22), 1),
    Acosh = operator(unary(acosh), c(9, 22), 1),
    Atanh = operator(unary(atanh), c(9, 22), 1),
    IsNaN = operator(predicate(is.nan), c(9, 13, 20), 1),
    IsInf = operator(op_is_inf, c(10, 20), 1, list(detect_negative = 1, detect_positive = 1)),

    # Comparison and choice
    Equal = operator(comparison(`==`), c(7, 11, 13, 19), 2),
    Greater = operator(comparison(`>`), c(7, 9, 13), 2),
    Less = operator(comparison(`<`), c(7, 9, 13), 2),
    GreaterOrEqual = operator(comparison(`>=`), c(12, 16), 2),
    LessOrEqual = operator(comparison(`<=`), c(12, 16), 2),
    And = operator(comparison(`&`), 7, 2),
    Or = operator(comparison(`|`), 7, 2),
    Not = operator(predicate(`!`), 1, 1),
    Xor = operator(comparison(xor), 7, 2),
    Where = operator(op_where, c(9, 16), 3),

    # Reductions
    ReduceSum = operator(reduction(colSums), c(1, 11, 13), c(1, 2), list(keepdims = 1, axes = none("numbers"),
      noop_with_empty_axes = 0)),
    ReduceMean = operator(reduction(colMeans), c(1, 11, 13, 18), c(1, 2), list(keepdims = 1,
      axes = none("numbers"), noop_with_empty_axes = 0)),
    ReduceMax = operator(reduction(column_maximum), c(1, 11, 12, 13, 18, 20), c(1, 2), list(keepdims = 1,
      axes = none("numbers"), noop_with_empty_axes = 0)),
    ReduceMin = operator(reduction(column_minimum), c(1, 11, 12, 13, 18, 20), c(1, 2), list(keepdims = 1,
      axes = none("numbers"), noop_with_empty_axes = 0)),
    ReduceProd = operator(reduction(column_product), c(1, 11, 13, 18), c(1, 2), list(keepdims = 1,
      axes = none("numbers"), noop_with_empty_axes = 0)),
    ReduceL1 = operator(reduction(column_l1), c(1, 11, 13, 18), c(1, 2), list(keepdims = 1,
      axes = none("numbers"), noop_with_empty_axes = 0)),
    ReduceL2 = operator(reduction(column_l2), c(1, 11, 13, 18), c(1, 2), list(keepdims = 1,
      axes = none("numbers"), noop_with_empty_axes = 0)),
    ReduceLogSum = operator(reduction(column_log_sum), c(1, 11, 13, 18, 28), c(1, 2), list(keepdims = 1,
      axes = none("numbers"), noop_with_empty_axes = 0)),
    ReduceLogSumExp = operator(reduction(column_log_sum_exp), c(1, 11, 13, 18, 28), c(1, 2),
      list(keepdims = 1, axes = none("numbers"), noop_with_empty_axes = 0)),
    ReduceSumSquare = operator(reduction(column_sum_square), c(1, 11, 13, 18), c(1, 2), list(keepdims = 1,
      axes = none("numbers"), noop_with_empty_axes = 0)),
    ArgMax = operator(arg_extreme(1), c(1, 11, 12, 13), 1, list(keepdims = 1, axis = 0,
      select_last_index = 0)),
    ArgMin = operator(arg_extreme(-1), c(1, 11, 12, 13), 1, list(keepdims = 1, axis = 0,
      select_last_index = 0)),
    CumSum = operator(cumulative(`+`, 0), c(11, 14), 2, list(reverse = 0, exclusive = 0)),
    CumProd = operator(cumulative(`*`, 1), 26, 2, list(reverse = 0, exclusive = 0)),

    # Indexing
    Slice = operator(op_slice, c(1, 10, 11, 13), c(1, 5), list(ends = none("numbers"),
      starts = none("numbers"), axes = none("numbers"))),
    Gather = operator(op_gather, c(1, 11, 13), 2, list(axis = 0)),
    GatherElements = operator(op_gather_elements, c(11, 13), 2, list(axis = 0)),
    GatherND = operator(op_gather_nd, c(11, 12, 13), 2, list(batch_dims = 0)),
    ScatterElements = operator(op_scatter_elements, c(11, 13, 16, 18), 3, list(axis = 0, reduction = "none"),
      refuse = refuse_scatter),
    ScatterND = operator(op_scatter_nd, c(11, 13, 16, 18), 3, list(reduction = "none"), refuse = refuse_scatter),
    Concat = operator(op_concat, c(4, 11, 13), c(1, Inf), list(axis = needed("number"))),
    Split = operator(op_split, c(2, 11, 13, 18), c(1, 2), list(split = none("numbers"), axis = 0,
      num_outputs = none("number"))),

    # Shapes and copies
    Pad = operator(op_pad, c(2, 11, 13, 18, 19, 21, 23, 24, 25), c(1, 4), list(value = 0, mode = "constant",
      pads = none("numbers"))),
    Reshape = operator(op_reshape, c(5, 13, 14, 19, 21, 23, 24, 25), 2, list(allowzero = 0)),
    Expand = operator(op_expand, c(8, 13), 2),
    Tile = operator(op_tile, c(6, 13), 2),

    # Types and constants
    Cast = operator(op_cast, c(6, 9, 13, 19, 21, 23, 24, 25, 28), 1, list(to = needed("number"),
      saturate = 1, round_mode = "up"), refuse = refuse_cast),
    CastLike = operator(op_cast_like, c(15, 19, 21, 23, 24, 25), 2, list(saturate = 1, round_mode = "up")),
    Shape = operator(op_shape, c(1, 13, 15, 19, 21, 23, 24, 25), 1, list(end = none("number"), start = 0)),
    Size = operator(op_size, c(1, 13, 19, 21, 23, 24, 25), 1),
    Transpose = operator(op_transpose, c(1, 13, 21, 23, 24, 25), 1, list(perm = none("numbers"))),
    Squeeze = operator(op_squeeze, c(1, 11, 13, 21, 23, 24, 25), c(1, 2), list(axes = none("numbers"))),
    Unsqueeze = operator(op_unsqueeze, c(1, 11, 13, 21, 23, 24, 25), c(1, 2), list(axes = none("numbers"))),
    Flatten = operator(op_flatten, c(1, 9, 11, 13, 21, 23, 24, 25), 1, list(axis = 1)),
    Identity = operator(op_identity, c(1, 13, 14, 16, 19, 21, 23, 24, 25), 1),
    Dropout = operator(op_dropout, c(7, 10, 12, 13, 22), c(1, 3), list(ratio = 0.5, seed = none("number"))),
    Constant = operator(op_constant, c(1, 9, 11, 12, 13, 19, 21, 23, 24, 25), 0, list(value = none("tensor"),
      value_floats = none("numbers"), value_float = none("number"), value_ints = none("numbers"),
      value_int = none("number"), value_string = none("text"), value_strings = none("texts"))),
    ConstantOfShape = operator(op_constant_of_shape, c(9, 20, 21, 23, 24, 25), 1,
      list(value = none("tensor"))),
    Range = operator(op_range, c(11, 27), 3, list(stash_type = 1)),
    OneHot = operator(op_one_hot, c(9, 11, 28), 3, list(axis = -1)),
    EyeLike = operator(op_eye_like, c(9, 22), 1, list(dtype = none("number"), k = 0)),
    Trilu = operator(op_trilu, 14, c(1, 2), list(upper = 1)),
    DepthToSpace = operator(op_depth_to_space, c(1, 11, 13, 28), 1, list(blocksize = needed("number"),
      mode = "DCR")),
    SpaceToDepth = operator(op_space_to_depth, c(1, 13, 28), 1, list(blocksize = needed("number"),
      mode = "DCR")),
    NonZero = operator(op_non_zero, c(9, 13), 1),

    # Softmax family
    Softmax = operator(along_axis(softmax_columns), c(1, 11, 13), 1, list(axis = none("number"))),
    LogSoftmax = operator(along_axis(log_softmax_columns), c(1, 11, 13), 1, list(axis = none("number"))),
    Hardmax = operator(along_axis(hardmax_columns), c(1, 11, 13), 1, list(axis = none("number"))),

    # Recurrent
    LSTM = operator(op_recurrent, c(7, 14, 22), c(3, 8), c(recurrent_attributes, list(input_forget = 0)),
      refuse = refuse_recurrent),
    GRU = operator(op_recurrent, c(7, 14, 22), c(3, 6), c(recurrent_attributes, list(linear_before_reset = 0)),
      refuse = refuse_recurrent),
    RNN = operator(op_recurrent, c(7, 14, 22), c(3, 6), recurrent_attributes, refuse = refuse_recurrent),
    ReverseSequence = operator(op_reverse_sequence, c(10, 28), 2, list(batch_axis = 1, time_axis = 0)),

    # Attention
    Attention = operator(composed(build_attention), c(23, 24, 25), c(3, 7), list(is_causal = 0,
      kv_num_heads = none("number"), q_num_heads = none("number"), qk_matmul_output_mode = 0,
      scale = none("number"), softcap = 0, softmax_precision = none("number"), left_window_size = -1,
      right_window_size = -1), refuse = refuse_attention),
    RotaryEmbedding = operator(composed(build_rotary_embedding), 23, c(3, 4), list(interleaved = 0,
      num_heads = none("number"), rotary_embedding_dim = 0)),
    SwiGLU = operator(composed(build_swiglu), 28, 2, list(alpha = 1)),
    Einsum = operator(composed(build_einsum), c(12, 28), c(1, Inf), list(equation = needed("text"))),

    # Order and equality
    TopK = operator(composed(build_top_k), c(1, 10, 11, 24), c(1, 2), list(axis = -1, k = none("number"),
      largest = 1, sorted = 1), refuse = refuse_top_k),
    Unique = operator(op_unique, c(11, 28), 1, list(axis = none("number"), sorted = 1)),
    Compress = operator(composed(build_compress), c(9, 11, 28), 2, list(axis = none("number"))),
    CenterCropPad = operator(composed(build_center_crop_pad), 18, 2, list(axes = none("numbers"))),
    NonMaxSuppression = operator(op_non_max_suppression, c(10, 11), c(2, 5), list(center_point_box = 0)),

    # Bits
    BitShift = operator(op_bit_shift, c(11, 28), 2, list(direction = needed("text")), refuse = refuse_bit_shift),
    BitwiseAnd = operator(bitwise(bitwAnd), 18, 2),
    BitwiseOr = operator(bitwise(bitwOr), 18, 2),
    BitwiseXor = operator(bitwise(bitwXor), 18, 2),
    BitwiseNot = operator(op_bitwise_not, 18, 1),

    # Places in images
    GridSample = operator(composed(build_grid_sample), c(16, 20, 22), 2, list(align_corners = 0,
      mode = "linear", padding_mode = "zeros"), refuse = refuse_grid_sample),
    Col2Im = operator(composed(build_col_to_im), 18, 3, list(dilations = none("numbers"), pads = none("numbers"),
      strides = none("numbers"))),
    RoiAlign = operator(composed(build_roi_align), c(10, 16, 22), 3, list(mode = "avg", output_height = 1,
      output_width = 1, sampling_ratio = 0, spatial_scale = 1, coordinate_transformation_mode = "half_pixel"),
      refuse = refuse_roi_align),
    DeformConv = operator(composed(build_deform_conv), c(19, 22), c(3, 5), list(group = 1, offset_group = 1,
      kernel_shape = none("numbers"), strides = none("numbers"), pads = none("numbers"),
      dilations = none("numbers"))),
    AffineGrid = operator(composed(build_affine_grid), 20, 2, list(align_corners = 0)),
    MaxUnpool = operator(composed(build_max_unpool), c(9, 11, 22), c(2, 3), list(kernel_shape = needed("numbers"),
      pads = none("numbers"), strides = none("numbers"))),
    Scatter = operator(composed(build_scatter), 9, 3, list(axis = 0), until = 10),
    TensorScatter = operator(composed(build_tensor_scatter), 24, c(2, 3), list(axis = -2, mode = "linear"),
      refuse = refuse_tensor_scatter),
    Det = operator(op_det, c(11, 22), 1),

    # Spectra
    DFT = operator(composed(build_dft), c(17, 20), c(1, 3), list(axis = 1, inverse = 0, onesided = 0)),
    STFT = operator(composed(build_stft), 17, c(2, 4), list(onesided = 1)),
    HannWindow = operator(window_of(hann_window), 17, 1, window_function, refuse = refuse_window),
    HammingWindow = operator(window_of(hamming_window), 17, 1, window_function, refuse = refuse_window),
    BlackmanWindow = operator(window_of(blackman_window), 17, 1, window_function, refuse = refuse_window),

    # Quantised
    QuantizeLinear = operator(op_quantize_linear, c(10, 13, 19, 21, 23, 24, 25, 28), c(2, 3), list(axis = 1,
      block_size = 0, output_dtype = 0, precision = 0, saturate = 1), refuse = refuse_quantised),
    DequantizeLinear = operator(op_dequantize_linear, c(10, 13, 19, 21, 23, 24, 25, 28), c(2, 3), list(axis = 1,
      block_size = 0, output_dtype = 0), refuse = refuse_quantised),
    DynamicQuantizeLinear = operator(op_dynamic_quantize_linear, 11, 1),
    MatMulInteger = operator(op_matmul_integer, 10, c(2, 4)),
    ConvInteger = operator(op_conv_integer, 10, c(2, 4), window_attributes),
    QLinearMatMul = operator(op_qlinear_matmul, c(10, 21), 8),
    QLinearConv = operator(op_qlinear_conv, 10, c(8, 9), window_attributes),
    BitCast = operator(op_bit_cast, 26, 1, list(to = needed("number")), refuse = refuse_bit_cast),

    # Losses
    NegativeLogLikelihoodLoss = operator(composed(build_likelihood_loss), c(12, 13, 22), c(2, 3),
      list(ignore_index = none("number"), reduction = "mean"), refuse = refuse_loss),
    SoftmaxCrossEntropyLoss = operator(composed(build_cross_entropy_loss), c(12, 13), c(2, 3),
      list(ignore_index = none("number"), reduction = "mean"), refuse = refuse_loss),

    # Graphs inside of nodes
    Loop = operator(on_plain_arrays(loop_over), c(1, 11, 13, 16, 19, 21, 23, 24, 25), c(0, Inf),
      list(body = needed("graph")), refuse = check_loop),
    Scan = operator(on_plain_arrays(scan_over), c(8, 9, 11, 16, 19, 21, 23, 24, 25), c(0, Inf), list(
      body = needed("graph"), num_scan_inputs = needed("number"), directions = none("numbers"),
      scan_input_directions = none("numbers"), scan_output_directions = none("numbers"),
      scan_input_axes = none("numbers"), scan_output_axes = none("numbers")), refuse = check_scan),
    If = operator(on_plain_arrays(choose_branch), c(1, 11, 13, 16, 19, 21, 23, 24, 25), 1,
      list(then_branch = needed("graph"), else_branch = needed("graph")), refuse = check_if),

    # Classical models: domain ai.onnx.ml
    ai.onnx.ml.TreeEnsembleClassifier = operator(op_tree_ensemble_classifier, c(1, 3, 5), 1, c(tree_nodes,
      list(post_transform = "NONE", classlabels_int64s = none("numbers"), classlabels_strings = none("texts"),
        class_ids = needed("numbers"), class_nodeids = needed("numbers"), class_treeids = needed("numbers"),
        class_weights = none("numbers"), class_weights_as_tensor = none("tensor"))), refuse = refuse_tree_classifier),
    ai.onnx.ml.TreeEnsembleRegressor = operator(op_tree_ensemble_regressor, c(1, 3, 5), 1, c(tree_nodes,
      list(post_transform = "NONE", aggregate_function = "SUM", n_targets = none("number"),
        target_ids = needed("numbers"), target_nodeids = needed("numbers"), target_treeids = needed("numbers"),
        target_weights = none("numbers"), target_weights_as_tensor = none("tensor"))), refuse = refuse_aggregate),
    ai.onnx.ml.TreeEnsemble = operator(op_tree_ensemble, 5, 1, list(aggregate_function = 1, post_transform = 0,
      tree_roots = needed("numbers"), nodes_hitrates = none("tensor"),
      nodes_missing_value_tracks_true = none("numbers"), nodes_modes = needed("tensor"),
      leaf_weights = needed("tensor"), leaf_targetids = needed("numbers"), nodes_falsenodeids = needed("numbers"),
      n_targets = none("number"), nodes_trueleafs = needed("numbers"), nodes_featureids = needed("numbers"),
      nodes_splits = needed("tensor"), nodes_falseleafs = needed("numbers"), nodes_truenodeids = needed("numbers"),
      membership_values = none("tensor")), refuse = refuse_tree_ensemble),
    ai.onnx.ml.LinearClassifier = operator(op_linear_classifier, 1, 1, list(post_transform = "NONE",
      classlabels_ints = none("numbers"), classlabels_strings = none("texts"), multi_class = 0,
      intercepts = none("numbers"), coefficients = needed("numbers")), refuse = refuse_linear_classifier),
    ai.onnx.ml.LinearRegressor = operator(op_linear_regressor, 1, 1, list(post_transform = "NONE", targets = 1,
      intercepts = none("numbers"), coefficients = needed("numbers")), refuse = refuse_transform),
    ai.onnx.ml.SVMRegressor = operator(op_svm_regressor, 1, 1, list(post_transform = "NONE", n_supports = 0,
      one_class = 0, rho = needed("numbers"), coefficients = needed("numbers"), support_vectors = none("numbers"),
      kernel_params = none("numbers"), kernel_type = "LINEAR"), refuse = refuse_kernel),
    ai.onnx.ml.SVMClassifier = operator(op_svm_classifier, 1, 1, list(post_transform = "NONE",
      classlabels_ints = none("numbers"), classlabels_strings = none("texts"), coefficients = none("numbers"),
      kernel_params = none("numbers"), kernel_type = "LINEAR", prob_a = none("numbers"), prob_b = none("numbers"),
      rho = needed("numbers"), support_vectors = none("numbers"), vectors_per_class = none("numbers")),
      refuse = refuse_svm_classifier),
    ai.onnx.ml.Scaler = operator(op_scaler, 1, 1, list(offset = none("numbers"), scale = none("numbers"))),
    ai.onnx.ml.Normalizer = operator(op_normalizer, 1, 1, list(norm = "MAX"), refuse = refuse_norm),
    ai.onnx.ml.Imputer = operator(op_imputer, 1, 1, list(imputed_value_floats = none("numbers"),
      imputed_value_int64s = none("numbers"), replaced_value_float = 0, replaced_value_int64 = 0)),
    ai.onnx.ml.Binarizer = operator(op_binarizer, 1, 1, list(threshold = 0)),
    ai.onnx.ml.ArrayFeatureExtractor = operator(op_array_feature_extractor, 1, 2),
    ai.onnx.ml.FeatureVectorizer = operator(op_feature_vectorizer, 1, c(1, Inf), list(inputdimensions = none("numbers"))),
    ai.onnx.ml.LabelEncoder = operator(op_label_encoder, c(1, 2, 4), 1, list(classes_strings = none("texts"),
      default_int64 = -1, default_float = 0, default_string = "_Unused", default_tensor = none("tensor"),
      keys_floats = none("numbers"), keys_int64s = none("numbers"), keys_strings = none("texts"),
      keys_tensor = none("tensor"), values_floats = none("numbers"), values_int64s = none("numbers"),
      values_strings = none("texts"), values_tensor = none("tensor"))),
    ai.onnx.ml.CategoryMapper = operator(op_category_mapper, 1, 1, list(cats_int64s = needed("numbers"),
      cats_strings = needed("texts"), default_int64 = -1, default_string = "_Unused")),
    ai.onnx.ml.OneHotEncoder = operator(op_one_hot_encoder, 1, 1, list(cats_int64s = none("numbers"),
      cats_strings = none("texts"), zeros = 1)),
    ai.onnx.ml.ZipMap = operator(op_zip_map, 1, 1, list(classlabels_int64s = none("numbers"),
      classlabels_strings = none("texts")), refuse = check_zip_map),

    # Sequences and optionals
    SequenceEmpty = operator(op_sequence_empty, 11, 0, list(dtype = none("number"))),
    SequenceConstruct = operator(op_sequence_construct, 11, c(1, Inf)),
    SequenceAt = operator(op_sequence_at, 11, 2),
    SequenceInsert = operator(op_sequence_insert, 11, c(2, 3)),
    SequenceErase = operator(op_sequence_erase, 11, c(1, 2)),
    SequenceLength = operator(op_sequence_length, 11, 1),
    SplitToSequence = operator(op_split_to_sequence, c(11, 24), c(1, 2), list(axis = 0, keepdims = 1)),
    ConcatFromSequence = operator(op_concat_from_sequence, 11, 1, list(axis = needed("number"), new_axis = 0)),
    SequenceMap = operator(on_plain_arrays(map_sequence), 17, c(1, Inf), list(body = needed("graph")),
      refuse = check_sequence_map),
    Optional = operator(op_optional, c(15, 28), c(0, 1), list(type = none("type"))),
    OptionalHasElement = operator(op_optional_has_element, c(15, 18, 28), c(0, 1)),
    OptionalGetElement = operator(op_optional_get_element, c(15, 18, 28), 1),

    # What stands for the broadcasting of opsets 1 to 6
    plainonnx.Align = operator(op_align, 1, 2, list(axis = needed("number"))),

    # Interpolation
    Resize = operator(op_resize, c(10, 11, 13, 18, 19), c(1, 4), list(mode = "nearest",
      extrapolation_value = 0, exclude_outside = 0, nearest_mode = "round_prefer_floor",
      coordinate_transformation_mode = "half_pixel", cubic_coeff_a = -0.75,
      keep_aspect_ratio_policy = "stretch", axes = none("numbers"), antialias = 0), refuse = refuse_resize),
    Upsample = operator(op_upsample, c(7, 9), c(1, 2), list(mode = "nearest", scales = none("numbers")),
      until = 9, refuse = refuse_upsample)
  ), microsoft_rows())
}
