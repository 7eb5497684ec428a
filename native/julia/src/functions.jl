# Functions that a file brings along: each call becomes the nodes of the function, before anything else looks at the graph.

const deepest_call = 32

"""
    inline_functions(model)

The graph of a parsed model without calls of the file's functions. The values inside of a call become `call#1/name`, and so on, in
the order of the calls. A node keeps the opset in which its function is written.
"""
function inline_functions(model::ModelMessage)
    isempty(model.functions) && return model.graph
    functions = Dict{NTuple{3,String},FunctionMessage}()
    for f in model.functions
        haskey(functions, (f.domain, f.name, f.overload)) && bad_input("two functions are named ", quoted(f.name))
        functions[(f.domain, f.name, f.overload)] = f
    end
    inline(model.graph, functions, Calls(names_of_all(model.graph), 0), 1)
end

# The names of a graph and of those in its nodes.
function names_of_all(graph::GraphMessage)
    taken = Set{String}()
    for inner in with_subgraphs(graph)
        foreach(part -> foreach(value -> push!(taken, value.name), part), (inner.inputs, inner.outputs, inner.initializers))
        foreach(node -> union!(taken, node.inputs, node.outputs), inner.nodes)
    end
    taken
end

mutable struct Calls
    taken::Set{String}
    count::Int
end

function next_prefix!(calls::Calls)
    while true
        calls.count += 1
        prefix = string("call#", calls.count, "/")
        any(name -> startswith(name, prefix), calls.taken) || return prefix
    end
end

inline(graph::GraphMessage, functions, calls::Calls, depth::Int) =
    with_nodes(graph, inline_nodes(graph.nodes, functions, calls, depth))

function inline_nodes(nodes, functions, calls::Calls, depth::Int)
    depth > deepest_call && bad_input("functions that call each other more than ", deepest_call, " deep, or in a circle")
    found = NodeMessage[]
    for node in nodes
        f = get(functions, (node.domain, node.operator, node.overload), nothing)
        if f === nothing
            push!(found, with_graphs(graph -> inline(graph, functions, calls, depth), node))
        else
            append!(found, inline_nodes(called_nodes(f, node, next_prefix!(calls)), functions, calls, depth + 1))
        end
    end
    found
end

# The nodes of one call, in the names of the graph that calls.
function called_nodes(f::FunctionMessage, call::NodeMessage, prefix)
    length(call.inputs) <= length(f.inputs) && length(call.outputs) <= length(f.outputs) || bad_input(
        "a call of the function ", quoted(f.name), " has more inputs or outputs than the function"
    )
    filled(names, count) = vcat(names, fill("", count - length(names)))
    given, wanted = filled(call.inputs, length(f.inputs)), filled(call.outputs, length(f.outputs))
    renamed = Dict{String,String}(own => name for (own, name) in zip(f.outputs, wanted) if !isempty(name))
    merge!(renamed, Dict{String,String}(zip(f.inputs, given)))
    rename(name) = isempty(name) ? "" : get(renamed, name, prefix * name)
    # An output that is an input as it came keeps both names.
    copies = [
        NodeMessage("", "Identity", "", [renamed[own]], [name], Pair{String,Any}[])
        for (own, name) in zip(f.outputs, wanted) if !isempty(name) && own in f.inputs
    ]
    # The last of equal names counts.
    vcat(called_parts(f.nodes, rename, Dict{String,Any}([f.defaults; call.attributes]), f.opset), copies)
end

# Nodes of a function with other names, the attributes of the call, and the opset of the function.
called_parts(nodes, rename, given, opset) = map(nodes) do node
    attributes = Pair{String,Any}[]
    for (name, value) in node.attributes
        if value isa AttributeReference
            # Neither given nor with a default: as if it were not there.
            haskey(given, value.name) && push!(attributes, name => given[value.name])
        else
            push!(attributes, name => called_value(value, rename, given, opset))
        end
    end
    changed(node; inputs=map(rename, node.inputs), outputs=map(rename, node.outputs), attributes=attributes, opset=opset)
end

called_value(value, rename, given, opset) = value

function called_value(graph::GraphMessage, rename, given, opset)
    renamed(info::ValueInfo) = ValueInfo(rename(info.name), info.dtype, info.shape, info.kind)
    GraphMessage(
        graph.name, called_parts(graph.nodes, rename, given, opset),
        NamedTensor[NamedTensor(rename(tensor.name), tensor.value) for tensor in graph.initializers],
        map(renamed, graph.inputs), map(renamed, graph.outputs), map(renamed, graph.values), graph.held
    )
end
