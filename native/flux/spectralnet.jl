# SpectralNet in Flux: physical variables from a reflectance spectrum.
#
# A design of the project that it belongs to, under its licence (MIT). Needs Flux, PlainONNX to read files, and weights.jl beside
# it. The names of the layers are those of the twin in native/pytorch/spectralnet.py and of the harness's canonical weights.
#
#   include("spectralnet.jl")
#   model = spectralnet_load("weights.safetensors")   # with model.json beside it
#   model(randn(Float32, 40, 8))

using Flux: BatchNorm, Chain, CrossCor, Dense, flatten, relu

# A module that was made by `Module` has no `include` of its own.
isdefined(@__MODULE__, :canonical_load) || Base.include(@__MODULE__, joinpath(@__DIR__, "weights.jl"))

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

"""
    spectralnet_parameters(model)

The arrays that a SpectralNet holds, by canonical name, in the canonical layout with the axes reversed.
"""
spectralnet_parameters(model::Chain) = canonical_parameters(model)

"""
    spectralnet_weights!(model, weights)

Put canonical weights into a SpectralNet, see [`canonical_weights!`](@ref). Returns the model, in test mode.
"""
spectralnet_weights!(model::Chain, weights::AbstractDict) = canonical_weights!(model, weights)

"""
    spectralnet_load(path; settings...)

A SpectralNet from a canonical `.safetensors` file, in test mode. `settings` are the keywords of `SpectralNet`, by default those of
the `model.json` beside the weights. Errors are those of [`canonical_load`](@ref).
"""
spectralnet_load(path::AbstractString; settings...) = canonical_load(SpectralNet, path; settings...)
