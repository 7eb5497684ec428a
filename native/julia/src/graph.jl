# From a parsed model to a graph that can be run: every name resolved to a slot, every operator found in the table. All
# refusals by name happen here, before anything is computed.

# Files of earlier opsets are brought to the first, see modernised().
const oldest_opset = 1
const first_opset = 7
const last_opset = 28
const last_ir = 14

"""
A graph that can be run, see [`build_graph`](@ref).

`names` are the values' names by slot, `slots` the other way round; `tensors` fill the first slots, one for each of
`initializers`, which are in the file's own dtypes, as are the weights in Constant nodes, `stated`. `inputs` are those that a caller has to give; an initializer that is an
input as well may be given. `release[k]` are the slots that nothing reads after node `k`.
"""
struct Graph
    inputs::Vector{ValueInfo}
    optional_inputs::Vector{String}
    outputs::Vector{ValueInfo}
    output_slots::Vector{Int}
    names::Vector{String}
    slots::Dict{String,Int}
    initializers::Vector{NamedTensor}
    tensors::Vector{Any}
    nodes::Vector{Node}
    opset::Int
    precision::DataType
    release::Vector{Vector{Int}}
    stated::Vector{NamedTensor}
end

"""
    build_graph(model, precision; table, runtime)

Check a parsed model and prepare it to be run. `precision` is `Float32` or `Float64`, see [`onnx_read`](@ref); `table` holds
the operators, `runtime` is who refuses what is not in it.
"""
function build_graph(
    model::ModelMessage, precision::DataType; table::AbstractDict=operator_table(), runtime::String="julia/base"
)
    opset = check_opsets(model)
    context = Context(max(opset, first_opset), model.opsets, precision, table, runtime)
    isempty(model.graph.outputs) && bad_input("not a valid ONNX file: the graph has no output")
    foreach(check_value_type, model.graph.inputs)
    foreach(check_value_type, model.graph.outputs)
    file = inline_functions(model)
    opset < first_opset && (file = modernised(file, opset))
    refuse_other_maps(file)
    refuse_unknown_rounding(file, precision)
    graph = lift_initializers(file)
    held = [tensor.name for tensor in graph.initializers]
    given = [info.name for info in graph.inputs]
    refuse_twice(held, "initializers")
    refuse_twice(given, "inputs")
    resolved = resolve_nodes(graph, unique(vcat(held, given)), name -> false, context)
    tensors = Any[in_precision(tensor.value, precision) for tensor in graph.initializers]
    # A caller may give other values for an initializer that is an input as well.
    constant = Any[name in given ? nothing : value for (name, value) in zip(held, tensors)]
    refuse_drawing(resolved.nodes, copyto!(Vector{Any}(nothing, length(resolved.names)), constant))
    Graph(
        filter(info -> !(info.name in held), graph.inputs), given, graph.outputs, resolved.output_slots, resolved.names,
        resolved.slots, graph.initializers, tensors, resolved.nodes, opset, precision,
        release_plan(resolved.nodes, length(resolved.names), length(tensors), resolved.output_slots),
        stated_tensors(file)
    )
end

"""
What the nodes of a file are looked up with: its opset and those of all domains, the precision, the operators, and who refuses what
is not among them.
"""
struct Context
    opset::Int
    opsets::Vector{Pair{String,Int}}
    precision::DataType
    table::AbstractDict
    runtime::String
end

"""
    resolve_nodes(graph, given, outside, context)

The nodes of a graph with every name resolved to a slot. `given` are the names of what is there before its first node;
`outside(name)` tells whether a graph around it has computed that name by then. Returns `names`, `slots`, `nodes`, `output_slots`
and `captured`: the names of the graphs around it that the graph reads, which are the last of `names`.
"""
function resolve_nodes(graph::GraphMessage, given::Vector{String}, outside, context::Context)
    names = copy(given)
    slots = Dict{String,Int}(name => slot for (slot, name) in enumerate(names))
    # Which node makes a value: 0 before the first.
    made_at = zeros(Int, length(names))
    for (k, node) in enumerate(graph.nodes), name in node.outputs
        isempty(name) && continue
        haskey(slots, name) && bad_input("the value ", quoted(name), " is computed twice")
        push!(names, name)
        push!(made_at, k)
        slots[name] = length(names)
    end
    nodes = map(enumerate(graph.nodes)) do (k, message)
        visible(name) = haskey(slots, name) ? made_at[slots[name]] < k : outside(name)
        prepare_node(message, k, context, visible)
    end
    captured = String[]
    # What a subgraph captures was found outside of it already; here it is captured too unless it is made here.
    capture!(name) = haskey(slots, name) || (push!(captured, name); push!(names, name); push!(made_at, 0); slots[name] = length(names))
    for node in nodes
        foreach(name -> !isempty(name) && outside(name) && capture!(name), node.inputs)
        foreach(capture!, node.captured)
    end
    foreach(info -> outside(info.name) && capture!(info.name), graph.outputs)
    foreach((k, node) -> place_node(node, k, slots, made_at), eachindex(nodes), nodes)
    output_slots = [get(slots, info.name, 0) for info in graph.outputs]
    for (info, slot) in zip(graph.outputs, output_slots)
        slot == 0 && bad_input("the graph output ", quoted(info.name), " is computed by nothing")
    end
    (names=names, slots=slots, nodes=nodes, output_slots=output_slots, captured=captured)
