# Functions of one value. Formulas are those of the ONNX operator specification. A function that has no value is NaN, where
# Julia's own would throw.

"""
    unary(f, names...)

A table entry: `f` gets one value and the attributes of those names, in the dtype of the tensor.
"""
unary(f, names::String...) =
    widened((inputs, node) -> map_values(f, inputs[1], map(name -> node.attributes[name], names)))

map_values(f, x::Array{T}, numbers::Tuple) where {T} = tensor(f.(x, map(T, numbers)...))

relu(x) = ifelse(x < zero(x), zero(x), x)
leaky_relu(x, alpha) = ifelse(x < zero(x), alpha * x, x)
elu(x, alpha) = x < 0 ? alpha * expm1(x) : x
selu(x, alpha, gamma) = gamma * (x <= 0 ? alpha * expm1(x) : x)
celu(x, alpha) = max(x, zero(x)) + min(zero(x), alpha * expm1(x / alpha))
sigmoid(x) = one(x) / (one(x) + exp(-x))
hard_sigmoid(x, alpha, beta) = max(zero(x), min(one(x), alpha * x + beta))
hard_swish(x) = x * hard_sigmoid(x, oftype(x, 1 / 6), oftype(x, 0.5))
# Written so that neither exp() nor log() overflows.
softplus(x) = max(x, zero(x)) + log1p(exp(-abs(x)))
softsign(x) = x / (one(x) + abs(x))
thresholded_relu(x, alpha) = ifelse(x <= alpha, zero(x), x)
mish(x) = x * tanh(softplus(x))
swish(x, alpha) = x * sigmoid(alpha * x)

# The domain of a function is where it has a value.
within(f, x, inside::Bool) = inside ? f(x) : oftype(x, NaN)
square_root(x) = within(sqrt, x, !(x < 0))
logarithm(x) = within(log, x, !(x < 0))
sine(x) = within(sin, x, !isinf(x))
cosine(x) = within(cos, x, !isinf(x))
tangent(x) = within(tan, x, !isinf(x))
arc_sine(x) = within(asin, x, !(abs(x) > 1))
arc_cosine(x) = within(acos, x, !(abs(x) > 1))
area_cosine(x) = within(acosh, x, !(x < 1))
area_tangent(x) = within(atanh, x, !(abs(x) > 1))

gelu(x) = oftype(x, x * normal_distribution(Float64(x)))
# The approximation by tanh of Hendrycks and Gimpel (2016), arXiv:1606.08415.
gelu_by_tanh(x) =
    oftype(x, 0.5) * x * (one(x) + tanh(oftype(x, sqrt(2 / pi)) * (x + oftype(x, 0.044715) * x * x * x)))

const op_gelu = widened() do inputs, node
    tensor((node.attributes["approximate"] == "tanh" ? gelu_by_tanh : gelu).(inputs[1]))
end

function refuse_gelu(node)
    approximate = node.attributes["approximate"]
    approximate in ("none", "tanh") ? nothing : "approximation '$approximate'"
end

# The difference is zero, or NaN where there is no number.
shrink(x, bias, threshold) = x < -threshold ? x + bias : x > threshold ? x - bias : x - x

# Also of integers, whose bias and threshold may have a fraction.
const op_shrink = widened() do inputs, node
    x = inputs[1]
    bias, threshold = Float64(node.attributes["bias"]), Float64(node.attributes["lambd"])
    eltype(x) <: AbstractFloat && return map_values(shrink, x, (bias, threshold))
    tensor((v -> integer_value(eltype(x), shrink(Float64(v), bias, threshold))).(x))
end

# The slope is broadcast to the input.
const op_prelu = widened() do inputs, node
    x, slope = inputs
    same_dtype(x, slope)
    spreads_to(size(slope), size(x)) ||
        bad_input("a slope of shape ", shape_text(onnx_shape(slope)), " does not fit ", shape_text(onnx_shape(x)))
    tensor(leaky_relu.(x, slope))
end
