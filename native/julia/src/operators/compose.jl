# Operators that are put together from others: one text for every engine, and gradients follow it. Shapes and axes are ONNX's there.

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
part_run(how, name, plain) = plain

# The table is made once: an operator asks for its parts at every call.
const operators_at_hand = Ref{Any}(nothing)

function known_operators()
    operators_at_hand[] === nothing && (operators_at_hand[] = operator_table())
    operators_at_hand[]::Dict{String,Operator}
end

whole_numbers(values...) = Int64[values...]
whole_numbers(values::AbstractArray) = Int64.(vec(collect(values)))

# One number of the dtype of a tensor.
number_like(value, x::Array{T}) where {T} = fill(narrowed(T, Float64(value)))

zeros_like(x::Array{T}, shape) where {T} = (element_count(shape); zeros(T, reverse(Tuple(shape))))

reshaped(op, x, shape) = op("Reshape", x, whole_numbers(shape); allowzero=1)

# A part of one axis, counted from 0, to before `to`.
part_of_axis(op, x, axis, from, to, step=1) =
    op("Slice", x, whole_numbers(from), whole_numbers(to), whole_numbers(axis), whole_numbers(step))
