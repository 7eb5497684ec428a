# Texts: tensors of the type string are an Array{String}. A file of arrays has no such type, so that there they are UTF-8 bytes,
# filled with zeros to the longest, with one axis more; in ONNX' order it is the last.

"""The texts that rows of bytes hold, see [`bytes_of_texts`](@ref)."""
function texts_of_bytes(x::Array{UInt8})
    ndims(x) >= 1 || bad_input("the bytes of texts need an axis")
    rows = reshape(x, size(x, 1), :)
    texts = map(axes(rows, 2)) do k
        text = String(filter(!iszero, rows[:, k]))
        isvalid(text) || bad_input("a text that is not UTF-8")
        text
    end
    reshape(convert(Vector{String}, texts), Base.tail(size(x)))
end

"""Texts as bytes, one text after the other along the last dimensions, the bytes of each along the first."""
function bytes_of_texts(x::Array{String})
    width = maximum(Int[0; [ncodeunits(text) for text in x]])
    rows = zeros(UInt8, width, length(x))
    for (k, text) in enumerate(x)
        copyto!(view(rows, :, k), codeunits(text))
    end
    reshape(rows, width, size(x)...)
end

# What a file of arrays holds in place of a tensor.
as_stored_array(x::Array) = x
as_stored_array(x::Array{String}) = bytes_of_texts(x)
