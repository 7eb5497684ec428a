# Choosing and placing values by index. Indices count from 0 and may be negative.

# Starts, ends, axes and steps are attributes before opset 10, inputs after.
function op_slice(inputs, node)
    x = inputs[1]
    rank = ndims(x)
    starts = slice_part(inputs, node, 2, "starts")
    ends = slice_part(inputs, node, 3, "ends")
    axes = slice_part(inputs, node, 4, "axes")
    steps = slice_part(inputs, node, 5, "steps")
    starts === nothing && bad_input("the starts are missing")
    ends === nothing && bad_input("the ends are missing")
    axes = axes === nothing ? collect(0:(length(starts) - 1)) : axes
    steps = steps === nothing ? ones(Int, length(starts)) : steps
    length(starts) == length(ends) == length(axes) == length(steps) ||
        bad_input("starts, ends, axes and steps differ in length")
    any(iszero, steps) && bad_input("a step of 0")
    axes = resolve_axes(axes, rank)
    allunique(axes) || bad_input("an axis is sliced twice")
    places = ntuple(rank) do d
        k = findfirst(isequal(rank - d), axes)
        k === nothing ? (1:1:size(x, d)) : slice_places(Int(starts[k]), Int(ends[k]), Int(steps[k]), size(x, d))
    end
    take_per_dimension(x, places)
end

function slice_part(inputs, node, position, name)
    given = input(inputs, position)
    given === nothing ? get(node.attributes, name, nothing) : vec(given)
end

# Any bound may be as far out as an Int64 goes: "to the end".
function slice_places(start::Int, stop::Int, step::Int, length::Int)
    start < 0 && (start += length)
    stop < 0 && (stop += length)
    if step > 0
        first = clamp(start, 0, length)
        last = clamp(stop, 0, length) - 1
    else
        first = clamp(start, -1, length - 1)
        last = clamp(stop, -1, length - 1) + 1
    end
    # A step longer than the axis takes one value, however long it is.
    (first + 1):clamp(step, -max(length, 1), max(length, 1)):(last + 1)
end

function checked_index(index::Integer, length::Int)
    place = index < 0 ? Int(index) + length : Int(index)
    0 <= place < length || bad_input("index ", index, " lies outside an axis of length ", length)
    place + 1
end

function op_gather(inputs, node)
    x, indices = inputs
    axis = resolve_axis(node.attributes["axis"], ndims(x))
    dimension = ndims(x) - axis
    sizes = (size(x)[1:(dimension - 1)]..., size(indices)..., size(x)[(dimension + 1):end]...)
    element_count(reverse(sizes))
    reshape(gathered(axis_view(x, axis), vec(indices)), sizes)
end

gathered(values::Array{T,3}, indices) where {T} =
    values[:, [checked_index(index, size(values, 2)) for index in indices], :]

# Where an index tensor points to along one axis: each element keeps its place along the others.
function check_element_indices(x::Array, indices::Array, axis::Int)
    ndims(indices) == ndims(x) || bad_input("the indices' rank differs from the input's")
    all(d -> d == ndims(x) - axis || size(indices, d) <= size(x, d), 1:ndims(x)) ||
        bad_input("the indices reach beyond the input")
end

function op_gather_elements(inputs, node)
    x, indices = inputs
    axis = resolve_axis(node.attributes["axis"], ndims(x))
    check_element_indices(x, indices, axis)
    gather_elements(x, indices, ndims(x) - axis)
end

function gather_elements(x::Array{T,N}, indices::Array{I,N}, dimension::Int) where {T,I,N}
    result = similar(x, size(indices))
    for place in CartesianIndices(indices)
        index = checked_index(indices[place], size(x, dimension))
        result[place] = x[CartesianIndex(Base.setindex(Tuple(place), index, dimension))]
    end
    result
end

const op_scatter_elements = widened() do inputs, node
    x, indices, updates = inputs
    axis = resolve_axis(node.attributes["axis"], ndims(x))
    check_element_indices(x, indices, axis)
    same_dtype(x, updates)
    size(updates) == size(indices) || bad_input("the updates do not have the shape of the indices")
    scatter_elements(scatter_reduction(node), x, indices, updates, ndims(x) - axis)
end

function scatter_elements(combine, x::Array{T,N}, indices::Array{I,N}, updates::Array{T,N}, dimension::Int) where {T,I,N}
    result = copy(x)
    for place in CartesianIndices(indices)
        index = checked_index(indices[place], size(x, dimension))
        target = CartesianIndex(Base.setindex(Tuple(place), index, dimension))
        result[target] = combine(result[target], updates[place])
    end
    result
