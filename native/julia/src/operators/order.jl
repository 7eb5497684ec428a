# What depends on the order or equality of values: TopK, Unique, Compress; and CenterCropPad.

# The largest or smallest values along an axis, the first of equal ones first, and their indices. NaN counts as larger than every
# number.
function build_top_k(op, inputs, node)
    x = inputs[1]
    axis = resolve_axis(node.attributes["axis"], ndims(x))
    along = size(x, ndims(x) - axis)
    count = length(inputs) > 1 ? only_value(inputs[2], "k") : node.attributes["k"]
    0 <= count <= along || bad_input("k is ", count, " of ", along)
    places = leading_places(axis_view(x, axis), Int(count), node.attributes["largest"] != 0)
    indices = reshape(places, replace_size(size(x), axis, Int(count)))
    (op("GatherElements", x, indices; axis=axis), indices)
end

function leading_places(view::Array{T,3}, count::Int, largest::Bool) where {T}
    places = Array{Int64}(undef, size(view, 1), count, size(view, 3))
    for b in axes(view, 3), a in axes(view, 1)
        order = sortperm(view[a, :, b]; lt=nan_last, rev=largest, alg=MergeSort)
        places[a, :, b] = order[1:count] .- 1
    end
    places
end

nan_last(a, b) = isnan(b) ? !isnan(a) : a < b

function refuse_top_k(node)
    node.since < 10 && node.attributes["k"] === nothing && bad_input(node_title(node), ": the attribute 'k' is missing")
    node.since >= 10 && length(node.inputs) < 2 && bad_input(node_title(node), ": the input k is missing")
    nothing
end

# Values, or slices along an axis, each once; where each comes first, which one each is, and how often it comes.
function op_unique(inputs, node)
    x = inputs[1]
    whole = node.attributes["axis"] === nothing
    values = whole ? vec(x) : x
    axis = whole ? 0 : resolve_axis(node.attributes["axis"], ndims(values))
    perm = [axis; setdiff(0:(ndims(values) - 1), axis)]
    turned = permute_axes(values, perm)
    slices = reshape(turned, extent(size(turned)[1:(end - 1)]), size(turned, ndims(turned)))
    group, first_places = groups_of(slices, node.attributes["sorted"] != 0)
    kept = reshape(slices[:, first_places], size(turned)[1:(end - 1)]..., length(first_places))
    counts = zeros(Int64, length(first_places))
    foreach(k -> counts[k] += 1, group)
    (permute_axes(kept, inverse_order(perm)), Int64.(first_places .- 1), Int64.(group .- 1), counts)
end

# The number of the group of each column, and the first column of each group: in the order of their values, or of appearance.
function groups_of(slices::Matrix, sorted::Bool)
    before(i, j) = slice_before(view(slices, :, i), view(slices, :, j))
    order = sort(collect(axes(slices, 2)); lt=before, alg=MergeSort)
    group, first_places = zeros(Int, size(slices, 2)), Int[]
    for (k, place) in enumerate(order)
        (k == 1 || before(order[k - 1], place)) && push!(first_places, place)
        group[place] = length(first_places)
    end
    sorted && return group, first_places
    turn = sortperm(first_places)
    invperm(turn)[group], first_places[turn]
end

function slice_before(a, b)
    for (x, y) in zip(a, b)
        nan_last(x, y) && return true
        nan_last(y, x) && return false
    end
    false
end

# The slices for which the condition holds.
function build_compress(op, inputs, node)
    x, condition = inputs
    axis = node.attributes["axis"]
    axis === nothing && (x = op("Reshape", x, whole_numbers(-1)))
    axis = axis === nothing ? 0 : resolve_axis(axis, ndims(x))
    along = size(x, ndims(x) - axis)
    ndims(condition) == 1 && length(condition) <= along ||
        bad_input("the condition has shape ", shape_text(onnx_shape(condition)), " for an axis of length ", along)
    op("Gather", x, whole_numbers(findall(condition) .- 1); axis=axis)
end

function build_center_crop_pad(op, inputs, node)
    x, wanted = inputs[1], vec(inputs[2])
    axes = node.attributes["axes"] === nothing ? collect(0:(ndims(x) - 1)) : resolve_axes(node.attributes["axes"], ndims(x))
    length(wanted) == length(axes) && all(>=(0), wanted) ||
        bad_input("the shape ", shape_text(wanted), " does not fit ", length(axes), " axes")
    element_count(wanted, "the result")
    excess = onnx_shape(x)[axes .+ 1] .- wanted
    cut = findall(>(0), excess)
    if !isempty(cut)
        start = excess[cut] .÷ 2
        x = op("Slice", x, whole_numbers(start), whole_numbers(start .+ wanted[cut]), whole_numbers(axes[cut]))
    end
    lack = max.(-excess, 0)
    all(iszero, lack) && return x
    op("Pad", x, whole_numbers([lack .÷ 2; lack .- lack .÷ 2]), nothing, whole_numbers(axes))
end
