# Shapes, and copies that change where values stand but not what they are.

function op_reshape(inputs, node)
    x = inputs[1]
    wanted = Int[size for size in vec(inputs[2])]
    shape = onnx_shape(x)
    impossible() = bad_input("shape ", shape_text(shape), " cannot become ", shape_text(vec(inputs[2])))
    if node.attributes["allowzero"] != 1
        for k in findall(iszero, wanted)
            k <= length(shape) || bad_input("a 0 in the shape has no axis to copy")
            wanted[k] = shape[k]
        end
    end
    unknown = findall(isequal(-1), wanted)
    length(unknown) <= 1 && all(size -> size >= -1, wanted) ||
        bad_input("the shape ", shape_text(wanted), " is impossible")
    if !isempty(unknown)
        known = element_count(Int[size for size in wanted if size != -1], "the shape")
        known == 0 || length(x) % known == 0 || impossible()
        wanted[unknown[1]] = known == 0 ? 0 : length(x) ÷ known
    end
    element_count(wanted, "the shape") == length(x) || impossible()
    reshape(x, Tuple(reverse(wanted)))
end

function op_flatten(inputs, node)
    x = inputs[1]
    axis = node.attributes["axis"]
    -ndims(x) <= axis <= ndims(x) || bad_input("axis ", axis, " is outside a tensor of rank ", ndims(x))
    trailing_view(x, Int(axis < 0 ? axis + ndims(x) : axis))
end

function op_squeeze(inputs, node)
    x = inputs[1]
    shape = onnx_shape(x)
    axes = axes_of(inputs, node)
    dropped = axes === nothing ? findall(isequal(1), shape) : resolve_axes(axes, ndims(x)) .+ 1
    all(k -> shape[k] == 1, dropped) || bad_input("an axis to squeeze is not of length 1")
    reshape(x, Tuple(reverse(Int[shape[k] for k in eachindex(shape) if !(k in dropped)])))
end

function op_unsqueeze(inputs, node)
    x = inputs[1]
    axes = axes_of(inputs, node)
    axes === nothing && bad_input("the axes are missing")
    rank = ndims(x) + length(axes)
    added = resolve_axes(axes, rank) .+ 1
    allunique(added) || bad_input("an axis is given twice")
    shape = ones(Int, rank)
    shape[setdiff(1:rank, added)] = onnx_shape(x)
    reshape(x, Tuple(reverse(shape)))
end

op_identity(inputs, node) = inputs[1]

function op_transpose(inputs, node)
    x = inputs[1]
    perm = node.attributes["perm"]
    perm = perm === nothing ? reverse(0:(ndims(x) - 1)) : perm
    sort(collect(Int, perm)) == 0:(ndims(x) - 1) ||
        bad_input("perm ", shape_text(perm), " is not an order of ", ndims(x), " axes")
    permute_axes(x, perm)
end

function op_shape(inputs, node)
    rank = ndims(inputs[1])
    bound(value) = clamp(value < 0 ? value + rank : value, 0, rank)
    start = bound(node.attributes["start"])
    stop = node.attributes["end"] === nothing ? rank : bound(node.attributes["end"])
    Int64.(onnx_shape(inputs[1])[(start + 1):stop])
end

op_size(inputs, node) = fill(Int64(length(inputs[1])))

function op_expand(inputs, node)
    x = inputs[1]
    sizes = broadcast_sizes(size(x), Tuple(reverse(Int[size for size in vec(inputs[2])])))
    wide = reshape(x, ntuple(d -> size(x, d), length(sizes)))
    take_per_dimension(wide, ntuple(d -> size(wide, d) == sizes[d] ? collect(1:sizes[d]) : ones(Int, sizes[d]), length(sizes)))
end

function op_tile(inputs, node)
    x = inputs[1]
    times = reverse(Int[count for count in vec(inputs[2])])
    length(times) == ndims(x) || bad_input("repeats does not fit a tensor of rank ", ndims(x))
    all(count -> count >= 0, times) || bad_input("a negative number of repeats")
    element_count(reverse(collect(size(x)) .* times))
    take_per_dimension(x, ntuple(d -> repeat(1:size(x, d), times[d]), ndims(x)))
end

function op_concat(inputs, node)
    first = inputs[1]
    axis = resolve_axis(node.attributes["axis"], ndims(first))
    along = 0
    for x in inputs
        ndims(x) == ndims(first) && replace_size(size(x), axis, 1) == replace_size(size(first), axis, 1) ||
            bad_input("shapes ", shape_text(onnx_shape(x)), " and ", shape_text(onnx_shape(first)),
                      " do not fit along axis ", axis)
        same_dtype(x, first)
        along += size(x, ndims(x) - axis)
    end
    sizes = replace_size(size(first), axis, along)
    element_count(reverse(sizes))
    reshape(stacked([rows_view(x, axis) for x in inputs]), sizes)
end

# All that lies at or after an axis, as the rows of a matrix.
function rows_view(x::Array, axis::Int)
    after, along, before = sizes_around(size(x), axis)
    reshape(x, after * along, before)
end

stacked(matrices::Vector) = length(matrices) == 1 ? matrices[1] : reduce(vcat, matrices)

