# What the models of this folder share: canonical weights put into their layers and read from them, and settings read from
# model.json. The model files beside it include it.
#
# A model is a `Chain` of named layers, or a struct with a named tuple of them in `layers`; the names are those of the canonical
# weights. A model with layers of its own adds methods to `placements`.

using Flux: BatchNorm, Conv, CrossCor, Dense, testmode!
using PlainONNX: PlainONNX, safetensors_read

"""
    placements(layer)

The canonical parameters of a layer: pairs of a parameter's name and `array => conversion`. `conversion` turns the
layer's own array into the canonical one, and back. A layer without parameters has none.

A canonical array is the file's row-major buffer as it lies, with its axes reversed: (column, row, in, out) for a convolution,
(in, out) for a dense layer.
"""
placements(layer::CrossCor) = ("weight" => layer.weight => identity, "bias" => layer.bias => identity)
# Flux's `Conv` is a true convolution: it runs through the taps backwards. PyTorch's does not, nor does `CrossCor`.
placements(layer::Conv) =
    ("weight" => layer.weight => (w -> reverse(w; dims=Tuple(1:(ndims(w) - 2)))), "bias" => layer.bias => identity)
placements(layer::Dense) = ("weight" => layer.weight => permutedims, "bias" => layer.bias => identity)
placements(layer::BatchNorm) = (
    "weight" => layer.γ => identity,
    "bias" => layer.β => identity,
    "running_mean" => layer.μ => identity,
    "running_var" => layer.σ² => identity,
)
placements(_) = ()

"""
    canonical_parameters(model)

The arrays that a model holds, by canonical name (`"conv1.weight"`), in the canonical layout with the axes reversed.
"""
function canonical_parameters(model)
    return Dict("$name.$parameter" => conversion(array) for (name, layer) in pairs(model.layers) for
        (parameter, (array, conversion)) in placements(layer))
end

"""
    canonical_weights!(model, weights)

Put canonical weights into a model: `weights` maps canonical names to arrays with their axes reversed, as
`PlainONNX.safetensors_read` returns them. Returns the model, in test mode. An `ErrorException` names a weight that is missing,
left over or of another shape.
"""
function canonical_weights!(model, weights::AbstractDict)
    # How often a batch normalisation was updated is no parameter.
    left_over = Set(name for name in keys(weights) if !endswith(name, "num_batches_tracked"))
    for (layer_name, layer) in pairs(model.layers), (parameter, (target, conversion)) in placements(layer)
        name = "$layer_name.$parameter"
        haskey(weights, name) || error("the weights lack $name")
        values = conversion(weights[name])
        size(values) == size(target) ||
            error("$name is $(join(size(values), " x ")), the model wants $(join(size(target), " x "))")
        copyto!(target, values)
        delete!(left_over, name)
    end
    isempty(left_over) || error("no place for $(join(sort!(collect(left_over)), ", "))")
    return testmode!(model)
end

"""
    canonical_load(build, path; settings...)

The model `build(; settings...)` with the weights of a canonical `.safetensors` file, in test mode. `settings` are by default those
of the `model.json` beside the weights. Errors are those of `build`, [`canonical_weights!`](@ref) and [`model_settings`](@ref).
"""
function canonical_load(build, path::AbstractString; settings...)
    if isempty(settings)
        settings = model_settings(joinpath(dirname(path), "model.json"))
    end
    return canonical_weights!(build(; settings...), safetensors_read(path))
end

"""
    model_settings(path)

The keywords of a model in `model.json`, the harness's specification of it: its hyperparameters, and its `head`. An
`ErrorException` says that the file is missing.
"""
function model_settings(path::AbstractString)
    isfile(path) || error("$path is missing; give the settings of the model")
    specification = PlainONNX.parse_json(read(path, String))
    settings = Dict{Symbol,Any}(Symbol(name) => value for (name, value) in specification["hyperparameters"])
    return merge!(settings, Dict(:head => specification["head"]))
end
