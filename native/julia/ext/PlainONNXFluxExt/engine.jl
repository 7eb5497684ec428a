# The engine `julia/flux` of the serve loop, for graphs; for models written by hand see written.jl.

struct FluxEngine <: PlainONNX.Engine end

function PlainONNX.engine_named(::Val{:flux})
    PlainONNX.pin_threads()
    FluxEngine()
end

# What a serve loop holds: the model that computes, beside what the file says of itself.
struct Served
    model::FluxModel
    graph::Graph
    metadata::Dict{String,String}
    precision::DataType
end

PlainONNX.engine_name(::FluxEngine) = "flux"
PlainONNX.operators(::FluxEngine) = flux_operator_table()
PlainONNX.versions(::FluxEngine) = [
    "Flux" => string(pkgversion(Flux)), "NNlib" => string(pkgversion(NNlib)), "Zygote" => string(pkgversion(Flux.Zygote)),
    "BLAS" => PlainONNX.blas_name()
]
PlainONNX.threads(::FluxEngine) = PlainONNX.threads(PlainONNX.BaseEngine())

PlainONNX.load(::FluxEngine, path, precision) =
    endswith(path, ".safetensors") ? load_written(path, precision) : load_graph(path, precision)

function load_graph(path, precision)
    read = PlainONNX.read_model(path, precision; table=flux_operator_table(), runtime="julia/flux")
    model = Flux.testmode!(PlainONNX.as_flux_model(read))
    Served(model, model.graph, read.metadata, precision)
end

# What the model holds, in the file's own dtypes; what is no part of its state, from the file.
function PlainONNX.held_parameters(::FluxEngine, served::Served)
    state = Dict{String,Array}(
        string(name) => value for held in (served.model.parameters, served.model.buffers) for (name, value) in pairs(held)
    )
    map([served.graph.initializers; served.graph.stated]) do tensor
        value = get(state, tensor.name, nothing)
        tensor.name => value === nothing ? tensor.value : as_stored_type(eltype(tensor.value), value)
    end
end

as_stored_type(::Type{T}, value::Array{T}) where {T} = value
as_stored_type(::Type{T}, value::Array) where {T} = map(T, value)

function run_served(served, inputs, wanted)
    ordered = Tuple(inputs[info.name] for info in served.graph.inputs)
    values = starting_values(served.graph, served.model.parameters, served.model.buffers, ordered)
    for name in served.graph.optional_inputs
        haskey(inputs, name) && (values[served.graph.slots[name]] = inputs[name])
    end
    run_nodes!(values, served.graph, false, wanted)
    Any[PlainONNX.in_precision(PlainONNX.leaving(values[slot], served.graph.names[slot]), served.precision) for slot in wanted]
end

PlainONNX.predict_tensors(::FluxEngine, served::Served, inputs, batch_size, axes=PlainONNX.SampleAxes()) =
    PlainONNX.timed_batches(part -> run_served(served, part, served.graph.output_slots), served, inputs, batch_size, axes)

function PlainONNX.activations(::FluxEngine, served::Served, inputs, names)
    inputs = PlainONNX.declared_inputs(served, inputs)
    PlainONNX.check_inputs(served.graph, inputs)
    slots = [PlainONNX.slot_of(served.graph, name) for name in names]
    map(=>, names, run_served(served, inputs, slots))
end

function PlainONNX.prepare(::FluxEngine, served::Served, inputs)
    inputs = PlainONNX.declared_inputs(served, inputs)
    PlainONNX.check_inputs(served.graph, inputs)
    ordered = Tuple(inputs[info.name] for info in served.graph.inputs)
    () -> served.model(ordered...)
end
