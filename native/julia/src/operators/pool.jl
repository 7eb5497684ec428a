# Pools: a maximum or mean over windows of each channel by itself.

# NaN, which differs from itself, exceeds all numbers.
exceeds(b, a) = (b > a) | ((b != b) & (a == a))
larger(a, b) = ifelse(exceeds(b, a), b, a)

function pool_window(x::Array, node)
    spatial = spatial_sizes(x)
    window = window_over(node, spatial, Tuple(reverse(Int.(node.attributes["kernel_shape"]))))
    element_count(reverse((window.output..., size(x)[(end - 1):end]...)), "the output")
    window
end

"""
    over_windows(combine, map, start, finish, x, w)

For every window of every channel `finish(v, count)`, where `v` folds `map` of its values by `combine` from `start` on, and
`count` is how many places of the window lie inside the input. Padding is left out.
"""
function over_windows(combine, map, start::W, finish, x::Array{T}, w::Window) where {T,W}
    result = similar(x, (w.output..., size(x)[(end - 1):end]...))
    columns = size(x, ndims(x) - 1) * size(x, ndims(x))
    pool!(
        combine, map, start, finish, reshape(result, w.output[1], extent(Base.tail(w.output)), columns),
        reshape(x, extent(w.input), columns), w
    )
    result
end

function pool!(combine, map, start::W, finish, out::Array{T,3}, x::Matrix{T}, w::Window) where {T,W}
    origins = line_origins(w)
    taps, inner = outer_taps(w), line_taps(w)
    # How many taps lie inside, along a line and in the other dimensions.
    inside = [count(tap -> tap[1] <= o <= tap[2], inner) for o in 1:w.output[1]]
    stride = w.strides[1]
    values = Vector{W}(undef, w.output[1])
    @inbounds for column in axes(x, 2), (line, origin) in enumerate(origins)
        fill!(values, start)
        lines = 0
        for tap in taps
            start_of_line = line_start(w, origin, tap)
            start_of_line < 0 && continue
            lines += 1
            for (first, last, offset) in inner
                place = start_of_line + offset + 1
                if stride == 1
                    @simd for o in first:last
                        values[o] = combine(values[o], W(map(x[place + o - 1, column])))
                    end
                else
                    @simd for o in first:last
                        values[o] = combine(values[o], W(map(x[place + (o - 1) * stride, column])))
                    end
                end
            end
        end
        for o in eachindex(values)
            out[o, line, column] = finish(values[o], lines * inside[o])
        end
    end
end

const op_max_pool = widened() do inputs, node
    x = inputs[1]
    w = pool_window(x, node)
    largest = over_windows(larger, identity, lowest_value(eltype(x)), (v, _) -> v, x, w)
    has_output(node, 2) || return largest
    (largest, maximum_places(x, w, node.attributes["storage_order"] == 1))
end

# Where each maximum was found, counted from 0 over the whole input; column-major in ONNX' sense within the spatial axes where
# `columns_first` says so.
function maximum_places(x::Array{T}, w::Window, columns_first::Bool) where {T}
    result = zeros(Int64, (w.output..., size(x)[(end - 1):end]...))
    spatial = extent(w.input)
    order = collect(0:(spatial - 1))
    columns_first && (order = vec(permutedims(reshape(order, reverse(w.input)), length(w.input):-1:1)))
    columns = size(x, ndims(x) - 1) * size(x, ndims(x))
    places = reshape(result, w.output[1], extent(Base.tail(w.output)), columns)
    find_maxima!(places, reshape(x, spatial, columns), w, order)
    result
end

function find_maxima!(places::Array{Int64,3}, x::Matrix, w::Window, order::Vector{Int})
    origins = line_origins(w)
    taps = outer_taps(w)
    for column in axes(x, 2), (line, origin) in enumerate(origins), o in 1:w.output[1]
        best = 0
        for tap in taps, k in 1:w.kernel[1]
            start = line_start(w, origin, tap)
            along = (o - 1) * w.strides[1] + tap_offset(w, 1, k)
            (start < 0 || !(0 <= along < w.input[1])) && continue
            here = start + along + 1
            (best == 0 || exceeds(x[here, column], x[best, column])) && (best = here)
        end
        places[o, line, column] = best == 0 ? 0 : order[best] + (column - 1) * size(x, 1)
    end
end

const op_average_pool = widened() do inputs, node
    x = inputs[1]
    w = pool_window(x, node)
    T = eltype(x)
    node.attributes["count_include_pad"] == 1 || return over_windows(+, wide, wide(zero(T)), (v, n) -> T(v / n), x, w)
    totals = over_windows(+, wide, wide(zero(T)), (v, _) -> T(v), x, w)
    # The padding counts, but never what lies beyond it because of ceil_mode.
    padded = Window(
        w.kernel, w.strides, w.dilations, 0 .* w.before, 0 .* w.after, w.input .+ w.before .+ w.after, w.output
    )
    blank = zeros(T, (padded.input..., 1, 1))
    counts = over_windows(+, identity, zero(T), (_, n) -> T(n), blank, padded)
    totals ./ counts
end

const op_lp_pool = widened() do inputs, node
    x = inputs[1]
    p = node.attributes["p"]
    T = eltype(x)
    over_windows(+, v -> abs(Float64(v))^p, 0.0, (v, _) -> T(v^(1 / p)), x, pool_window(x, node))
end

# A value per channel and sample, the spatial axes kept with size 1.
function global_pool(f, x::Array)
    spatial = spatial_sizes(x)
    as_eltype(eltype(x), f(x, Tuple(1:length(spatial))))
end

const op_global_max_pool = widened((inputs, node) -> global_pool(reduced_maximum, inputs[1]))
const op_global_average_pool = widened((inputs, node) -> global_pool(reduced_mean, inputs[1]))
const op_global_lp_pool = widened() do inputs, node
    p = node.attributes["p"]
    global_pool((x, dims) -> sum(v -> abs(Float64(v))^p, x; dims=dims) .^ (1 / p), inputs[1])
end
