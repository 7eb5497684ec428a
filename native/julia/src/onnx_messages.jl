# The messages of ONNX, as plain structs. Field numbers are those of onnx.proto3.

const deepest_graph = 32

"""A tensor of the file: `value` is an `Array` with the dimensions reversed, in the file's own dtype and bits."""
struct NamedTensor
    name::String
    value::Array
end

"""
A named value's type. `dtype` is an ONNX name, or `nothing` where none is declared; an axis of `shape` is a number, the name of
a dynamic dimension, or `nothing`; `shape` is `nothing` where none is declared. `kind` is `"tensor"` or what else it is.
"""
struct ValueInfo
    name::String
    dtype::Union{String,Nothing}
    shape::Union{Vector{Union{Int,String,Nothing}},Nothing}
    kind::String
end

"""What an attribute holds that no operator here can use."""
struct UnsupportedAttribute end

"""The value of an attribute of the function's call."""
struct AttributeReference
    name::String
end

"""
A node as the file has it. `overload` tells functions of one name apart; `opset` is that of the function that the node comes from,
`nothing` where it is the file's.
"""
struct NodeMessage
    name::String
    operator::String
    domain::String
    inputs::Vector{String}
    outputs::Vector{String}
    attributes::Vector{Pair{String,Any}}
    overload::String
    opset::Union{Int,Nothing}
end

NodeMessage(name, operator, domain, inputs, outputs, attributes; overload="", opset=nothing) =
    NodeMessage(name, operator, domain, inputs, outputs, attributes, overload, opset)

# A node with other parts.
changed(node::NodeMessage; inputs=node.inputs, outputs=node.outputs, attributes=node.attributes, opset=node.opset) =
    NodeMessage(node.name, node.operator, node.domain, inputs, outputs, attributes, node.overload, opset)

"""A graph; `held` are initializers that lie in the main graph instead: own name and name there, see `lift_initializers()`."""
struct GraphMessage
    name::String
    nodes::Vector{NodeMessage}
    initializers::Vector{NamedTensor}
    inputs::Vector{ValueInfo}
    outputs::Vector{ValueInfo}
    values::Vector{ValueInfo}
    held::Vector{Pair{String,String}}
end

# A graph with other nodes, and a node with other graphs: `f` of each.
with_nodes(graph::GraphMessage, nodes) =
    GraphMessage(graph.name, nodes, graph.initializers, graph.inputs, graph.outputs, graph.values, graph.held)

function with_graphs(f, node::NodeMessage)
    any(pair -> pair.second isa GraphMessage, node.attributes) || return node
    changed(node; attributes=Pair{String,Any}[
        name => value isa GraphMessage ? f(value) : value for (name, value) in node.attributes
    ])
end

"""
A function of the file: its own names of inputs and outputs, its nodes, the opset of the standard's operators that they are written
in (`nothing` where it says none), and attributes with their defaults.
"""
struct FunctionMessage
    name::String
    domain::String
    overload::String
    inputs::Vector{String}
    outputs::Vector{String}
    nodes::Vector{NodeMessage}
    opset::Union{Int,Nothing}
    defaults::Vector{Pair{String,Any}}
end

struct ModelMessage
    ir_version::Union{Int,Nothing}
    producer::String
    opsets::Vector{Pair{String,Int}}
    metadata::Vector{Pair{String,String}}
    graph::GraphMessage
    functions::Vector{FunctionMessage}
end

# What every part of a file is read with: its bytes, and the folders that may hold the weights (or none).
struct Source
    bytes::Vector{UInt8}
    folders::Vector{String}
end

function expect_wire(field::Field, wire::Int)
    field.wire == wire || corrupt("field ", field.number, " with wire type ", field.wire, " instead of ", wire)
    field
end

function text_of(source::Source, field::Field)
    expect_wire(field, 2)
    text_field(source.bytes, field.first, field.last)
end

function scan(source::Source, field::Field)
    expect_wire(field, 2)
    scan_message(source.bytes, field.first, field.last)
end

