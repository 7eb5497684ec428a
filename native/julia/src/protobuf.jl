# The protobuf wire format: a message is a run of (field number, wire type, value). Nothing here knows ONNX.
# https://protobuf.dev/programming-guides/encoding/

"""One field of a message: `value` of wire type 0, and where its bytes are (`first:last`) for the others."""
struct Field
    number::Int
    wire::Int
    value::Int64
    first::Int
    last::Int
end

corrupt(parts...) = bad_input("not a valid ONNX file: its protobuf holds ", parts...)

"""
    scan_message(bytes, first, last)

The fields of the message in `bytes[first:last]`, in order. Refuses whatever does not fit into those bytes.
"""
function scan_message(bytes::Vector{UInt8}, first::Int=1, last::Int=length(bytes))
    fields = Field[]
    at = first
    while at <= last
        tag, at = read_varint(bytes, at, last)
        wire = Int(tag & 0x7)
        number = tag >> 3
        1 <= number <= 536870911 || corrupt("field number ", number)
        value = zero(UInt64)
        size = 0
        if wire == 0
            value, at = read_varint(bytes, at, last)
        elseif wire == 2
            count, at = read_varint(bytes, at, last)
            reinterpret(Int64, count) < 0 && corrupt("a negative length")
            # Compared as unsigned numbers: a length near 2^63 must not wrap around.
            count <= UInt64(last - at + 1) || overrun(count, last - at + 1)
            size = Int(count)
        elseif wire == 5 || wire == 1
            size = wire == 5 ? 4 : 8
            size <= last - at + 1 || overrun(size, last - at + 1)
        else
            corrupt("wire type ", wire)
        end
        push!(fields, Field(Int(number), wire, reinterpret(Int64, value), at, at + size - 1))
        at += size
    end
    fields
end

overrun(size, left) = corrupt("a field of ", size, " bytes where ", left, " are left; the file may be truncated")

# One varint at `at`: its 64 bits, and where the next value begins.
function read_varint(bytes::Vector{UInt8}, at::Int, last::Int)
    value = zero(UInt64)
    for k in 0:9
        at <= last || corrupt("a number that does not end; the file may be truncated")
        @inbounds byte = bytes[at]
        at += 1
        value |= UInt64(byte & 0x7f) << (7k)
        byte < 0x80 && return value, at
    end
    corrupt("a number of more than 10 bytes")
end

"""All varints of a packed field, each as the 64 bits of a signed integer."""
function packed_varints(bytes::Vector{UInt8}, first::Int, last::Int)
    values = Int64[]
    at = first
    while at <= last
        value, at = read_varint(bytes, at, last)
        push!(values, reinterpret(Int64, value))
    end
    values
end

function text_field(bytes::Vector{UInt8}, first::Int, last::Int)
    text = String(bytes[first:last])
    isvalid(text) || corrupt("a name that is not UTF-8")
    text
end
