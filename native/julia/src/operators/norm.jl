# Normalisations. Statistics of Float32 are taken in Float64.

function refuse_training(node)
    node.since < 14 && count(!isempty, node.outputs) > 1 && return "training mode before opset 14"
    node.attributes["spatial"] != 1 && return "spatial = 0"
    nothing
end

# x (N, C, ...), and one scale, bias, mean and variance per channel. At inference the given mean and variance count. In
# training mode (from opset 14 on) those of the batch do, biased, and the running ones come with the result.
const op_batch_normalization = widened((1, 4, 5)) do inputs, node
    x = inputs[1]
    channels = ndims(x) > 1 ? size(x, ndims(x) - 1) : 1
    all(parameter -> length(parameter) == channels, inputs[2:5]) ||
        bad_input("a parameter does not have one value for each of ", channels, " channels")
    scale, bias, mean, variance = (Float64.(vec(parameter)) for parameter in inputs[2:5])
    values = reshape(x, extent(size(x)[1:max(ndims(x) - 2, 0)]), channels, size(x, ndims(x)))
    training = node.attributes["training_mode"] == 1
    if training
        mean, variance = moments(values, (1, 3))
    end
    factor = scale ./ sqrt.(variance .+ node.attributes["epsilon"])
    shift = bias .- mean .* factor
    result = reshape(scale_channels(values, as_eltype(eltype(x), factor), as_eltype(eltype(x), shift)), size(x))
    training || return result
    momentum = node.attributes["momentum"]
    running(old, new) = as_eltype(eltype(old), old .* momentum .+ reshape(new, size(old)) .* (1 - momentum))
    (result, running(inputs[4], mean), running(inputs[5], variance))
end

function scale_channels(values::Array{T,3}, factor::Vector{T}, shift::Vector{T}) where {T}
    result = similar(values)
    inner, channels, samples = size(values)
    @inbounds for n in 1:samples, c in 1:channels
        a, b = factor[c], shift[c]
        @simd for i in 1:inner
            result[i, c, n] = muladd(values[i, c, n], a, b)
        end
    end
    result
end

# Mean and biased variance over some dimensions, in Float64.
function moments(x::Array, dims)
    count = extent(size(x, d) for d in dims)
    mean = sum(Float64, x; dims=dims) ./ count
    vec(mean), vec(sum(abs2, x .- mean; dims=dims) ./ count)
end