function parse_model(source::Source)
    ir_version = nothing
    producer = ["", ""]
    opsets = Pair{String,Int}[]
    metadata = Pair{String,String}[]
    graph = nothing
    functions = FunctionMessage[]
    for field in scan_message(source.bytes)
        number = field.number
        if number == 1
            ir_version = expect_wire(field, 0).value
        elseif number == 2 || number == 3
            producer[number-1] = text_of(source, field)
        elseif number == 7
            graph = parse_graph(source, field, 1)
        elseif number == 8
            domain, version = parse_pair(source, field)
            set_pair!(opsets, default_domain(domain), version isa Int64 ? version : 0)
        elseif number == 14
            key, value = parse_pair(source, field)
            set_pair!(metadata, key, string(value))
        elseif number == 25
            push!(functions, parse_function(source, field))
        end
    end
    graph === nothing && bad_input("not a valid ONNX file: it holds no graph")
    ModelMessage(ir_version, join(filter(!isempty, producer), " "), opsets, metadata, graph, functions)
end

# "ai.onnx" is another spelling of the default domain.
default_domain(domain) = domain == "ai.onnx" ? "" : domain

# The last of equal keys counts.
function set_pair!(pairs, key, value)
    at = findfirst(pair -> pair.first == key, pairs)
    at === nothing ? push!(pairs, key => value) : (pairs[at] = key => value)
end

# Messages of two fields: an operator set (domain, version), a metadata entry (key, value).
function parse_pair(source::Source, message::Field)
    key = ""
    value = ""
    for field in scan(source, message)
        if field.number == 1
            key = text_of(source, field)
        elseif field.number == 2
            value = field.wire == 0 ? field.value : text_of(source, field)
        end
    end
    key, value
end

function parse_graph(source::Source, message::Field, depth::Int)
    depth > deepest_graph && corrupt("graphs nested more than ", deepest_graph, " deep")
    name = ""
    nodes = NodeMessage[]
    initializers = NamedTensor[]
    inputs, outputs, values = ValueInfo[], ValueInfo[], ValueInfo[]
    for field in scan(source, message)
        number = field.number
        if number == 1
            push!(nodes, parse_node(source, field, depth))
        elseif number == 2
            name = text_of(source, field)
        elseif number == 5
            push!(initializers, parse_tensor(source, field))
        elseif number == 11
            push!(inputs, parse_value_info(source, field))
        elseif number == 12
            push!(outputs, parse_value_info(source, field))
        elseif number == 13
            push!(values, parse_value_info(source, field))
        elseif number == 15
            unsupported("sparse initializers are not supported")
        end
    end
    GraphMessage(name, sort_nodes(nodes), initializers, inputs, outputs, values, Pair{String,String}[])
end

function parse_node(source::Source, message::Field, depth::Int)
    name = operator = domain = overload = ""
    inputs, outputs = String[], String[]
    attributes = Pair{String,Any}[]
    for field in scan(source, message)
        number = field.number
        if number == 1
            push!(inputs, text_of(source, field))
        elseif number == 2
            push!(outputs, text_of(source, field))
        elseif number == 3
            name = text_of(source, field)
        elseif number == 4
            operator = text_of(source, field)
        elseif number == 5
            attribute = parse_attribute(source, field, depth)
            set_pair!(attributes, attribute.first, attribute.second)
        elseif number == 7
            domain = default_domain(text_of(source, field))
        elseif number == 8
            overload = text_of(source, field)
        end
    end
    NodeMessage(name, operator, domain, inputs, outputs, attributes; overload=overload)
end

function parse_function(source::Source, message::Field)
    name = domain = overload = ""
    inputs, outputs = String[], String[]
    nodes = NodeMessage[]
    opset = nothing
    defaults = Pair{String,Any}[]
    for field in scan(source, message)
        number = field.number
        if number == 1
            name = text_of(source, field)
        elseif number == 4
            push!(inputs, text_of(source, field))
        elseif number == 5
            push!(outputs, text_of(source, field))
        elseif number == 7
            push!(nodes, parse_node(source, field, 1))
        elseif number == 9
            of, version = parse_pair(source, field)
            isempty(default_domain(of)) && (opset = version isa Int64 ? Int(version) : 0)
        elseif number == 10
            domain = text_of(source, field)
        elseif number == 11
            attribute = parse_attribute(source, field, 1)
            set_pair!(defaults, attribute.first, attribute.second)
        elseif number == 13
            overload = text_of(source, field)
        end
    end
    FunctionMessage(name, domain, overload, inputs, outputs, sort_nodes(nodes), opset, defaults)
