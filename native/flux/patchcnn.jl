# PatchCNN in Flux: the labels of an image patch, any number of them.
#
# A design of the project that it belongs to, under its licence (MIT). Needs nothing but Flux, and PlainONNX to read weights and
# settings from files. The names of the layers are those of the twin in native/pytorch/patchcnn.py and of the harness's canonical
# weights.
#
#   include("patchcnn.jl")
#   model = patchcnn_load("weights.safetensors")   # with model.json beside it
#   model(randn(Float32, 12, 16, 4, 8))

using Flux: BatchNorm, Chain, CrossCor, Dense, GlobalMeanPool, MaxPool, flatten, relu, sigmoid, testmode!
using PlainONNX: PlainONNX, safetensors_read

"""
    PatchCNN(; bands, labels, filters, head)

Two convolutions with a 2 x 2 maximum between them, the mean over all positions, then the labels: a `Chain`.

Input: column x row x band x sample; output: label x sample, 0 to 1. A last odd row or column is left out of the maximum. `head`
is what the output holds, and can be `"sigmoid"` alone.
"""
function PatchCNN(; bands::Integer, labels::Integer, filters=(16, 32), head::AbstractString="sigmoid")
    head == "sigmoid" || throw(ArgumentError("head must be sigmoid, not '$head'"))
    first, second = filters
    return Chain(;
        # Flux's `Conv` runs through the taps backwards; PyTorch's convolution does not, and neither does this one.
        conv1=CrossCor((3, 3), bands => first; pad=1),
        norm1=BatchNorm(first, relu; eps=1f-5, momentum=0.1f0),
        pool1=MaxPool((2, 2)),
        conv2=CrossCor((3, 3), first => second; pad=1),
        norm2=BatchNorm(second, relu; eps=1f-5, momentum=0.1f0),
        mean=GlobalMeanPool(),
        flatten=flatten,
        classifier=Dense(second => labels, sigmoid),
    )
end

# Where a canonical parameter lives in a layer, and how its array becomes the layer's own, which is also the way back. A canonical
# array is the file's row-major buffer as it lies, with its axes reversed: convolutions as Flux has them, dense layers (in, out).
patchcnn_arrays(layer::CrossCor) = ("weight" => layer.weight => identity, "bias" => layer.bias => identity)
patchcnn_arrays(layer::Dense) = ("weight" => layer.weight => permutedims, "bias" => layer.bias => identity)
patchcnn_arrays(layer::BatchNorm) = (
    "weight" => layer.γ => identity,
    "bias" => layer.β => identity,
    "running_mean" => layer.μ => identity,
    "running_var" => layer.σ² => identity,
)
patchcnn_arrays(_) = ()

"""
    patchcnn_parameters(model)

The arrays that a PatchCNN holds, by canonical name, in the canonical layout with the axes reversed.
"""
function patchcnn_parameters(model::Chain)
    return Dict("$name.$parameter" => as_canonical(array) for (name, layer) in pairs(model.layers) for
        (parameter, (array, as_canonical)) in patchcnn_arrays(layer))
end

"""
    patchcnn_weights!(model, weights)

Put canonical weights into a PatchCNN: `weights` maps canonical names to arrays with their axes reversed, as
`PlainONNX.safetensors_read` returns them. Returns the model, in test mode. Names that are missing, left over or of another
shape are an error.
"""
function patchcnn_weights!(model::Chain, weights::AbstractDict)
    # How often a batch normalisation was updated is no parameter.
    left_over = Set(name for name in keys(weights) if !endswith(name, "num_batches_tracked"))
    for (layer_name, layer) in pairs(model.layers), (parameter, (target, as_layer)) in patchcnn_arrays(layer)
        name = "$layer_name.$parameter"
        haskey(weights, name) || error("the weights lack $name")
        values = as_layer(weights[name])
        size(values) == size(target) ||
            error("$name is $(join(size(values), " x ")), the model wants $(join(size(target), " x "))")
        copyto!(target, values)
        delete!(left_over, name)
    end
    isempty(left_over) || error("no place for $(join(sort!(collect(left_over)), ", "))")
    return testmode!(model)
end

"""
    patchcnn_load(path; settings...)

A PatchCNN from a canonical `.safetensors` file, in test mode. `settings` are the keywords of `PatchCNN`, by default those of the
`model.json` beside the weights.
"""
function patchcnn_load(path::AbstractString; settings...)
    if isempty(settings)
        settings = patchcnn_settings(joinpath(dirname(path), "model.json"))
    end
    return patchcnn_weights!(PatchCNN(; settings...), safetensors_read(path))
end

"""The keywords of `PatchCNN` in a model specification of the harness."""
function patchcnn_settings(path::AbstractString)
    isfile(path) || error("$path is missing; give the settings of the model")
    specification = PlainONNX.parse_json(read(path, String))
    settings = Dict{Symbol,Any}(Symbol(name) => value for (name, value) in specification["hyperparameters"])
    return merge!(settings, Dict(:head => specification["head"]))
end