# Each column to mean 0 and variance 1, in Float64; the mean and the inverse deviation come with it.
function standardised(values::Matrix, epsilon)
    mean, variance = moments(values, 1)
    inverse = 1 ./ sqrt.(variance .+ epsilon)
    (values .- mean') .* inverse', mean, inverse
end

function spatial_sizes(x::Array)
    ndims(x) >= 3 || bad_input("the input has rank ", ndims(x), "; at least 3 is needed")
    size(x)[1:(ndims(x) - 2)]
end

const op_instance_normalization = widened() do inputs, node
    x = inputs[1]
    inner = extent(spatial_sizes(x))
    channels = size(x, ndims(x) - 1)
    check_channels(inputs, channels)
    samples = size(x, ndims(x))
    standard, = standardised(reshape(x, inner, channels * samples), node.attributes["epsilon"])
    scaled = reshape(standard, inner, channels, samples) .* vec(inputs[2])' .+ vec(inputs[3])'
    reshape(as_eltype(eltype(x), scaled), size(x))
end

# Scale and bias are per group before opset 21, per channel from then on.
const op_group_normalization = widened() do inputs, node
    x = inputs[1]
    inner = extent(spatial_sizes(x))
    channels = size(x, ndims(x) - 1)
    groups = node.attributes["num_groups"]
    groups >= 1 && channels % groups == 0 || bad_input(channels, " channels do not make ", groups, " groups")
    parts = node.since < 21 ? groups : channels
    check_channels(inputs, parts)
    samples = size(x, ndims(x))
    grouped = reshape(x, inner * (channels ÷ groups), groups * samples)
    standard, = standardised(grouped, node.attributes["epsilon"])
    scaled = reshape(standard, inner * (channels ÷ parts), parts, samples) .* vec(inputs[2])' .+ vec(inputs[3])'
    reshape(as_eltype(eltype(x), scaled), size(x))
end

check_channels(inputs, count) =
    length(inputs[2]) == length(inputs[3]) == count || bad_input("scale or bias does not have ", count, " values")

# A scale or bias for the trailing axes from `axis` on, broadcast over the leading ones.
function trailing_parameter(parameter::Array, x::Array, axis::Int)
    trailing = size(x)[1:(ndims(x) - axis)]
    spreads_to(size(parameter), trailing) ||
        bad_input("a parameter of shape ", shape_text(onnx_shape(parameter)), " does not fit ", shape_text(reverse(trailing)))
    parameter
end

const op_layer_normalization = widened((1, 0, 0)) do inputs, node
    x = inputs[1]
    axis = resolve_axis(node.attributes["axis"], ndims(x))
    standard, mean, inverse = standardised(trailing_view(x, axis), node.attributes["epsilon"])
    scaled = reshape(standard, size(x)) .* trailing_parameter(inputs[2], x, axis)
    bias = input(inputs, 3)
    shifted = bias === nothing ? scaled : scaled .+ trailing_parameter(bias, x, axis)
    kept = ntuple(d -> d <= ndims(x) - axis ? 1 : size(x, d), ndims(x))
    statistic(values) = reshape(as_eltype(storage_type(Float32, node), values), kept)
    (as_eltype(eltype(x), shifted), statistic(mean), statistic(inverse))
end

const op_rms_normalization = widened() do inputs, node
    x = inputs[1]
    axis = resolve_axis(node.attributes["axis"], ndims(x))
    values = trailing_view(x, axis)
    mean_square = sum(v -> abs2(Float64(v)), values; dims=1) ./ size(values, 1)
    standard = values ./ sqrt.(mean_square .+ node.attributes["epsilon"])
    as_eltype(eltype(x), reshape(standard, size(x)) .* trailing_parameter(inputs[2], x, axis))
end

const op_lp_normalization = widened() do inputs, node
    x = inputs[1]
    values = axis_view(x, resolve_axis(node.attributes["axis"], ndims(x)))
    norm = node.attributes["p"] == 1 ? sum(v -> abs(Float64(v)), values; dims=2) :
        sqrt.(sum(v -> abs2(Float64(v)), values; dims=2))
    # A vector of zeros stays zero.
    reshape(as_eltype(eltype(x), values ./ ifelse.(iszero.(norm), 1.0, norm)), size(x))
end

function refuse_norm_order(node)
    p = node.attributes["p"]
    p in (1, 2) ? nothing : "p = $p"
end

const op_mean_variance_normalization = widened() do inputs, node
    x = inputs[1]
    dims = Tuple(ndims(x) .- unique(resolve_axes(node.attributes["axes"], ndims(x))))
    count = extent(size(x, d) for d in dims)
    centred = x .- sum(Float64, x; dims=dims) ./ count
    # The epsilon of the operator's definition as a function.
    as_eltype(eltype(x), centred ./ (sqrt.(sum(abs2, centred; dims=dims) ./ count) .+ 1e-9))
end

# Each value over a power of the mean square of its neighbours across channels.
const op_local_response_normalization = widened() do inputs, node
    x = inputs[1]
    ndims(x) >= 2 || bad_input("the input has fewer than two axes")
    attributes = node.attributes
    size(x, ndims(x) - 1) > 0 || return x
    size_ = Int(attributes["size"])
    values = reshape(x, extent(size(x)[1:(ndims(x) - 2)]), size(x, ndims(x) - 1), size(x, ndims(x)))
    squares = neighbour_squares(values, (size_ - 1) ÷ 2, size_ - 1 - (size_ - 1) ÷ 2)
    scale = attributes["bias"] .+ attributes["alpha"] / size_ .* squares
    reshape(as_eltype(eltype(x), values ./ scale .^ attributes["beta"]), size(x))
end

# Sums of squares over the channels from `before` below to `after` above each channel.
function neighbour_squares(values::Array{T,3}, before::Int, after::Int) where {T}
    result = zeros(Float64, size(values))
    channels = size(values, 2)
    for n in axes(values, 3), c in 1:channels, other in max(c - before, 1):min(c + after, channels), i in axes(values, 1)
        result[i, c, n] += abs2(Float64(values[i, other, n]))
    end
    result
end
