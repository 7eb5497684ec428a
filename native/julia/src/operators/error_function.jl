# The error function, its complement and the normal distribution function, to about one unit in the last place of a
# double. Julia's standard library has none of them.
#
# Below 1 the Maclaurin series of erf is summed. From 1 on erfc(x) = exp(-x^2) erfcx(x), where the scaled complement erfcx
# varies slowly: between 1 and 6 it is a Taylor series about the nearest of a few centres, whose coefficients follow from
# its differential equation y' = 2 x y - 2 / sqrt(pi) and are computed once in long arithmetic; beyond 6 it is the continued
# fraction of Laplace. See Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.

const erf_series_terms = 20
const erfcx_spacing = 0.25
const erfcx_degree = 14
const erfcx_last = 6.0

# Coefficients of x^(2n + 1): 2 / sqrt(pi) (-1)^n / (n! (2n + 1)).
erf_series() = Tuple(
    Float64((-1)^n * 2 / (sqrt(big(pi)) * factorial(big(n)) * (2n + 1))) for n in 0:erf_series_terms
)

# erfc of a number up to 6, by the Maclaurin series in long arithmetic.
function long_erfc(x::BigFloat)
    term = x
    total = x
    for n in 1:400
        term *= -x^2 / n
        total += term / (2n + 1)
    end
    1 - 2 / sqrt(big(pi)) * total
end

# Taylor coefficients of erfcx about each centre 1, 1.25, ..., 6.
function erfcx_series()
    setprecision(BigFloat, 400) do
        map(1.0:erfcx_spacing:erfcx_last) do centre
            c = BigFloat(centre)
            terms = [exp(c^2) * long_erfc(c)]
            push!(terms, 2c * terms[1] - 2 / sqrt(big(pi)))
            for n in 1:(erfcx_degree - 1)
                push!(terms, (2c * terms[n + 1] + 2 * terms[n]) / (n + 1))
            end
            Tuple(Float64.(terms))
        end
    end
end

const erf_coefficients = erf_series()
const erfcx_coefficients = erfcx_series()

# From 1 on.
function erfcx_above_one(x::Float64)
    if x < erfcx_last
        centre = round(Int, (x - 1.0) / erfcx_spacing)
        return evaluate(erfcx_coefficients[centre + 1], x - (1.0 + centre * erfcx_spacing))
    end
    fraction = 0.0
    for k in 24:-1:1
        fraction = (k / 2) / (x + fraction)
    end
    1.0 / ((x + fraction) * sqrt(pi))
end

function evaluate(coefficients::NTuple{N,Float64}, x::Float64) where {N}
    value = coefficients[N]
    for k in (N - 1):-1:1
        value = muladd(value, x, coefficients[k])
    end
    value
end

# exp(-x^2) without the error of rounding the square, which the exponential would magnify.
function gaussian(x::Float64)
    square = x * x
    exp(-square) * (1.0 - fma(x, x, -square))
end

# The leading coefficient in two parts, so that only the last addition rounds noticeably.
const erf_slope_rest = Float64(2 / sqrt(big(pi)) - erf_coefficients[1])

function erf_below_one(x::Float64)
    square = x * x
    fma(x, erf_coefficients[1], x * (erf_slope_rest + square * evaluate(Base.tail(erf_coefficients), square)))
end

"""
    erf(x)

The error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x.
"""
function erf(x::Float64)
    isnan(x) && return x
    magnitude = abs(x)
    magnitude < 1.0 && return erf_below_one(x)
    magnitude > 6.0 && return copysign(1.0, x)
    copysign(1.0 - gaussian(magnitude) * erfcx_above_one(magnitude), x)
end

"""
    erfc(x)

The complement of the error function, 1 - erf(x), exact also where erf(x) is almost 1.
"""
function erfc(x::Float64)
    isnan(x) && return x
    abs(x) < 1.0 && return 1.0 - erf_below_one(x)
    x > 28.0 && return 0.0
    x < -6.0 && return 2.0
    tail = gaussian(abs(x)) * erfcx_above_one(abs(x))
    x > 0 ? tail : 2.0 - tail
end

erf(x::Float32) = Float32(erf(Float64(x)))
erfc(x::Float32) = Float32(erfc(Float64(x)))

"""The distribution function of the standard normal distribution."""
normal_distribution(x::Float64) = 0.5 * erfc(-x * sqrt(0.5))
