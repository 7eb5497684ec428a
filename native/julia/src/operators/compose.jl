# Operators that are put together from others. Shapes and axes are ONNX's there.

"""Runs an operator as part of another one: `op(name, inputs...; attributes...)` is its first output, in the newest opset."""
struct Composer
    node::Node
end

"""
    composed(build)

A table entry: `build(op, inputs, node)` puts an operator together from others by calling `op`, see [`Composer`](@ref).
"""
composed(build) = (inputs, node) -> build(Composer(node), inputs, node)

function (op::Composer)(name::String, inputs...; attributes...)
    row = known_operators()[name]
    given = Dict{String,Any}(
        key => value isa Union{Absent,Required} ? nothing : value for (key, value) in row.attributes
    )
    foreach(((key, value),) -> given[string(key)] = value, pairs(attributes))
    node = Node(
        op.node.name, name, op.node.label, [input === nothing ? "" : "x$k" for (k, input) in enumerate(inputs)], ["y"], given,
        last(row.since), last_opset, op.node.precision, row.run
    )
    run_node(node, Any[inputs...])[1]
end

# The table is made once: an operator asks for its parts at every call.
const operators_at_hand = Ref{Any}(nothing)

function known_operators()
    operators_at_hand[] === nothing && (operators_at_hand[] = operator_table())
    operators_at_hand[]::Dict{String,Operator}
end

whole_numbers(values...) = Int64[values...]
whole_numbers(values::AbstractArray) = Int64.(vec(collect(values)))
