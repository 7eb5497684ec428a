# Opsets 1 to 6, in which old files are written: their nodes become those of opset 7 before anything else looks at the graph.

# Binary operators that broadcast their second input only where an attribute says so, from an axis that another one says.
const old_broadcasting = ("Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Greater", "Less")

"""
    modernised(graph, opset)

A parsed graph of opset 1 to 6 in the words of opset 7.
"""
function modernised(graph::GraphMessage, opset::Int)
    taken = names_of_all(graph)
    made = 0
    function fresh()
        while true
            made += 1
            name = string("older#", made)
            name in taken || return name
        end
    end
    modernised(graph, opset, fresh)
end

function modernised(graph::GraphMessage, opset::Int, fresh)
    nodes = NodeMessage[]
    for node in graph.nodes
        node = with_graphs(inner -> modernised(inner, opset, fresh), node)
        isempty(node.domain) ? append!(nodes, modern_nodes(node, opset, fresh)) : push!(nodes, node)
    end
    with_nodes(graph, nodes)
end

# The nodes that stand for one of an older opset; `fresh()` gives names for what is new between them.
function modern_nodes(node::NodeMessage, opset::Int, fresh)
    given = Dict{String,Any}(node.attributes)
    # How memory may be used again, which says nothing about values.
    delete!(given, "consumed_inputs")
    operator = node.operator
    if operator in old_broadcasting
        axis = pop!(given, "axis", nothing)
        broadcast = pop!(given, "broadcast", 0) != 0
        node = with_attributes(node, given)
        return broadcast && axis !== nothing ? with_second_aligned(node, axis, fresh) : [node]
    end
    modernise_attributes!(Val(Symbol(operator)), given, opset)
    operator == "Reshape" && opset < 5 && return old_reshape(node, given, fresh)
    node = with_attributes(node, given)
    operator == "PRelu" ? with_second_aligned(node, 1, fresh) : [node]
end

with_attributes(node::NodeMessage, given::AbstractDict) =
    changed(node; attributes=sort!(Pair{String,Any}[pair for pair in given]; by=first))

# A node whose second input begins at an axis of the first.
function with_second_aligned(node::NodeMessage, axis, fresh)
    length(node.inputs) >= 2 || return [node]
    aligned = fresh()
    align = NodeMessage(node.name, "plainonnx.Align", "", node.inputs[[2, 1]], [aligned], Pair{String,Any}["axis" => axis])
    [align, changed(node; inputs=[node.inputs[1]; aligned; node.inputs[3:end]])]
end

function old_reshape(node::NodeMessage, given, fresh)
    shape = pop!(given, "shape", nothing)
    shape isa Vector && all(size -> isinteger(size), shape) || bad_input("a Reshape before opset 5 lacks the attribute 'shape'")
    name = fresh()
    constant = NamedTensor("", Vector{Int64}(shape))
    [
        NodeMessage(node.name, "Constant", "", String[], [name], Pair{String,Any}["value" => constant]),
        changed(with_attributes(node, given); inputs=[node.inputs[1:min(1, end)]; name])
    ]
end

# What becomes of attributes, by operator.
modernise_attributes!(operator, given, opset) = given

modernise_attributes!(::Val{:Gemm}, given, opset) = delete!(given, "broadcast")
modernise_attributes!(::Val{:BatchNormalization}, given, opset) = without_training!(given, "BatchNormalization")
modernise_attributes!(::Val{:Dropout}, given, opset) = without_training!(given, "Dropout")
modernise_attributes!(::Union{Val{:LSTM},Val{:GRU},Val{:RNN}}, given, opset) = delete!(given, "output_sequence")

# A node that was told to train draws or counts anew; what was told to infer is as later opsets have it.
function without_training!(given, operator)
    pop!(given, "is_test", 0) != 0 || unsupported(
        "operator ", operator, " in training mode (attribute is_test) is not supported; export the model in evaluation mode"
    )
end

const old_type_names = (
    "FLOAT", "UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64", "STRING", "BOOL", "FLOAT16", "DOUBLE", "UINT32", "UINT64"
)

function modernise_attributes!(::Val{:Cast}, given, opset)
    to = get(given, "to", nothing)
    to isa String || return
    code = findfirst(isequal(uppercase(to)), old_type_names)
    code === nothing && bad_input("a cast to '", to, "', which is no type")
    given["to"] = code
end

modernise_attributes!(::Val{:Concat}, given, opset) = opset < 4 && get!(given, "axis", 1)

function modernise_attributes!(::Val{:Pad}, given, opset)
    opset < 2 && haskey(given, "paddings") && (given["pads"] = pop!(given, "paddings"))
end

function modernise_attributes!(::Val{:LpPool}, given, opset)
    get(given, "p", nothing) isa Float64 && (given["p"] = round(Int, given["p"]))
end

function modernise_attributes!(::Val{:Selu}, given, opset)
    opset < 6 || return
    get!(given, "alpha", 1.6732)
    get!(given, "gamma", 1.0507)
end

function modernise_attributes!(::Val{:Upsample}, given, opset)
    haskey(given, "height_scale") && haskey(given, "width_scale") || return
    given["scales"] = Float64[1, 1, pop!(given, "height_scale"), pop!(given, "width_scale")]
end

# The operator plainonnx.Align: a tensor with axes of one behind, so that its first axis is an axis of the other tensor.
op_align(inputs, node) = reshape(inputs[1], aligned_sizes(size(inputs[2]), size(inputs[1]), node.attributes["axis"]))

function aligned_sizes(first, second, axis)
    behind = length(first) - resolve_axis(axis, length(first)) - length(second)
    # One value, or one for each along all axes that follow.
    extent(second) == 1 || behind <= 0 ? second : (ntuple(_ -> 1, behind)..., second...)
end
