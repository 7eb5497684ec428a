# Models written by hand in Flux, served from canonical weights: `weights.safetensors` with `model.json` beside it.
#
# The environment variable HARNESS_NATIVE names the folder that holds `flux/<model>.jl`. Such a file offers
# `<model>_load(path)`, a model in test mode, and `<model>_parameters(model)`, the arrays that it holds by canonical name, their
# axes reversed. The model is a `Chain` whose layers have the names of the specification; or, where it has several inputs or
# outputs, a struct of one field, `layers`, a named tuple under these names, which is called with the inputs in their order and
# returns a tuple of the outputs.

"""A model written by hand with its weights; `parameters` gives the arrays that it holds by canonical name."""
struct WrittenModel
    model::Any
    parameters::Function
    specification::Specification
    graph::Signature
    metadata::Dict{String,String}
    precision::DataType
end

const written_files = Dict{String,Module}()

function load_written(path, precision)
    beside(name) = joinpath(dirname(path), name)
    specification = read_specification(beside("model.json"))
    written = written_file(specification.model)
    check_weights(specification, path)
    metadata = read_metadata(beside("metadata.json"))
    # Their functions are younger than the serve loop that asks for them.
    offered(name) = Base.invokelatest(getproperty, written, Symbol(specification.model, name))
    model = built(() -> Base.invokelatest(offered("_load"), path), specification.model)
    # Numbers that layers hold beside their arrays stay the Float32 that they are, as every file format stores them.
    precision === Float64 && (model = Base.invokelatest(Flux.f64, model))
    signature = Signature(specification.inputs, String[], specification.outputs, precision)
    WrittenModel(model, offered("_parameters"), specification, signature, metadata, precision)
end

"""
    written_file(model)

The module of `\$HARNESS_NATIVE/flux/<model>.jl`, read once.
"""
function written_file(model)
    folder = get(ENV, "HARNESS_NATIVE", "")
    isempty(folder) && unsupported("weights alone are not supported by julia/flux without the variable HARNESS_NATIVE")
    file = joinpath(folder, "flux", "$model.jl")
    (occursin(r"^[a-z][a-z0-9_]*\z", model) && isfile(file)) ||
        unsupported("model '", model, "' is not supported by julia/flux")
    found = get!(written_files, file) do
        found = Module(Symbol(:native_flux_, model))
        Base.include(found, file)
        found
    end
    # A file that models include is no model.
    Base.invokelatest(isdefined, found, Symbol(model, "_load")) ||
        unsupported("model '", model, "' is not supported by julia/flux")
    found
end

# What a specification asks for and a model does not know is told as it tells it.
function built(build, name)
    try
        build()
    catch error
        error isa Union{InterruptException,OutOfMemoryError,ONNXError} && rethrow()
        said = sprint(showerror, error)
        # Of a method that does not fit, Julia tells the arguments first and what is wrong with them lines later.
        keyword = match(r"got unsupported keyword arguments? (.*)", said)
        said = keyword === nothing ? first(split(said, '\n')) : "it does not take the keyword $(keyword[1])"
        bad_input("model '", name, "' cannot be built: ", said)
    end
end

function PlainONNX.held_parameters(::FluxEngine, served::WrittenModel)
    held = Base.invokelatest(served.parameters, served.model)
    [name => as_stored_type(Float32, held[name]) for (name, _) in served.specification.parameters]
end

function run_written(served, inputs)
    found = Base.invokelatest(served.model, in_order(served, inputs)...)
    map(as_array, found isa Tuple ? collect(found) : [found])
end

in_order(served, inputs) = [inputs[info.name] for info in served.graph.inputs]

PlainONNX.predict_tensors(::FluxEngine, served::WrittenModel, inputs, batch_size, axes=PlainONNX.SampleAxes()) =
    PlainONNX.timed_batches(part -> run_written(served, part), served, inputs, batch_size, axes)

function PlainONNX.prepare(::FluxEngine, served::WrittenModel, inputs)
    inputs = PlainONNX.declared_inputs(served, inputs)
    PlainONNX.check_inputs(served.graph, inputs)
    ordered = in_order(served, inputs)
    () -> Base.invokelatest(served.model, ordered...)
end

function PlainONNX.activations(::FluxEngine, served::WrittenModel, inputs, names)
    layers = map(String, keys(served.model.layers))
    for name in names
        name in layers || bad_input("the model has no layer '", name, "'")
    end
    inputs = PlainONNX.declared_inputs(served, inputs)
    PlainONNX.check_inputs(served.graph, inputs)
    Base.invokelatest(layer_outputs, served.model, in_order(served, inputs), names)
end

function layer_outputs(model::Flux.Chain, inputs, names)
    x = only(inputs)
    found = Dict{String,Array}()
    for (name, layer) in pairs(model.layers)
        length(found) == length(names) && break
        if String(name) in names
            found[String(name)] = as_array(without_activation(layer)(x))
        end
        x = layer(x)
    end
    [name => found[name] for name in names]
end

# A model that is no chain is called with layers in place of its own that also record their output.
function layer_outputs(model, inputs, names)
    found = Dict{String,Array}()
    recording(name, layer) = function (x)
        result = layer(x)
        found[String(name)] = as_array(without_activation(layer)(x))
        result
    end
    layers = NamedTuple(name => String(name) in names ? recording(name, layer) : layer for (name, layer) in pairs(model.layers))
    Base.typename(typeof(model)).wrapper(layers)(inputs...)
    [name => found[name] for name in names]
end

# A layer of Flux may hold the activation that follows it, which elsewhere is no part of the layer.
without_activation(layer) = layer
function without_activation(layer::L) where {L<:Union{Flux.BatchNorm,Flux.Conv,Flux.CrossCor,Flux.Dense}}
    held = (name in (:σ, :λ) ? identity : getfield(layer, name) for name in fieldnames(L))
    Base.typename(L).wrapper(held...)
end
