# A model as its user sees it: read, described, called.

"""
A model read by [`onnx_read`](@ref). Call it: `m(x)`, see [`predict`](@ref).
"""
struct ONNXModel
    path::String
    precision::DataType
    ir_version::Union{Int,Nothing}
    producer::String
    opsets::Vector{Pair{String,Int}}
    metadata::Dict{String,String}
    graph::Graph
end

"""
    onnx_read(path; precision=Float32)

Read an ONNX model: check the file, and prepare its graph to be run. Whatever the package cannot do is refused here, by name,
and nothing is computed.

    m = onnx_read("model.onnx")
    m(x)

The operators of opsets $first_opset to $last_opset that are supported are listed by [`onnx_operators`](@ref). Weights may lie in
the file or in other files of the same folder, never outside it.

With `precision=Float32` every tensor has the type that the file says. With `Float64` every one with a fraction is a `Float64`,
and so is what comes out.
"""
onnx_read(path::AbstractString; precision=Float32) = read_model(path, precision)

# For any engine: `table` and `runtime` see build_graph().
function read_model(path, precision; table::AbstractDict=operator_table(), runtime::String="julia/base")
    precision in precision_types || unsupported("precision ", precision, " is not supported; Float32 and Float64 are")
    message = parse_file(path)
    ONNXModel(
        path, precision, message.ir_version, message.producer, message.opsets, Dict(message.metadata),
        build_graph(message, precision; table=table, runtime=runtime)
    )
end

# The file as messages, unchecked.
function parse_file(path::AbstractString)
    bytes = open_for_reading(path) do io
        size = filesize(io)
        size > 0 || bad_input("the file is empty: ", path)
        size < 2^31 || bad_input("the file is larger than protobuf allows (2 GiB): ", path)
        read(io)
    end
    refuse_other_file(bytes, path)
    try
        parse_model(Source(bytes, folders_of_model(path)))
    catch error
        error isa Union{InterruptException,OutOfMemoryError} && rethrow()
        kind = error isa ONNXError ? error.kind : :bad_input
        what = error isa ONNXError ? "" : "not a valid ONNX file: it holds something unreadable: "
        throw(ONNXError(kind, string(what, message_of(error), " (", path, ")")))
    end
end

(model::ONNXModel)(x; keywords...) = predict(model, x; keywords...)

"""
    onnx_operators()

The operators that are supported: name to the opsets that introduced or changed it, of those before opset $first_opset only the
last.
"""
onnx_operators() = Dict{String,Vector{Int}}(name => copy(row.since) for (name, row) in published_rows(operator_table()))

"""
    parameters(model)

The weights and other constants of the file, by their own names: plain `Array`s with the dimensions reversed.
"""
parameters(model::ONNXModel) =
    Dict{String,Array}(tensor.name => tensor.value for tensor in [model.graph.initializers; model.graph.stated])

"""
    as_flux_model(model)

The graph of a model read by [`onnx_read`](@ref) as a model of Flux that trains. Needs Flux loaded, on Julia 1.9 or newer:

    using Flux, PlainONNX
    m = as_flux_model(onnx_read("model.onnx"))
    state = Flux.setup(Adam(), m)
    loss, (gradient,) = Flux.withgradient(m -> Flux.logitcrossentropy(m(x), y), m)
    Flux.update!(state, m, gradient)
    Flux.onecold(m(x), class_names(m))

Arrays have the dimensions in reverse to the order that the file declares: for a file of N x C x W (sample, band, date) they are
W x C x N. Several outputs are a named tuple. Weights are parameters under the file's own names, `m.parameters`; the running mean
and variance of a batch normalisation, and numbers that only say how to compute, are `m.buffers`. Within a gradient, or after
`trainmode!`, batch normalisation uses and moves its statistics and dropout is active, as far as the file still has them as
operators: an exporter may have folded the one and dropped the other. Otherwise, and after `testmode!`, the model computes what the
file says. With `onnx_read(path; precision=Float64)` it does so in double precision.
"""
function as_flux_model end

