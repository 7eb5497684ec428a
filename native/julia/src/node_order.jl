# Nodes behind those that make what they read, as ONNX asks for: some exporters and many scripts write them in another order.

# The nodes of a graph, sorted where they have to be, which is told. Those that read each other in a circle stay, and are refused
# later.
function sort_nodes(nodes::Vector{NodeMessage})
    made_at = Dict{String,Int}()
    for (k, node) in enumerate(nodes), name in node.outputs
        isempty(name) || (made_at[name] = k)
    end
    needs = [Int[made_at[name] for name in names_read(node) if haskey(made_at, name)] for node in nodes]
    early = findall(k -> any(before -> before >= k, needs[k]), eachindex(nodes))
    isempty(early) && return nodes
    order = order_of_needs(needs)
    order === nothing && return nodes
    node = nodes[early[1]]
    more = length(early) > 1 ? " and $(length(early) - 1) more" : ""
    @info string(
        "the nodes of the file are out of order and were sorted: ", isempty(node.name) ? node.operator : quoted(node.name), more,
        " before what is read there"
    )
    nodes[order]
end

# What a node reads, and what the graphs inside of it do, their own names among them.
function names_read(node::NodeMessage)
    names = copy(node.inputs)
    for (_, value) in node.attributes
        value isa GraphMessage || continue
        append!(names, [info.name for info in value.outputs])
        foreach(inner -> append!(names, names_read(inner)), value.nodes)
    end
    filter!(!isempty, names)
end

# Places in an order in which each comes after what it needs, or nothing where there is a circle.
function order_of_needs(needs::Vector{Vector{Int}})
    state = zeros(Int, length(needs))
    order = Int[]
    for start in eachindex(needs)
        stack = [start]
        while !isempty(stack)
            place = stack[end]
            at = findfirst(before -> state[before] < 2, needs[place])
            if state[place] < 2 && at === nothing
                state[place] = 2
                push!(order, place)
            end
            if state[place] == 2
                pop!(stack)
                continue
            end
            state[place] = 1
            waiting = needs[place][at]
            state[waiting] == 1 && return nothing
            push!(stack, waiting)
        end
    end
    order
end
