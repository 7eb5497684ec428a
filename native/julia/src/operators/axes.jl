# Axes, shapes and element types, as every operator needs them.
#
# "Axis" counts as ONNX does: 0 is the slowest. "Dimension" counts as Julia does: 1 is the fastest. Axis k of a tensor of
# rank r is dimension r - k. Sizes are in Julia's order unless they are called a shape.

# An input that may be left out.
input(inputs, position) = position <= length(inputs) ? inputs[position] : nothing

# Whether a node's output of that number is asked for.
has_output(node, number) = number <= length(node.outputs) && !isempty(node.outputs[number])

# The result of a broadcast as a tensor: of a scalar it is a number, of a question a BitArray.
tensor(x::Array) = x
tensor(x::Number) = fill(x)
tensor(x::AbstractArray) = Array(x)

# The product of sizes, 1 where there are none.
extent(sizes) = reduce(*, sizes; init=1)

# The one value of a tensor of one element.
function only_value(x::Array, what)
    length(x) == 1 || bad_input(what, " is not a scalar")
    x[1]
end

# The axis counted from 0, a negative one from the end; checked.
function resolve_axis(axis::Integer, rank::Int)
    -rank <= axis < rank || bad_input("axis ", axis, " is outside a tensor of rank ", rank)
    Int(axis < 0 ? axis + rank : axis)
end

resolve_axes(axes, rank::Int) = Int[resolve_axis(axis, rank) for axis in axes]

# Axes are an attribute in older opsets and an optional input in newer ones.
function axes_of(inputs, node, position=2)
    given = input(inputs, position)
    given === nothing ? node.attributes["axes"] : vec(given)
end

# The elements after an axis (they run fastest), along it, before it.
function sizes_around(sizes, axis::Int)
    dimension = length(sizes) - axis
    extent(sizes[1:(dimension - 1)]), sizes[dimension], extent(sizes[(dimension + 1):end])
end

# The tensor as an Array of those three dimensions, sharing its memory.
axis_view(x::Array, axis::Int) = reshape(x, sizes_around(size(x), axis))

# The elements of the trailing axes, from `axis` on, by those of the leading ones.
function trailing_view(x::Array, axis::Int)
    trailing = extent(size(x)[1:(ndims(x) - axis)])
    reshape(x, trailing, extent(size(x)[(ndims(x) - axis + 1):end]))
end

replace_size(sizes, axis::Int, size::Int) =
    ntuple(d -> d == length(sizes) - axis ? size : sizes[d], length(sizes))

# Axis i of the result is axis perm[i] of the tensor.
function permute_axes(x::Array, perm)
    rank = ndims(x)
    dimensions = ntuple(d -> rank - Int(perm[rank - d + 1]), rank)
    dimensions == ntuple(identity, rank) ? x : permutedims(x, dimensions)
end

inverse_order(perm) = sortperm(collect(Int, perm)) .- 1

# numpy's rule for two tensors, which is Julia's own on reversed shapes.
function broadcast_sizes(a::Tuple, b::Tuple)
    sizes = ntuple(max(length(a), length(b))) do d
        m = d <= length(a) ? a[d] : 1
        n = d <= length(b) ? b[d] : 1
        m == n || m == 1 || n == 1 ||
            bad_input("shapes ", shape_text(reverse(a)), " and ", shape_text(reverse(b)), " cannot be broadcast together")
        m == 1 ? n : m
    end
    element_count(reverse(sizes))
    sizes
end

# Whether a tensor of the first sizes can be repeated to the second ones.
spreads_to(sizes::Tuple, target::Tuple) =
    length(sizes) <= length(target) && all(d -> sizes[d] == 1 || sizes[d] == target[d], 1:length(sizes))

function same_dtype(a::Array, b::Array)
    eltype(a) === eltype(b) ||
        bad_input("the inputs have different dtypes, ", dtype_name(eltype(a)), " and ", dtype_name(eltype(b)))
end

# The values at the given places (counted from 1) of every dimension.
take_per_dimension(x::Array{T,0}, places::Tuple{}) where {T} = x
take_per_dimension(x::Array{T,N}, places::NTuple{N,AbstractVector{Int}}) where {T,N} = x[places...]

# The type that holds values of a dtype: under precision `Float64` every floating-point dtype is held in double.
storage_type(::Type{T}, node) where {T} = T
storage_type(::Type{T}, node) where {T<:AbstractFloat} = node.precision === Float64 ? Float64 : T

as_stored(x::Array, node) = as_eltype(storage_type(eltype(x), node), x)
as_eltype(::Type{T}, x::Array{T}) where {T} = x
as_eltype(::Type{T}, x::Array) where {T} = tensor(T.(x))

"""
    widened(run, like=(1,))

An operator that computes half precision in `Float32` and rounds its results: `run` gets no [`Narrow`](@ref) tensors, and
its result `k`, where it is of `Float32`, is rounded to the dtype of input `like[k]`; 0 leaves it as it is.
"""
function widened(run, like=(1,))
    function (inputs, node)
        any(is_narrow, inputs) || return run(inputs, node)
        results = run(Any[in_single(x) for x in inputs], node)
        results isa Array && return rounded_like(results, inputs[like[1]])
        map(enumerate(results)) do (k, result)
            source = k <= length(like) ? like[k] : 0
            source == 0 ? result : rounded_like(result, inputs[source])
        end
    end
end

is_narrow(x) = x isa Array{<:Narrow}
in_single(x) = x
in_single(x::Array{<:Narrow}) = as_eltype(Float32, x)
rounded_like(result, like) = result
rounded_like(result::Array{Float32}, like::Array{T}) where {T<:Narrow} = as_eltype(T, result)