end

# Under precision `Float64` every number with a fraction is held as a Float64.
in_precision(x::Array, precision) = x
in_precision(x::Array{<:AbstractFloat}, precision) = precision === Float64 ? map(Float64, x) : x
in_precision(x::Array{Float64}, precision) = x

# Under precision `Float64` a tensor does not tell which floating-point type the file gives it. A cast to the type of another
# tensor is then known only where nothing in the file is of half precision, to which a cast has to round.
function refuse_unknown_rounding(graph::GraphMessage, precision)
    precision === Float64 || return
    graphs = with_subgraphs(graph)
    any(graph -> any(node -> node.operator == "CastLike", graph.nodes), graphs) || return
    any(graphs) do graph
        any(info -> info.dtype in ("float16", "bfloat16"), graph.inputs) ||
            any(tensor -> tensor.value isa Array{<:Narrow}, graph.initializers) ||
            any(node -> any(names_half_precision, node.attributes), graph.nodes)
    end || return
    unsupported("operator CastLike in a graph of half precision is not supported under precision 'float64'")
end

names_half_precision((name, value)::Pair) =
    value isa NamedTensor ? value.value isa Array{<:Narrow} :
    name in ("to", "dtype") && value isa Integer && value in (10, 16)

"""
    refuse_drawing(nodes, known)

Refuse a Dropout that is switched on: it would draw other numbers in every runtime. `known` holds by slot what no input changes: a
tensor, the Constant node that makes it, or `nothing`. Where an input switches it on, the operator refuses it.
"""
function refuse_drawing(nodes, known::Vector{Any})
    for node in nodes
        node.operator == "Constant" && node.output_slots[1] > 0 && (known[node.output_slots[1]] = node)
        node.operator == "Dropout" && draws(node, known) &&
            unsupported("operator Dropout (opset ", node.opset, ", node ", node.label, "): ", drawing_words)
        for (_, body) in subgraphs(node)
            inner = Vector{Any}(nothing, length(body.names))
            inner[body.captured_slots] = known[node.input_slots[body.captured_at]]
            refuse_drawing(body.nodes, inner)
        end
    end
end

function draws(node::Node, known)
    slot(position) = position <= length(node.inputs) ? node.input_slots[position] : 0
    value(position) = slot(position) > 0 ? tensor_of(known[slot(position)]) : nothing
    mode, ratio = value(3), value(2)
    mode isa Array{Bool} && length(mode) == 1 && only(mode) || return false
    slot(2) == 0 || (ratio isa Array && length(ratio) == 1 && only(ratio) > 0)
end

tensor_of(known) = known
tensor_of(node::Node) = op_constant(Any[], node)

function refuse_twice(names, what)
    seen = Set{String}()
    for name in names
        name in seen && bad_input("two ", what, " are named ", quoted(name))
        push!(seen, name)
    end
end

function check_opsets(model::ModelMessage)
    something(model.ir_version, 0) > last_ir && unsupported(
        "IR version ", model.ir_version, " is newer than what is known (", last_ir, "); export the model again with an older exporter"
    )
    at = findfirst(pair -> isempty(pair.first), model.opsets)
    if at === nothing
        any(node -> isempty(node.domain), model.graph.nodes) &&
            bad_input("not a valid ONNX file: it does not say which opset it uses")
        return last_opset
    end
    check_opset(model.opsets[at].second, oldest_opset)
    foreach(f -> f.opset === nothing || check_opset(f.opset, first_opset), model.functions)
    model.opsets[at].second
end

check_opset(opset, first) = first <= opset <= last_opset || unsupported(
    "opset ", opset, " is not supported; opsets ", first, " to ", last_opset, " are: export the model again with one of them"
)

function check_value_type(info::ValueInfo)
    what = quoted(info.name)
    info.kind in ("tensor", maps_kind) || unsupported("values of type ", info.kind, " (", what, ") are not supported")
    info.dtype === nothing && bad_input("not a valid ONNX file: ", what, " has no dtype")
    haskey(dtype_types, info.dtype) || unsupported("dtype ", info.dtype, " (", what, ") is not supported")
end

