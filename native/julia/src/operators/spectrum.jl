# Discrete Fourier transforms as products with cosines and sines, put together from other operators, see compose.jl; and windows.

# The cosines and sines of 2 pi k n / points, exact at whole quarters: matrices of (k, n), `rows` by `columns`.
function fourier_matrices(points::Int, rows::Int, columns::Int)
    element_count((rows, columns), "the matrix of a Fourier transform")
    turns = [2 * mod(n * k, points) / points for n in 0:(columns - 1), k in 0:(rows - 1)]
    cospi.(turns), sinpi.(turns)
end

function build_dft(op, inputs, node)
    x = inputs[1]
    given = input(inputs, 3)
    axis = given !== nothing ? only_value(given, "the axis") : node.since < 20 ? node.attributes["axis"] : -2
    points = input(inputs, 2)
    fourier_transform(
        op, x, resolve_axis(axis, ndims(x)), points === nothing ? nothing : Int(only_value(points, "dft_length")),
        node.attributes["inverse"] != 0, node.attributes["onesided"] != 0
    )
end

# A Fourier transform along one axis of real (..., 1) or complex (..., 2) values, in double.
function fourier_transform(op, x, axis::Int, points, inverse::Bool, onesided::Bool)
    shape, rank = onnx_shape(x), ndims(x)
    parts = rank == 0 ? 0 : shape[rank]
    rank >= 2 && axis < rank - 1 && parts in 1:2 ||
        bad_input("a shape of ", shape_text(shape), " has no real or complex signal along axis ", axis)
    along = shape[axis + 1]
    real_result = inverse && onesided
    points = something(points, real_result ? 2 * (along - 1) : along)
    points >= 1 || bad_input("dft_length must be a positive number")
    half = points ÷ 2 + 1
    read = real_result ? half : points
    made = onesided && !inverse ? half : points
    cosines, sines = fourier_matrices(points, made, read)
    if real_result
        # What is not given mirrors what is, but for the first and, of an even length, the last.
        twice = [n == 1 || (n == read && iseven(points)) ? 1.0 : 2.0 for n in 1:read]
        cosines, sines = cosines .* twice, sines .* twice
    end
    inverse && ((cosines, sines) = (cosines ./ points, sines ./ points))
    # The signal becomes the last axis but one, of the length that is read.
    perm = [setdiff(0:(rank - 1), (axis, rank - 1)); axis; rank - 1]
    signal = op("Transpose", op("Cast", x; to=11); perm=perm)
    along > read && (signal = part_of_axis(op, signal, rank - 2, 0, read))
    along < read && (signal = op("Pad", signal, whole_numbers(0, read - along), nothing, whole_numbers(rank - 2)))
    product(matrix, part) = op("MatMul", matrix, part_of_axis(op, signal, rank - 1, part - 1, part))
    sign = inverse ? -1 : 1
    real_part, other = product(cosines, 1), product(-sign .* sines, 1)
    if parts == 2
        real_part = op("Add", real_part, product(sign .* sines, 2))
        other = op("Add", other, product(cosines, 2))
    end
    y = real_result ? real_part : op("Concat", real_part, other; axis=rank - 1)
    op("Cast", op("Transpose", y; perm=inverse_order(perm)); to=dtype_code(eltype(x)))
end

# Frames of a signal (sample, step, 1 or 2), each times a window, and their spectra.
function build_stft(op, inputs, node)
    x = inputs[1]
    ndims(x) == 3 || bad_input("the signal has shape ", shape_text(onnx_shape(x)), "; it needs 3 axes")
    step = Int(only_value(inputs[2], "frame_step"))
    window, given = input(inputs, 3), input(inputs, 4)
    steps = size(x, 2)
    points = given !== nothing ? Int(only_value(given, "frame_length")) : window !== nothing ? length(window) : steps
    window === nothing || size(window) == (points,) ||
        bad_input("a window of shape ", shape_text(onnx_shape(window)), " does not fit frames of ", points)
    step >= 1 && 1 <= points <= steps || bad_input("frames of ", points, " every ", step, " steps of a signal of ", steps)
    places = Int64[start + k for k in 0:(points - 1), start in 0:step:(steps - points)]
    frames = op("Gather", x, places; axis=1)
    window === nothing || (frames = op("Mul", frames, reshaped(op, window, [points, 1])))
    fourier_transform(op, frames, 2, points, false, node.attributes["onesided"] != 0)
end

"""A table entry for a window of a number of values: `f` of their places, 0 to 1."""
window_of(f) = function (inputs, node)
    count = Int(only_value(inputs[1], "the size of a window"))
    reach = node.attributes["periodic"] != 0 ? count : count - 1
    count == 0 || (count > 0 && reach > 0) || bad_input("a window of ", count, " values")
    element_count((count,), "the window")
    T = storage_type(dtype_of_code(node.attributes["output_datatype"], "the window"), node)
    T[narrowed(T, f(k / reach)) for k in 0:(count - 1)]
end

function refuse_window(node)
    code = node.attributes["output_datatype"]
    code in 1:length(dtype_names) && get(dtype_types, dtype_names[code], Int) <: AbstractFloat ? nothing : "output_datatype $code"
end

hann_window(place) = sinpi(place)^2
hamming_window(place) = 25 / 46 - 21 / 46 * cospi(2 * place)
blackman_window(place) = 0.42 - 0.5 * cospi(2 * place) + 0.08 * cospi(4 * place)
