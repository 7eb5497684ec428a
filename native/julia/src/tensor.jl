# THE LAYOUT, decided here and nowhere else.
#
# ONNX describes a row-major buffer: the last axis runs fastest. Julia's arrays are column-major: the first dimension runs
# fastest. The same buffer is therefore a Julia array with the dimensions reversed, and nothing needs to move. A tensor IS
# such a dense Array; a scalar is an Array without dimensions. Axis k of ONNX (0 is the slowest), of a tensor of rank r, is
# dimension r - k of the Array.

"""
    max_elements[]

The most elements a tensor may have. Larger ones are refused before memory is asked for.
"""
const max_elements = Ref(2^29)

const largest_rank = 32

"""
    element_count(shape, what)

The number of elements of a shape (of either order); refuses absurd ones. `what` says whose shape it is.
"""
function element_count(shape, what="a tensor")
    all(size -> size >= 0, shape) || bad_input(what, " has the impossible shape ", shape_text(shape))
    length(shape) <= largest_rank ||
        unsupported(what, " has ", length(shape), " axes; at most ", largest_rank, " are supported")
    # In floating point, so that the product of absurd sizes does not wrap around. An empty tensor may have sizes whose
    # product no address can hold.
    count = extent = 1.0
    for size in shape
        count *= size
        extent *= max(size, 1)
    end
    (count <= max_elements[] && extent < 2.0^60) || bad_input(
        what, " of shape ", shape_text(shape), " is larger than the limit of ", max_elements[],
        " elements (PlainONNX.max_elements)"
    )
    Int(count)
end

"""
    from_row_major(values, shape)

The tensor of ONNX shape `shape` that a row-major buffer holds: an `Array` with the dimensions reversed that shares its
memory. Nothing is copied: a row-major N x C x W buffer *is* a W x C x N array.
"""
function from_row_major(values::Vector, shape)
    element_count(shape, "the buffer") == length(values) ||
        bad_input("a buffer of ", length(values), " values does not hold the shape ", shape_text(shape))
    reshape(values, reverse(Tuple(Int.(shape))))
end

"""
    row_major(x)

The row-major buffer of a tensor: a `Vector` that shares its memory.
"""
row_major(x::Array) = vec(x)

"""The ONNX shape of a tensor: its dimensions in reverse."""
onnx_shape(x::AbstractArray) = collect(Int, reverse(size(x)))

# The values of bytes[first:last], which lie as they do in memory.
function decode_values(bytes::Vector{UInt8}, first::Int, ::Type{T}, shape) where {T}
    values = Array{T}(undef, reverse(Tuple(shape)))
    GC.@preserve bytes values unsafe_copyto!(Ptr{UInt8}(pointer(values)), pointer(bytes, first), sizeof(values))
    values
end

# A Bool of another bit pattern than 0 and 1 breaks whatever reads it.
decode_values(bytes::Vector{UInt8}, first::Int, ::Type{Bool}, shape) =
    map(!iszero, decode_values(bytes, first, UInt8, shape))

# From a file straight into the array: no copy in between.
read_values(io::IO, ::Type{T}, shape) where {T} = read!(io, Array{T}(undef, reverse(Tuple(shape))))
read_values(io::IO, ::Type{Bool}, shape) = map(!iszero, read_values(io, UInt8, shape))
# Read as the bits they are: read!() knows the standard library's types only.
read_values(io::IO, ::Type{BFloat16}, shape) = reinterpreted(BFloat16, read_values(io, UInt16, shape))

reinterpreted(::Type{T}, x::Array) where {T} = collect(reinterpret(T, x))
