isdefined(@__MODULE__, :apply_operator) || include("operator_alone.jl")

# erf in long arithmetic, by its Maclaurin series.
function long_erf(x)
    setprecision(BigFloat, 600) do
        x = BigFloat(x)
        term = total = x
        n = 0
        while abs(term) > big(2.0)^-500 || n < 10
            n += 1
            term *= -x^2 / n
            total += term / (2n + 1)
        end
        2 / sqrt(big(pi)) * total
    end
end

ulps(found, exact) = Float64(abs(BigFloat(found) - exact) / eps(Float64(abs(exact))))

@testset "erf and erfc to about one unit in the last place" begin
    points = [0.0001, 0.01, 0.3, 0.499, 0.7, 0.9999, 1.0, 1.0001, 1.124, 1.126, 1.7, 2.0, 2.9, 3.3, 4.1, 5.2, 5.87, 5.999]
    @test maximum(ulps(PlainONNX.erf(x), long_erf(x)) for x in points) <= 1.0
    @test all(PlainONNX.erf(-x) == -PlainONNX.erf(x) for x in points)
    tails = setprecision(() -> [1 - long_erf(x) for x in [points; 6.0; 6.5; 8.0]], BigFloat, 600)
    @test maximum(ulps(PlainONNX.erfc(x), tail) for (x, tail) in zip([points; 6.0; 6.5; 8.0], tails)) <= 3.0
    @test PlainONNX.erf(0.0) === 0.0 && PlainONNX.erf(Inf) === 1.0 && PlainONNX.erf(-40.0) === -1.0
    @test isnan(PlainONNX.erf(NaN)) && isnan(PlainONNX.erfc(NaN))
    @test PlainONNX.erfc(-Inf) === 2.0 && PlainONNX.erfc(Inf) === 0.0
    @test apply_operator("Erf", Float32[0.5]) == Float32[long_erf(0.5f0)]
end

@testset "activations are their formulas" begin
    x = Float64[-100, -3, -1, -0.5, -0.0, 0.5, 1, 3, 100]
    for (name, attributes, formula) in (
        ("Relu", (), v -> max(v, 0)),
        ("LeakyRelu", (alpha=0.1,), v -> v < 0 ? 0.1v : v),
        ("Elu", (alpha=2.0,), v -> v < 0 ? 2 * (exp(v) - 1) : v),
        ("Selu", (alpha=1.5, gamma=1.1), v -> 1.1 * (v <= 0 ? 1.5 * (exp(v) - 1) : v)),
        ("Celu", (alpha=2.0,), v -> max(v, 0) + min(0, 2 * (exp(v / 2) - 1))),
        ("Sigmoid", (), v -> 1 / (1 + exp(-v))),
        ("HardSigmoid", (), v -> clamp(Float64(0.2f0) * v + 0.5, 0, 1)),
        ("HardSwish", (), v -> v * clamp(v / 6 + 0.5, 0, 1)),
        ("Softplus", (), v -> v > 50 ? v : log(1 + exp(v))),
        ("Softsign", (), v -> v / (1 + abs(v))),
        ("ThresholdedRelu", (alpha=0.75,), v -> v > 0.75 ? v : 0),
        ("Mish", (), v -> v * tanh(v > 50 ? v : log(1 + exp(v)))),
        ("Shrink", (bias=0.25, lambd=0.75), v -> v < -0.75 ? v + 0.25 : v > 0.75 ? v - 0.25 : 0),
        ("Tanh", (), tanh),
    )
        @test apply_operator(name, x; attributes...) ≈ formula.(x) atol = 1e-15
        @test eltype(apply_operator(name, Float32.(x); attributes...)) == Float32
        @test isnan(apply_operator(name, [NaN]; attributes...)[1])
    end
    @test apply_operator("Swish", x; opset=24, alpha=0.5) ≈ x ./ (1 .+ exp.(-x ./ 2)) atol = 1e-15
    phi(v) = 0.5 * (1 + Float64(long_erf(v / sqrt(2.0))))
    near = [-3.0, -1.0, 0.0, 0.5, 2.0]
    @test apply_operator("Gelu", near) ≈ near .* phi.(near) rtol = 1e-13
    @test apply_operator("Gelu", [-20.0])[1] < 0
    @test apply_operator("Gelu", near; approximate="tanh") ≈ near .* phi.(near) atol = 1e-3
    @test refuses(() -> apply_operator("Gelu", near; approximate="cubic"), :unsupported, "'cubic'")
end

@testset "outside its domain a function is NaN" begin
    for (name, value) in (
        ("Sqrt", -1), ("Log", -1), ("Asin", 2), ("Acos", -2), ("Acosh", 0.5), ("Atanh", 3), ("Sin", Inf), ("Cos", -Inf),
        ("Tan", Inf)
    )
        @test isnan(apply_operator(name, Float32[value])[1])
        @test isnan(apply_operator(name, [Float64(value)])[1])
    end
    @test apply_operator("Log", [0.0]) == [-Inf]
    @test apply_operator("Atanh", [1.0]) == [Inf]
    @test apply_operator("Reciprocal", Float32[0]) == [Inf32]
end

@testset "rounding goes to even, signs survive" begin
    @test apply_operator("Round", [0.5, 1.5, 2.5, -1.5]) == [0, 2, 2, -2]
    @test isequal(apply_operator("Sign", [-2.0, 0.0, NaN]), [-1.0, 0.0, NaN])
    @test apply_operator("Neg", Int8[-128, 5]) == Int8[-128, -5]
    @test apply_operator("Abs", UInt8[200]) == UInt8[200]
    @test apply_operator("Shrink", Int32[-3, 0, 3]; opset=9, bias=1.5, lambd=1.5) == Int32[-1, 0, 1]
end

@testset "the slope of PRelu is broadcast to the input" begin
    x = onnx_array(Float32[-1, 2, -3, -4], 2, 2)
    @test vec(apply_operator("PRelu", x, Float32[0.5, 0.25])) == [-0.5, 2, -1.5, -1]
    @test refuses(() -> apply_operator("PRelu", Float32[1], x), :bad_input, "does not fit")
end

@testset "scalars stay tensors" begin
    for name in ("Relu", "Exp", "Sigmoid", "Abs", "Erf"), T in (Float32, Float16, BFloat16, Float64)
        @test apply_operator(name, scalar(T(0.5))) isa Array{T,0}
    end
end

@testset "a softmax of bfloat16 rounds each sum, and a long one does not stand still" begin
    few = BFloat16.(Float32[0, 0.3, 1.2, -0.7, 0.9])
    powers = exp.(few .- maximum(few))
    @test apply_operator("Softmax", few) == powers ./ foldl(+, powers)
    @test Float32.(apply_operator("Softmax", fill(BFloat16(1f0), 1000))) ≈ fill(0.001f0, 1000) rtol = 0.01
end
