# TempCNN in Flux.
#
# Pelletier, Webb, Petitjean (2019): Temporal Convolutional Neural Network for the Classification of Satellite Image
# Time Series. Remote Sensing 11(5), 523. https://doi.org/10.3390/rs11050523
#
# Needs Flux, PlainONNX to read files, and weights.jl beside it. The names of the layers are those of the twin in
# native/pytorch/tempcnn.py and of the harness's canonical weights.
#
#   include("tempcnn.jl")
#   model = tempcnn_load("weights.safetensors")   # with model.json beside it, or head="logits"
#   model(randn(Float32, 45, 13, 8))

using Flux: BatchNorm, Chain, Conv, Dense, Dropout, flatten, logsoftmax, relu, softmax
using PlainONNX: PlainONNX, onnx_read, parameters, safetensors_read

# A module that was made by `Module` has no `include` of its own.
isdefined(@__MODULE__, :canonical_load) || Base.include(@__MODULE__, joinpath(@__DIR__, "weights.jl"))

const HEADS = Dict("logits" => identity, "log-softmax" => logsoftmax, "softmax" => softmax)

"""
    TempCNN(; bands, dates, classes, filters, kernels, dropouts, dense_width, dense_dropout, head)

Convolutions over time, then a dense layer, then the classes: a `Chain`.

Input: time x band x sample; output: class x sample. Every convolution keeps the length of the series and is followed by
batch normalisation, ReLU and dropout; so is the dense layer. `filters`, `kernels` and `dropouts` have one entry per
convolution. `head` is what the output holds, over the classes: `"logits"`, `"log-softmax"` or `"softmax"`.
"""
function TempCNN(;
    bands::Integer,
    dates::Integer,
    classes::Integer,
    filters=(64, 64, 64),
    kernels=(5, 5, 5),
    dropouts=(0.5, 0.5, 0.5),
    dense_width::Integer=256,
    dense_dropout::Real=0.5,
    head::AbstractString="logits",
)
    haskey(HEADS, head) || throw(ArgumentError("head must be logits, log-softmax or softmax, not '$head'"))
    length(filters) == length(kernels) == length(dropouts) ||
        throw(ArgumentError("filters, kernels and dropouts must be equally long"))
    layers = Pair{Symbol,Any}[]
    channels = bands
    for (index, (width, kernel, dropout)) in enumerate(zip(filters, kernels, dropouts))
        push!(layers, Symbol("conv", index) => Conv((kernel,), channels => width; pad=kernel ÷ 2))
        push!(layers, Symbol("norm", index) => BatchNorm(width, relu; eps=1f-5, momentum=0.1f0))
        push!(layers, Symbol("dropout", index) => Dropout(dropout))
        channels = width
    end
    # Time runs fastest: all dates of the first channel, then all of the second, as in PyTorch.
    push!(layers, :flatten => flatten)
    push!(layers, :dense => Dense(channels * dates => dense_width))
    push!(layers, :dense_norm => BatchNorm(dense_width, relu; eps=1f-5, momentum=0.1f0))
    push!(layers, :dense_dropout => Dropout(dense_dropout))
    push!(layers, :classifier => Dense(dense_width => classes))
    push!(layers, :head => HEADS[head])
    return Chain(NamedTuple(layers))
end

"""
    tempcnn_parameters(model)

The arrays that a TempCNN holds, by canonical name, in the canonical layout with the axes reversed.
"""
tempcnn_parameters(model::Chain) = canonical_parameters(model)

"""
    tempcnn_weights!(model, weights)

Put canonical weights into a TempCNN, see [`canonical_weights!`](@ref). Returns the model, in test mode.
"""
tempcnn_weights!(model::Chain, weights::AbstractDict) = canonical_weights!(model, weights)

"""
    tempcnn_load(path; dropouts, dense_dropout, head)

A TempCNN of the sizes that its weights have, in test mode. `path` is a canonical `.safetensors` file, or an `.onnx` file
whose batch normalisation is not folded. The weights do not know their head: it is by default that of the `model.json` beside
them, `"logits"` where there is none. Nor do they know dropouts, which only matter for further training. The weights of another
model, or of folded batch normalisation, are an `ErrorException`.
"""
function tempcnn_load(path::AbstractString; dropouts=nothing, dense_dropout=0.5, head=tempcnn_head(path))
    weights = endswith(path, ".onnx") ? parameters(onnx_read(path)) : safetensors_read(path)
    convolutions = count(name -> occursin(r"^conv\d+\.weight$", name), keys(weights))
    if convolutions == 0 || !haskey(weights, "dense.weight") || !haskey(weights, "classifier.weight")
        error("these are not the weights of a TempCNN: $path")
    end
    if endswith(path, ".onnx") && !haskey(weights, "norm1.weight")
        error("the weights lack norm1.weight, so batch normalisation was folded: $path")
    end
    shapes = [size(weights["conv$index.weight"]) for index in 1:convolutions]
    filters = last.(shapes)
    model = TempCNN(;
        bands=shapes[1][2],
        dates=size(weights["dense.weight"], 1) ÷ filters[end],
        classes=size(weights["classifier.weight"], 2),
        filters=filters,
        kernels=first.(shapes),
        dropouts=something(dropouts, fill(0.5, convolutions)),
        dense_width=size(weights["dense.weight"], 2),
        dense_dropout=dense_dropout,
        head=head,
    )
    return tempcnn_weights!(model, weights)
end

# What the model specification beside a file of weights says of its head.
function tempcnn_head(path)
    specification = joinpath(dirname(path), "model.json")
    return isfile(specification) ? PlainONNX.parse_json(read(specification, String))["head"] : "logits"
end
