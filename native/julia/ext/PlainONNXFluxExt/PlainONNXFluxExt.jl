"""
The graph of an `.onnx` file as a model of Flux that trains: `as_flux_model(onnx_read(path))`, and the engine `julia/flux` of
the serve loop, which serves such graphs and models written by hand. Loaded by Julia itself where both PlainONNX and Flux are.
"""
module PlainONNXFluxExt

using PlainONNX
using PlainONNX: Body, Graph, Node, ONNXModel, Operator, Signature, ValueInfo
using PlainONNX: axes_of, bad_input, extent, input, onnx_shape, only_value, operator_table, quoted, resolve_axes, resolve_axis
using PlainONNX: shape_text, spatial_sizes, trailing_view, unsupported, window_over

import Flux
using Flux: NNlib, Optimisers
using Flux.Functors: Functors
using Flux.NNlib: batched_mul, conv, logsoftmax, maxpool, meanpool, softmax
using Flux.Zygote.ChainRulesCore:
    AbstractZero, ChainRulesCore, HasReverseMode, NoTangent, RuleConfig, Tangent, ZeroTangent, ignore_derivatives, rrule_via_ad,
    unthunk

include("operators.jl")
include("gradients.jl")
include("control.jl")
include("joined.jl")
include("model.jl")
include("engine.jl")
include("specification.jl")
include("written.jl")
include("warm_up.jl")

end
