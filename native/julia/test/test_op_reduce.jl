isdefined(@__MODULE__, :apply_operator) || include("operator_alone.jl")

@testset "reductions over axes, kept or dropped" begin
    x = wavy(Float64, 4, 3, 2)
    for (name, f) in (
        ("ReduceSum", sum), ("ReduceMean", v -> sum(v) / length(v)), ("ReduceMax", maximum), ("ReduceMin", minimum),
        ("ReduceProd", prod), ("ReduceL1", v -> sum(abs, v)), ("ReduceL2", v -> sqrt(sum(abs2, v))),
        ("ReduceSumSquare", v -> sum(abs2, v)), ("ReduceLogSumExp", v -> log(sum(exp, v))),
        ("ReduceLogSum", v -> (s = sum(v); s < 0 ? NaN : log(s)))
    )
        kept = apply_operator(name, x, Int64[0, -1])
        @test size(kept) == (1, 3, 1)
        @test isapprox(kept[1, 2, 1], f(x[:, 2, :]); rtol=1e-13, nans=true)
        # Axes are an attribute before.
        @test isequal(apply_operator(name, x; opset=11, axes=[0, 2], keepdims=0), kept[1, :, 1])
        @test apply_operator(name, x; keepdims=0) isa Array{Float64,0}
        @test apply_operator(name, Float32.(x), Int64[1]) isa Array{Float32,3}
    end
end

@testset "no axes: all, or none" begin
    x = Float32[-1, 2]
    @test apply_operator("ReduceSum", x) == Float32[1]
    @test apply_operator("ReduceSum", x, Int64[]; noop_with_empty_axes=1) == x
    # The function still applies to each value.
    @test apply_operator("ReduceSumSquare", x; noop_with_empty_axes=1) == Float32[1, 4]
    @test apply_operator("ReduceL1", scalar(-2.0)) == scalar(2.0)
    @test refuses(() -> apply_operator("ReduceSum", x, Int64[1]), :bad_input, "axis 1 is outside a tensor of rank 1")
end

@testset "nothing reduced is the neutral value" begin
    nothing_ = zeros(Float32, 2, 0)
    @test apply_operator("ReduceSum", nothing_, Int64[0]) == zeros(Float32, 2, 1)
    @test apply_operator("ReduceProd", nothing_, Int64[0]) == ones(Float32, 2, 1)
    @test apply_operator("ReduceMax", nothing_, Int64[0]) == fill(-Inf32, 2, 1)
    @test apply_operator("ReduceMin", zeros(Int32, 0), Int64[0]) == [typemax(Int32)]
    @test apply_operator("ReduceMax", Bool[], Int64[0]) == [false]
end

@testset "integers, bool and NaN" begin
    @test apply_operator("ReduceSum", Int8[100, 100]) == Int8[-56]
    @test apply_operator("ReduceMean", Int32[-1, -2]) == Int32[-1]
    @test apply_operator("ReduceL2", Int32[3, 4]) == Int32[5]
    @test apply_operator("ReduceMax", [true, false]) == [true]
    @test isnan(only(apply_operator("ReduceMax", [1.0, NaN])))
    @test apply_operator("ReduceLogSumExp", [-Inf, -Inf]) == [-Inf]
    @test apply_operator("ReduceLogSumExp", [1000.0, 1000.0]) ≈ [1000 + log(2)]
end

@testset "sums of many Float32 keep their digits" begin
    x = fill(0.1f0, 3, 1_000_000)
    @test apply_operator("ReduceSum", x, Int64[0]) == fill(Float32(1_000_000 * Float64(0.1f0)), 3, 1)
    @test apply_operator("ReduceMean", vec(x)) == [0.1f0]
end

@testset "where the extreme value is" begin
    x = onnx_array(Float32[1, 5, 5, 7, 2, 7], 2, 3)
    @test apply_operator("ArgMax", x; axis=1, keepdims=0) == [1, 0]
    @test apply_operator("ArgMax", x; axis=1, keepdims=0, select_last_index=1) == [2, 2]
    @test row_major(apply_operator("ArgMin", x; axis=-2)) == [0, 1, 0]
    @test apply_operator("ArgMax", x) isa Array{Int64,2}
    # The first NaN wins, as in numpy.
    @test apply_operator("ArgMax", [1.0, NaN, 3.0, NaN]) == [1]
    @test apply_operator("ArgMin", [1.0, NaN, -3.0]) == [1]
    @test refuses(() -> apply_operator("ArgMax", zeros(0)), :bad_input, "empty")
end

@testset "running sums and products" begin
    x = onnx_array(Float64[1, 2, 3, 4, 5, 6], 2, 3)
    @test row_major(apply_operator("CumSum", x, scalar(Int64(1)))) == [1, 3, 6, 4, 9, 15]
    @test row_major(apply_operator("CumSum", x, scalar(Int64(0)); reverse=1)) == [5, 7, 9, 4, 5, 6]
    @test row_major(apply_operator("CumSum", x, scalar(Int64(1)); exclusive=1)) == [0, 1, 3, 0, 4, 9]
    @test row_major(apply_operator("CumProd", x, scalar(Int64(-1)); opset=26, exclusive=1, reverse=1)) == [6, 3, 1, 30, 6, 1]
    @test apply_operator("CumSum", Int32[2^30, 2^30], scalar(Int64(0))) == Int32[2^30, -2^31]
end

@testset "the softmax family" begin
    x = wavy(Float64, 3, 4, 2)
    soft(v) = exp.(v) ./ sum(exp, v)
    @test apply_operator("Softmax", x)[:, 2, 1] ≈ soft(x[:, 2, 1])
    @test apply_operator("Softmax", x; axis=1)[2, :, 1] ≈ soft(x[2, :, 1])
    @test apply_operator("LogSoftmax", x; axis=0)[2, 3, :] ≈ log.(soft(x[2, 3, :]))
    # Before opset 13 all axes from the given one on are one.
    @test apply_operator("Softmax", x; opset=11, axis=1)[:, :, 2] ≈ soft(x[:, :, 2])
    @test apply_operator("Softmax", x; opset=11, axis=3) == ones(3, 4, 2)
    @test apply_operator("Softmax", [1000.0, 1000.0]) == [0.5, 0.5]
    @test apply_operator("LogSoftmax", [-1000.0, 1000.0]) == [-2000, 0]
    @test apply_operator("Hardmax", onnx_array([1.0, 3, 3, 2, 1, 0], 2, 3); axis=1) == onnx_array([0.0, 1, 0, 1, 0, 0], 2, 3)
    @test apply_operator("Softmax", zeros(Float32, 0, 3)) == zeros(Float32, 0, 3)
    @test apply_operator("Softmax", Float16[1, 2, 3]) isa Array{Float16}
end

@testset "half precision overflows where ONNX rounds, and not on the way to a sum" begin
    large = Float16[60000, 60000, -60000]
    @test apply_operator("ReduceSum", large; keepdims=0)[] == Float16(60000)
    @test apply_operator("ReduceMean", Float16[60000, 60000]; keepdims=0)[] == Float16(60000)
    @test all(isinf, apply_operator(name, Float16[300])[] for name in ("ReduceSumSquare", "ReduceL2"))
    @test isinf(apply_operator("ReduceLogSum", Float16[60000, 60000])[])
    @test apply_operator("ReduceL2", BFloat16.(Float32[3, 4]))[] == BFloat16(5)
    @test isinf(apply_operator("Sum", (Float16[v] for v in large)...)[])
    @test isinf(apply_operator("Mean", Float16[60000], Float16[60000])[])
end
