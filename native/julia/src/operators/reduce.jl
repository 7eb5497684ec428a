# Reductions along axes. Sums of Float32 are added up in Float64, those of half precision in Float32, and sums of integers in 64 bits
# that wrap around. What ONNX defines by simpler operators (a square, a sum, a root) rounds to half precision after each of them, and
# overflows there.

wide(x) = x
wide(x::Float32) = Float64(x)
wide(x::Narrow) = Float32(x)

total(f, x, dims) = sum(v -> wide(f(v)), x; dims=dims)
# What has to be a fraction on its way, of whatever dtype.
real_total(f, x, dims) = sum(v -> f(Float64(v)), x; dims=dims)
real_total(f, x::Array{T}, dims) where {T<:Narrow} = Float64.(T.(total(f, x, dims)))

reduced_sum(x, dims) = total(identity, x, dims)
reduced_l1(x, dims) = total(abs, x, dims)
reduced_sum_square(x, dims) = total(v -> v * v, x, dims)
reduced_l2(x, dims) = sqrt.(real_total(v -> v * v, x, dims))
reduced_log_sum(x, dims) = logarithm.(real_total(identity, x, dims))
reduced_product(x, dims) = prod(wide, x; dims=dims)

function reduced_mean(x, dims)
    count = extent(size(x, d) for d in dims)
    eltype(x) <: AbstractFloat && return reduced_sum(x, dims) ./ count
    count == 0 && bad_input("the mean of no integers")
    div.(reduced_sum(x, dims), count)
end

# Shifted by the maximum, so that exp() does not overflow.
function reduced_log_sum_exp(x, dims)
    highest = Float64.(reduced_maximum(x, dims))
    shift = ifelse.(isfinite.(highest), highest, 0.0)
    log.(sum(exp.(x .- shift); dims=dims)) .+ shift
end

reduced_maximum(x, dims) = isempty(x) ? nothing_reduced(x, dims, lowest_value(eltype(x))) : maximum(x; dims=dims)
reduced_minimum(x, dims) = isempty(x) ? nothing_reduced(x, dims, highest_value(eltype(x))) : minimum(x; dims=dims)
nothing_reduced(x::Array{T,N}, dims, value) where {T,N} = fill(value, ntuple(d -> d in dims ? 1 : size(x, d), N))

lowest_value(::Type{T}) where {T<:AbstractFloat} = T(-Inf)
lowest_value(::Type{T}) where {T<:Integer} = typemin(T)
highest_value(::Type{T}) where {T<:AbstractFloat} = T(Inf)
highest_value(::Type{T}) where {T<:Integer} = typemax(T)

# A result in the dtype of the tensor it was made from.
in_dtype(::Type{T}, values::Array) where {T} = eltype(values) === T ? values : brought_back(T, values)
brought_back(::Type{T}, values) where {T<:AbstractFloat} = (v -> narrowed(T, v)).(values)
brought_back(::Type{Bool}, values) = Array(values .!= 0)
brought_back(::Type{T}, values) where {T<:Integer} = (v -> integer_value(T, v)).(values)

"""
    reduction(f; of_one=true)

A table entry: `f` gets a tensor and the dimensions to reduce, which it keeps with size 1. `of_one` says whether `f` is the
identity on a single value.
"""
reduction(f; of_one=true) = function (inputs, node)
    x = inputs[1]
    axes = axes_of(inputs, node)
    if axes === nothing || isempty(axes)
        # Without axes nothing is reduced, but the function still applies to each value.
        axes = node.attributes["noop_with_empty_axes"] == 1 ? Int[] : collect(0:(ndims(x) - 1))
    end
    axes = unique(resolve_axes(axes, ndims(x)))
    isempty(axes) && of_one && return x
    reduce_axes(f, x, axes, node.attributes["keepdims"] == 1)
end

function reduce_axes(f, x::Array{T,N}, axes, keep) where {T,N}
    # A dimension of size 1 stands for no axis.
    isempty(axes) && return reshape(in_dtype(T, f(reshape(x, 1, size(x)...), (1,))), size(x))
    dims = Tuple(sort(N .- axes))
    result = in_dtype(T, f(x, dims))
    keep ? result : reshape(result, Tuple(size(x, d) for d in 1:N if !(d in dims)))
end

"""A table entry: the place of the largest (`>`) or smallest (`<`) value along an axis. The first NaN wins, as in numpy."""
arg_extreme(better) = widened() do inputs, node
    x = inputs[1]
    axis = resolve_axis(node.attributes["axis"], ndims(x))
    size(x, ndims(x) - axis) == 0 && bad_input("the axis is empty")
    places = extreme_places(better, axis_view(x, axis), node.attributes["select_last_index"] == 1)
    kept = replace_size(size(x), axis, 1)
    reshape(places, node.attributes["keepdims"] == 1 ? kept : Tuple(s for (d, s) in enumerate(kept) if d != ndims(x) - axis))
end

# Places counted from 0, an Array of (after, before).
function extreme_places(better, values::Array{T,3}, last::Bool) where {T}
    after, along, before = size(values)
    places = zeros(Int64, after, before)
    @inbounds for b in 1:before
        best = values[:, 1, b]
        for k in 2:along, a in 1:after
            value = values[a, k, b]
            wins = better(value, best[a]) || value != value || (last && value == best[a])
            if wins && best[a] == best[a]
                best[a] = value
                places[a, b] = k - 1
            end
        end
    end
    places
end

"""A table entry: running sums or products along the axis that the second input gives."""
cumulative(f, neutral) = widened() do inputs, node
    x = inputs[1]
    axis = resolve_axis(only_value(inputs[2], "the axis"), ndims(x))
    attributes = node.attributes
    reshape(accumulated(f, neutral, axis_view(x, axis), attributes["reverse"] == 1, attributes["exclusive"] == 1), size(x))
end

function accumulated(f, neutral, values::Array{T,3}, backwards::Bool, exclusive::Bool) where {T}
    after, along, before = size(values)
    results = similar(values)
    W = typeof(wide(zero(T)))
    running = Vector{W}(undef, after)
    @inbounds for b in 1:before
        fill!(running, W(neutral))
        for k in (backwards ? (along:-1:1) : (1:1:along)), a in 1:after
            following = f(running[a], W(values[a, k, b]))
            results[a, k, b] = exclusive ? running[a] : following
            running[a] = following
        end
    end
    results
end
