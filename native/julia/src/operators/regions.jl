# RoiAlign and DeformConv, put together from other operators, see compose.jl.

function refuse_roi_align(node)
    mode, transformation = node.attributes["mode"], node.attributes["coordinate_transformation_mode"]
    mode in ("avg", "max") || return "mode '$mode'"
    transformation in ("half_pixel", "output_half_pixel") ? nothing : "coordinate_transformation_mode '$transformation'"
end

# Of each region (left, top, right, bottom) of a sample the mean, or maximum, of bilinear values in each bin.
function build_roi_align(op, inputs, node)
    x, regions, samples = inputs
    shape = onnx_shape(x)
    attributes = node.attributes
    bins = (Int(attributes["output_height"]), Int(attributes["output_width"]))
    length(shape) == 4 && ndims(regions) == 2 && size(regions) == (4, length(samples)) ||
        bad_input("regions and samples do not fit an input of shape ", shape_text(shape))
    all(sample -> 0 <= sample < shape[1], samples) || bad_input("a region lies in a sample that is not there")
    all(>=(1), bins) || bad_input("no bins")
    result = [length(samples); shape[2]; bins...]
    element_count(result)
    isempty(samples) && return zeros_like(x, result)
    half = node.since >= 16 && attributes["coordinate_transformation_mode"] == "half_pixel"
    flat = reshaped(op, x, [shape[1:2]; shape[3] * shape[4]])
    parts = map(enumerate(samples)) do (k, sample)
        region = Float64.(regions[:, k]) .* attributes["spatial_scale"] .- (half ? 0.5 : 0.0)
        places, weights, count = region_taps(region, shape[3:4], bins, Int(attributes["sampling_ratio"]), half)
        own = op("Squeeze", part_of_axis(op, flat, 0, sample, sample + 1), whole_numbers(0))
        # (channel, bin, sample of the bin and corner)
        values = op("Mul", op("Gather", own, places; axis=1), as_eltype(eltype(x), weights))
        whole = attributes["mode"] == "max" ? op("ReduceMax", values, whole_numbers(2); keepdims=0) :
            op("Div", op("ReduceSum", values, whole_numbers(2); keepdims=0), number_like(count, x))
        reshaped(op, whole, [1; result[2:end]])
    end
    op("Concat", parts...; axis=0)
end

# Places and weights (sample of the bin and corner, bin) in an image of a region (left, top, right, bottom), and how many samples
# a bin has.
function region_taps(region, image, bins, ratio::Int, half::Bool)
    reach = [region[4] - region[2], region[3] - region[1]]
    half || (reach = max.(reach, 1.0))
    counts = ratio > 0 ? [ratio, ratio] : max.(ceil.(Int, reach ./ bins), 0)
    element_count([4; counts; bins...], "the samples of a region")
    # Of each sample of each bin along an axis: its two neighbours, each with its weight.
    along(axis) = map(Iterators.product(1:counts[axis], 1:bins[axis])) do (sample, bin)
        each = reach[axis] / bins[axis]
        at = (sample - 0.5) * each / counts[axis] + (bin - 1) * each + region[axis == 1 ? 2 : 1]
        inside = -1 <= at <= image[axis]
        at = clamp(at, 0.0, image[axis] - 1.0)
        low = min(floor(Int, at), image[axis] - 1)
        ((low, inside * (1 - (at - low))), (min(low + 1, image[axis] - 1), inside * (at - low)))
    end
    y, x = along(1), along(2)
    shape = (2, 2, size(x, 1), size(y, 1), size(x, 2), size(y, 2))
    places, weights = Array{Int64}(undef, shape), Array{Float64}(undef, shape)
    for at in CartesianIndices(shape)
        row, column = y[at[4], at[6]][at[2]], x[at[3], at[5]][at[1]]
        places[at] = row[1] * image[2] + column[1]
        weights[at] = row[2] * column[2]
    end
    matrix(values) = reshape(values, 4 * size(x, 1) * size(y, 1), size(x, 2) * size(y, 2))
    matrix(places), matrix(weights), max(prod(counts), 1)
end

# A convolution of two spatial axes whose windows are moved value by value.
function build_deform_conv(op, inputs, node)
    x, weight, offsets = inputs
    bias, mask = input(inputs, 4), input(inputs, 5)
    shape, filters = onnx_shape(x), onnx_shape(weight)
    length(shape) == length(filters) == 4 || unsupported("other than two spatial axes are not supported")
    declared = node.attributes["kernel_shape"]
    declared === nothing || declared == filters[3:4] ||
        bad_input("kernel_shape ", shape_text(declared), " differs from the weight's ", shape_text(filters[3:4]))
    window = window_over(node, size(x)[1:2], size(weight)[1:2])
    groups, parts = Int(node.attributes["group"]), Int(node.attributes["offset_group"])
    taps, places = extent(window.kernel), extent(window.output)
    output = collect(reverse(window.output))
    groups >= 1 && parts >= 1 && onnx_shape(offsets) == [shape[1]; 2 * parts * taps; output] && shape[2] % parts == 0 &&
        filters[2] * groups == shape[2] && filters[1] % groups == 0 || bad_input(
        "offsets of shape ", shape_text(onnx_shape(offsets)), " and a weight of shape ", shape_text(filters),
        " do not fit an input of shape ", shape_text(shape)
    )
    number(value) = number_like(value, x)
    # Where each tap of each window lies along an axis before it is moved: (1, tap, place).
    base(d) = reshape(
        eltype(x)[
            (start[d] - 1) * window.strides[d] - window.before[d] + (tap[d] - 1) * window.dilations[d]
            for start in CartesianIndices(window.output), tap in CartesianIndices(window.kernel)
        ], places, taps, 1
    )
    moves = reshaped(op, offsets, [shape[1], parts, taps, 2, places])
    flat = reshaped(op, x, [shape[1:2]; shape[3] * shape[4]])
    channels = shape[2] ÷ parts
    columns = map(1:parts) do part
        own = op("Squeeze", part_of_axis(op, moves, 1, part - 1, part), whole_numbers(1))
        near = map(1:2) do axis
            moved = op("Squeeze", part_of_axis(op, own, 2, axis - 1, axis), whole_numbers(2))
            at = reshaped(op, op("Add", moved, base(3 - axis)), [shape[1], 1, taps * places])
            grid_taps(op, at, "linear", number)
        end
        of_part = part_of_axis(op, flat, 1, (part - 1) * channels, part * channels)
        values = reduce(
            (a, b) -> op("Add", a, b),
            [tapped_values(op, of_part, chosen, shape[3:4], number) for chosen in vec(collect(Iterators.product(near...)))]
        )
        mask === nothing && return values
        of_window = part_of_axis(op, mask, 1, (part - 1) * taps, part * taps)
        op("Mul", values, reshaped(op, of_window, [shape[1], 1, taps * places]))
    end
    # (sample, group, channel of the group x tap, place) times (group, filter, channel x tap).
    columns = reshaped(op, op("Concat", columns...; axis=1), [shape[1], groups, filters[2] * taps, places])
    turned = reshaped(op, weight, [1, groups, filters[1] ÷ groups, filters[2] * taps])
    y = reshaped(op, op("MatMul", turned, columns), [shape[1]; filters[1]; output])
    bias === nothing ? y : op("Add", y, reshaped(op, bias, [1, filters[1], 1, 1]))
end
