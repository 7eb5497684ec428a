# What the package can do: every operator with the opsets that changed it, its inputs, its attributes and their defaults.
# The rest of the package asks this table and knows no operator by name.

include("operators/axes.jl")
include("operators/constant.jl")
include("operators/elementwise.jl")
include("operators/error_function.jl")
include("operators/activation.jl")
include("operators/reduce.jl")
include("operators/softmax.jl")
include("operators/index.jl")
include("operators/shape.jl")
include("operators/resize.jl")
include("operators/linear.jl")
include("operators/norm.jl")
include("operators/window.jl")
include("operators/workspace.jl")
include("operators/conv.jl")
include("operators/conv_transpose.jl")
include("operators/pool.jl")
include("operators/recurrent.jl")
include("operators/compose.jl")
include("operators/attention.jl")
include("operators/einsum.jl")
include("operators/order.jl")
include("operators/boxes.jl")
include("operators/bits.jl")
include("operators/grid_sample.jl")
include("operators/regions.jl")
include("operators/place.jl")
include("operators/spectrum.jl")
include("operators/quantised.jl")
include("operators/loss.jl")
include("operators/control.jl")
include("operators/sequences.jl")
include("operators/scores.jl")
include("operators/trees.jl")
include("operators/tree_operators.jl")
include("operators/linear_models.jl")
include("operators/support_vectors.jl")
include("operators/features.jl")
include("operators/labels.jl")
include("operators/maps.jl")
include("operators/classical.jl")

const unlimited = typemax(Int)

