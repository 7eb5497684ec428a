# The graph of a file as a plain description, whether or not it can be run.

"""
    model_structure(path)

What a file holds, as values that [`json_text`](@ref) writes: the `structure` of the harness' worker contract.
"""
function model_structure(path::AbstractString)
    model = parse_file(path)
    merge(
        (
            format="onnx", ir_version=model.ir_version, producer=model.producer, opsets=object(model.opsets),
            bytes=filesize(path)
        ),
        describe_graph(model.graph), (metadata=object(model.metadata),)
    )
end

# Pairs as a JSON object in their order, also where there are none.
object(pairs) = Pair{String,Any}[string(key) => value for (key, value) in pairs]

function describe_graph(graph::GraphMessage)
    held = Set(tensor.name for tensor in graph.initializers)
    (
        inputs=[describe_value(info) for info in graph.inputs if !(info.name in held)],
        outputs=map(describe_value, graph.outputs),
        nodes=map(describe_node, graph.nodes),
        initializers=[
            (name=tensor.name, dtype=dtype_name(eltype(tensor.value)), shape=onnx_shape(tensor.value),
             sha256=sha256_of(tensor.value))
            for tensor in graph.initializers
        ]
    )
end

describe_value(info::ValueInfo) = (name=info.name, dtype=info.dtype, shape=info.shape)

describe_node(node::NodeMessage) = (
    name=node.name, operator=node.operator, domain=node.domain, inputs=node.inputs, outputs=node.outputs,
    attributes=object(name => describe_attribute(value) for (name, value) in node.attributes)
)

describe_attribute(value) = value
describe_attribute(values::Vector) = map(describe_attribute, values)
describe_attribute(graph::GraphMessage) = (graph=describe_graph(graph),)
describe_attribute(::Union{UnsupportedAttribute,AttributeReference}) = (unsupported=true,)
# JSON has no numbers that are not finite: they become text.
describe_attribute(value::Float64) = isfinite(value) ? value : lowercase(string(value))

function describe_attribute(tensor::NamedTensor)
    value = tensor.value
    described = (dtype=dtype_name(eltype(value)), shape=onnx_shape(value))
    (tensor=told_values(value) ? merge(described, (values=vec(value),)) : described,)
end

# A small constant decides what a graph does (a mode, an axis): its values are told.
const most_values = 16

told_values(value::Array{String}) = 0 < length(value) <= most_values
told_values(value) = 0 < length(value) <= most_values && all(isfinite, value)

# Of texts as UTF-8, with a zero between them.
sha256_of(value::Array{String}) = bytes2hex(sha256(join(vec(value), '\0')))
sha256_of(value::Array) = bytes2hex(sha256(bytes_of(value)))

function bytes_of(value::Array)
    bytes = Vector{UInt8}(undef, sizeof(value))
    GC.@preserve bytes value unsafe_copyto!(pointer(bytes), Ptr{UInt8}(pointer(value)), sizeof(value))
    bytes
end
