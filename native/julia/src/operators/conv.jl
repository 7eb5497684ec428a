# Convolution as a matrix product. Rows are output positions, columns the kernel taps of the channels of a group (im2col).
# Rows are taken in tiles: of several samples where these are small, of some lines of one sample, or of a part of one line,
# so that the matrix stays close to the processor and never exceeds the workspace.

function check_convolution(node, x::Array, weight::Array)
    spatial_sizes(x)
    ndims(weight) == ndims(x) || bad_input("the weight's rank differs from the input's")
    same_dtype(x, weight)
    eltype(x) in (Float32, Float64) || bad_input("a convolution of ", dtype_name(eltype(x)))
    kernel = size(weight)[1:(ndims(weight) - 2)]
    declared = node.attributes["kernel_shape"]
    declared === nothing || Tuple(reverse(declared)) == kernel ||
        bad_input("kernel_shape ", shape_text(declared), " differs from the weight's ", shape_text(reverse(kernel)))
    kernel
end

misfit(x, weight, channels, group) = bad_input(
    "an input of ", channels, " channels does not fit a weight of shape ", shape_text(onnx_shape(weight)), " in ", group,
    " group(s)"
)

function bias_vector(bias, x::Array, filters::Int)
    bias === nothing && return zeros(eltype(x), filters)
    same_dtype(x, bias)
    length(bias) == filters || bad_input("the bias does not have ", filters, " values")
    vec(bias)
end

# x (N, C, spatial), weight (M, C / group, kernel), bias (M) -> (N, M, output).
const op_conv = widened() do inputs, node
    x, weight = inputs
    rank = ndims(x)
    kernel = check_convolution(node, x, weight)
    channels, samples = size(x, rank - 1), size(x, rank)
    filters = size(weight, rank)
    group = Int(node.attributes["group"])
    group >= 1 && channels == size(weight, rank - 1) * group && filters % group == 0 || misfit(x, weight, channels, group)
    bias = bias_vector(input(inputs, 3), x, filters)
    window = window_over(node, size(x)[1:(rank - 2)], kernel)
    sizes = (window.output..., filters, samples)
    element_count(reverse(sizes), "the output")
    result = similar(x, sizes)
    isempty(result) || convolve!(
        reshape(result, extent(window.output), filters, samples), reshape(x, extent(window.input), channels, samples),
        reshape(weight, extent(kernel) * size(weight, rank - 1), filters), bias, window, group
    )
    result
end

# All Arrays without the spatial dimensions: out (places, filters, samples), x (places, channels, samples), weight (taps and
# channels of a group, filters).
function convolve!(out::Array{T,3}, x::Array{T,3}, weight::Matrix{T}, bias::Vector{T}, w::Window, group::Int) where {T}
    size(x, 2) == group > 1 && return convolve_by_channel!(out, x, weight, bias, w)
    row_bytes = sizeof(T) * (size(weight, 1) + size(weight, 2) ÷ group)
    rows = max(1, min(max(tile_bytes ÷ row_bytes, fewest_rows), workspace_bytes ÷ row_bytes))
    places = size(out, 1)
    if 2 * places > rows
        set_to_bias!(out, bias)
        pointwise(w) ? add_pointwise!(out, x, weight, group) : add_by_lines!(out, x, weight, w, group, rows)
    else
        convolve_by_samples!(out, x, weight, bias, w, group, max(1, rows ÷ places))
    end
end

pointwise(w::Window) = all(isequal(1), w.kernel) && w.output == w.input && all(iszero, w.before) && all(isequal(1), w.strides)

function set_to_bias!(out::Array{T,3}, bias::Vector{T}) where {T}
    @inbounds for n in axes(out, 3), m in axes(out, 2)
        value = bias[m]
        @simd for p in axes(out, 1)
            out[p, m, n] = value
        end
    end
end

# With fewer rows to a tile, a product spends its time on arranging the weights.
const fewest_rows = 256

# The channels, or filters, of one group of `count` in all.
members(count::Int, group::Int, g::Int) = ((g - 1) * (count ÷ group) + 1):(g * (count ÷ group))

function add_pointwise!(out::Array{T,3}, x::Array{T,3}, weight::Matrix{T}, group::Int) where {T}
    for n in axes(out, 3), g in 1:group
        channels, filters = members(size(x, 2), group, g), members(size(out, 2), group, g)
        BLAS.gemm!('N', 'N', one(T), view(x, :, channels, n), view(weight, :, filters), one(T), view(out, :, filters, n))
    end
end

