# PatchCNN in Flux: the labels of an image patch, any number of them.
#
# A design of the project that it belongs to, under its licence (MIT). Needs Flux, PlainONNX to read files, and weights.jl beside
# it. The names of the layers are those of the twin in native/pytorch/patchcnn.py and of the harness's canonical weights.
#
#   include("patchcnn.jl")
#   model = patchcnn_load("weights.safetensors")   # with model.json beside it
#   model(randn(Float32, 12, 16, 4, 8))

using Flux: BatchNorm, Chain, CrossCor, Dense, GlobalMeanPool, MaxPool, flatten, relu, sigmoid

# A module that was made by `Module` has no `include` of its own.
isdefined(@__MODULE__, :canonical_load) || Base.include(@__MODULE__, joinpath(@__DIR__, "weights.jl"))

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

"""
    patchcnn_parameters(model)

The arrays that a PatchCNN holds, by canonical name, in the canonical layout with the axes reversed.
"""
patchcnn_parameters(model::Chain) = canonical_parameters(model)

"""
    patchcnn_weights!(model, weights)

Put canonical weights into a PatchCNN, see [`canonical_weights!`](@ref). Returns the model, in test mode.
"""
patchcnn_weights!(model::Chain, weights::AbstractDict) = canonical_weights!(model, weights)

"""
    patchcnn_load(path; settings...)

A PatchCNN from a canonical `.safetensors` file, in test mode. `settings` are the keywords of `PatchCNN`, by default those of the
`model.json` beside the weights. Errors are those of [`canonical_load`](@ref).
"""
patchcnn_load(path::AbstractString; settings...) = canonical_load(PatchCNN, path; settings...)
