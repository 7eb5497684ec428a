# Running a prepared graph.

"""
    run_graph(graph, inputs, names)

The values named `names` (by default the graph's outputs), in that order. `inputs` is a `Dict` of tensors by name.
"""
function run_graph(graph::Graph, inputs::AbstractDict, names=nothing)
    wanted = names === nothing ? graph.output_slots : [slot_of(graph, name) for name in names]
    values = Vector{Any}(nothing, length(graph.names))
    copyto!(values, graph.tensors)
    for (name, value) in inputs
        values[graph.slots[name]] = value
    end
    kept = Set(wanted)
    run_nodes!(values, graph.nodes, 1:last_node_needed(graph, kept), graph.release, kept)
    Any[leaving(values[slot], graph.names[slot]) for slot in wanted]
end

"""How the nodes of a body are run, see `operators/control.jl`; on plain arrays it is this."""
struct PlainSteps end

compute(::PlainSteps, node::Node, arguments::Vector{Any}) = run_node(node, arguments)

# Run the nodes at the given places; `release` see `Graph`, but what is in `kept` stays.
function run_nodes!(values::Vector{Any}, nodes::Vector{Node}, places, release, kept=(), how=PlainSteps())
    for k in places
        node = nodes[k]
        arguments = Any[slot > 0 ? values[slot] : nothing for slot in node.input_slots]
        for (slot, result) in zip(node.output_slots, compute(how, node, arguments))
            slot > 0 && (values[slot] = result)
        end
        for slot in release[k]
            slot in kept || (values[slot] = nothing)
        end
    end
    values
end

function slot_of(graph::Graph, name)
    slot = get(graph.slots, name, 0)
    slot > 0 || bad_input("the graph has no value named ", quoted(name))
    slot
end

function last_node_needed(graph::Graph, slots)
    found = findlast(node -> any(in(slots), node.output_slots), graph.nodes)
    found === nothing ? 0 : found
end

node_title(node::Node) = "node $(node.label) ($(node.operator))"

# One node: its tensors, one per output. Whatever goes wrong names the node.
function run_node(node::Node, arguments::Vector{Any})
    results = try
        as_tensors(node.run(arguments, node))
    catch error
        error isa InterruptException && rethrow()
        kind = error isa ONNXError ? error.kind : :failed
        throw(ONNXError(kind, string(node_title(node), ": ", message_of(error))))
    end
    needed = something(findlast(!isempty, node.outputs), 0)
    length(results) >= needed ||
        unsupported(node_title(node), ": output number ", length(results) + 1, " is not supported")
    results
end

as_tensors(result::AbstractArray{<:Union{Number,String}}) = (dense(result),)
as_tensors(result::Number) = (dense(result),)
as_tensors(results) = map(dense, results)
