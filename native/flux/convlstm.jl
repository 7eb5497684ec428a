# ConvLSTM in Flux.
#
# Shi, Chen, Wang, Yeung, Wong, Woo (2015): Convolutional LSTM Network: A Machine Learning Approach for Precipitation
# Nowcasting. Advances in Neural Information Processing Systems 28. https://arxiv.org/abs/1506.04214
#
# Needs Flux, PlainONNX to read files, and weights.jl beside it. The names of the layers are those of the twin in
# native/pytorch/convlstm.py and of the harness's canonical weights.
#
#   include("convlstm.jl")
#   model = convlstm_load("weights.safetensors")   # with model.json beside it
#   model(randn(Float32, 64, 64, 18, 1, 2))

using Flux: BatchNorm, Chain, CrossCor, Flux, leakyrelu, sigmoid

# A module that was made by `Module` has no `include` of its own.
isdefined(@__MODULE__, :canonical_load) || Base.include(@__MODULE__, joinpath(@__DIR__, "weights.jl"))

# Activations take whole arrays: Zygote differentiates a broadcast of `leakyrelu` with dual numbers, but one of a closure
# element by element.

"""An activation of an array by name: `"linear"`, `"tanh"` or `"leaky-relu"` with a slope."""
function convlstm_activation(name::AbstractString, slope::Real)
    name == "linear" && return identity
    name == "tanh" && return x -> tanh.(x)
    name == "leaky-relu" && return x -> leakyrelu.(x, convert(eltype(x), slope))
    throw(ArgumentError("an activation must be linear, tanh or leaky-relu, not '$name'"))
end

"""How far gates are open, 0 to 1, by name: `"sigmoid"` or `"hard-sigmoid"`, which is clip(0.2 x + 0.5, 0, 1)."""
function convlstm_gate(name::AbstractString)
    name == "sigmoid" && return x -> sigmoid.(x)
    name == "hard-sigmoid" && return function (x)
        slope, offset = convert.(eltype(x), (0.2f0, 0.5))
        return clamp.(slope .* x .+ offset, zero(slope), one(slope))
    end
    throw(ArgumentError("recurrent_activation must be sigmoid or hard-sigmoid, not '$name'"))
end

"""
    ConvLSTMLayer(channels => filters, kernel; activation, gate, gate_order, forget_bias)

A convolutional LSTM over time: equation 3 of the paper without peepholes.

Input: column x row x time x channel x sample; output: column x row x time x filter x sample. One convolution of the frame and
the hidden state gives the four gates, which lie in the order `gate_order` of i input, f forget, o output and g candidate.
`activation` is that of candidate and cell output, `gate` that of the three gates. The bias of the forget gate begins with
`forget_bias`, all others with 0.
"""
struct ConvLSTMLayer{C<:CrossCor,A,G}
    convolution::C
    activation::A
    gate::G
    gate_order::String
end

Flux.@layer ConvLSTMLayer

function ConvLSTMLayer(
    (channels, filters)::Pair{<:Integer,<:Integer},
    kernel::Integer;
    activation,
    gate,
    gate_order::AbstractString,
    forget_bias::Real,
)
    # Flux's `Conv` runs through the taps backwards; PyTorch's convolution does not, and neither does this one.
    convolution = CrossCor((kernel, kernel), channels + filters => 4filters; pad=kernel ÷ 2)
    convolution.bias .= 0
    first = (findfirst('f', gate_order) - 1) * filters
    convolution.bias[(first + 1):(first + filters)] .= forget_bias
    return ConvLSTMLayer(convolution, activation, gate, String(gate_order))
end

function (layer::ConvLSTMLayer)(x::AbstractArray{T,5}) where {T}
    filters = size(layer.convolution.bias, 1) ÷ 4
    hidden = cell = zeros(T, size(x, 1), size(x, 2), filters, size(x, 5))
    steps = typeof(hidden)[]
    place(gate) = (findfirst(gate, layer.gate_order) - 1) * filters
    for frame in eachslice(x; dims=3)
        convolved = layer.convolution(cat(frame, hidden; dims=3))
        part(gate) = convolved[:, :, (place(gate) + 1):(place(gate) + filters), :]
        cell = layer.gate(part('f')) .* cell .+ layer.gate(part('i')) .* layer.activation(part('g'))
        hidden = layer.gate(part('o')) .* layer.activation(cell)
        # Zygote does not differentiate `push!`.
        steps = vcat(steps, [hidden])
    end
    return stack(steps; dims=3)
