# Quantised operators: whole numbers that stand for scale x (number - zero point). Sums of products of bytes are exact in Float64, in
# which all of this is computed. Where a quotient is rounded to a whole number it is first rounded to the type in which the standard
# computes it, so that ties fall alike.

const quantised_types = (UInt8, Int8, UInt16, Int16)

function refuse_quantised(node)
    code = node.attributes["output_dtype"]
    known = code == 0 || code in 1:length(dtype_names) &&
        get(dtype_types, dtype_names[code], Nothing) in (quantised_types..., Float32, Float16, BFloat16)
    known || return "output_dtype $code"
    kind = get(node.attributes, "precision", 0)
    kind in (0, 1, 10, 11, 16) ? nothing : "precision $kind"
end

in_double(x::Array) = as_eltype(Float64, x)

# Doubles rounded to a floating-point type, as doubles; under precision `Float64` they stay as they are.
function held_as(::Type{T}, x::Array{Float64}, node) where {T}
    storage_type(T, node) === Float64 ? x : tensor((v -> Float64(narrowed(T, v))).(x))
end

# Doubles as a tensor of a floating-point type.
function float_tensor(::Type{T}, x::Array{Float64}, node) where {T}
    S = storage_type(T, node)
    S === Float64 ? x : tensor((v -> narrowed(S, v)).(x))
end

# Whole numbers in Float64 as the integers of a type, the nearest where that has none.
function saturated(::Type{T}, x::Array{Float64}) where {T}
    any(isnan, x) && unsupported("NaN has no whole number")
    map(v -> unsafe_trunc(T, clamp(v, Float64(typemin(T)), Float64(typemax(T)))), x)
end

# Scales or zero points as an Array that broadcasts over a tensor: one for all, one for each place of an axis, or for each block.
function spread_parameter(parameter::Array{Float64}, x::Array, axis, block)
    length(parameter) == 1 && block == 0 && return fill(parameter[1])
    rank = ndims(x)
    at = resolve_axis(axis, rank)
    dimension = rank - at
    wrong() = bad_input(
        "a scale or zero point of shape ", shape_text(onnx_shape(parameter)), " does not fit a tensor of shape ",
        shape_text(onnx_shape(x)), " along axis ", at
    )
    if block == 0
        size(parameter) == (size(x, dimension),) || wrong()
        return reshape(parameter, ntuple(d -> d == dimension ? length(parameter) : 1, rank))
    end
    block > 0 && size(parameter) == replace_size(size(x), at, cld(size(x, dimension), block)) || wrong()
    parameter[ntuple(d -> d == dimension ? [cld(k, block) for k in axes(x, d)] : collect(axes(x, d)), rank)...]
end

function op_quantize_linear(inputs, node)
    x, scale = inputs
    zero_point, attributes = input(inputs, 3), node.attributes
    stated = attributes["output_dtype"] == 0 ? nothing : dtype_of_code(attributes["output_dtype"], "the result")
    T = zero_point !== nothing ? eltype(zero_point) : something(stated, UInt8)
    stated in (nothing, T) || bad_input("output_dtype is ", dtype_name(stated), ", the zero point ", dtype_name(T))
    T in quantised_types || unsupported("quantisation to ", dtype_name(T), " is not supported")
    kind = attributes["precision"] == 0 ? eltype(scale) : dtype_of_code(attributes["precision"], "the precision")
    spread(parameter) = spread_parameter(in_double(parameter), x, attributes["axis"], attributes["block_size"])
    quotient = held_as(kind, tensor(held_as(kind, in_double(x), node) ./ spread(scale)), node)
    shift = zero_point === nothing ? fill(0.0) : spread(zero_point)
    saturated(T, tensor(round.(quotient) .+ shift))
end

function op_dequantize_linear(inputs, node)
    x, scale = inputs
    zero_point, attributes = input(inputs, 3), node.attributes
    zero_point === nothing || same_dtype(x, zero_point)
    T = attributes["output_dtype"] == 0 ? eltype(scale) : dtype_of_code(attributes["output_dtype"], "the result")
    T <: AbstractFloat || bad_input("output_dtype is ", dtype_name(T))
    spread(parameter) = spread_parameter(in_double(parameter), x, attributes["axis"], attributes["block_size"])
    values = in_double(x)
    zero_point === nothing || (values = tensor(values .- spread(zero_point)))
    float_tensor(T, tensor(held_as(Float32, values, node) .* spread(scale)), node)
