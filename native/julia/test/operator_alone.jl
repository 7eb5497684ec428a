# A row of the operator table on its own, called as the graph runner would. Arrays have the ONNX shape reversed.

isdefined(@__MODULE__, :refuses) || include("refusal.jl")

"""
    apply_operator(name, inputs...; opset=22, outputs=1, precision=Float32, attributes...)

The result of a row of the operator table; `nothing` among the inputs is one left out. Attributes are given by keyword.
"""
function apply_operator(name, inputs...; opset=22, outputs=1, precision=Float32, attributes...)
    row = PlainONNX.operator_table()[name]
    given = Dict{String,Any}(
        key => value isa Union{PlainONNX.Absent,PlainONNX.Required} ? nothing : value
        for (key, value) in row.attributes
    )
    for (key, value) in attributes
        haskey(given, string(key)) || error("$name has no attribute $key")
        given[string(key)] = value
    end
    node = PlainONNX.Node(
        "", name, "'n'", ["x$k" for k in eachindex(inputs)], ["y$k" for k in 1:outputs], given,
        row.since[findlast(since -> since <= opset, row.since)], opset, precision, row.run
    )
    reason = row.refuse === nothing ? nothing : row.refuse(node)
    reason === nothing || PlainONNX.unsupported(reason, " is not supported")
    row.run(Any[inputs...], node)
end

# A tensor from its values in ONNX' order and its ONNX shape.
onnx_array(values, shape...) = from_row_major(collect(values), shape)

scalar(x) = fill(x)

# Numbers without a pattern that rounding could hide, the same at every run.
wavy(::Type{T}, sizes...) where {T} = T[sin(0.7 * k) + 0.3 * cos(0.11 * k^2) for k in reshape(1:prod(sizes), sizes)]
