# Arithmetic, comparison and choice. numpy aligns shapes at their last axes; on reversed shapes that is Julia's own
# broadcasting. Integers wrap around, as they do in numpy.

function broadcast_tensors(f, a::Array, b::Array)
    broadcast_sizes(size(a), size(b))
    tensor(f.(a, b))
end

function of_same_dtype(f, a::Array, b::Array)
    same_dtype(a, b)
    broadcast_tensors(f, a, b)
end

"""A table entry for a function of two numbers of one dtype."""
arithmetic(f) = widened((inputs, node) -> of_same_dtype(f, inputs[1], inputs[2]))

"""A table entry for a function of two numbers, folded over any number of inputs; half precision rounds after each."""
variadic(f) = (inputs, node) -> folded(arithmetic(f), inputs, node)

folded(of_two, inputs, node) = foldl((a, b) -> of_two(Any[a, b], node), inputs)

const divided = widened((inputs, node) -> tensor(inputs[1] ./ eltype(inputs[1])(inputs[2])))

op_mean(inputs, node) = divided(Any[folded(arithmetic(+), inputs, node), length(inputs)], node)

# Towards zero for integers, as the standard says.
quotient(a::AbstractFloat, b::AbstractFloat) = a / b

function quotient(a::T, b::T) where {T<:Integer}
    iszero(b) && bad_input("an integer is divided by zero")
    # The lowest integer has no opposite; div() would throw where numpy wraps.
    T <: Signed && b == -one(T) ? -a : div(a, b)
end

# The sign of the divisor; with fmod = 1 that of the dividend, as in C.
function modulus(f, a, b)
    a isa Integer && iszero(b) && bad_input("an integer is divided by zero")
    f(a, b)
end

const op_mod = widened() do inputs, node
    f = node.attributes["fmod"] == 1 ? rem : mod
    of_same_dtype((a, b) -> modulus(f, a, b), inputs[1], inputs[2])
end

# Base and exponent may differ in dtype; the base decides.
power(a::T, b::T) where {T<:AbstractFloat} =
    if a < 0 && isfinite(b) && !isinteger(b)
        # No real number; Julia would throw. Minus infinity is taken for a limit, as in C.
        isinf(a) ? abs(a)^b : T(NaN)
    else
        a^b
    end
power(a::T, b::Real) where {T<:AbstractFloat} = T(power(Float64(a), Float64(b)))
power(a::T, b::Integer) where {T<:Integer} = b < 0 ? integer_value(T, power(Float64(a), Float64(b))) : a^b
power(a::T, b::AbstractFloat) where {T<:Integer} = integer_value(T, power(Float64(a), Float64(b)))

const op_pow = widened((inputs, node) -> broadcast_tensors(power, inputs[1], inputs[2]))

"""A table entry for a question about two numbers. NaN compares as false, as in IEEE 754."""
comparison(f) = widened((inputs, node) -> of_same_dtype(f, inputs[1], inputs[2]))

"""A table entry for a question about one number."""
predicate(f) = widened((inputs, node) -> tensor(f.(inputs[1])))

const op_is_inf = widened() do inputs, node
    highest = node.attributes["detect_positive"] == 1
    lowest = node.attributes["detect_negative"] == 1
    tensor((x -> isinf(x) && (x > 0 ? highest : lowest)).(inputs[1]))
end

function op_where(inputs, node)
    condition, yes, no = inputs
    same_dtype(yes, no)
    broadcast_sizes(size(condition), broadcast_sizes(size(yes), size(no)))
    tensor(ifelse.(condition, yes, no))
end

# Bounds are attributes before opset 11, optional inputs after.
const op_clip = widened() do inputs, node
    x = inputs[1]
    lowest = clip_bound(inputs, node, 2, "min")
    highest = clip_bound(inputs, node, 3, "max")
    at_least = lowest === nothing ? x : tensor(max.(x, eltype(x)(lowest)))
    highest === nothing ? at_least : tensor(min.(at_least, eltype(x)(highest)))
end

function clip_bound(inputs, node, position, name)
    given = input(inputs, position)
    given === nothing || return only_value(given, "a bound")
    node.since < 11 ? node.attributes[name] : nothing
end
