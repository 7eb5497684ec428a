# Casts between dtypes, and tensors made from nothing.

"""
    integer_value(T, x)

A number as an integer of type `T`: its fraction is cut off, and what is out of range wraps around as two's complement does.
NaN, infinities and what no 64 bits hold become the lowest value; ONNX leaves them undefined.
"""
integer_value(::Type{T}, x::Integer) where {T<:Integer} = x % T

function integer_value(::Type{T}, x::AbstractFloat) where {T<:Integer}
    whole = trunc(Float64(x))
    abs(whole) < 2.0^63 && return unsafe_trunc(Int64, whole) % T
    T === UInt64 && 0 < whole < 2.0^64 && return unsafe_trunc(UInt64, whole)
    isfinite(whole) && sizeof(T) < 8 && return unsafe_trunc(UInt64, mod(whole, 2.0^(8 * sizeof(T)))) % T
    typemin(T)
end

cast_value(::Type{Bool}, x::Number) = !iszero(x)
cast_value(::Type{T}, x::Number) where {T<:Integer} = integer_value(T, x)
cast_value(::Type{T}, x::Number) where {T<:AbstractFloat} = narrowed(T, x)

# Under precision `Float64` a cast to float32 must not round a double half-way; the narrow formats are part of what the
# graph says, and round there too.
cast_tensor(::Type{T}, x::Array{T}, node) where {T} = x
cast_tensor(::Type{T}, x::Array, node) where {T} = cast_array(T, storage_type(T, node), x)
cast_array(::Type{T}, ::Type{S}, x::Array) where {T,S} = tensor((v -> S(cast_value(T, v))).(x))
cast_array(::Type{Float32}, ::Type{Float64}, x::Array) = as_eltype(Float64, x)

# A text to a number and back, as far as both say it in one way.
cast_tensor(::Type{String}, x::Array, node) = unsupported("a cast from ", dtype_name(eltype(x)), " to string is not supported")
cast_tensor(::Type{String}, x::Array{String}, node) = x
cast_tensor(::Type{String}, x::Array{<:Integer}, node) = tensor(string.(x))
cast_tensor(::Type{String}, x::Array{Bool}, node) = unsupported("a cast from bool to string is not supported")
cast_tensor(::Type{Bool}, x::Array{String}, node) = unsupported("a cast from string to bool is not supported")
cast_tensor(::Type{T}, x::Array{String}, node) where {T} = cast_tensor(T, map(text -> number_of_text(T, text), x), node)

function number_of_text(::Type{<:AbstractFloat}, text)
    number = tryparse(Float64, strip(text))
    number === nothing ? bad_input("a text that is no number") : number
end

function number_of_text(::Type{T}, text) where {T<:Integer}
    number = tryparse(Int64, text)
    number === nothing ? integer_value(Int64, number_of_text(Float64, text)) : number
end

function refuse_cast(node)
    code = node.attributes["to"]
    name = 1 <= code <= length(dtype_names) ? dtype_names[code] : "number $code"
    haskey(dtype_types, name) ? nothing : "a cast to $name"
end

op_cast(inputs, node) = cast_tensor(dtype_of_code(node.attributes["to"], "the cast"), inputs[1], node)
op_cast_like(inputs, node) = cast_tensor(eltype(inputs[2]), inputs[1], node)

function op_constant(inputs, node)
    attributes = node.attributes
    given(name) = attributes[name] !== nothing
    given("value") && return as_stored(attributes["value"], node)
    given("value_float") && return as_stored(fill(Float32(attributes["value_float"])), node)
    given("value_int") && return fill(Int64(attributes["value_int"]))
    given("value_string") && return fill(attributes["value_string"])
    given("value_strings") && return attributes["value_strings"]
    given("value_floats") && return as_stored(Float32.(attributes["value_floats"]), node)
    given("value_ints") && return Int64.(attributes["value_ints"])
    bad_input("no value is given")
end

function op_constant_of_shape(inputs, node)
    shape = vec(inputs[1])
    element_count(shape, "the constant")
    given = node.attributes["value"]
    value = as_stored(given === nothing ? zeros(Float32, 1) : given, node)
    fill(only_value(value, "the value"), Tuple(reverse(Int.(shape))))
end

const op_range = widened() do inputs, node
    start, limit, step = (only_value(x, "a bound of the range") for x in inputs)
    iszero(step) && bad_input("a step of 0")
    count = max(ceil((Float64(limit) - Float64(start)) / Float64(step)), 0.0)
    isfinite(count) || bad_input("a range without an end")
    element_count((count,), "the range")
    range_values(start, step, Int(count))
end

range_values(start::T, step::T, count::Int) where {T<:AbstractFloat} =
    T[Float64(start) + k * Float64(step) for k in 0:(count - 1)]
range_values(start::T, step::T, count::Int) where {T<:Integer} = T[(start + k * step) % T for k in 0:(count - 1)]

function op_eye_like(inputs, node)
    x = inputs[1]
    ndims(x) == 2 || bad_input("the input is not a matrix")
    code = node.attributes["dtype"]
    T = code === nothing ? eltype(x) : storage_type(dtype_of_code(code, "the result"), node)
    T[T(column - row == node.attributes["k"]) for column in 1:size(x, 1), row in 1:size(x, 2)]
end

# What is wrong with a Dropout that is switched on.
const drawing_words = "training mode, which draws at random, is not supported; export the model in evaluation mode"

# At inference: the input, and a mask of what was kept, which is all.
function op_dropout(inputs, node)
    x = inputs[1]
    ratio = input(inputs, 2)
    training = input(inputs, 3)
    if training !== nothing && only_value(training, "training_mode") && (ratio === nothing || only_value(ratio, "ratio") > 0)
        unsupported(drawing_words)
    end
    has_output(node, 2) || return x
    (x, node.since < 10 ? fill(one(eltype(x)), size(x)) : fill(true, size(x)))
end