end

"""
A name and a value: an `Int`, a `Float64` (a value of `Float32`), a `String`, vectors of these, a [`NamedTensor`](@ref), a
`GraphMessage`, an [`AttributeReference`](@ref), or an `UnsupportedAttribute`.
"""
function parse_attribute(source::Source, message::Field, depth::Int)
    name = ""
    kind = 0
    reference = nothing
    parts = Dict{Int,Any}()
    for field in scan(source, message)
        number = field.number
        if number == 1
            name = text_of(source, field)
        elseif number == 2
            parts[2] = only_value(floats_of(source, expect_wire(field, 5)))
        elseif number == 3
            parts[3] = Int(expect_wire(field, 0).value)
        elseif number == 4
            parts[4] = text_of(source, field)
        elseif number == 5
            parts[5] = parse_tensor(source, field)
        elseif number == 6
            parts[6] = parse_graph(source, field, depth + 1)
        elseif number == 7
            append!(get!(() -> Float64[], parts, 7), floats_of(source, field))
        elseif number == 8
            append!(get!(() -> Int[], parts, 8), varints_of(source, field))
        elseif number == 9
            push!(get!(() -> String[], parts, 9), text_of(source, field))
        elseif number == 11
            # Read for its depth and its refusals, but nothing uses lists of graphs.
            parse_graph(source, field, depth + 1)
            parts[10] = UnsupportedAttribute()
        elseif number == 20
            kind = expect_wire(field, 0).value
        elseif number == 21
            reference = AttributeReference(text_of(source, field))
        elseif number in (10, 14, 15, 22, 23)
            parts[10] = UnsupportedAttribute()
        end
    end
    reference === nothing || return name => reference
    # Which part counts is said by `type`; files before IR 2 leave it out.
    value = if kind == 0
        isempty(parts) ? nothing : parts[minimum(keys(parts))]
    elseif 1 <= kind <= 8
        get(parts, kind + 1, attribute_when_left_out(kind))
    else
        UnsupportedAttribute()
    end
    value === nothing && corrupt("the attribute '", name, "' without a value")
    name => value
end

# By attribute type: what the value is when its field is left out, as protobuf leaves out zeros.
function attribute_when_left_out(kind)
    kind == 1 && return 0.0
    kind == 2 && return 0
    kind == 3 && return ""
    kind == 6 && return Float64[]
    kind == 7 && return Int[]
    kind == 8 && return String[]
    nothing
end

only_value(values) = length(values) == 1 ? values[1] : corrupt("a number that is not a single one")

function floats_of(source::Source, field::Field)
    field.wire == 5 || expect_wire(field, 2)
    size = field.last - field.first + 1
    size % 4 == 0 || corrupt("floats that end within a number")
    Float64.(decode_values(source.bytes, field.first, Float32, (size ÷ 4,)))
end

# A repeated integer field: packed, or one value at a time.
function varints_of(source::Source, field::Field)
    field.wire == 0 && return Int64[field.value]
    expect_wire(field, 2)
    packed_varints(source.bytes, field.first, field.last)
end

function parse_tensor(source::Source, message::Field)
    name = ""
    shape = Int[]
    code = 0
    raw = nothing
    segmented = external = false
    typed, texts = Field[], Field[]
    entries = Pair{String,String}[]
    for field in scan(source, message)
        number = field.number
        if number == 1
            append!(shape, varints_of(source, field))
        elseif number == 2
            code = Int(expect_wire(field, 0).value)
        elseif number == 3
            segmented = true
        elseif number == 6
            push!(texts, field)
        elseif number == 8
            name = text_of(source, field)
        elseif number == 9
            raw = expect_wire(field, 2)
        elseif number == 13
            key, value = parse_pair(source, field)
            set_pair!(entries, key, string(value))
        elseif number == 14
            external = expect_wire(field, 0).value == 1
        elseif number in (4, 5, 7, 10, 11)
            push!(typed, field)
        end
    end
    what = "tensor '$name'"
    T = dtype_of_code(code, what)
    count = element_count(shape, what)
    T === String && return NamedTensor(name, parse_texts(source, texts, shape, count, what))
    segmented && unsupported("a tensor stored in segments (", what, ") is not supported")
    value = if external
        read_external(entries, source.folders, T, shape, what)
    elseif raw !== nothing
        check_bytes(T, shape, count, raw.last - raw.first + 1, what)
        decode_values(source.bytes, raw.first, T, shape)
    else
        typed_values(source, typed, T, shape, count, what)
    end
    NamedTensor(name, value)
