# Operators on the bits of integers.

function check_bits(x::Array)
    eltype(x) <: Integer && eltype(x) != Bool || bad_input("bits of ", dtype_name(eltype(x)))
end

# A table entry: f is one of &, | and xor.
bitwise(f) = (inputs, node) -> (foreach(check_bits, inputs); of_same_dtype(f, inputs[1], inputs[2]))

op_bitwise_not(inputs, node) = (check_bits(inputs[1]); tensor(.~inputs[1]))

# ONNX shifts unsigned numbers. A negative number of places is taken as more than there are bits, not as a shift the other way.
shift_left(x, places) = x << (places < 0 ? 8 * sizeof(x) : places)
shift_right(x, places) = x >> (places < 0 ? 8 * sizeof(x) : places)

function op_bit_shift(inputs, node)
    foreach(check_bits, inputs)
    of_same_dtype(node.attributes["direction"] == "LEFT" ? shift_left : shift_right, inputs[1], inputs[2])
end

function refuse_bit_shift(node)
    direction = node.attributes["direction"]
    direction in ("LEFT", "RIGHT") ? nothing : "direction '$direction'"
end

# The same bits as another type of the same width.
function op_bit_cast(inputs, node)
    x = inputs[1]
    T = dtype_of_code(node.attributes["to"], "the cast")
    node.precision === Float64 && eltype(x) <: AbstractFloat &&
        unsupported("the bits of a floating-point tensor under precision 'float64' are not supported")
    sizeof(T) == sizeof(eltype(x)) ||
        bad_input("a bit cast from ", dtype_name(eltype(x)), " to ", dtype_name(T), ", which has another width")
    T === Bool && return map(!iszero, reinterpreted(UInt8, x))
    as_stored(reinterpreted(T, x), node)
end
