# Softmax and its relatives. Before opset 13 they flatten the input to two axes at `axis`; from 13 on they work along that
# one axis.

"""
    along_axis(f)

A table entry: `f` gets a tensor and the dimension to work along, and a function that rounds a step. ONNX defines the
family by simpler operators (ReduceMax, Sub, Exp, ReduceSum, Div, Log), so in half precision each of those steps rounds.
"""
along_axis(f) = function (inputs, node)
    x = inputs[1]
    isempty(x) && return x
    axis = node.attributes["axis"]
    values = if node.since < 13
        axis = axis === nothing ? 1 : axis
        trailing_view(x, axis == ndims(x) ? axis : resolve_axis(axis, ndims(x)))
    else
        axis_view(x, resolve_axis(axis === nothing ? -1 : axis, ndims(x)))
    end
    reshape(in_steps(f, values, node.since < 13 ? 1 : 2), size(x))
end

in_steps(f, x::Array, dimension) = f(x, dimension, identity)

function in_steps(f, x::Array{T}, dimension) where {T<:Narrow}
    rounded(values) = Float32.(T.(values))
    T.(f(Float32.(x), dimension, rounded))
end

function softmax(x::Array{T}, dimension, rounded) where {T}
    powers = rounded(exp.(rounded(x .- maximum(x; dims=dimension))))
    powers ./ rounded(T.(sum(wide, powers; dims=dimension)))
end

function log_softmax(x::Array{T}, dimension, rounded) where {T}
    shifted = rounded(x .- maximum(x; dims=dimension))
    totals = rounded(sum(wide, rounded(exp.(shifted)); dims=dimension))
    shifted .- T.(rounded(log.(totals)))
end

# One at the first maximum, zero elsewhere.
function hardmax(x::Array{T}, dimension, rounded) where {T}
    after, before = extent(size(x)[1:(dimension - 1)]), extent(size(x)[(dimension + 1):end])
    values = reshape(x, after, size(x, dimension), before)
    places = extreme_places(>, values, false)
    T.(reshape(reshape(places, size(places, 1), 1, size(places, 2)) .== (0:(size(values, 2) - 1))', size(x)))
end