# Sizes are an attribute before opset 13, an optional input after; or only the number of parts is given.
function op_split(inputs, node)
    x = inputs[1]
    axis = resolve_axis(node.attributes["axis"], ndims(x))
    after, along, before = sizes_around(size(x), axis)
    given = input(inputs, 2)
    sizes = given === nothing ? node.attributes["split"] : vec(given)
    if sizes === nothing
        parts = node.attributes["num_outputs"]
        parts = parts === nothing ? length(node.outputs) : parts
        parts > 0 || bad_input("an axis is split into ", parts, " parts")
        each = cld(along, parts)
        sizes = [clamp(along - each * k, 0, each) for k in 0:(parts - 1)]
    end
    all(size -> size >= 0, sizes) && sum(sizes) == along ||
        bad_input("parts of ", shape_text(sizes), " do not make an axis of length ", along)
    rows = rows_view(x, axis)
    ends = cumsum(Int.(sizes))
    map(1:length(sizes)) do k
        part = rows[((ends[k] - sizes[k]) * after + 1):(ends[k] * after), :]
        reshape(part, replace_size(size(x), axis, Int(sizes[k])))
    end
end

function op_depth_to_space(inputs, node)
    x = inputs[1]
    block = Int(node.attributes["blocksize"])
    ndims(x) == 4 && block >= 1 && size(x, 3) % block^2 == 0 ||
        bad_input("shape ", shape_text(onnx_shape(x)), " does not fit blocks of ", block)
    width, height, channels, samples = size(x)
    depth = channels ÷ block^2
    moved = if node.attributes["mode"] == "DCR"
        permute_axes(reshape(x, width, height, depth, block, block, samples), (0, 3, 4, 1, 5, 2))
    else
        permute_axes(reshape(x, width, height, block, block, depth, samples), (0, 1, 4, 2, 5, 3))
    end
    reshape(moved, width * block, height * block, depth, samples)
end

function op_space_to_depth(inputs, node)
    x = inputs[1]
    block = Int(node.attributes["blocksize"])
    ndims(x) == 4 && block >= 1 && size(x, 1) % block == 0 && size(x, 2) % block == 0 ||
        bad_input("shape ", shape_text(onnx_shape(x)), " does not fit blocks of ", block)
    width, height, channels, samples = size(x)
    parts = reshape(x, block, width ÷ block, block, height ÷ block, channels, samples)
    moved = permute_axes(parts, node.attributes["mode"] == "DCR" ? (0, 3, 5, 1, 2, 4) : (0, 1, 3, 5, 2, 4))
    reshape(moved, width ÷ block, height ÷ block, channels * block^2, samples)
end

function refuse_block_mode(node)
    mode = node.attributes["mode"]
    mode in ("DCR", "CRD") ? nothing : "mode '$mode'"
end

# Places to add per axis, and the value to fill them with: attributes before opset 11, inputs after.
function padding_of(inputs, node, rank)
    given = input(inputs, 2)
    pads = given === nothing ? node.attributes["pads"] : vec(given)
    pads === nothing && bad_input("the pads are missing")
    given = input(inputs, 3)
    value = given === nothing || isempty(given) ? node.attributes["value"] : only_value(given, "the value to pad with")
    given = input(inputs, 4)
    axes = given === nothing ? collect(0:(rank - 1)) : resolve_axes(vec(given), rank)
    length(pads) == 2 * length(axes) || bad_input("pads does not fit ", length(axes), " axes")
    before, after = zeros(Int, rank), zeros(Int, rank)
    for (k, axis) in enumerate(axes)
        before[axis + 1] = pads[k]
        after[axis + 1] = pads[length(axes) + k]
    end
    before, after, value
end

function op_pad(inputs, node)
    x = inputs[1]
    before, after, value = padding_of(inputs, node, ndims(x))
    element_count(onnx_shape(x) .+ before .+ after, "the padded tensor")
    mode = node.attributes["mode"]
    if mode != "constant"
        any(iszero, size(x)) && bad_input("an empty tensor has no values to pad with")
        return take_per_dimension(x, ntuple(ndims(x)) do d
            axis = ndims(x) - d
            [source_of_padding(place, size(x, d), mode) + 1 for place in (-before[axis + 1]):(size(x, d) - 1 + after[axis + 1])]
        end)
    end
    for axis in 0:(ndims(x) - 1)
        x = pad_axis(x, axis, before[axis + 1], after[axis + 1], eltype(x)(value))
    end
    x
end

# Negative padding cuts off.
function pad_axis(x::Array, axis::Int, before::Int, after::Int, value)
    before == 0 && after == 0 && return x
    inner, along, outer = sizes_around(size(x), axis)
    # Cut so far that nothing is left, what remains is padding.
    first = clamp(-before, 0, along)
    last = clamp(along + after, first, along)
    size_after = along + before + after
    lead = clamp(before, 0, size_after)
    trail = size_after - lead - (last - first)
    rows = rows_view(x, axis)
    kept = first == 0 && last == along ? rows : rows[(first * inner + 1):(last * inner), :]
    parts = [fill(value, inner * lead, outer), kept, fill(value, inner * trail, outer)]
    reshape(stacked(filter(part -> size(part, 1) > 0 || part === kept, parts)), replace_size(size(x), axis, size_after))
end

# Where along an axis of the given length a padded place takes its value from, counted from 0.
function source_of_padding(place::Int, length::Int, mode)
    mode == "edge" && return clamp(place, 0, length - 1)
    mode == "wrap" && return mod(place, length)
    period = max(2 * (length - 1), 1)
    place = mod(place, period)
    place >= length ? period - place : place
end

function refuse_pad(node)
    mode = node.attributes["mode"]
    mode in ("constant", "edge", "reflect", "wrap") ? nothing : "padding mode '$mode'"
end

# The upper or lower triangle of the last two axes.
function op_trilu(inputs, node)
    x = inputs[1]
    ndims(x) >= 2 || bad_input("the input has fewer than two axes")
    given = input(inputs, 2)
    k = given === nothing ? 0 : only_value(given, "k")
    upper = node.attributes["upper"] == 1
    keep = [upper ? column - row >= k : column - row <= k for column in 1:size(x, 1), row in 1:size(x, 2)]
    tensor(ifelse.(keep, x, zero(eltype(x))))
end
