# Matrix products. A row-major (rows x columns) matrix is a Julia matrix of columns x rows, so A B becomes B A on the
# reversed Arrays.

# alpha A' B' + beta C, where the primes stand for the transposition that transA and transB may ask for.
const op_gemm = widened() do inputs, node
    a, b = inputs
    attributes = node.attributes
    ndims(a) == 2 && ndims(b) == 2 || bad_input("both factors must have rank 2")
    same_dtype(a, b)
    turn_left, turn_right = attributes["transA"] != 0, attributes["transB"] != 0
    size(a, turn_left ? 2 : 1) == size(b, turn_right ? 1 : 2) ||
        bad_input("shapes ", shape_text(onnx_shape(a)), " and ", shape_text(onnx_shape(b)), " do not fit a product")
    product = turned_product(b, a, turn_right, turn_left)
    scaled = attributes["alpha"] == 1 ? product : times(attributes["alpha"], product)
    added = input(inputs, 3)
    added === nothing && return scaled
    same_dtype(a, added)
    spreads_to(size(added), size(product)) ||
        bad_input("C of shape ", shape_text(onnx_shape(added)), " does not fit ", shape_text(onnx_shape(product)))
    tensor(scaled .+ (attributes["beta"] == 1 ? added : times(attributes["beta"], added)))
end

turned_product(right, left, turn_right, turn_left) =
    (turn_right ? transpose(right) : right) * (turn_left ? transpose(left) : left)

# The BLAS' own call: to compile Julia's product of a transposed matrix takes seconds.
function turned_product(right::Matrix{T}, left::Matrix{T}, turn_right, turn_left) where {T<:Union{Float32,Float64}}
    BLAS.gemm(turn_right ? 'T' : 'N', turn_left ? 'T' : 'N', one(T), right, left)
end

times(factor, x::Array{T}) where {T<:AbstractFloat} = tensor(T(factor) .* x)
times(factor, x::Array{T}) where {T<:Integer} = in_dtype(T, tensor(Float64(factor) .* x))

# numpy's rules: leading axes are broadcast, vectors get an axis.
const op_matmul = widened() do inputs, node
    a, b = inputs
    ndims(a) > 0 && ndims(b) > 0 || bad_input("a factor is a scalar")
    same_dtype(a, b)
    left = ndims(a) == 1 ? reshape(a, length(a), 1) : a
    right = ndims(b) == 1 ? reshape(b, 1, length(b)) : b
    size(left, 1) == size(right, 2) ||
        bad_input("shapes ", shape_text(onnx_shape(a)), " and ", shape_text(onnx_shape(b)), " do not fit a product")
    batch = broadcast_sizes(size(left)[3:end], size(right)[3:end])
    kept = (ndims(b) == 1 ? () : (size(right, 1),))..., (ndims(a) == 1 ? () : (size(left, 2),))...
    element_count(reverse((kept..., batch...)), "the product")
    reshape(batched_product(right, left, batch), (kept..., batch...))
end

# The products of all pairs of a batch, side by side.
function batched_product(right::Array, left::Array, batch)
    columns, common = size(right, 1), size(right, 2)
    rows = size(left, 2)
    # Counted, not left to a colon, which cannot divide by a size of 0.
    rights_in_all, lefts_in_all = extent(size(right)[3:end]), extent(size(left)[3:end])
    # One right factor for all: a single product.
    rights_in_all == 1 && return reshape(right, columns, common) * reshape(left, common, rows * lefts_in_all)
    extent(batch) == 0 && return similar(right, columns, 0)
    rights, lefts = reshape(right, columns, common, rights_in_all), reshape(left, common, rows, lefts_in_all)
    pairs = zip(batch_places(size(right)[3:end], batch), batch_places(size(left)[3:end], batch))
    reduce(hcat, [view(rights, :, :, i) * view(lefts, :, :, j) for (i, j) in pairs])
end

# For every member of a batch, the place of the matrix that a factor lends to it.
batch_places(sizes, batch) = vec(reshape(1:extent(sizes), sizes) .* ones(Int, batch))

# The determinant of each matrix along the last two axes.
const op_det = widened() do inputs, node
    x = inputs[1]
    ndims(x) >= 2 && size(x, 1) == size(x, 2) ||
        bad_input("the input has shape ", shape_text(onnx_shape(x)), "; square matrices are needed")
    matrices = reshape(x, size(x, 1), size(x, 2), extent(size(x)[3:end]))
    reshape(eltype(x)[det(Float64.(matrices[:, :, k])) for k in axes(matrices, 3)], size(x)[3:end])
end