end

# Bytes whose scale and zero point follow from the extent of the values and 0.
function op_dynamic_quantize_linear(inputs, node)
    single(values) = held_as(Float32, values, node)
    single(value::Float64) = single(fill(value))[]
    values = single(in_double(inputs[1]))
    lowest, highest = reduce(min, values; init=0.0), reduce(max, values; init=0.0)
    scale = single((lowest == highest ? 1.0 : single(highest - lowest)) / 255)
    zero_point = saturated(UInt8, fill(round(single(0 - single(lowest / scale)))))
    bytes = saturated(UInt8, tensor(round.(single(values ./ scale)) .+ Float64(zero_point[])))
    (bytes, float_tensor(Float32, fill(scale), node), zero_point)
end

# A tensor of bytes less its zero point, which is one for all or has one value for each place of an axis.
function centred(x::Array, zero_point, axis::Int)
    zero_point === nothing && return in_double(x)
    same_dtype(x, zero_point)
    shift = in_double(zero_point)
    if length(shift) == 1
        shift = fill(shift[1])
    elseif ndims(shift) == 1
        shift = spread_parameter(shift, x, axis, 0)
    else
        spreads_to(size(shift), size(x)) ||
            bad_input("a zero point of shape ", shape_text(onnx_shape(shift)), " does not fit ", shape_text(onnx_shape(x)))
    end
    tensor(in_double(x) .- shift)
end

# Zero points and scales of a product of matrices: by rows of the first factor, by columns of the second.
rows_of(x::Array) = max(ndims(x) - 2, 0)
columns_of(x::Array) = max(ndims(x) - 1, 0)

as_whole(::Type{T}, sums::Array{Float64}) where {T} = map(v -> integer_value(T, v), sums)

function op_matmul_integer(inputs, node)
    a, b = inputs
    as_whole(Int32, op_matmul(Any[centred(a, input(inputs, 3), rows_of(a)), centred(b, input(inputs, 4), columns_of(b))], node))
end

op_conv_integer(inputs, node) =
    as_whole(Int32, op_conv(Any[centred(inputs[1], input(inputs, 3), 0), centred(inputs[2], input(inputs, 4), 0)], node))

# Sums as bytes of another scale: `factor` is the product of the inputs' scales.
function requantised(sums::Array{Float64}, factor::Array{Float64}, scale::Array, zero_point::Array, node)
    length(scale) == length(zero_point) == 1 || unsupported("several scales of the result are not supported")
    held = held_as(Float32, tensor(held_as(Float32, factor, node) ./ Float64(scale[1])), node)
    saturated(eltype(zero_point), tensor(round.(sums .* held) .+ Float64(zero_point[1])))
end

function check_bytes(tensors...)
    for x in tensors
        eltype(x) in (UInt8, Int8) || unsupported("products of ", dtype_name(eltype(x)), " are not supported")
    end
end

function op_qlinear_matmul(inputs, node)
    a, a_scale, a_zero, b, b_scale, b_zero, scale, zero_point = inputs
    check_bytes(a, b, zero_point)
    sums = op_matmul(Any[centred(a, a_zero, rows_of(a)), centred(b, b_zero, columns_of(b))], node)
    per(parameter, axis) = ndims(parameter) == 1 ? spread_parameter(in_double(parameter), sums, axis, 0) : in_double(parameter)
    factor = tensor(per(a_scale, rows_of(sums)) .* per(b_scale, columns_of(sums)))
    requantised(sums, factor, scale, zero_point, node)
end

function op_qlinear_conv(inputs, node)
    x, x_scale, x_zero, weight, weight_scale, weight_zero, scale, zero_point = inputs
    check_bytes(x, weight, zero_point)
    bias = input(inputs, 9)
    bias === nothing || (bias = in_double(bias))
    sums = op_conv(Any[centred(x, x_zero, 0), centred(weight, weight_zero, 0), bias], node)
    factor = tensor(spread_parameter(in_double(weight_scale), sums, 1, 0) .* Float64(only_value(x_scale, "the scale of x")))
    requantised(sums, factor, scale, zero_point, node)
end