end

function parse_texts(source::Source, fields, shape, count, what)
    length(fields) == count || bad_input(
        what, " of dtype string and shape ", shape_text(shape), " needs ", count, " texts but holds ", length(fields)
    )
    texts = String[text_of(source, field) for field in fields]
    # Zeros end a text where it travels as bytes.
    any(text -> '\0' in text, texts) && unsupported("a text with a zero byte (", what, ") is not supported")
    from_row_major(texts, shape)
end

function check_bytes(T, shape, count, held, what)
    held == count * sizeof(T) || bad_input(
        what, " of dtype ", dtype_name(T), " and shape ", shape_text(shape), " needs ", count * sizeof(T),
        " bytes but holds ", held
    )
end

# A tensor whose values are in a typed field instead of raw_data.
function typed_values(source::Source, fields, ::Type{T}, shape, count, what) where {T}
    number = T == Float32 ? 4 : T == Float64 ? 10 : T == Int64 ? 7 : T in (UInt32, UInt64) ? 11 : 5
    fields = filter(field -> field.number == number, fields)
    if T in (Float32, Float64)
        bytes = UInt8[]
        for field in fields
            field.wire == (T == Float32 ? 5 : 1) || expect_wire(field, 2)
            (field.last - field.first + 1) % sizeof(T) == 0 || corrupt("floats that end within a number")
            append!(bytes, @view source.bytes[field.first:field.last])
        end
        check_bytes(T, shape, count, length(bytes), what)
        return decode_values(bytes, 1, T, shape)
    end
    values = Int64[]
    for field in fields
        append!(values, varints_of(source, field))
    end
    check_bytes(T, shape, count, length(values) * sizeof(T), what)
    from_row_major(T[from_typed(T, value) for value in values], shape)
end

# Narrow floating-point formats are kept as the bits of an integer.
from_typed(::Type{T}, value::Int64) where {T<:Narrow} = reinterpret(T, value % UInt16)
from_typed(::Type{T}, value::Int64) where {T<:Integer} = value % T
from_typed(::Type{Bool}, value::Int64) = value != 0

function parse_value_info(source::Source, message::Field)
    name = ""
    dtype = shape = nothing
    kind = "tensor"
    for field in scan(source, message)
        if field.number == 1
            name = text_of(source, field)
        elseif field.number == 2
            for type in scan(source, field)
                expect_wire(type, 2)
                if type.number == 1
                    dtype, shape = parse_tensor_type(source, type)
                elseif type.number == 4
                    kind, dtype, shape = parse_sequence_type(source, type)
                else
                    kind = get(Dict(5 => "map", 8 => "sparse tensor", 9 => "optional"), type.number, kind)
                end
            end
        end
    end
    ValueInfo(name, dtype, shape, kind)
end

const maps_kind = "sequence of maps"

# The kind of a sequence; of one of maps also what is known of their values as an array of samples and keys.
function parse_sequence_type(source::Source, message::Field)
    # The type of an element, of it the map, the type of its values, and that as a tensor.
    for number in (1, 5, 2, 1)
        fields = filter(field -> field.number == number && field.wire == 2, scan(source, message))
        isempty(fields) && return "sequence", nothing, nothing
        message = fields[1]
    end
    maps_kind, parse_tensor_type(source, message)[1], Union{Int,String,Nothing}[nothing, nothing]
end

function parse_tensor_type(source::Source, message::Field)
    dtype = shape = nothing
    for field in scan(source, message)
        if field.number == 1
            code = expect_wire(field, 0).value
            dtype = 1 <= code <= length(dtype_names) ? dtype_names[code] : nothing
        elseif field.number == 2
            axes = filter(axis -> axis.number == 1, scan(source, field))
            shape = Union{Int,String,Nothing}[parse_axis(source, axis) for axis in axes]
        end
    end
    dtype, shape
end

function parse_axis(source::Source, message::Field)
    for field in scan(source, message)
        field.number == 1 && return Int(expect_wire(field, 0).value)
        field.number == 2 && return text_of(source, field)
    end
    nothing
end
