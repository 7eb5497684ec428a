isdefined(@__MODULE__, :apply_operator) || include("operator_alone.jl")

@testset "shapes are aligned at their last axes" begin
    x = onnx_array(Float32.(1:6), 2, 3)
    @test row_major(apply_operator("Add", x, Float32[10, 20, 30])) == [11, 22, 33, 14, 25, 36]
    @test row_major(apply_operator("Mul", x, onnx_array(Float32[1, 2], 2, 1))) == [1, 2, 3, 8, 10, 12]
    @test apply_operator("Add", scalar(1.5), scalar(2.0)) == scalar(3.5)
    @test size(apply_operator("Sub", x, ones(Float32, 1, 1, 1, 4))) == (3, 2, 1, 4)
    @test size(apply_operator("Add", zeros(Float32, 0, 2), ones(Float32, 1))) == (0, 2)
    @test refuses(() -> apply_operator("Add", x, ones(Float32, 2)), :bad_input, "shapes (2, 3) and (2) cannot be broadcast")
    @test refuses(() -> apply_operator("Add", x, ones(3)), :bad_input, "float32 and float64")
end

@testset "integers wrap, and divide towards zero" begin
    @test apply_operator("Add", UInt8[250], UInt8[10]) == UInt8[4]
    @test apply_operator("Mul", Int32[2^30], Int32[4]) == Int32[0]
    @test apply_operator("Sub", UInt32[0], UInt32[1]) == UInt32[2^32 - 1]
    @test apply_operator("Div", Int32[7, -7, 7, -7], Int32[2, 2, -2, -2]) == Int32[3, -3, -3, 3]
    @test apply_operator("Div", Int8[-128], Int8[-1]) == Int8[-128]
    @test apply_operator("Mul", Int64[typemax(Int64)], Int64[2]) == Int64[-2]
    @test refuses(() -> apply_operator("Div", Int64[1], Int64[0]), :bad_input, "divided by zero")
    @test isequal(apply_operator("Div", Float32[1, 0], Float32[0, 0]), Float32[Inf, NaN])
end

@testset "Mod has the sign of the divisor, with fmod that of the dividend" begin
    a, b = Int32[7, -7, 7, -7], Int32[3, 3, -3, -3]
    @test apply_operator("Mod", a, b) == Int32[1, 2, -2, -1]
    @test apply_operator("Mod", a, b; fmod=1) == Int32[1, -1, 1, -1]
    @test apply_operator("Mod", [-7.5], [2.0]; fmod=1) == [-1.5]
    @test refuses(() -> apply_operator("Mod", a, Int32[0]), :bad_input, "divided by zero")
end

@testset "Pow takes the dtype of the base" begin
    @test apply_operator("Pow", Float32[2, 9], Int64[3, -1]) ≈ Float32[8, 1 / 9]
    @test apply_operator("Pow", Int32[2, 3], Float32[3, 2.5]) == Int32[8, 15]
    @test apply_operator("Pow", Int32[2, -1], Int32[-1, -3]) == Int32[0, -1]
    @test isequal(apply_operator("Pow", [-2.0, -2.0, -Inf, 0.0], [0.5, 3.0, 0.5, -1.0]), [NaN, -8.0, Inf, Inf])
end

@testset "any number of inputs" begin
    a, b, c = Float32[1, 5, NaN], Float32[2, 2, 2], Float32[3, 0, 1]
    @test isequal(apply_operator("Max", a, b, c), Float32[3, 5, NaN])
    @test isequal(apply_operator("Min", a, b, c), Float32[1, 0, NaN])
    @test apply_operator("Sum", b, c) == Float32[5, 2, 3]
    @test apply_operator("Mean", b, c, Float32[4, 4, 3]) == Float32[3, 2, 2]
    @test apply_operator("Mean", scalar(1.0f0), scalar(2.0f0)) isa Array{Float32,0}
    @test apply_operator("Max", b) == b
end

@testset "comparison: NaN is not equal, and the result is a tensor of bool" begin
    @test apply_operator("Equal", [1.0, NaN], [1.0, NaN]) isa Array{Bool,1}
    @test apply_operator("Equal", [1.0, NaN], [1.0, NaN]) == [true, false]
    @test apply_operator("GreaterOrEqual", [1.0, NaN, 2.0], [1.0, 0.0, 3.0]) == [true, false, false]
    @test apply_operator("Less", UInt64[0x8000000000000000], UInt64[1]) == [false]
    @test apply_operator("Equal", Int64[2^53 + 1], Int64[2^53]) == [false]
    @test apply_operator("Greater", scalar(2.0), scalar(1.0)) == scalar(true)
    @test apply_operator("Xor", [true, true], [true, false]) == [false, true]
    @test apply_operator("Not", [true, false]) isa Array{Bool}
    @test apply_operator("IsNaN", Float32[NaN, 1]) == [true, false]
    @test apply_operator("IsInf", [Inf, -Inf, 0.0]; detect_negative=0) == [true, false, false]
end

@testset "Where chooses, and bool stays bool" begin
    condition = onnx_array([true, false], 2, 1)
    @test row_major(apply_operator("Where", condition, Float32[1, 2], scalar(0.0f0))) == [1, 2, 0, 0]
    @test apply_operator("Where", condition, [true], [false]) isa Array{Bool}
    @test refuses(() -> apply_operator("Where", condition, Float32[1], [1.0]), :bad_input, "different dtypes")
end

@testset "Clip: attributes before opset 11, inputs after" begin
    x = Float32[-5, 0.5, NaN, 5]
    @test isequal(apply_operator("Clip", x; opset=6, min=-1.0, max=1.0), Float32[-1, 0.5, NaN, 1])
    @test isequal(apply_operator("Clip", x, nothing, scalar(1.0f0)), Float32[-5, 0.5, NaN, 1])
    @test apply_operator("Clip", [Inf]) == [Inf]
    @test apply_operator("Clip", Int8[-100, 100], scalar(Int8(-5))) == Int8[-5, 100]
    # The upper bound wins, as in numpy.
    @test apply_operator("Clip", [1.0], scalar(3.0), scalar(2.0)) == [2.0]
    @test refuses(() -> apply_operator("Clip", x, Float32[1, 2]), :bad_input, "not a scalar")
end

@testset "half precision rounds once per node" begin
    a, b = Float16[1, 2048], Float16[0.0004, 1]
    @test apply_operator("Add", a, b) == Float16.(Float32.(a) .+ Float32.(b))
    @test apply_operator("Mul", BFloat16[1.5], BFloat16[1.0078125]) == BFloat16[BFloat16(1.5f0 * 1.0078125f0)]
    @test apply_operator("Less", BFloat16[1], BFloat16[2]) == [true]
end