# Tiles of some lines of one sample, or of a part of one line.
function add_by_lines!(out::Array{T,3}, x::Array{T,3}, weight::Matrix{T}, w::Window, group::Int, rows::Int) where {T}
    origins = line_origins(w)
    taps, inner = outer_taps(w), line_taps(w)
    along = w.output[1]
    lines_at_once = max(1, rows ÷ along)
    part = min(along, rows)
    depth = size(weight, 1)
    with_workspace(T, lines_at_once * part * depth) do room
        for n in axes(out, 3), g in 1:group, first_line in 1:lines_at_once:length(origins), from in 1:part:along
            lines = first_line:min(first_line + lines_at_once - 1, length(origins))
            to = min(from + part - 1, along)
            columns = matrix_in(room, 0, length(lines) * (to - from + 1), depth)
            channels, filters = members(size(x, 2), group, g), members(size(out, 2), group, g)
            for (k, line) in enumerate(lines)
                fill_line!(columns, (k - 1) * (to - from + 1), x, channels, n, w, origins[line], taps, inner, from, to)
            end
            first_place = (first(lines) - 1) * along + from
            places = first_place:(first_place + size(columns, 1) - 1)
            BLAS.gemm!(
                'N', 'N', one(T), columns, view(weight, :, filters), one(T), view(out, places, filters, n)
            )
        end
    end
end

# Tiles of several whole samples, whose products are then put where they belong.
function convolve_by_samples!(
    out::Array{T,3}, x::Array{T,3}, weight::Matrix{T}, bias::Vector{T}, w::Window, group::Int, at_once::Int
) where {T}
    places, all_filters, samples = size(out)
    origins = line_origins(w)
    taps, inner = outer_taps(w), line_taps(w)
    along = w.output[1]
    depth = size(weight, 1)
    at_once = min(at_once, samples)
    width = all_filters ÷ group
    with_workspace(T, at_once * places * (depth + width)) do room
        for first_sample in 1:at_once:samples, g in 1:group
            tile = first_sample:min(first_sample + at_once - 1, samples)
            rows = length(tile) * places
            columns = matrix_in(room, 0, rows, depth)
            product = matrix_in(room, rows * depth, rows, width)
            channels, filters = members(size(x, 2), group, g), members(all_filters, group, g)
            for (s, n) in enumerate(tile), line in eachindex(origins)
                row = (s - 1) * places + (line - 1) * along
                fill_line!(columns, row, x, channels, n, w, origins[line], taps, inner, 1, along)
            end
            BLAS.gemm!('N', 'N', one(T), columns, view(weight, :, filters), zero(T), product)
            put_product!(out, product, bias, tile, filters)
        end
    end
end

function put_product!(out::Array{T,3}, product, bias::Vector{T}, tile, filters) where {T}
    places = size(out, 1)
    @inbounds for (s, n) in enumerate(tile), (k, m) in enumerate(filters)
        value = bias[m]
        row = (s - 1) * places
        @simd for p in 1:places
            out[p, m, n] = product[row + p, k] + value
        end
    end
end

# What the window sees at the outputs from..to of one line, for each tap and channel: rows row + 1, ... of the columns.
function fill_line!(
    columns, row::Int, x::Array{T,3}, channels, sample::Int, w::Window, origin, taps, inner, from::Int, to::Int
) where {T}
    column = 0
    stride = w.strides[1]
    shift = row - from + 1
    @inbounds for channel in channels, tap in taps
        start = line_start(w, origin, tap)
        for (first, last, offset) in inner
            column += 1
            first = start < 0 ? to + 1 : clamp(first, from, to + 1)
            last = clamp(last, first - 1, to)
            for o in from:(first - 1)
                columns[shift + o, column] = zero(T)
            end
            place = start + offset + 1
            if stride == 1
                @simd for o in first:last
                    columns[shift + o, column] = x[place + o - 1, channel, sample]
                end
            else
                @simd for o in first:last
                    columns[shift + o, column] = x[place + (o - 1) * stride, channel, sample]
                end
            end
            for o in (last + 1):to
                columns[shift + o, column] = zero(T)
            end
        end
    end
end

# One channel to a group: no product of matrices, but for each filter a sum of shifted lines.
function convolve_by_channel!(out::Array{T,3}, x::Array{T,3}, weight::Matrix{T}, bias::Vector{T}, w::Window) where {T}
    set_to_bias!(out, bias)
    origins = line_origins(w)
    taps, inner = outer_taps(w), line_taps(w)
    along, stride = w.output[1], w.strides[1]
    per_channel = size(out, 2) ÷ size(x, 2)
    @inbounds for n in axes(out, 3), m in axes(out, 2)
        channel = (m - 1) ÷ per_channel + 1
        for (line, origin) in enumerate(origins), (j, tap) in enumerate(taps)
            start = line_start(w, origin, tap)
            start < 0 && continue
            shift = (line - 1) * along
            for (k, (first, last, offset)) in enumerate(inner)
                factor = weight[(j - 1) * length(inner) + k, m]
                place = start + offset + 1
                if stride == 1
                    @simd for o in first:last
                        out[shift + o, m, n] = muladd(factor, x[place + o - 1, channel, n], out[shift + o, m, n])
                    end
                else
                    @simd for o in first:last
                        out[shift + o, m, n] = muladd(factor, x[place + (o - 1) * stride, channel, n], out[shift + o, m, n])
                    end
                end
            end
        end
    end
end