end

replaced(old, new) = new

const scatter_reductions = Dict{String,Function}("none" => replaced, "add" => +, "mul" => *, "max" => max, "min" => min)

scatter_reduction(node) = scatter_reductions[node.attributes["reduction"]]

function refuse_scatter(node)
    reduction = node.attributes["reduction"]
    haskey(scatter_reductions, reduction) ? nothing : "reduction '$reduction'"
end

# The slices that index tuples point to: how long each is, and where each begins, counted from 0.
function slice_starts(x::Array, indices::Array, batch::Int)
    ndims(indices) > 0 || bad_input("the indices are a scalar")
    depth = size(indices, 1)
    batch + depth <= ndims(x) || bad_input("the index tuples are longer than the tensor's rank")
    shape = onnx_shape(x)
    for axis in 1:batch
        axis < ndims(indices) && onnx_shape(indices)[axis] == shape[axis] ||
            bad_input("the indices do not have the batch axes of the input")
    end
    inner = extent(shape[(batch + depth + 1):end])
    strides = Int[extent(shape[(axis + 1):end]) for axis in 1:length(shape)]
    tuples = reshape(indices, depth, extent(size(indices)[2:end]))
    per_batch = size(tuples, 2) ÷ max(extent(shape[1:batch]), 1)
    starts = map(1:size(tuples, 2)) do k
        start = batch == 0 ? 0 : (k - 1) ÷ per_batch * strides[batch]
        for j in 1:depth
            start += (checked_index(tuples[j, k], shape[batch + j]) - 1) * strides[batch + j]
        end
        start
    end
    inner, starts
end

function op_gather_nd(inputs, node)
    x, indices = inputs
    batch = Int(node.attributes["batch_dims"])
    inner, starts = slice_starts(x, indices, batch)
    shape = onnx_shape(x)
    sizes = (reverse(shape[(batch + size(indices, 1) + 1):end])..., size(indices)[2:end]...)
    element_count(reverse(sizes))
    gather_slices(x, inner, starts, sizes)
end

function gather_slices(x::Array, inner::Int, starts::Vector{Int}, sizes)
    result = similar(x, sizes)
    for (k, start) in enumerate(starts)
        copyto!(result, (k - 1) * inner + 1, x, start + 1, inner)
    end
    result
end

const op_scatter_nd = widened() do inputs, node
    x, indices, updates = inputs
    same_dtype(x, updates)
    inner, starts = slice_starts(x, indices, 0)
    length(updates) == inner * length(starts) || bad_input("the updates do not have the shape that the indices ask for")
    scatter_slices(scatter_reduction(node), x, inner, starts, updates)
end

function scatter_slices(combine, x::Array, inner::Int, starts::Vector{Int}, updates::Array)
    result = copy(x)
    for (k, start) in enumerate(starts), j in 1:inner
        result[start + j] = combine(result[start + j], updates[(k - 1) * inner + j])
    end
    result
end

function op_one_hot(inputs, node)
    indices, depth, values = inputs
    length(values) == 2 || bad_input("the values are not two, off and on")
    count = Int(trunc(only_value(depth, "the depth")))
    axis = resolve_axis(node.attributes["axis"], ndims(indices) + 1)
    dimension = ndims(indices) + 1 - axis
    sizes = (size(indices)[1:(dimension - 1)]..., count, size(indices)[dimension:end]...)
    element_count(reverse(sizes))
    after, before = extent(sizes[1:(dimension - 1)]), extent(sizes[(dimension + 1):end])
    reshape(one_hot(reshape(indices, after, before), count, values), sizes)
end

# An index outside the range leaves its vector off.
function one_hot(indices::Matrix, depth::Int, values::Array{T}) where {T}
    after, before = size(indices)
    result = fill(values[1], after, depth, before)
    for b in 1:before, a in 1:after
        index = trunc(Float64(indices[a, b]))
        index < 0 && (index += depth)
        0 <= index < depth && (result[a, Int(index) + 1, b] = values[2])
    end
    result
end

function op_non_zero(inputs, node)
    x = inputs[1]
    ndims(x) == 0 && return zeros(Int64, iszero(x[1]) ? 0 : 1, 0)
    found = findall(!iszero, x)
    Int64[place[ndims(x) - axis] - 1 for place in found, axis in 0:(ndims(x) - 1)]
end
