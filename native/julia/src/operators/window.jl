# The geometry that convolutions and pools share.

"""
Sizes of a sliding window over `D` spatial dimensions, in Julia's order (fastest first): `before` and `after` are the padding
around the `input`, `output` the number of places the window takes.
"""
struct Window{D}
    kernel::NTuple{D,Int}
    strides::NTuple{D,Int}
    dilations::NTuple{D,Int}
    before::NTuple{D,Int}
    after::NTuple{D,Int}
    input::NTuple{D,Int}
    output::NTuple{D,Int}
end

# One value per spatial dimension, in Julia's order, from an attribute that may be left out.
function per_dimension(node, name, rank::Int, otherwise::Int)
    given = node.attributes[name]
    given === nothing && return ntuple(d -> otherwise, rank)
    length(given) == rank || bad_input("attribute '", name, "' does not fit ", rank, " spatial axes")
    ntuple(d -> Int(given[rank - d + 1]), rank)
end

function padding_per_dimension(node, rank::Int)
    pads = node.attributes["pads"]
    pads === nothing && return ntuple(d -> 0, rank), ntuple(d -> 0, rank)
    length(pads) == 2 * rank || bad_input("attribute 'pads' does not fit ", rank, " spatial axes")
    ntuple(d -> Int(pads[rank - d + 1]), rank), ntuple(d -> Int(pads[2 * rank - d + 1]), rank)
end

# Numbers from a file that no honest kernel has would overflow the arithmetic below.
function check_window(numbers...)
    all(sizes -> all(size -> abs(size) <= max_elements[], sizes), numbers) ||
        bad_input("a stride, dilation, kernel size or padding is out of range")
end

"""
    window_over(node, input, kernel)

The [`Window`](@ref) of a node's attributes for sizes of the input and of the kernel, both in Julia's order.
"""
function window_over(node, input::NTuple{D,Int}, kernel::Tuple) where {D}
    length(kernel) == D || bad_input("the kernel does not fit ", D, " spatial axes")
    strides = per_dimension(node, "strides", D, 1)
    dilations = per_dimension(node, "dilations", D, 1)
    before, after = padding_per_dimension(node, D)
    all(sizes -> all(size -> size >= 1, sizes), (strides, dilations, kernel)) ||
        bad_input("a stride, dilation or kernel size below 1")
    check_window(strides, dilations, kernel, before, after)
    element_count(reverse(kernel), "the kernel")
    span = (kernel .- 1) .* dilations .+ 1
    auto = get(node.attributes, "auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER")
        output = cld.(input, strides)
        total = max.((output .- 1) .* strides .+ span .- input, 0)
        smaller = total .÷ 2
        before = auto == "SAME_UPPER" ? smaller : total .- smaller
        after = total .- before
    else
        auto == "VALID" && (before = after = 0 .* kernel)
        any(size -> size < 0, (before..., after...)) && unsupported("negative padding is not supported")
        room = input .+ before .+ after .- span
        if get(node.attributes, "ceil_mode", 0) == 1
            output = cld.(room, strides) .+ 1
            # A last window that would start beyond the input and its left padding is left out.
            output = output .- ((output .- 1) .* strides .>= input .+ before)
        else
            output = fld.(room, strides) .+ 1
        end
    end
    all(size -> size >= 1, output) ||
        bad_input("a kernel of extent ", shape_text(reverse(span)), " does not fit an input of ", shape_text(reverse(input)))
    Window{D}(kernel, strides, dilations, before, after, input, output)
end

function refuse_auto_pad(node)
    auto = node.attributes["auto_pad"]
    auto in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER") ? nothing : "auto_pad '$auto'"
end

# Where the first output of a window finds its tap `k` (counted from 1) along a dimension, counted from 0.
tap_offset(w::Window, d::Int, k::Int) = (k - 1) * w.dilations[d] - w.before[d]

# The outputs (counted from 1) along the first dimension whose tap lies inside the input.
function outputs_inside(w::Window, k::Int)
    offset = tap_offset(w, 1, k)
    first = max(1, 1 + cld(-offset, w.strides[1]))
    last = min(w.output[1], 1 + fld(w.input[1] - 1 - offset, w.strides[1]))
    first, last
end

# For each tap along the first dimension: where in a line the outputs that it serves begin and end, and where, counted from 0,
# the first output of the line would find it.
line_taps(w::Window) = [(outputs_inside(w, k)..., tap_offset(w, 1, k)) for k in 1:w.kernel[1]]

"""
    line_origins(w)

A line is the outputs along the first dimension, the others held fixed. For each line, in order, where its window begins along
the other dimensions, counted from 0 (negative in the padding).
"""
function line_origins(w::Window{D}) where {D}
    outer = CartesianIndices(Base.tail(w.output))
    vec([(Tuple(place) .- 1) .* Base.tail(w.strides) .- Base.tail(w.before) for place in outer])
end

# The taps along all dimensions but the first, as offsets of whole steps of the input.
outer_taps(w::Window) =
    vec([(Tuple(tap) .- 1) .* Base.tail(w.dilations) for tap in CartesianIndices(Base.tail(w.kernel))])

# Where the line that an outer tap of a window meets begins in one channel of the input, counted from 0; -1 in the padding.
@inline function line_start(w::Window, origin::Tuple, tap::Tuple)
    start = 0
    stride = w.input[1]
    for d in 1:length(origin)
        place = origin[d] + tap[d]
        0 <= place < w.input[d + 1] || return -1
        start += place * stride
        stride *= w.input[d + 1]
    end
    start
end
