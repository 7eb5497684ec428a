# Softmax and its relatives. Before opset 13 they flatten the input to two axes at `axis`; from 13 on they work along that
# one axis.

"""
    along_axis(f)

A table entry: `f` gets a tensor and the dimension to work along, and two functions, one that rounds a step and one that adds up
along a dimension. ONNX defines the family by simpler operators (ReduceMax, Sub, Exp, ReduceSum, Div, Log), so in half precision
each of those steps rounds.
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

in_steps(f, x::Array, dimension) = f(x, dimension, identity, wide_total)

function in_steps(f, x::Array{T}, dimension) where {T<:Narrow}
    rounded(values) = Float32.(T.(values))
    T.(f(Float32.(x), dimension, rounded, T === BFloat16 ? stepwise_total : wide_total))
end

wide_total(x, dimension) = sum(wide, x; dims=dimension)

# How many numbers of bfloat16 are added one to the other.
const longest_run = 64

# ONNX' own results add numbers of bfloat16 one by one and round each sum. A sum of many would stand still that way: after a
# run of them the next begins anew, and the runs are added in Float32.
function stepwise_total(x::Array{Float32}, dimension)
    after, before = extent(size(x)[1:(dimension - 1)]), extent(size(x)[(dimension + 1):end])
    values = reshape(x, after, size(x, dimension), before)
    totals = zeros(Float32, after, before)
    for b in axes(values, 3), first in 1:longest_run:size(values, 2), a in axes(values, 1)
        run = BFloat16(0)
        for k in first:min(first + longest_run - 1, size(values, 2))
            run += BFloat16(values[a, k, b])
        end
        totals[a, b] += Float32(run)
    end
    reshape(totals, ntuple(d -> d == dimension ? 1 : size(x, d), ndims(x)))
end

function softmax(x::Array{T}, dimension, rounded, total) where {T}
    powers = rounded(exp.(rounded(x .- maximum(x; dims=dimension))))
    powers ./ rounded(T.(total(powers, dimension)))
end

function log_softmax(x::Array{T}, dimension, rounded, total) where {T}
    shifted = rounded(x .- maximum(x; dims=dimension))
    totals = rounded(total(rounded(exp.(shifted)), dimension))
    shifted .- T.(rounded(log.(totals)))
end

# One at the first maximum, zero elsewhere.
function hardmax(x::Array{T}, dimension, rounded, total) where {T}
    after, before = extent(size(x)[1:(dimension - 1)]), extent(size(x)[(dimension + 1):end])
    values = reshape(x, after, size(x, dimension), before)
    places = extreme_places(>, values, false)
    T.(reshape(reshape(places, size(places, 1), 1, size(places, 2)) .== (0:(size(values, 2) - 1))', size(x)))
end