"""
    operator_table()

The operators: name to [`Operator`](@ref).
"""
operator_table() = Dict{String,Operator}(
    # Windows
    "Conv" => Operator(op_conv, [1, 11, 22], (2, 3), "group" => 1, "pads" => Absent(:ints), "auto_pad" => "NOTSET",
        "strides" => Absent(:ints), "dilations" => Absent(:ints), "kernel_shape" => Absent(:ints); refuse=refuse_auto_pad),
    "ConvTranspose" => Operator(op_conv_transpose, [1, 11, 22], (2, 3), "group" => 1, "auto_pad" => "NOTSET",
        "strides" => Absent(:ints), "pads" => Absent(:ints), "output_padding" => Absent(:ints),
        "dilations" => Absent(:ints), "output_shape" => Absent(:ints), "kernel_shape" => Absent(:ints);
        refuse=refuse_auto_pad),
    "MaxPool" => Operator(op_max_pool, [1, 8, 10, 11, 12, 22], 1, "pads" => Absent(:ints), "auto_pad" => "NOTSET",
        "strides" => Absent(:ints), "kernel_shape" => Required(:ints), "storage_order" => 0, "dilations" => Absent(:ints),
        "ceil_mode" => 0; refuse=refuse_auto_pad),
    "AveragePool" => Operator(op_average_pool, [7, 10, 11, 19, 22], 1, "count_include_pad" => 0, "pads" => Absent(:ints),
        "auto_pad" => "NOTSET", "strides" => Absent(:ints), "kernel_shape" => Required(:ints), "ceil_mode" => 0,
        "dilations" => Absent(:ints); refuse=refuse_auto_pad),
    "GlobalMaxPool" => Operator(op_global_max_pool, [1, 22], 1),
    "GlobalAveragePool" => Operator(op_global_average_pool, [1, 22], 1),
    "LpPool" => Operator(op_lp_pool, [2, 11, 18, 22], 1, "p" => 2, "pads" => Absent(:ints), "auto_pad" => "NOTSET",
        "strides" => Absent(:ints), "kernel_shape" => Required(:ints), "ceil_mode" => 0, "dilations" => Absent(:ints);
        refuse=refuse_auto_pad),
    "GlobalLpPool" => Operator(op_global_lp_pool, [2, 22], 1, "p" => 2),

    # Products and normalisations
    "Gemm" => Operator(op_gemm, [7, 9, 11, 13], (2, 3), "beta" => 1.0, "transB" => 0, "alpha" => 1.0, "transA" => 0),
    "MatMul" => Operator(op_matmul, [1, 9, 13], 2),
    "Det" => Operator(op_det, [11, 22], 1),
    "BatchNormalization" => Operator(op_batch_normalization, [7, 9, 14, 15], 5, "momentum" => 0.9, "epsilon" => 1e-05,
        "spatial" => 1, "training_mode" => 0; refuse=refuse_training),
    "LayerNormalization" => Operator(op_layer_normalization, 17, (2, 3), "stash_type" => 1, "epsilon" => 1e-05,
        "axis" => -1),
    "InstanceNormalization" => Operator(op_instance_normalization, [6, 22], 3, "epsilon" => 1e-05),
    "GroupNormalization" => Operator(op_group_normalization, [18, 21], 3, "num_groups" => Required(:int),
        "epsilon" => 1e-05, "stash_type" => 1),
    "RMSNormalization" => Operator(op_rms_normalization, 23, 2, "stash_type" => 1, "epsilon" => 1e-05, "axis" => -1),
    "LpNormalization" => Operator(op_lp_normalization, [1, 22], 1, "p" => 2, "axis" => -1; refuse=refuse_norm_order),
    "MeanVarianceNormalization" => Operator(op_mean_variance_normalization, [9, 13], 1, "axes" => [0, 2, 3]),
    "LRN" => Operator(op_local_response_normalization, [1, 13], 1, "bias" => 1.0, "beta" => 0.75, "alpha" => 0.0001,
        "size" => Required(:int)),

    # Arithmetic
    "Add" => Operator(arithmetic(+), [7, 13, 14], 2),
    "Sub" => Operator(arithmetic(-), [7, 13, 14], 2),
    "Mul" => Operator(arithmetic(*), [7, 13, 14], 2),
    "Div" => Operator(arithmetic(quotient), [7, 13, 14], 2),
    "Pow" => Operator(op_pow, [7, 12, 13, 15], 2),
    "Mod" => Operator(op_mod, [10, 13, 28], 2, "fmod" => 0),
    "Min" => Operator(variadic(min), [6, 8, 12, 13], (1, unlimited)),
    "Max" => Operator(variadic(max), [6, 8, 12, 13], (1, unlimited)),
    "Sum" => Operator(variadic(+), [6, 8, 13], (1, unlimited)),
    "Mean" => Operator(op_mean, [6, 8, 13], (1, unlimited)),

    # One value at a time
    "Abs" => Operator(unary(abs), [6, 13], 1),
    "Neg" => Operator(unary(-), [6, 13], 1),
    "Sqrt" => Operator(unary(square_root), [6, 13], 1),
    "Exp" => Operator(unary(exp), [6, 13], 1),
    "Log" => Operator(unary(logarithm), [6, 13], 1),
    "Relu" => Operator(unary(relu), [6, 13, 14], 1),
    "LeakyRelu" => Operator(unary(leaky_relu, "alpha"), [6, 16], 1, "alpha" => 0.01),
    "PRelu" => Operator(op_prelu, [7, 9, 16], 2),
    "Elu" => Operator(unary(elu, "alpha"), [6, 22], 1, "alpha" => 1.0),
    "Selu" => Operator(unary(selu, "alpha", "gamma"), [6, 22], 1, "gamma" => 1.0507010221481323, "alpha" => 1.6732631921768188),
    "Celu" => Operator(unary(celu, "alpha"), [12, 28], 1, "alpha" => 1.0),
    "Gelu" => Operator(op_gelu, 20, 1, "approximate" => "none"; refuse=refuse_gelu),
    "Sigmoid" => Operator(unary(sigmoid), [6, 13], 1),
    "HardSigmoid" => Operator(unary(hard_sigmoid, "alpha", "beta"), [6, 22], 1, "beta" => 0.5, "alpha" => 0.2),
    "HardSwish" => Operator(unary(hard_swish), [14, 22], 1),
    "Tanh" => Operator(unary(tanh), [6, 13], 1),
    "Softplus" => Operator(unary(softplus), [1, 22], 1),
    "Softsign" => Operator(unary(softsign), [1, 22], 1),
    "ThresholdedRelu" => Operator(unary(thresholded_relu, "alpha"), [10, 22], 1, "alpha" => 1.0),
    "Mish" => Operator(unary(mish), [18, 22], 1),
    "Swish" => Operator(unary(swish, "alpha"), 24, 1, "alpha" => 1.0),
    "Shrink" => Operator(op_shrink, 9, 1, "bias" => 0.0, "lambd" => 0.5),
    "Erf" => Operator(unary(erf), [9, 13], 1),
    "Floor" => Operator(unary(floor), [6, 13], 1),
    "Ceil" => Operator(unary(ceil), [6, 13], 1),
    "Round" => Operator(unary(round), [11, 22], 1),
    "Sign" => Operator(unary(sign), [9, 13], 1),
    "Reciprocal" => Operator(unary(inv), [6, 13], 1),
    "Clip" => Operator(op_clip, [6, 11, 12, 13], (1, 3), "max" => 3.4028234663852886e38, "min" => -3.4028234663852886e38),
    "Sin" => Operator(unary(sine), [7, 22], 1),
    "Cos" => Operator(unary(cosine), [7, 22], 1),
    "Tan" => Operator(unary(tangent), [7, 22], 1),
    "Asin" => Operator(unary(arc_sine), [7, 22], 1),
    "Acos" => Operator(unary(arc_cosine), [7, 22], 1),
    "Atan" => Operator(unary(atan), [7, 22], 1),
    "Sinh" => Operator(unary(sinh), [9, 22], 1),
    "Cosh" => Operator(unary(cosh), [9, 22], 1),
    "Asinh" => Operator(unary(asinh), [9, 22], 1),
    "Acosh" => Operator(unary(area_cosine), [9, 22], 1),
    "Atanh" => Operator(unary(area_tangent), [9, 22], 1),
    "IsNaN" => Operator(predicate(isnan), [9, 13, 20], 1),
    "IsInf" => Operator(op_is_inf, [10, 20], 1, "detect_negative" => 1, "detect_positive" => 1),

    # Comparison and choice
    "Equal" => Operator(comparison(==), [7, 11, 13, 19], 2),
    "Greater" => Operator(comparison(>), [7, 9, 13], 2),
    "Less" => Operator(comparison(<), [7, 9, 13], 2),
    "GreaterOrEqual" => Operator(comparison(>=), [12, 16], 2),
    "LessOrEqual" => Operator(comparison(<=), [12, 16], 2),
    "And" => Operator(comparison(&), 7, 2),
    "Or" => Operator(comparison(|), 7, 2),
    "Not" => Operator(predicate(!), 1, 1),
    "Xor" => Operator(comparison(xor), 7, 2),
    "Where" => Operator(op_where, [9, 16], 3),

    # Reductions
    "ReduceSum" => reduction_row(reduced_sum, [1, 11, 13]),
    "ReduceMean" => reduction_row(reduced_mean, [1, 11, 13, 18]),
    "ReduceMax" => reduction_row(reduced_maximum, [1, 11, 12, 13, 18, 20]),
    "ReduceMin" => reduction_row(reduced_minimum, [1, 11, 12, 13, 18, 20]),
    "ReduceProd" => reduction_row(reduced_product, [1, 11, 13, 18]),
    "ReduceL1" => reduction_row(reduced_l1, [1, 11, 13, 18]; of_one=false),
    "ReduceL2" => reduction_row(reduced_l2, [1, 11, 13, 18]; of_one=false),
    "ReduceLogSum" => reduction_row(reduced_log_sum, [1, 11, 13, 18, 28]; of_one=false),
    "ReduceLogSumExp" => reduction_row(reduced_log_sum_exp, [1, 11, 13, 18, 28]; of_one=false),
    "ReduceSumSquare" => reduction_row(reduced_sum_square, [1, 11, 13, 18]; of_one=false),
    "ArgMax" => Operator(arg_extreme(>), [1, 11, 12, 13], 1, "keepdims" => 1, "axis" => 0, "select_last_index" => 0),
    "ArgMin" => Operator(arg_extreme(<), [1, 11, 12, 13], 1, "keepdims" => 1, "axis" => 0, "select_last_index" => 0),
    "CumSum" => Operator(cumulative(+, 0), [11, 14], 2, "reverse" => 0, "exclusive" => 0),
    "CumProd" => Operator(cumulative(*, 1), 26, 2, "reverse" => 0, "exclusive" => 0),

    # Indexing
    "Slice" => Operator(op_slice, [1, 10, 11, 13], (1, 5), "ends" => Absent(:ints), "starts" => Absent(:ints),
        "axes" => Absent(:ints)),
    "Gather" => Operator(op_gather, [1, 11, 13], 2, "axis" => 0),
    "GatherElements" => Operator(op_gather_elements, [11, 13], 2, "axis" => 0),
    "GatherND" => Operator(op_gather_nd, [11, 12, 13], 2, "batch_dims" => 0),
    "ScatterElements" => Operator(op_scatter_elements, [11, 13, 16, 18], 3, "axis" => 0, "reduction" => "none";
        refuse=refuse_scatter),
    "ScatterND" => Operator(op_scatter_nd, [11, 13, 16, 18], 3, "reduction" => "none"; refuse=refuse_scatter),
    "Concat" => Operator(op_concat, [4, 11, 13], (1, unlimited), "axis" => Required(:int)),
    "Split" => Operator(op_split, [2, 11, 13, 18], (1, 2), "split" => Absent(:ints), "axis" => 0,
        "num_outputs" => Absent(:int)),

    # Shapes and copies
    "Pad" => Operator(op_pad, [2, 11, 13, 18, 19, 21, 23, 24, 25], (1, 4), "value" => 0.0, "mode" => "constant",
        "pads" => Absent(:ints); refuse=refuse_pad),
    "Reshape" => Operator(op_reshape, [5, 13, 14, 19, 21, 23, 24, 25], 2, "allowzero" => 0),
    "Expand" => Operator(op_expand, [8, 13], 2),
    "Tile" => Operator(op_tile, [6, 13], 2),

    # Types and constants
    "Cast" => Operator(op_cast, [6, 9, 13, 19, 21, 23, 24, 25, 28], 1, "to" => Required(:int), "saturate" => 1,
        "round_mode" => "up"; refuse=refuse_cast),
    "CastLike" => Operator(op_cast_like, [15, 19, 21, 23, 24, 25], 2, "saturate" => 1, "round_mode" => "up"),
    "Shape" => Operator(op_shape, [1, 13, 15, 19, 21, 23, 24, 25], 1, "end" => Absent(:int), "start" => 0),
    "Size" => Operator(op_size, [1, 13, 19, 21, 23, 24, 25], 1),
    "Transpose" => Operator(op_transpose, [1, 13, 21, 23, 24, 25], 1, "perm" => Absent(:ints)),
    "Squeeze" => Operator(op_squeeze, [1, 11, 13, 21, 23, 24, 25], (1, 2), "axes" => Absent(:ints)),
    "Unsqueeze" => Operator(op_unsqueeze, [1, 11, 13, 21, 23, 24, 25], (1, 2), "axes" => Absent(:ints)),
    "Flatten" => Operator(op_flatten, [1, 9, 11, 13, 21, 23, 24, 25], 1, "axis" => 1),
    "Identity" => Operator(op_identity, [1, 13, 14, 16, 19, 21, 23, 24, 25], 1),
    "Dropout" => Operator(op_dropout, [7, 10, 12, 13, 22], (1, 3), "ratio" => 0.5, "seed" => Absent(:int)),
    "Constant" => Operator(op_constant, [1, 9, 11, 12, 13, 19, 21, 23, 24, 25], 0, "value" => Absent(:tensor),
        "value_floats" => Absent(:floats), "value_float" => Absent(:float), "value_ints" => Absent(:ints),
        "value_int" => Absent(:int), "value_string" => Absent(:text), "value_strings" => Absent(:texts)),
    "ConstantOfShape" => Operator(op_constant_of_shape, [9, 20, 21, 23, 24, 25], 1, "value" => Absent(:tensor)),
    "Range" => Operator(op_range, [11, 27], 3, "stash_type" => 1),
    "OneHot" => Operator(op_one_hot, [9, 11, 28], 3, "axis" => -1),
    "EyeLike" => Operator(op_eye_like, [9, 22], 1, "dtype" => Absent(:int), "k" => 0),
    "Trilu" => Operator(op_trilu, 14, (1, 2), "upper" => 1),
    "DepthToSpace" => Operator(op_depth_to_space, [1, 11, 13, 28], 1, "blocksize" => Required(:int), "mode" => "DCR";
        refuse=refuse_block_mode),
    "SpaceToDepth" => Operator(op_space_to_depth, [1, 13, 28], 1, "blocksize" => Required(:int), "mode" => "DCR";
        refuse=refuse_block_mode),
    "NonZero" => Operator(op_non_zero, [9, 13], 1),

    # Softmax family
    "Softmax" => Operator(along_axis(softmax), [1, 11, 13], 1, "axis" => Absent(:int)),
    "LogSoftmax" => Operator(along_axis(log_softmax), [1, 11, 13], 1, "axis" => Absent(:int)),
    "Hardmax" => Operator(along_axis(hardmax), [1, 11, 13], 1, "axis" => Absent(:int)),

    # Recurrent
    "LSTM" => recurrent_row((3, 8), "input_forget" => 0),
    "GRU" => recurrent_row((3, 6), "linear_before_reset" => 0),
    "RNN" => recurrent_row((3, 6)),
    "ReverseSequence" => Operator(op_reverse_sequence, [10, 28], 2, "batch_axis" => 1, "time_axis" => 0),

    # Attention and products of several factors
    "Attention" => Operator(composed(build_attention), [23, 24, 25], (3, 7), "is_causal" => 0, "kv_num_heads" => Absent(:int),
        "q_num_heads" => Absent(:int), "qk_matmul_output_mode" => 0, "scale" => Absent(:float), "softcap" => 0.0,
        "softmax_precision" => Absent(:int), "left_window_size" => -1, "right_window_size" => -1; refuse=refuse_attention),
    "RotaryEmbedding" => Operator(composed(build_rotary_embedding), 23, (3, 4), "interleaved" => 0, "num_heads" => Absent(:int),
        "rotary_embedding_dim" => 0),
    "SwiGLU" => Operator(composed(build_swiglu), 28, 2, "alpha" => 1.0),
    "Einsum" => Operator(composed(build_einsum), [12, 28], (1, unlimited), "equation" => Required(:text)),

    # Order and equality
    "TopK" => Operator(composed(build_top_k), [1, 10, 11, 24], (1, 2), "axis" => -1, "k" => Absent(:int), "largest" => 1,
        "sorted" => 1; refuse=refuse_top_k),
    "Unique" => Operator(op_unique, [11, 28], 1, "axis" => Absent(:int), "sorted" => 1),
    "Compress" => Operator(composed(build_compress), [9, 11, 28], 2, "axis" => Absent(:int)),
    "CenterCropPad" => Operator(composed(build_center_crop_pad), 18, 2, "axes" => Absent(:ints)),
    "NonMaxSuppression" => Operator(op_non_max_suppression, [10, 11], (2, 5), "center_point_box" => 0),

    # Bits
    "BitShift" => Operator(op_bit_shift, [11, 28], 2, "direction" => Required(:text); refuse=refuse_bit_shift),
    "BitwiseAnd" => Operator(bitwise(&), 18, 2),
    "BitwiseOr" => Operator(bitwise(|), 18, 2),
    "BitwiseXor" => Operator(bitwise(xor), 18, 2),
    "BitwiseNot" => Operator(op_bitwise_not, 18, 1),
    "BitCast" => Operator(op_bit_cast, 26, 1, "to" => Required(:int); refuse=refuse_cast),

    # Places in images
    "GridSample" => Operator(composed(build_grid_sample), [16, 20, 22], 2, "align_corners" => 0, "mode" => "linear",
        "padding_mode" => "zeros"; refuse=refuse_grid_sample),
    "AffineGrid" => Operator(composed(build_affine_grid), 20, 2, "align_corners" => 0),
    "RoiAlign" => Operator(composed(build_roi_align), [10, 16, 22], 3, "mode" => "avg", "output_height" => 1,
        "output_width" => 1, "sampling_ratio" => 0, "spatial_scale" => 1.0,
        "coordinate_transformation_mode" => "half_pixel"; refuse=refuse_roi_align),
    "DeformConv" => Operator(composed(build_deform_conv), [19, 22], (3, 5), "group" => 1, "offset_group" => 1,
        "kernel_shape" => Absent(:ints), "strides" => Absent(:ints), "pads" => Absent(:ints), "dilations" => Absent(:ints)),
    "Col2Im" => Operator(composed(build_col_to_im), 18, 3, "dilations" => Absent(:ints), "pads" => Absent(:ints),
        "strides" => Absent(:ints)),
    "MaxUnpool" => Operator(composed(build_max_unpool), [9, 11, 22], (2, 3), "kernel_shape" => Required(:ints),
        "pads" => Absent(:ints), "strides" => Absent(:ints)),
    "Scatter" => Operator(composed(build_scatter), 9, 3, "axis" => 0; until=10),
    "TensorScatter" => Operator(composed(build_tensor_scatter), 24, (2, 3), "axis" => -2, "mode" => "linear";
        refuse=refuse_tensor_scatter),

    # Spectra
    "DFT" => Operator(composed(build_dft), [17, 20], (1, 3), "axis" => 1, "inverse" => 0, "onesided" => 0),
    "STFT" => Operator(composed(build_stft), 17, (2, 4), "onesided" => 1),
    "HannWindow" => window_row(hann_window),
    "HammingWindow" => window_row(hamming_window),
    "BlackmanWindow" => window_row(blackman_window),

    # Quantised
    "QuantizeLinear" => Operator(op_quantize_linear, [10, 13, 19, 21, 23, 24, 25, 28], (2, 3), "axis" => 1,
        "block_size" => 0, "output_dtype" => 0, "precision" => 0, "saturate" => 1; refuse=refuse_quantised),
    "DequantizeLinear" => Operator(op_dequantize_linear, [10, 13, 19, 21, 23, 24, 25, 28], (2, 3), "axis" => 1,
        "block_size" => 0, "output_dtype" => 0; refuse=refuse_quantised),
    "DynamicQuantizeLinear" => Operator(op_dynamic_quantize_linear, 11, 1),
    "MatMulInteger" => Operator(op_matmul_integer, 10, (2, 4)),
    "ConvInteger" => quantised_convolution_row(op_conv_integer, (2, 4)),
    "QLinearMatMul" => Operator(op_qlinear_matmul, [10, 21], 8),
    "QLinearConv" => quantised_convolution_row(op_qlinear_conv, (8, 9)),

    # Losses
    "NegativeLogLikelihoodLoss" => Operator(composed(build_likelihood_loss), [12, 13, 22], (2, 3), "ignore_index" => Absent(:int),
        "reduction" => "mean"; refuse=refuse_loss),
    "SoftmaxCrossEntropyLoss" => Operator(composed(build_cross_entropy_loss), [12, 13], (2, 3), "ignore_index" => Absent(:int),
        "reduction" => "mean"; refuse=refuse_loss),

    # Graphs inside of nodes
    "Loop" => Operator(on_plain_arrays(loop_over), [1, 11, 13, 16, 19, 21, 23, 24, 25], (0, unlimited),
        "body" => Required(:graph); refuse=check_loop),
    "Scan" => Operator(on_plain_arrays(scan_over), [8, 9, 11, 16, 19, 21, 23, 24, 25], (0, unlimited),
        "body" => Required(:graph), "num_scan_inputs" => Required(:int), "directions" => Absent(:ints),
        "scan_input_directions" => Absent(:ints), "scan_output_directions" => Absent(:ints),
        "scan_input_axes" => Absent(:ints), "scan_output_axes" => Absent(:ints); refuse=check_scan),
    "If" => Operator(on_plain_arrays(choose_branch), [1, 11, 13, 16, 19, 21, 23, 24, 25], 1,
        "then_branch" => Required(:graph), "else_branch" => Required(:graph); refuse=check_if),

    # Sequences and optionals
    "SequenceEmpty" => Operator(op_sequence_empty, 11, 0, "dtype" => Absent(:int)),
    "SequenceConstruct" => Operator(op_sequence_construct, 11, (1, unlimited)),
    "SequenceAt" => Operator(op_sequence_at, 11, 2),
    "SequenceInsert" => Operator(op_sequence_insert, 11, (2, 3)),
    "SequenceErase" => Operator(op_sequence_erase, 11, (1, 2)),
    "SequenceLength" => Operator(op_sequence_length, 11, 1),
    "SplitToSequence" => Operator(op_split_to_sequence, [11, 24], (1, 2), "axis" => 0, "keepdims" => 1),
    "ConcatFromSequence" => Operator(op_concat_from_sequence, 11, 1, "axis" => Required(:int), "new_axis" => 0),
    "SequenceMap" => Operator(on_plain_arrays(map_sequence), 17, (1, unlimited), "body" => Required(:graph);
        refuse=check_sequence_map),
    "Optional" => Operator(op_optional, [15, 28], (0, 1), "type" => Absent(:type)),
    "OptionalHasElement" => Operator(op_optional_has_element, [15, 18, 28], (0, 1)),
    "OptionalGetElement" => Operator(op_optional_get_element, [15, 18, 28], 1),

    # What stands for the broadcasting of opsets 1 to 6
    "plainonnx.Align" => Operator(op_align, 1, 2, "axis" => Required(:int)),

    # Interpolation
    "Resize" => Operator(op_resize, [10, 11, 13, 18, 19], (1, 4), "mode" => "nearest", "extrapolation_value" => 0.0,
        "exclude_outside" => 0, "nearest_mode" => "round_prefer_floor",
        "coordinate_transformation_mode" => "half_pixel", "cubic_coeff_a" => -0.75,
        "keep_aspect_ratio_policy" => "stretch", "axes" => Absent(:ints), "antialias" => 0; refuse=refuse_resize),
    "Upsample" => Operator(op_upsample, [7, 9], (1, 2), "mode" => "nearest", "scales" => Absent(:floats); until=9,
        refuse=refuse_upsample),

    # Classical models, domain ai.onnx.ml
    classical_rows()...,
)

"""The rows that are operators of a standard."""
published_rows(table) = filter(pair -> !startswith(pair.first, "plainonnx."), table)

reduction_row(f, since; of_one=true) = Operator(
    reduction(f; of_one=of_one), since, (1, 2), "keepdims" => 1, "axes" => Absent(:ints), "noop_with_empty_axes" => 0
)

recurrent_row(inputs, own...) = Operator(
    op_recurrent, [7, 14, 22], inputs, "direction" => "forward", "hidden_size" => Absent(:int), "activations" => Absent(:texts),
    "activation_alpha" => Absent(:floats), "activation_beta" => Absent(:floats), "clip" => Absent(:float), "layout" => 0, own...;
    refuse=refuse_recurrent
)

window_row(f) = Operator(window_of(f), 17, 1, "output_datatype" => 1, "periodic" => 1; refuse=refuse_window)

quantised_convolution_row(run, inputs) = Operator(
    run, 10, inputs, "group" => 1, "pads" => Absent(:ints), "auto_pad" => "NOTSET", "strides" => Absent(:ints),
    "dilations" => Absent(:ints), "kernel_shape" => Absent(:ints); refuse=refuse_auto_pad
)
