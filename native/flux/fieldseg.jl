# FieldSeg in Flux: a class for every pixel of a field, from an image, the day of its year and a mask.
#
# A design of the project that it belongs to, under its licence (MIT). Needs Flux, PlainONNX to read files, and weights.jl beside
# it. The names of the layers are those of the twin in native/pytorch/fieldseg.py and of the harness's canonical weights.
#
#   include("fieldseg.jl")
#   model = fieldseg_load("weights.safetensors")   # with model.json beside it
#   model(randn(Float32, 12, 16, 4, 8), fill(180f0, 8), trues(12, 16, 8))

using Flux: BatchNorm, CrossCor, Dense, Flux, relu, softmax

# A module that was made by `Module` has no `include` of its own.
isdefined(@__MODULE__, :canonical_load) || Base.include(@__MODULE__, joinpath(@__DIR__, "weights.jl"))

# Radians per day, 2 pi / 365.25, single precision: in double precision it must be the same number.
const FIELDSEG_RADIANS_PER_DAY = 0.01720242388546467f0

"""
    FieldSeg(; bands, classes, width, head)

Two convolutions at full resolution, told the day of the year and what lies in the field, then the classes.

Inputs: `x`, column x row x band x sample; `doy`, the day of the year of each sample; `mask`, `Bool`, column x row x sample,
`true` on the pixels of the field. Outputs, a tuple: logits, column x row x class x sample; and the mean of the classes'
probabilities over the pixels of the field, class x sample, 0 where it has none. `width` is the number of channels between the
layers. `head` is what the first output holds, and can be `"logits"` alone.
"""
struct FieldSeg{L<:NamedTuple}
    layers::L
end

Flux.@layer FieldSeg

function FieldSeg(; bands::Integer, classes::Integer, width::Integer=16, head::AbstractString="logits")
    head == "logits" || throw(ArgumentError("head must be logits, not '$head'"))
    # Flux's `Conv` runs through the taps backwards; PyTorch's convolution does not, and neither do these.
    return FieldSeg((;
        season=Dense(2 => width),
        conv1=CrossCor((3, 3), bands => width; pad=1),
        norm1=BatchNorm(width; eps=1f-5, momentum=0.1f0),
        conv2=CrossCor((3, 3), width => width; pad=1),
        norm2=BatchNorm(width; eps=1f-5, momentum=0.1f0),
        context=Dense(width => width),
        classifier=CrossCor((1, 1), width => classes),
    ))
end

function (model::FieldSeg)(x::AbstractArray{T,4}, doy::AbstractVector, mask::AbstractArray{<:Number,3}) where {T}
    layers = model.layers
    everywhere(channels) = reshape(channels, 1, 1, size(channels)...)
    angle = reshape(doy .* convert(T, FIELDSEG_RADIANS_PER_DAY), 1, :)
    season = layers.season(vcat(sin.(angle), cos.(angle)))
    x = relu.(layers.norm1(layers.conv1(x)) .+ everywhere(season))
    x = relu.(layers.norm2(layers.conv2(x)))
    weight = reshape(T.(mask), size(mask, 1), size(mask, 2), 1, size(mask, 3))
    # A field without a pixel has means of 0.
    pixels = max.(dropdims(sum(weight; dims=(1, 2)); dims=(1, 2)), one(T))
    mean_of(values) = dropdims(sum(values .* weight; dims=(1, 2)); dims=(1, 2)) ./ pixels
    scores = layers.classifier(x .+ everywhere(layers.context(mean_of(x))))
    return scores, mean_of(softmax(scores; dims=3))
end

"""
    fieldseg_parameters(model)

The arrays that a FieldSeg holds, by canonical name, in the canonical layout with the axes reversed.
"""
fieldseg_parameters(model::FieldSeg) = canonical_parameters(model)

"""
    fieldseg_weights!(model, weights)

Put canonical weights into a FieldSeg, see [`canonical_weights!`](@ref). Returns the model, in test mode.
"""
fieldseg_weights!(model::FieldSeg, weights::AbstractDict) = canonical_weights!(model, weights)

"""
    fieldseg_load(path; settings...)

A FieldSeg from a canonical `.safetensors` file, in test mode. `settings` are the keywords of `FieldSeg`, by default those of the
`model.json` beside the weights. Errors are those of [`canonical_load`](@ref).
"""
fieldseg_load(path::AbstractString; settings...) = canonical_load(FieldSeg, path; settings...)
