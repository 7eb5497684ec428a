# What a row of the operator table is, and what a node becomes that was found there.

"""
    Absent(kind)

In a row's `attributes`: an attribute without a default that may be left out; the operator then finds `nothing`.
`kind` is `:int`, `:ints`, `:float`, `:floats`, `:number` (`:int` or `:float`), `:numbers`, `:text`, `:texts`, `:tensor`
`:type` or `:graph`.
"""
struct Absent
    kind::Symbol
end

"""
    Required(kind)

In a row's `attributes`: an attribute that a node must carry. Kinds as in [`Absent`](@ref).
"""
struct Required
    kind::Symbol
end

"""
    Operator(run, since, inputs, "name" => default, ...; until, refuse)

One row of the operator table.

- `run(inputs, node)`: the operator itself. `inputs` is a `Vector{Any}` of tensors, `nothing` where an optional one is left
  out; `node` a [`Node`](@ref). It returns a tensor, or a tuple or vector of tensors, one per output.
- `since`: the opsets that introduced or changed it, ascending; of those before opset 7 only the last.
- `inputs`: how many inputs: one number, or fewest and most (`typemax(Int)` where there is no most).
- `attributes`: every attribute known, with its default, [`Absent`](@ref) or [`Required`](@ref). An attribute that is not
  listed is refused, so that none is ignored silently. Numbers with a fraction are rounded to `Float32`, as ONNX stores
  attributes and their defaults.
- `until`: the last opset that has the operator.
- `refuse`: `nothing`, or a function of the node that returns `nothing` or what about it is not supported.
"""
struct Operator
    run::Any
    since::Vector{Int}
    inputs::Tuple{Int,Int}
    attributes::Dict{String,Any}
    until::Int
    refuse::Any
    function Operator(run, since::Vector{Int}, inputs::Tuple{Int,Int}, attributes::AbstractDict, until::Integer, refuse)
        rounded = Dict{String,Any}(name => as_stored_attribute(default) for (name, default) in attributes)
        new(run, since, inputs, rounded, until, refuse)
    end
end

function Operator(
    run, since::Union{Int,Vector{Int}}, inputs::Union{Int,Tuple{Int,Int}}, attributes::Pair...;
    until::Integer=typemax(Int), refuse=nothing
)
    span = inputs isa Int ? (inputs, inputs) : inputs
    Operator(run, since isa Int ? [since] : since, span, Dict{String,Any}(attributes...), until, refuse)
end

as_stored_attribute(value) = value
as_stored_attribute(value::AbstractFloat) = Float64(Float32(value))
as_stored_attribute(values::Vector{<:AbstractFloat}) = Float64.(Float32.(values))

# The kind of an attribute, as its default in the table tells it.
attribute_kind(x::Union{Absent,Required}) = x.kind
attribute_kind(::Integer) = :int
attribute_kind(::AbstractFloat) = :float
attribute_kind(::AbstractString) = :text
attribute_kind(::Vector{<:Integer}) = :ints
attribute_kind(::Vector{<:AbstractFloat}) = :floats

"""
A node of a graph, found in the operator table and checked.

`attributes` holds every attribute of the row: an `Int`, a `Float64` (a value of `Float32`, as ONNX stores it), a
`Vector{Int}`, a `Vector{Float64}`, a `String`, a `Vector{String}`, an `Array` (a tensor), a `Body` (a graph), or `nothing`
where it is left out and has no default. `label` names the node in messages; `since` is the version of the operator that
applies under the graph's `opset`; `precision` is `Float32` or `Float64`. Slots are places among the values of a run, 0
for none; the input slots are those of `inputs`, then those of `captured`: the values of the graph around it that the node's
own graphs read.
"""
mutable struct Node
    name::String
    operator::String
    label::String
    inputs::Vector{String}
    outputs::Vector{String}
    attributes::Dict{String,Any}
    since::Int
    opset::Int
    precision::DataType
    run::Any
    input_slots::Vector{Int}
    output_slots::Vector{Int}
    captured::Vector{String}
end

Node(name, operator, label, inputs, outputs, attributes, since, opset, precision, run) = Node(
    name, operator, label, inputs, outputs, attributes, since, opset, precision, run, Int[], Int[], String[]
)

"""
A subgraph that can be run, see [`prepare_subgraph`](@ref). Slots are places among its own values: those of `captured_slots` are
the inputs of its node at `captured_at`, which outside are named `captured`. `release` see [`Graph`](@ref).
"""
struct Body
    inputs::Vector{ValueInfo}
    outputs::Vector{ValueInfo}
    names::Vector{String}
    nodes::Vector{Node}
    input_slots::Vector{Int}
    output_slots::Vector{Int}
    captured::Vector{String}
    captured_slots::Vector{Int}
    captured_at::Vector{Int}
    release::Vector{Vector{Int}}
end