end

"""
    ConvLSTM(; bands, filters, kernels, cell_activation, recurrent_activation, layer_activation, slope, gate_order,
             forget_bias, epsilon, momentum, output_kernel, head)

Stacked convolutional LSTMs, then a convolution over time and space to one band: a `Chain`.

Input: column x row x time x band x sample; output: column x row x time x 1 x sample: what follows, as many frames as were seen,
0 to 1. Every layer is followed by an activation, every layer but the last by batch normalisation too. `filters` and `kernels`
have one entry per layer; `slope` is that of every LeakyReLU; `momentum` is the weight of the new value; `output_kernel` is
time, row, column; `head` is what the output holds, and can be `"sigmoid"` alone.
"""
function ConvLSTM(;
    bands::Integer,
    filters=(64, 64, 64, 64),
    kernels=(7, 5, 3, 1),
    cell_activation::AbstractString="tanh",
    recurrent_activation::AbstractString="sigmoid",
    layer_activation::AbstractString="leaky-relu",
    slope::Real=0.01f0,
    gate_order::AbstractString="ifog",
    forget_bias::Real=0,
    epsilon::Real=1f-3,
    momentum::Real=0.99f0,
    output_kernel=(3, 3, 3),
    head::AbstractString="sigmoid",
)
    head == "sigmoid" || throw(ArgumentError("head must be sigmoid, not '$head'"))
    length(filters) == length(kernels) || throw(ArgumentError("filters and kernels must be equally long"))
    sort!(collect(gate_order)) == ['f', 'g', 'i', 'o'] ||
        throw(ArgumentError("gate_order must hold i, f, o and g once each, not '$gate_order'"))
    slope, epsilon, momentum = Float32(slope), Float32(epsilon), Float32(momentum)
    activation, gate = convlstm_activation(cell_activation, slope), convlstm_gate(recurrent_activation)
    after = convlstm_activation(layer_activation, slope)
    layers = Pair{Symbol,Any}[]
    channels = bands
    for (index, (width, kernel)) in enumerate(zip(filters, kernels))
        layer = ConvLSTMLayer(channels => width, kernel; activation, gate, gate_order, forget_bias)
        push!(layers, Symbol("lstm", index) => layer)
        push!(layers, Symbol("activation", index) => after)
        index < length(filters) &&
            push!(layers, Symbol("norm", index) => BatchNorm(width; eps=epsilon, momentum=momentum))
        channels = width
    end
    kernel = reverse(Tuple(output_kernel))
    push!(layers, :output => CrossCor(kernel, channels => 1, sigmoid; pad=kernel .÷ 2))
    return Chain(NamedTuple(layers))
end

placements(layer::ConvLSTMLayer) = placements(layer.convolution)

"""
    convlstm_parameters(model)

The arrays that a ConvLSTM holds, by canonical name, in the canonical layout with the axes reversed.
"""
convlstm_parameters(model::Chain) = canonical_parameters(model)

"""
    convlstm_weights!(model, weights)

Put canonical weights into a ConvLSTM, see [`canonical_weights!`](@ref). Returns the model, in test mode.
"""
convlstm_weights!(model::Chain, weights::AbstractDict) = canonical_weights!(model, weights)

"""
    convlstm_load(path; settings...)

A ConvLSTM from a canonical `.safetensors` file, in test mode. The weights do not know their settings: two activations make two
functions of the same weights. `settings` are the keywords of `ConvLSTM`, by default those of the
`model.json` beside the weights. Errors are those of [`canonical_load`](@ref).
"""
convlstm_load(path::AbstractString; settings...) = canonical_load(ConvLSTM, path; settings...)

"""The keywords of `ConvLSTM` in a model specification of the harness, see [`model_settings`](@ref)."""
convlstm_settings(path::AbstractString) = model_settings(path)