# The opset of a domain other than the standard's.
function opset_of_domain(domain, context::Context)
    at = findfirst(pair -> pair.first == domain, context.opsets)
    at === nothing && bad_input("not a valid ONNX file: it does not say which opset of domain ", quoted(domain), " it uses")
    context.opsets[at].second
end

# Finds the node in the operator table, or refuses it. `visible(name)` tells what its subgraphs may read.
function prepare_node(message::NodeMessage, position::Int, context::Context, visible)
    label = isempty(message.name) ? "number $position" : "'$(message.name)'"
    # Operators of other domains than the default one are known by both names.
    operator = isempty(message.domain) ? message.operator : string(message.domain, ".", message.operator)
    isempty(message.domain) || haskey(context.table, operator) || unsupported(
        "operator ", message.operator, " of domain '", message.domain, "' (node ", label, ") is not supported"
    )
    opset = isempty(message.domain) ? something(message.opset, context.opset) : opset_of_domain(message.domain, context)
    what = "operator $operator (opset $opset, node $label)"
    row = get(context.table, operator, nothing)
    row === nothing && unsupported(what, " is not supported by ", context.runtime)
    version = findlast(since -> since <= opset, row.since)
    (version === nothing || opset > row.until) && unsupported(what, " does not exist in that opset")
    fewest, most = row.inputs
    count = length(message.inputs)
    fewest <= count <= most || bad_input(
        what, " has ", count, " inputs; it takes ", fewest == most ? fewest : "$fewest to $(most == typemax(Int) ? "any" : most)"
    )
    any(isempty, message.inputs[1:fewest]) && bad_input(what, " leaves out a required input")
    node = Node(
        message.name, operator, label, message.inputs, message.outputs,
        prepare_attributes(message.attributes, row, what, context.precision), row.since[version], opset, context.precision,
        row.run
    )
    prepare_subgraphs!(node, context, visible)
    if row.refuse !== nothing
        reason = row.refuse(node)
        reason === nothing || unsupported(what, ": ", reason, " is not supported")
    end
    node
end

function prepare_attributes(given, row::Operator, what, precision)
    attributes = Dict{String,Any}(
        name => default isa Union{Absent,Required} ? nothing : default for (name, default) in row.attributes
    )
    for (name, value) in given
        haskey(row.attributes, name) || unsupported(what, ": attribute ", quoted(name), " is not supported")
        fitting = as_kind(attribute_kind(row.attributes[name]), value)
        fitting === nothing && bad_input(what, ": attribute '", name, "' is not of the type it should be")
        attributes[name] = fitting isa NamedTensor ? in_precision(fitting.value, precision) : fitting
    end
    for (name, default) in row.attributes
        default isa Required && attributes[name] === nothing && bad_input(what, " lacks the attribute ", quoted(name))
    end
    attributes
end

# An attribute as the kind that the table asks for, or nothing. A whole number may stand for one with a fraction.
function as_kind(kind::Symbol, value)
    kind == :int && return value isa Int ? value : nothing
    kind == :float && return value isa Union{Int,Float64} ? Float64(value) : nothing
    kind == :number && return value isa Union{Int,Float64} ? value : nothing
    kind == :text && return value isa String ? value : nothing
    kind == :texts && return value isa Vector{String} ? value : nothing
    kind == :tensor && return value isa NamedTensor ? value : nothing
    kind == :type && return value isa UnsupportedAttribute ? value : nothing
    kind == :graph && return value isa GraphMessage ? value : nothing
    value isa Union{Vector{Int},Vector{Float64}} || return nothing
    kind == :ints && return value isa Vector{Int} || isempty(value) ? Vector{Int}(value) : nothing
    kind == :floats && return Vector{Float64}(value)
    value
end

# Where a node's values lie; refuses what nothing has computed by then.
function place_node(node::Node, position::Int, slots, made_at)
    for name in Iterators.flatten((node.inputs, node.captured))
        slot = isempty(name) ? 0 : get(slots, name, -1)
        slot < 0 && bad_input("node ", node.label, " reads ", quoted(name), ", which nothing computes")
        (slot > 0 && made_at[slot] >= position) && bad_input(
            "node ", node.label, " reads ", quoted(name),
            " before it is computed: the nodes are not in topological order"
        )
        push!(node.input_slots, slot)
    end
    append!(node.output_slots, (isempty(name) ? 0 : slots[name] for name in node.outputs))
    node
end

function release_plan(nodes, count::Int, kept::Int, output_slots)
    last_use = zeros(Int, count)
    for (k, node) in enumerate(nodes), slot in Iterators.flatten((node.input_slots, node.output_slots))
        slot > 0 && (last_use[slot] = k)
    end
    last_use[output_slots] .= 0
    last_use[1:kept] .= 0
    release = [Int[] for _ in nodes]
    for (slot, k) in enumerate(last_use)
        k > 0 && push!(release[k], slot)
    end
    release
end