# A JSON document of the metadata, or nothing.
function metadata_json(model, key)
    haskey(model.metadata, key) || return nothing
    try
        parse_json(model.metadata[key])
    catch error
        error isa JSONError || rethrow()
        bad_input("the metadata '", key, "' is not valid JSON: ", message_of(error))
    end
end

function metadata_texts(model, key)
    found = metadata_json(model, key)
    found isa Vector ? String[string(item) for item in found] : nothing
end

"""
    class_names(model)

The names of the classes, in the order of the output's axis, or `nothing` where the file names none.
"""
class_names(model) = metadata_texts(model, "harness.classes")

"""
    bands(model)

The names of the input's bands in order, or `nothing` where the file names none.
"""
bands(model) = metadata_texts(model, "harness.bands")

"""
    head(model)

What the model's scores are: `"logits"`, `"log-softmax"` or `"softmax"`, or `nothing` where the file does not say.
"""
head(model) = get(model.metadata, "harness.head", nothing)

Base.summary(io::IO, model::ONNXModel) =
    print(io, "ONNXModel ", basename(model.path), " (", length(model.graph.nodes), " nodes)")

Base.show(io::IO, model::ONNXModel) = summary(io, model)

function Base.show(io::IO, ::MIME"text/plain", model::ONNXModel)
    println(io, "ONNXModel ", basename(model.path))
    haskey(model.metadata, "harness.model") && println(io, "  model   ", model.metadata["harness.model"])
    show_values(io, model.graph.inputs, "input")
    show_values(io, model.graph.outputs, "output")
    names = class_names(model)
    names === nothing || println(io, "  classes ", join(names, ", "))
    wide = model.precision === Float64 ? ", computed in Float64" : ""
    print(io, "  ", length(model.graph.nodes), " nodes, opset ", model.graph.opset, wide)
end

function show_values(io::IO, infos, title)
    for info in infos
        type = info.kind == maps_kind ? "maps of $(info.dtype)" : info.dtype
        println(io, "  ", rpad(title, 8), info.name, ": ", type, ", ", dimensions_of_info(info))
    end
end

# In Julia's order: the reverse of the file's.
function dimensions_of_info(info::ValueInfo)
    info.shape === nothing && return "any shape"
    isempty(info.shape) && return "a scalar"
    join((axis === nothing || axis == "" ? "?" : string(axis) for axis in reverse(info.shape)), " x ")
end

"""
What [`onnx_summary`](@ref) returns: `operators` (name to how many nodes), `parameters` (name, type and size of each), `values`
(how many numbers they hold in all), `nodes`, `producer`, `opsets`, `metadata`.
"""
struct ModelSummary
    path::String
    producer::String
    opsets::Vector{Pair{String,Int}}
    nodes::Int
    operators::Dict{String,Int}
    parameters::Vector{NamedTuple{(:name, :type, :size),Tuple{String,DataType,Tuple{Vararg{Int}}}}}
    values::Int
    metadata::Dict{String,String}
end

"""
    onnx_summary(model)

What a model is made of: its operators counted, its parameters listed.
"""
function onnx_summary(model::ONNXModel)
    operators = Dict{String,Int}()
    for node in model.graph.nodes
        operators[node.operator] = get(operators, node.operator, 0) + 1
    end
    held = model.graph.initializers
    ModelSummary(
        model.path, model.producer, model.opsets, length(model.graph.nodes), operators,
        [(name=tensor.name, type=eltype(tensor.value), size=size(tensor.value)) for tensor in held],
        sum(Int[length(tensor.value) for tensor in held]), model.metadata
    )
end

function Base.show(io::IO, ::MIME"text/plain", summary::ModelSummary)
    print(io, "ONNX model ", basename(summary.path))
    isempty(summary.producer) || print(io, ", written by ", summary.producer)
    counts = sort!(collect(summary.operators); by=pair -> (-pair.second, pair.first))
    println(io, "\n", summary.nodes, " nodes: ", join(("$name $count" for (name, count) in counts), ", "))
    print(io, summary.values, " parameters in ", length(summary.parameters), " initializers")
    width = maximum(Int[0; [length(row.name) for row in summary.parameters]])
    for row in summary.parameters
        print(io, "\n  ", rpad(row.name, width), "  ", row.type, "  ", join(row.size, " x "))
    end
end
