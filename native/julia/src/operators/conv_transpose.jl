# The transposed convolution: every input position adds the kernel, times its value, to the output; what falls on the padding
# is cut off. It is the window of a convolution read the other way round: its outputs are the positions of the input.

# x (N, C, spatial), weight (C, M / group, kernel), bias (M) -> (N, M, output).
const op_conv_transpose = widened() do inputs, node
    x, weight = inputs
    rank = ndims(x)
    kernel = check_convolution(node, x, weight)
    channels, samples = size(x, rank - 1), size(x, rank)
    group = Int(node.attributes["group"])
    group >= 1 && channels == size(weight, rank) && channels % group == 0 || misfit(x, weight, channels, group)
    filters = size(weight, rank - 1) * group
    bias = bias_vector(input(inputs, 3), x, filters)
    window = transposed_window(node, size(x)[1:(rank - 2)], kernel)
    sizes = (window.input..., filters, samples)
    element_count(reverse(sizes), "the output")
    result = similar(x, sizes)
    out = reshape(result, extent(window.input), filters, samples)
    set_to_bias!(out, bias)
    isempty(x) || isempty(result) || spread!(
        out, reshape(x, extent(window.output), channels, samples),
        reshape(weight, extent(kernel) * size(weight, rank - 1), channels), window, group
    )
    result
end

# The sizes of the result are those of the window's input; see the ConvTranspose specification.
function transposed_window(node, spatial::NTuple{D,Int}, kernel::NTuple{D,Int}) where {D}
    strides = per_dimension(node, "strides", D, 1)
    dilations = per_dimension(node, "dilations", D, 1)
    extra = per_dimension(node, "output_padding", D, 0)
    wanted = node.attributes["output_shape"]
    # Some files give the whole shape, batch and channels included.
    wanted !== nothing && length(wanted) == D + 2 && (wanted = wanted[3:end])
    wanted === nothing || length(wanted) == D || bad_input("attribute 'output_shape' does not fit ", D, " spatial axes")
    output = wanted === nothing ? nothing : ntuple(d -> Int(wanted[D - d + 1]), D)
    before, after = padding_per_dimension(node, D)
    all(size -> size >= 1, (strides..., dilations..., kernel...)) &&
        all(size -> size >= 0, (extra..., (output === nothing ? () : output)...)) ||
        bad_input("a stride, dilation, kernel size or output size out of range")
    check_window(strides, dilations, kernel, before, after, extra)
    natural = strides .* (spatial .- 1) .+ extra .+ (kernel .- 1) .* dilations .+ 1
    auto = node.attributes["auto_pad"]
    auto in ("SAME_UPPER", "SAME_LOWER") && output === nothing && (output = spatial .* strides)
    if output === nothing
        auto == "VALID" && (before = after = 0 .* kernel)
        output = natural .- before .- after
    else
        # An output larger than the windows reach ends in zeros.
        total = max.(natural .- output, 0)
        smaller = total .÷ 2
        before = auto == "SAME_UPPER" ? smaller : total .- smaller
    end
    all(size -> size >= 1, output) || bad_input("the padding leaves no output")
    any(size -> size < 0, before) && unsupported("negative padding is not supported")
    Window{D}(kernel, strides, dilations, before, before, output, spatial)
end

# Adds to out (places, filters, samples) what x (places, channels, samples) spreads; weight is (taps and filters of a group,
# channels). Tiled like a convolution.
function spread!(out::Array{T,3}, x::Array{T,3}, weight::Matrix{T}, w::Window, group::Int) where {T}
    origins = line_origins(w)
    taps, inner = outer_taps(w), line_taps(w)
    along = w.output[1]
    depth = size(weight, 1)
    rows = clamp(tile_bytes ÷ (sizeof(T) * depth), 1, size(x, 1))
    lines_at_once = max(1, rows ÷ along)
    part = min(along, rows)
    with_workspace(T, lines_at_once * part * depth) do room
        for n in axes(out, 3), g in 1:group, first_line in 1:lines_at_once:length(origins), from in 1:part:along
            lines = first_line:min(first_line + lines_at_once - 1, length(origins))
            to = min(from + part - 1, along)
            columns = matrix_in(room, 0, length(lines) * (to - from + 1), depth)
            channels, filters = members(size(x, 2), group, g), members(size(out, 2), group, g)
            first_place = (first(lines) - 1) * along + from
            places = first_place:(first_place + size(columns, 1) - 1)
            BLAS.gemm!('N', 'T', one(T), view(x, places, channels, n), view(weight, :, channels), zero(T), columns)
            for (k, line) in enumerate(lines)
                add_line!(out, columns, (k - 1) * (to - from + 1), filters, n, w, origins[line], taps, inner, from, to)
            end
        end
    end
end

# The opposite of fill_line!: adds the rows of one line to where the window stands.
function add_line!(
    out::Array{T,3}, columns, row::Int, filters, sample::Int, w::Window, origin, taps, inner, from::Int, to::Int
) where {T}
    column = 0
    stride = w.strides[1]
    shift = row - from + 1
    @inbounds for filter in filters, tap in taps
        start = line_start(w, origin, tap)
        for (first, last, offset) in inner
            column += 1
            start < 0 && continue
            place = start + offset + 1
            # Within one tap no two windows meet.
            @simd for o in max(first, from):min(last, to)
                out[place + (o - 1) * stride, filter, sample] += columns[shift + o, column]
            end
        end
    end
end
