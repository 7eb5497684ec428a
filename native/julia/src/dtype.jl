# The number formats of ONNX and the types that hold them. A tensor is a plain Array whose dimensions are the ONNX shape
# reversed; its element type is its dtype.

"""
Sixteen bits of a `Float32`: its sign, its exponent and 7 bits of its fraction (bfloat16).

Converted from wider numbers by rounding to nearest, ties to even. Arithmetic is done in `Float32` and rounded.
"""
primitive type BFloat16 <: AbstractFloat 16 end

Base.reinterpret(::Type{Unsigned}, x::BFloat16) = reinterpret(UInt16, x)
Base.Float32(x::BFloat16) = reinterpret(Float32, UInt32(reinterpret(UInt16, x)) << 16)
Base.Float64(x::BFloat16) = Float64(Float32(x))
Base.Float16(x::BFloat16) = Float16(Float32(x))

function BFloat16(x::Float32)
    bits = reinterpret(UInt32, x)
    # A NaN keeps its sign and highest bits, and stays a NaN.
    isnan(x) && return reinterpret(BFloat16, UInt16(bits >> 16) | 0x0040)
    reinterpret(BFloat16, ((bits + 0x7fff + ((bits >> 16) & 0x1)) >> 16) % UInt16)
end

# To Float32 with the last bit set wherever something was lost: what is rounded from there is rounded once in effect.
function rounded_to_odd(x::Float64)
    narrow = Float32(x)
    (isfinite(narrow) && Float64(narrow) != x) || return narrow
    bits = reinterpret(UInt32, narrow)
    isodd(bits) && return narrow
    reinterpret(Float32, abs(Float64(narrow)) < abs(x) ? bits + 0x1 : bits - 0x1)
end

BFloat16(x::Float64) = BFloat16(rounded_to_odd(x))
BFloat16(x::Float16) = BFloat16(Float32(x))
BFloat16(x::Integer) = BFloat16(Float64(x))
BFloat16(x::Bool) = BFloat16(Float32(x))
BFloat16(x::BFloat16) = x

Base.promote_rule(::Type{BFloat16}, ::Type{<:Integer}) = BFloat16
Base.promote_rule(::Type{BFloat16}, ::Type{Bool}) = BFloat16
Base.promote_rule(::Type{Float16}, ::Type{BFloat16}) = Float32
Base.promote_rule(::Type{Float32}, ::Type{BFloat16}) = Float32
Base.promote_rule(::Type{Float64}, ::Type{BFloat16}) = Float64

for f in (:+, :-, :*, :/, :^, :rem, :mod)
    @eval Base.$f(a::BFloat16, b::BFloat16) = BFloat16($f(Float32(a), Float32(b)))
end
for f in (:<, :<=, :(==))
    @eval Base.$f(a::BFloat16, b::BFloat16) = $f(Float32(a), Float32(b))
end
for f in (:-, :abs, :sqrt, :exp, :log, :sin, :cos, :tan, :asin, :acos, :atan, :sinh, :cosh, :tanh, :asinh, :acosh, :atanh)
    @eval Base.$f(a::BFloat16) = BFloat16($f(Float32(a)))
end
for f in (:isnan, :isinf, :isfinite, :signbit)
    @eval Base.$f(a::BFloat16) = $f(Float32(a))
end
# Mode by mode, and Bool on its own: for all of them Julia has methods of its own that fit as well.
for mode in (:Nearest, :ToZero, :Up, :Down)
    @eval Base.round(a::BFloat16, mode::RoundingMode{$(QuoteNode(mode))}) = BFloat16(round(Float32(a), mode))
end
Base.trunc(::Type{T}, a::BFloat16) where {T<:Integer} = trunc(T, Float32(a))
Base.trunc(::Type{Bool}, a::BFloat16) = trunc(Bool, Float32(a))
Base.eps(::Type{BFloat16}) = reinterpret(BFloat16, 0x3c00)
Base.typemax(::Type{BFloat16}) = reinterpret(BFloat16, 0x7f80)
Base.typemin(::Type{BFloat16}) = reinterpret(BFloat16, 0xff80)
Base.floatmax(::Type{BFloat16}) = reinterpret(BFloat16, 0x7f7f)
Base.floatmin(::Type{BFloat16}) = reinterpret(BFloat16, 0x0080)
Base.zero(::Type{BFloat16}) = reinterpret(BFloat16, 0x0000)
Base.one(::Type{BFloat16}) = reinterpret(BFloat16, 0x3f80)
Base.show(io::IO, x::BFloat16) = print(io, "BFloat16(", Float32(x), ")")

"""Floating-point types of tensors that are too coarse to compute in: computed in `Float32`, rounded after each node."""
const Narrow = Union{Float16,BFloat16}

# By number of onnx.proto3's TensorProto.DataType, from 1.
const dtype_names = (
    "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16", "float64", "uint32",
    "uint64", "complex64", "complex128", "bfloat16", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz",
    "uint4", "int4", "float4e2m1", "float8e8m0", "uint2", "int2"
)

const dtype_types = Dict{String,DataType}(
    "float32" => Float32, "float64" => Float64, "float16" => Float16, "bfloat16" => BFloat16, "int8" => Int8,
    "int16" => Int16, "int32" => Int32, "int64" => Int64, "uint8" => UInt8, "uint16" => UInt16, "uint32" => UInt32,
    "uint64" => UInt64, "bool" => Bool, "string" => String
)

"""The ONNX name of an element type, for instance `"float32"`."""
dtype_name(::Type{Bool}) = "bool"
dtype_name(::Type{BFloat16}) = "bfloat16"
dtype_name(::Type{String}) = "string"
dtype_name(::Type{T}) where {T<:Union{AbstractFloat,Integer}} = lowercase(string(nameof(T)))

"""ONNX' number of an element type, see [`dtype_of_code`](@ref)."""
dtype_code(::Type{T}) where {T} = findfirst(==(dtype_name(T)), dtype_names)

"""
    dtype_of_code(code, what)

The element type for ONNX' number of a data type; refuses those that no tensor here can hold. `what` is whose it is.
"""
function dtype_of_code(code::Integer, what)
    1 <= code <= length(dtype_names) || bad_input(what, " has data type number ", code, ", which ONNX does not know")
    name = dtype_names[code]
    haskey(dtype_types, name) || unsupported("dtype ", name, " (", what, ") is not supported")
    dtype_types[name]
end

"""What a graph may be computed in: the types that the file says (`Float32`), or `Float64` wherever they have a fraction."""
const precision_types = (Float32, Float64)

function precision_named(name::AbstractString)
    T = get(dtype_types, name, Nothing)
    T in precision_types ? T : unsupported("precision '", name, "' is not supported")
end

"""
    narrowed(T, x)

`x` rounded once to the nearest value of `T`, ties to even. (`Float16(::Float64)` of older Julias rounds twice.)
"""
narrowed(::Type{T}, x) where {T} = T(x)
narrowed(::Type{Float16}, x::Float64) = Float16(rounded_to_odd(x))
