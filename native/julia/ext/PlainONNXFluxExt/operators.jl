# What the operators of the table become here. Each node calls one of these; `gradients.jl` says how to go back through it.
# An operator that is not listed computes as in plain Julia.

"""
What a node calls: `call(inputs, node, training)` gives a tensor, or several. `plain` is the operator on plain arrays.
"""
abstract type FluxOperator end

"""An operator written in functions of NNlib, or in others that Zygote differentiates: `run(node, training, inputs...)`."""
struct Differentiable{F} <: FluxOperator
    run::F
    plain::Any
end

"""An operator that only moves values; `moved` are the inputs that it moves (counted from 1; all where empty)."""
struct Moving <: FluxOperator
    moved::Vector{Int}
    plain::Any
end

"""An operator that leaves every value where it lies in memory, and changes the shape."""
struct Reshaping <: FluxOperator
    plain::Any
end

"""A change of dtype."""
struct Casting <: FluxOperator
    plain::Any
end

"""An operator whose result does not change with small changes of its inputs."""
struct Constant <: FluxOperator
    plain::Any
end

"""An operator that computes as in plain Julia, and through which no gradient goes."""
struct OneWay <: FluxOperator
    plain::Any
end

"""Loop, Scan, If, or an operator that is put together from others: `run(inputs, node, how)`, see `control.jl`."""
struct ControlFlow <: FluxOperator
    run::Any
    plain::Any
end

(call::FluxOperator)(inputs::Vector{Any}, node, training) = call.plain(inputs, node)

(call::Differentiable)(inputs::Vector{Any}, node, training) =
    fits_nnlib(inputs) ? call.run(node, training, inputs...) : call.plain(inputs, node)

# Half precision and integers are computed as in plain Julia, which knows ONNX' rules for them.
fits_nnlib(inputs) = all(fits_nnlib_alone, inputs) && any(x -> x isa Array{<:Union{Float32,Float64}}, inputs)
fits_nnlib_alone(x) = x === nothing || x isa Array{<:Union{Float32,Float64,Int64,Bool}}

# Windows ------------------------------------------------------------------------------------------------------------

padding(window) = Tuple(Iterators.flatten(zip(window.before, window.after)))

# A bias for each channel, along the last dimension but one.
per_channel(values, rank) = reshape(values, ntuple(d -> d == rank - 1 ? length(values) : 1, rank))

# NNlib turns the kernel around, as mathematics does; ONNX does not: `flipkernel` says so.
function flux_conv(node, training, x, weight, bias=nothing)
    3 <= ndims(x) <= 5 || return node.run.plain(Any[x, weight, bias], node)
    dims = ignore_derivatives(() -> convolution_dims(node, x, weight, bias))
    with_bias(conv(x, weight, dims), bias)
end

with_bias(y, ::Nothing) = y
with_bias(y, bias) = y .+ per_channel(bias, ndims(y))

function convolution_dims(node, x, weight, bias)
    kernel = PlainONNX.check_convolution(node, x, weight)
    group = Int(node.attributes["group"])
    channels, filters = size(x, ndims(x) - 1), size(weight, ndims(x))
    group >= 1 && channels == size(weight, ndims(x) - 1) * group && filters % group == 0 ||
        PlainONNX.misfit(x, weight, channels, group)
    bias === nothing || PlainONNX.bias_vector(bias, x, filters)
    window = window_over(node, spatial_sizes(x), kernel)
    NNlib.DenseConvDims(
        x, weight; stride=window.strides, padding=padding(window), dilation=window.dilations, flipkernel=true, groups=group
    )
end

# A pool whose last window sticks out over the padding has no counterpart in NNlib.
function pool_dims(node, x)
    (3 <= ndims(x) <= 5 && get(node.attributes, "ceil_mode", 0) == 0) || return nothing
    window = PlainONNX.pool_window(x, node)
    NNlib.PoolDims(x, window.kernel; stride=window.strides, padding=padding(window), dilation=window.dilations)
end

function flux_max_pool(node, training, x)
    dims = ignore_derivatives(() -> PlainONNX.has_output(node, 2) ? nothing : pool_dims(node, x))
    dims === nothing ? node.run.plain(Any[x], node) : maxpool(x, dims)
end

# NNlib's mean counts the padding, ONNX' by default does not.
function flux_average_pool(node, training, x)
    dims = ignore_derivatives() do
        found = pool_dims(node, x)
        counted = found === nothing || node.attributes["count_include_pad"] == 1 || all(iszero, NNlib.padding(found))
        counted ? found : nothing
    end
    dims === nothing ? node.run.plain(Any[x], node) : meanpool(x, dims)
