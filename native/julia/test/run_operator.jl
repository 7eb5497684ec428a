# One operator on arrays, as the graph runner would call it. Arrays have the ONNX shape reversed.

const PlainONNXInside = PlainONNX

"""
    run_operator(name, inputs...; opset=22, outputs=1, precision="float32", attributes...)

The result of a row of the operator table; `nothing` among the inputs is one left out. Attributes are given by keyword.
"""
function run_operator(name, inputs...; opset=22, outputs=1, precision="float32", attributes...)
    row = PlainONNXInside.operator_table()[name]
    given = Dict{String,Any}(
        key => value isa Union{PlainONNXInside.Absent,PlainONNXInside.Required} ? nothing : value
        for (key, value) in row.attributes
    )
    for (key, value) in attributes
        haskey(given, string(key)) || error("$name has no attribute $key")
        given[string(key)] = value
    end
    node = PlainONNXInside.Node(
        "", name, "'n'", ["x$k" for k in eachindex(inputs)], ["y$k" for k in 1:outputs], given,
        row.since[findlast(since -> since <= opset, row.since)], opset, precision, row.run, Int[], Int[]
    )
    reason = row.refuse === nothing ? nothing : row.refuse(node)
    reason === nothing || PlainONNXInside.unsupported(reason, " is not supported")
    row.run(Any[inputs...], node)
end

# A tensor from its values in ONNX' order and its ONNX shape.
onnx_array(values, shape...) = from_row_major(collect(values), shape)

scalar(x) = fill(x)

# Numbers without a pattern that rounding could hide, the same at every run.
wavy(T, sizes...) = T[sin(0.7 * k) + 0.3 * cos(0.11 * k^2) for k in reshape(1:prod(sizes), sizes)]

# Whether an expression throws an ONNXError of a kind whose message holds a text.
function refused(f, kind, text)
    try
        f()
    catch error
        error isa ONNXError || rethrow()
        error.kind == kind && occursin(text, error.message) && return true
        @info "another refusal" error.kind error.message
    end
    false
end
