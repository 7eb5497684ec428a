# SpectralNet in Flux: physical variables from a reflectance spectrum.
#
# A design of the project that it belongs to, under its licence (MIT). Needs nothing but Flux, and PlainONNX to read weights and
# settings from files. The names of the layers are those of the twin in native/pytorch/spectralnet.py and of the harness's canonical
# weights.
#
#   include("spectralnet.jl")
#   model = spectralnet_load("weights.safetensors")   # with model.json beside it
#   model(randn(Float32, 40, 8))

using Flux: BatchNorm, Chain, CrossCor, Dense, flatten, relu, testmode!
using PlainONNX: PlainONNX, safetensors_read

"""
    SpectralNet(; bands, variables, filters, kernel, dense_width, head)

A convolution along the spectrum, a dense layer, then the variables: a `Chain`.

Input: band x sample; output: variable x sample. Convolution and dense layer are followed by batch normalisation and ReLU. `head`
is what the output holds, and can be `"linear"` alone.
"""
function SpectralNet(;
    bands::Integer,
    variables::Integer,
    filters::Integer=6,
    kernel::Integer=5,
    dense_width::Integer=24,
    head::AbstractString="linear",
)
    head == "linear" || throw(ArgumentError("head must be linear, not '$head'"))
    return Chain(;
        one_channel=spectralnet_one_channel,
        # Flux's `Conv` runs through the taps backwards; PyTorch's convolution does not, and neither does this one.
        conv1=CrossCor((kernel,), 1 => filters; pad=kernel ÷ 2),
        norm1=BatchNorm(filters, relu; eps=1f-5, momentum=0.1f0),
        # Bands run fastest: all bands of the first channel, then all of the second, as in PyTorch.
        flatten=flatten,
        dense=Dense(filters * bands => dense_width),
        dense_norm=BatchNorm(dense_width, relu; eps=1f-5, momentum=0.1f0),
        output=Dense(dense_width => variables),
    )
end

"""Spectra, band x sample, as series of one channel: band x 1 x sample."""
spectralnet_one_channel(x) = reshape(x, size(x, 1), 1, size(x, 2))

# Where a canonical parameter lives in a layer, and how its array becomes the layer's own, which is also the way back. A canonical
# array is the file's row-major buffer as it lies, with its axes reversed: convolutions as Flux has them, dense layers (in, out).
spectralnet_arrays(layer::CrossCor) = ("weight" => layer.weight => identity, "bias" => layer.bias => identity)
spectralnet_arrays(layer::Dense) = ("weight" => layer.weight => permutedims, "bias" => layer.bias => identity)
spectralnet_arrays(layer::BatchNorm) = (
    "weight" => layer.γ => identity,
    "bias" => layer.β => identity,
    "running_mean" => layer.μ => identity,
    "running_var" => layer.σ² => identity,
)
spectralnet_arrays(_) = ()

"""
    spectralnet_parameters(model)

The arrays that a SpectralNet holds, by canonical name, in the canonical layout with the axes reversed.
"""
function spectralnet_parameters(model::Chain)
    return Dict("$name.$parameter" => as_canonical(array) for (name, layer) in pairs(model.layers) for
        (parameter, (array, as_canonical)) in spectralnet_arrays(layer))
end

"""
    spectralnet_weights!(model, weights)

Put canonical weights into a SpectralNet: `weights` maps canonical names to arrays with their axes reversed, as
`PlainONNX.safetensors_read` returns them. Returns the model, in test mode. Names that are missing, left over or of another
shape are an error.
"""
function spectralnet_weights!(model::Chain, weights::AbstractDict)
    # How often a batch normalisation was updated is no parameter.
    left_over = Set(name for name in keys(weights) if !endswith(name, "num_batches_tracked"))
    for (layer_name, layer) in pairs(model.layers), (parameter, (target, as_layer)) in spectralnet_arrays(layer)
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
    spectralnet_load(path; settings...)

A SpectralNet from a canonical `.safetensors` file, in test mode. `settings` are the keywords of `SpectralNet`, by default those of the
`model.json` beside the weights.
"""
function spectralnet_load(path::AbstractString; settings...)
    if isempty(settings)
        settings = spectralnet_settings(joinpath(dirname(path), "model.json"))
    end
    return spectralnet_weights!(SpectralNet(; settings...), safetensors_read(path))
end

"""The keywords of `SpectralNet` in a model specification of the harness."""
function spectralnet_settings(path::AbstractString)
    isfile(path) || error("$path is missing; give the settings of the model")
    specification = PlainONNX.parse_json(read(path, String))
    settings = Dict{Symbol,Any}(Symbol(name) => value for (name, value) in specification["hyperparameters"])
    return merge!(settings, Dict(:head => specification["head"]))
end