end

spatial_dims(x) = Tuple(1:(ndims(x) - 2))

flux_global_average_pool(node, training, x) = mean_over(x, spatial_dims(x))
flux_global_max_pool(node, training, x) = maximum(x; dims=spatial_dims(x))

mean_over(x, dims) = sum(x; dims=dims) ./ eltype(x)(ignore_derivatives(() -> extent(size(x, d) for d in dims)))

# Layers -------------------------------------------------------------------------------------------------------------

function flux_gemm(node, training, a, b, c=nothing)
    attributes = node.attributes
    left = attributes["transA"] != 0 ? transpose(a) : a
    right = attributes["transB"] != 0 ? transpose(b) : b
    size(left, 1) == size(right, 2) ||
        bad_input("shapes ", shape_text(onnx_shape(a)), " and ", shape_text(onnx_shape(b)), " do not fit a product")
    plus(times(attributes["alpha"], right * left), attributes["beta"], c)
end

times(factor, x) = factor == 1 ? x : eltype(x)(factor) .* x
plus(x, factor, ::Nothing) = x
plus(x, factor, y) = x .+ times(factor, y)

# Row-major factors change places, see linear.jl.
function flux_matmul(node, training, a, b)
    ndims(a) == 2 && ndims(b) == 2 && size(a, 1) == size(b, 2) && return b * a
    if ndims(b) == 2 && ndims(a) > 2 && size(a, 1) == size(b, 2)
        return reshape(b * reshape(a, size(a, 1), :), size(b, 1), Base.tail(size(a))...)
    end
    if ndims(a) == ndims(b) > 2 && size(a)[3:end] == size(b)[3:end] && size(a, 1) == size(b, 2)
        product = batched_mul(reshape(b, size(b, 1), size(b, 2), :), reshape(a, size(a, 1), size(a, 2), :))
        return reshape(product, size(b, 1), size(a, 2), size(a)[3:end]...)
    end
    node.run.plain(Any[a, b], node)
end

# In training the batch's own statistics count, and the running ones, which are buffers of the model, move: ONNX' momentum is
# the weight of the old value, Flux's that of the new one; the running variance is the unbiased one, as in Flux. A node that
# asks for training mode itself follows ONNX.
function flux_batch_normalization(node, training, x, scale, bias, mean, variance)
    node.attributes["training_mode"] == 1 && return node.run.plain(Any[x, scale, bias, mean, variance], node)
    epsilon = eltype(x)(node.attributes["epsilon"])
    if !training
        factor = scale ./ sqrt.(variance .+ epsilon)
        shift = bias .- mean .* factor
        return x .* per_channel(factor, ndims(x)) .+ per_channel(shift, ndims(x))
    end
    dims = Tuple(d for d in 1:ndims(x) if d != ndims(x) - 1)
    batch_mean = mean_over(x, dims)
    centred = x .- batch_mean
    batch_variance = mean_over(abs2.(centred), dims)
    ignore_derivatives() do
        move_statistics!(mean, variance, vec(batch_mean), vec(batch_variance), length(x) ÷ length(mean), node)
    end
    centred ./ sqrt.(batch_variance .+ epsilon) .* per_channel(scale, ndims(x)) .+ per_channel(bias, ndims(x))
end

function move_statistics!(mean, variance, batch_mean, batch_variance, count, node)
    old = eltype(mean)(node.attributes["momentum"])
    unbiased = eltype(mean)(count / max(count - 1, 1))
    mean .= old .* mean .+ (1 - old) .* batch_mean
    variance .= old .* variance .+ (1 - old) .* unbiased .* batch_variance
end

function flux_layer_normalization(node, training, x, scale, bias=nothing)
    (PlainONNX.has_output(node, 2) || PlainONNX.has_output(node, 3)) &&
        return node.run.plain(Any[x, scale, bias], node)
    dims = ignore_derivatives(() -> Tuple(1:(ndims(x) - resolve_axis(node.attributes["axis"], ndims(x)))))
    centred = x .- mean_over(x, dims)
    standard = centred ./ sqrt.(mean_over(abs2.(centred), dims) .+ eltype(x)(node.attributes["epsilon"]))
    plus(standard .* scale, 1, bias)
end

