# Writes small ONNX files, so that every test says in its own lines what it reads.

function wire_varint(value::Integer)
    left = value % UInt64
    bytes = UInt8[]
    while left >= 0x80
        push!(bytes, UInt8(left & 0x7f) | 0x80)
        left >>= 7
    end
    push!(bytes, UInt8(left))
end

wire_tag(field, wire) = wire_varint(8 * field + wire)
wire_number(field, value) = [wire_tag(field, 0); wire_varint(value)]
wire_bytes(field, bytes) = [wire_tag(field, 2); wire_varint(length(bytes)); bytes]
wire_text(field, text) = wire_bytes(field, Vector{UInt8}(codeunits(text)))
wire_float(field, value) = [wire_tag(field, 5); raw_bytes(Float32(value))]

raw_bytes(x::Number) = raw_bytes([x])
raw_bytes(x::Array) = P.bytes_of(x)

"""Parts of messages one after another."""
joined_bytes(parts) = reduce(vcat, parts; init=UInt8[])

dtype_code(dtype) = findfirst(==(dtype), P.dtype_names)

"""A TensorProto of an array, whose dimensions are the ONNX shape reversed."""
onnx_tensor(name, x::Array) = [
    joined_bytes(wire_number(1, size) for size in reverse(size(x))); wire_number(2, dtype_code(P.dtype_name(eltype(x))))
    wire_text(8, name); wire_bytes(9, raw_bytes(x))
]

"""A GraphProto: a model's own, or the value of an attribute."""
struct WireGraph
    bytes::Vector{UInt8}
end

function onnx_graph(nodes, inputs, outputs, initializers=[])
    each(field, parts) = joined_bytes(wire_bytes(field, part) for part in parts)
    WireGraph([each(1, nodes); wire_text(2, "graph"); each(5, initializers); each(11, inputs); each(12, outputs)])
end

attribute_value(x::Integer) = [wire_number(3, x); wire_number(20, 2)]
attribute_value(x::AbstractFloat) = [wire_float(2, x); wire_number(20, 1)]
attribute_value(x::AbstractString) = [wire_text(4, x); wire_number(20, 3)]
attribute_value(x::Vector{<:Integer}) = [joined_bytes(wire_number(8, v) for v in x); wire_number(20, 7)]
attribute_value(x::Vector{<:AbstractFloat}) = [joined_bytes(wire_float(7, v) for v in x); wire_number(20, 6)]
attribute_value(x::Vector{<:AbstractString}) = [joined_bytes(wire_text(9, v) for v in x); wire_number(20, 8)]
# A tensor is told from a list of numbers by being one of a tuple.
attribute_value(x::Tuple{Array}) = [wire_bytes(5, onnx_tensor("", x[1])); wire_number(20, 4)]
attribute_value(x::WireGraph) = [wire_bytes(6, x.bytes); wire_number(20, 5)]

onnx_attribute(name, value) = [wire_text(1, string(name)); attribute_value(value)]

function onnx_node(operator, inputs, outputs; name=lowercase(operator) * "_0", domain="", attributes...)
    texts(field, names) = joined_bytes(wire_text(field, text) for text in (names isa String ? [names] : names))
    [
        texts(1, inputs); texts(2, outputs); wire_text(3, name); wire_text(4, operator)
        joined_bytes(wire_bytes(5, onnx_attribute(name, value)) for (name, value) in attributes)
        isempty(domain) ? UInt8[] : wire_text(7, domain)
    ]
end

"""A ValueInfoProto; an axis is a number or a name, in ONNX' order; `nothing` is any shape."""
function onnx_value(name, dtype="float32", shape=nothing)
    axis_bytes(axis) = wire_bytes(1, axis isa String ? wire_text(2, axis) : wire_number(1, axis))
    type = wire_number(1, dtype_code(dtype))
    shape === nothing || (type = [type; wire_bytes(2, joined_bytes(axis_bytes(axis) for axis in shape))])
    [wire_text(1, name); wire_bytes(2, wire_bytes(1, type))]
end

function onnx_model(nodes, inputs, outputs, initializers=[]; opset=17, metadata=Pair{String,String}[])
    [
        wire_number(1, 8); wire_text(2, "PlainONNX-tests")
        wire_bytes(7, onnx_graph(nodes, inputs, outputs, initializers).bytes)
        wire_bytes(8, [wire_text(1, ""); wire_number(2, opset)])
        joined_bytes(wire_bytes(14, [wire_text(1, key); wire_text(2, value)]) for (key, value) in metadata)
    ]
end

"""Read the model of some bytes, by way of a file that is gone afterwards."""
function read_bytes(bytes; keywords...)
    mktempdir() do folder
        path = joinpath(folder, "model.onnx")
        write(path, bytes)
        onnx_read(path; keywords...)
    end
end

read_onnx(parts...; precision=Float32, keywords...) = read_bytes(onnx_model(parts...; keywords...); precision=precision)

"""
One operator on arrays (dimensions reversed, as everywhere here), each a graph input in its own dtype; `nothing` leaves an
optional one out. Returns the array, or a vector of them where there are several `outputs`.
"""
function run_operator(operator, inputs...; opset=17, outputs=["y"], precision=Float32, attributes...)
    names = [input === nothing ? "" : "in$k" for (k, input) in enumerate(inputs)]
    given = [(name, input) for (name, input) in zip(names, inputs) if input !== nothing]
    infos = [onnx_value(name, P.dtype_name(eltype(x)), reverse(size(x))) for (name, x) in given]
    model = read_onnx(
        [onnx_node(operator, names, outputs; attributes...)], infos, [onnx_value(name) for name in outputs];
        opset=opset, precision=precision
    )
    results = P.run_graph(model.graph, Dict{String,Array}(name => P.in_precision(x, precision) for (name, x) in given))
    results = [P.in_precision(x, precision) for x in results]
    length(results) == 1 ? results[1] : results
end

"""Numbers that are not round, the same in every run."""
wavy(sizes::Int...) = reshape(Float32.(sin.((1:prod(sizes)) .* 1.7) .* 2), sizes)
