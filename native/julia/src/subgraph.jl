# Graphs inside of nodes: the bodies of Loop and Scan, the branches of If.
#
# A subgraph reads names of the graphs around it. What it reads so is captured: an input of the node that holds the subgraph, after
# its own ones, so that whatever follows the inputs of a node (when a value may go, where a gradient arrives) needs to know nothing
# of subgraphs. Its initializers become initializers of the main graph, which it captures: they are read once, however often it runs.

# The graphs that a parsed node, or a prepared one, holds: name of the attribute and graph.
subgraphs(node::NodeMessage) = [name => graph for (name, graph) in node.attributes if graph isa GraphMessage]
subgraphs(node::Node) = sort!([name => body for (name, body) in node.attributes if body isa Body]; by=first)

"""A parsed graph and, recursively, those in its nodes."""
with_subgraphs(graph::GraphMessage) = reduce(
    vcat, (with_subgraphs(inner) for node in graph.nodes for (_, inner) in subgraphs(node)); init=GraphMessage[graph]
)

"""
    lift_initializers(graph)

The parsed graph with the initializers of its subgraphs among its own; in their place a subgraph has `held`. They keep their names.
Where several graphs use one and the same, which ONNX allows beside each other, the second and those after it become `name#2`, and
so on, in the order of the file's nodes and by the names of their attributes.
"""
function lift_initializers(graph::GraphMessage)
    any(node -> !isempty(subgraphs(node)), graph.nodes) || return graph
    taken = Set{String}()
    take_names!(taken, graph)
    lifted = copy(graph.initializers)
    nodes = lift_from_nodes!(lifted, taken, graph.nodes)
    GraphMessage(graph.name, nodes, lifted, graph.inputs, graph.outputs, graph.values, graph.held)
end

"""
    stated_tensors(graph)

Weights that a parsed graph, or one in its nodes, holds in Constant nodes: arrays of floating point with a dimension at least, under
the names of the nodes' outputs; equal names of several graphs as [`lift_initializers`](@ref) tells them apart.
"""
stated_tensors(graph::GraphMessage) = add_stated!(NamedTensor[], Set{String}(), graph)

function add_stated!(found, taken, graph::GraphMessage)
    names = take_names!(taken, graph)
    for node in graph.nodes
        for (name, value) in node.attributes
            node.operator == "Constant" && isempty(node.domain) && name == "value" && is_a_weight(value) &&
                push!(found, NamedTensor(names[node.outputs[1]], value.value))
        end
        foreach(((_, inner),) -> add_stated!(found, taken, inner), sort!(subgraphs(node); by=first))
    end
    found
end

is_a_weight(value) = value isa NamedTensor && eltype(value.value) <: AbstractFloat && ndims(value.value) > 0

# The names of a graph's own values among those of all graphs.
function take_names!(taken, graph::GraphMessage)
    names = Dict{String,String}()
    values = (
        (info.name for info in graph.inputs), (tensor.name for tensor in graph.initializers),
        (name for node in graph.nodes for name in node.outputs if !isempty(name))
    )
    for name in Iterators.flatten(values)
        haskey(names, name) && continue
        names[name] = free_name(taken, name)
        push!(taken, names[name])
    end
    names
end

function free_name(taken, name)
    free, number = name, 1
    while free in taken
        number += 1
        free = string(name, "#", number)
    end
    free
end

function lift_from_nodes!(lifted, taken, nodes)
    map(nodes) do node
        isempty(subgraphs(node)) && return node
        # By name: their order in a file is whoever's wrote it.
        attributes = Pair{String,Any}[
            name => lift_from!(lifted, taken, value) for (name, value) in sort(node.attributes; by=first)
        ]
        changed(node; attributes=attributes)
    end
end

lift_from!(lifted, taken, value) = value

function lift_from!(lifted, taken, graph::GraphMessage)
    refuse_twice((tensor.name for tensor in graph.initializers), "initializers")
    names = take_names!(taken, graph)
    held = [tensor.name => names[tensor.name] for tensor in graph.initializers]
    append!(lifted, (NamedTensor(names[tensor.name], tensor.value) for tensor in graph.initializers))
    nodes = lift_from_nodes!(lifted, taken, graph.nodes)
    GraphMessage(graph.name, nodes, NamedTensor[], graph.inputs, graph.outputs, graph.values, held)
end

# A node's graphs prepared in place; what they read of the graph around it becomes the node's last inputs.
function prepare_subgraphs!(node::Node, context, visible)
    parsed = sort!([name => graph for (name, graph) in node.attributes if graph isa GraphMessage]; by=first)
    for (attribute, graph) in parsed
        body = try
            prepare_subgraph(graph, context, visible)
        catch error
            error isa ONNXError || rethrow()
            throw(ONNXError(error.kind, string(node_title(node), ", ", attribute, ": ", error.message)))
        end
        node.attributes[attribute] = body
        union!(node.captured, body.captured)
    end
    for (_, body) in subgraphs(node)
        append!(body.captured_at, (length(node.inputs) + findfirst(isequal(name), node.captured) for name in body.captured))
    end
end

"""
    prepare_subgraph(graph, context, outside)

A [`Body`](@ref) of a parsed subgraph whose initializers were lifted; `outside(name)` tells which names it may read.
"""
function prepare_subgraph(graph::GraphMessage, context, outside)
    foreach(check_kind, graph.inputs)
    foreach(check_kind, graph.outputs)
    given = [info.name for info in graph.inputs]
    refuse_twice(given, "inputs")
    # An input that has a default is always given.
    held = filter(pair -> !(pair.first in given), graph.held)
    resolved = resolve_nodes(graph, vcat(first.(held), given), outside, context)
    slot_of_name(name) = resolved.slots[name]
    Body(
        graph.inputs, graph.outputs, resolved.names, resolved.nodes, map(slot_of_name, given), resolved.output_slots,
        vcat(last.(held), resolved.captured), vcat(collect(1:length(held)), map(slot_of_name, resolved.captured)), Int[],
        release_plan(resolved.nodes, length(resolved.names), 0, resolved.output_slots)
    )
end

check_kind(info::ValueInfo) = info.kind in ("tensor", "sequence", "optional") ||
    unsupported("values of type ", info.kind, " (", quoted(info.name), ") are not supported")

# While a model trains, these differ from call to call, or move something.
differs_in_training(node::Node) =
    node.operator in ("Dropout", "BatchNormalization") ||
    any(pair -> any(differs_in_training, pair.second.nodes), subgraphs(node))

"""
    split_body(body, fixed)

Which nodes of a body compute the same in every step: `once` and `each`, their places, and `fixed`, all slots that do not change
from step to step; those given do not.
"""
function split_body(body::Body, fixed)
    known = falses(length(body.names))
    known[fixed] .= true
    once = falses(length(body.nodes))
    for (k, node) in enumerate(body.nodes)
        all(slot -> slot == 0 || known[slot], node.input_slots) && !differs_in_training(node) || continue
        once[k] = true
        foreach(slot -> slot > 0 && (known[slot] = true), node.output_slots)
    end
    (once=findall(once), each=findall(.!once), fixed=findall(known))
end