# Active only while the model trains, as a Dropout of Flux is.
function flux_dropout(node, training, x, ratio=nothing, mode=nothing)
    (training && !PlainONNX.has_output(node, 2)) || return node.run.plain(Any[x, ratio, mode], node)
    share = ratio === nothing ? node.attributes["ratio"] : only_value(ratio, "the ratio")
    NNlib.dropout(x, eltype(x)(something(share, 0.5)))
end

# Before opset 13 the trailing axes are one.
over_classes(f) = (node, training, x) -> begin
    axis = ignore_derivatives(() -> resolve_axis(something(node.attributes["axis"], node.since < 13 ? 1 : -1), ndims(x)))
    node.since < 13 && return reshape(f(trailing_view(x, axis); dims=1), size(x))
    f(x; dims=ndims(x) - axis)
end

# Values -------------------------------------------------------------------------------------------------------------

"""A function of one number, with attributes of these names, in NNlib's words or Julia's own."""
one_value(f, names::String...) =
    (node, training, x) -> broadcast_with(f, x, ignore_derivatives(() -> map(name -> eltype(x)(node.attributes[name]), names)))

broadcast_with(f, x, ::Tuple{}) = f.(x)
broadcast_with(f, x, numbers::Tuple) = f.(x, numbers...)

two_values(f) = (node, training, a, b) -> eltype(a) === eltype(b) ? f.(a, b) : node.run.plain(Any[a, b], node)
many_values(f) = (node, training, inputs...) -> reduce((a, b) -> f.(a, b), inputs)

flux_mean(node, training, inputs...) = reduce((a, b) -> a .+ b, inputs) ./ eltype(first(inputs))(length(inputs))
flux_where(node, training, condition, yes, no) = ifelse.(condition, yes, no)

flux_gelu(node, training, x) = (node.attributes["approximate"] == "tanh" ? NNlib.gelu_tanh : NNlib.gelu_erf).(x)

flux_swish(node, training, x) = x .* NNlib.sigmoid.(times(node.attributes["alpha"], x))

function flux_clip(node, training, x, lowest=nothing, highest=nothing)
    bounds = ignore_derivatives() do
        inputs = Any[x, lowest, highest]
        low = PlainONNX.clip_bound(inputs, node, 2, "min")
        high = PlainONNX.clip_bound(inputs, node, 3, "max")
        (eltype(x)(something(low, -Inf)), eltype(x)(something(high, Inf)))
    end
    min.(max.(x, bounds[1]), bounds[2])
end

"""Sums and means along axes: `f(x, dims)` keeps the dimensions with size 1."""
along_dims(f) = (node, training, x, axes=nothing) -> begin
    dims, kept = ignore_derivatives(() -> reduced_dims(node, x, axes))
    isempty(dims) ? x : reshape(f(x, dims), kept)
end

# The dimensions to reduce, and the size of the result.
function reduced_dims(node, x, given)
    axes = axes_of(Any[x, given], node)
    if axes === nothing || isempty(axes)
        axes = node.attributes["noop_with_empty_axes"] == 1 ? Int[] : collect(0:(ndims(x) - 1))
    end
    dims = Tuple(sort(ndims(x) .- unique(resolve_axes(axes, ndims(x)))))
    kept = if node.attributes["keepdims"] == 1
        ntuple(d -> d in dims ? 1 : size(x, d), ndims(x))
    else
        Tuple(size(x, d) for d in 1:ndims(x) if !(d in dims))
    end
    dims, kept
end

sum_over(x, dims) = sum(x; dims=dims)

