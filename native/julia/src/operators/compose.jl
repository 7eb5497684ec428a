# Operators that are put together from others: one text for every engine, and gradients follow it. In these texts shapes and axes are
# ONNX's.

"""Runs an operator as part of another one: `op(name, inputs...; attributes...)` is its first output, in the newest opset."""
struct Composer
    how::Any
    node::Node
end

"""
    composed(build)

A table entry: `build(op, inputs, node)` puts an operator together from others by calling `op`, see [`Composer`](@ref).
"""
composed(build) = (inputs, node) -> build(Composer(PlainSteps(), node), inputs, node)

function (op::Composer)(name::String, inputs...; attributes...)
    row = known_operators()[name]
    given = Dict{String,Any}(
        key => value isa Union{Absent,Required} ? nothing : value for (key, value) in row.attributes
    )
    foreach(((key, value),) -> given[string(key)] = value, pairs(attributes))
    node = Node(
        op.node.name, name, op.node.label, [input === nothing ? "" : "x$k" for (k, input) in enumerate(inputs)], ["y"], given,
        last(row.since), last_opset, op.node.precision, part_run(op.how, name, row.run)
    )
    compute(op.how, node, Any[inputs...])[1]
end

# What computes a part; an engine that keeps track of its steps has its own.
part_run(::Any, name, plain) = plain

# The table is made once: an operator asks for its parts at every call.
const operators_at_hand = Ref{Any}(nothing)

function known_operators()
    operators_at_hand[] === nothing && (operators_at_hand[] = operator_table())
    operators_at_hand[]::Dict{String,Operator}
end

whole_numbers(values...) = Int64[values...]
whole_numbers(values::AbstractArray) = Int64.(vec(collect(values)))
number_like(value, x::Array{T}) where {T} = fill(T(value))
part_of_axis(op, x, axis, from, to, step=1) =
    op("Slice", x, whole_numbers(from), whole_numbers(to), whole_numbers(axis), whole_numbers(step))