const written_for_flux = Dict{String,Any}(
    "Conv" => flux_conv,
    "MaxPool" => flux_max_pool,
    "AveragePool" => flux_average_pool,
    "GlobalAveragePool" => flux_global_average_pool,
    "GlobalMaxPool" => flux_global_max_pool,
    "Gemm" => flux_gemm,
    "MatMul" => flux_matmul,
    "BatchNormalization" => flux_batch_normalization,
    "LayerNormalization" => flux_layer_normalization,
    "Dropout" => flux_dropout,
    "Softmax" => over_classes(softmax),
    "LogSoftmax" => over_classes(logsoftmax),
    "Add" => two_values(+),
    "Sub" => two_values(-),
    "Mul" => two_values(*),
    "Div" => two_values(/),
    "Min" => many_values(min),
    "Max" => many_values(max),
    "Sum" => many_values(+),
    "Mean" => flux_mean,
    "Where" => flux_where,
    "Clip" => flux_clip,
    "ReduceSum" => along_dims(sum_over),
    "ReduceMean" => along_dims(mean_over),
    "Relu" => one_value(NNlib.relu),
    "LeakyRelu" => one_value(NNlib.leakyrelu, "alpha"),
    "Elu" => one_value(NNlib.elu, "alpha"),
    "Gelu" => flux_gelu,
    "Sigmoid" => one_value(NNlib.sigmoid),
    "HardSigmoid" => one_value(PlainONNX.hard_sigmoid, "alpha", "beta"),
    "HardSwish" => one_value(PlainONNX.hard_swish),
    "Softplus" => one_value(NNlib.softplus),
    "Softsign" => one_value(NNlib.softsign),
    "Mish" => one_value(NNlib.mish),
    "Swish" => flux_swish,
    "Tanh" => one_value(tanh),
    "Abs" => one_value(abs),
    "Neg" => one_value(-),
    "Exp" => one_value(exp),
    "Log" => one_value(PlainONNX.logarithm),
    "Sqrt" => one_value(PlainONNX.square_root),
    "Reciprocal" => one_value(inv),
    "Sin" => one_value(PlainONNX.sine),
    "Cos" => one_value(PlainONNX.cosine),
)

const moved_inputs = Dict{String,Vector{Int}}(
    "Transpose" => [1], "Slice" => [1], "Gather" => [1], "GatherElements" => [1], "GatherND" => [1], "Concat" => Int[],
    "Split" => [1], "Expand" => [1], "Tile" => [1], "Pad" => [1], "DepthToSpace" => [1], "SpaceToDepth" => [1], "Trilu" => [1], "ReverseSequence" => [1],
)

# Put together from others, each of which Flux runs, and whose steps are written down as those of a Loop.
put_together(build) = (inputs, node, how) -> as_outputs(build(PlainONNX.Composer(how, node), inputs, node))

const control_operators = Dict{String,Any}(
    "Loop" => PlainONNX.loop_over, "Scan" => PlainONNX.scan_over, "If" => PlainONNX.choose_branch,
    "Attention" => put_together(PlainONNX.build_attention),
    "RotaryEmbedding" => put_together(PlainONNX.build_rotary_embedding),
    "SwiGLU" => put_together(PlainONNX.build_swiglu),
    "Einsum" => put_together(PlainONNX.build_einsum),
    "TopK" => put_together(PlainONNX.build_top_k),
    "Compress" => put_together(PlainONNX.build_compress),
    "CenterCropPad" => put_together(PlainONNX.build_center_crop_pad),
    "GridSample" => put_together(PlainONNX.build_grid_sample),
    "NegativeLogLikelihoodLoss" => put_together(PlainONNX.build_likelihood_loss),
    "SoftmaxCrossEntropyLoss" => put_together(PlainONNX.build_cross_entropy_loss),
)

const reshaping_operators = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "plainonnx.Align")
const casting_operators = ("Cast", "CastLike")
const constant_operators = (
    "Shape", "Size", "ConstantOfShape", "Constant", "Range", "EyeLike", "OneHot", "NonZero", "ArgMax", "ArgMin", "Floor", "Ceil",
    "Round", "Sign", "Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "And", "Or", "Not", "Xor", "IsNaN", "IsInf",
    "Hardmax"
)

# Inputs (counted from 1) that say how, not what: no parameters, even where they have a fraction.
const number_inputs = Dict{String,Vector{Int}}(
    "Clip" => [2, 3], "Dropout" => [2, 3], "Pad" => [2, 3, 4], "Resize" => [2, 3, 4], "Upsample" => [2], "Range" => [1, 2, 3],
    "OneHot" => [2, 3]
)

function flux_operator(name::String, plain)
    haskey(written_for_flux, name) && return Differentiable(written_for_flux[name], plain)
    haskey(moved_inputs, name) && return Moving(moved_inputs[name], plain)
    haskey(control_operators, name) && return ControlFlow(control_operators[name], plain)
    name in reshaping_operators && return Reshaping(plain)
    name in casting_operators && return Casting(plain)
    name in constant_operators && return Constant(plain)
    OneWay(plain)
end

"""The operator table with what Flux runs; the rest of each row is that of plain Julia."""
flux_operator_table() = Dict{String,Operator}(
    name => Operator(flux_operator(name, row.run), row.since, row.inputs, row.attributes, row.until, row.refuse)
    for (name, row) in operator_table()
)
