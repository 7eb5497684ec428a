# Whole numbers that stand for others, by hand.

isdefined(@__MODULE__, :apply_operator) || include("operator_alone.jl")

@testset "ties go to the even number before the zero point is added, and what is too large is cut" begin
    x = Float32[-1, 0.5, 1.5, 1000]
    @test apply_operator("QuantizeLinear", x, scalar(1f0), scalar(UInt8(1))) == UInt8[0, 1, 3, 255]
    @test apply_operator("QuantizeLinear", x, scalar(1f0); output_dtype=3) == Int8[-1, 0, 2, 127]
    @test refuses(() -> apply_operator("QuantizeLinear", Float32[NaN], scalar(1f0)), :unsupported, "NaN has no whole number")
    @test refuses(() -> apply_operator("QuantizeLinear", x, scalar(1f0), scalar(Int32(0))), :unsupported, "quantisation to int32")
end

@testset "one scale, one for each place of an axis, one for each block" begin
    x = UInt8[10 20; 30 40; 50 60]
    @test apply_operator("DequantizeLinear", x, scalar(0.5f0), scalar(UInt8(10))) == Float32[0 5; 10 15; 20 25]
    @test apply_operator("DequantizeLinear", x, Float32[1, 2]; axis=0) == Float32[10 40; 30 80; 50 120]
    @test apply_operator("DequantizeLinear", x, Float32[1 2; 3 4]; axis=1, block_size=2) == Float32[10 40; 30 80; 150 240]
    @test refuses(() -> apply_operator("DequantizeLinear", x, Float32[1, 2, 3]; axis=0), :bad_input, "does not fit a tensor")
    @test eltype(apply_operator("DequantizeLinear", x, scalar(Float16(0.5)))) == Float16
end

@testset "products of bytes are exact and wrap to 32 bits" begin
    a, b = onnx_array(UInt8[1, 2, 3, 4], 2, 2), onnx_array(Int8[-1, 2, 3, -4], 2, 2)
    @test apply_operator("MatMulInteger", a, b) == onnx_array(Int32[5, -6, 9, -10], 2, 2)
    @test apply_operator("MatMulInteger", a, b, scalar(UInt8(1)), scalar(Int8(0))) == onnx_array(Int32[3, -4, 7, -8], 2, 2)
    @test apply_operator("MatMulInteger", a, b, UInt8[1, 3]) == onnx_array(Int32[3, -4, 3, -4], 2, 2)
    @test refuses(() -> apply_operator("MatMulInteger", a, b, scalar(Int8(1))), :bad_input, "different dtypes")
    one = scalar(1f0)
    product = apply_operator("QLinearMatMul", a, one, scalar(UInt8(0)), b, scalar(0.5f0), scalar(Int8(0)), one, scalar(Int8(0)))
    @test product == onnx_array(Int8[2, -3, 4, -5], 2, 2)
    image, filter = reshape(UInt8[1:9;], 3, 3, 1, 1), fill(UInt8(2), 2, 2, 1, 1)
    @test vec(apply_operator("ConvInteger", image, filter, scalar(UInt8(1)))) == Int32[16, 24, 40, 48]
    @test vec(apply_operator(
        "QLinearConv", image, one, scalar(UInt8(1)), filter, one, scalar(UInt8(0)), scalar(8f0), scalar(UInt8(3)), Int32[8]
    )) == UInt8[6, 7, 9, 10]
end

@testset "a scale that follows from the values" begin
    bytes, scale, zero_point = apply_operator("DynamicQuantizeLinear", Float32[-1, 0, 1.55]; outputs=3)
    @test bytes == UInt8[0, 100, 255] && scale[] ≈ 0.01f0 && zero_point[] == 100
end

@testset "the bits of one type as another" begin
    @test apply_operator("BitCast", Float32[1, -0.0]; to=6, opset=26) == Int32[0x3f800000, typemin(Int32)]
    @test apply_operator("BitCast", Int64[1]; to=11, opset=26) == [5.0e-324]
    @test refuses(() -> apply_operator("BitCast", Float32[1]; to=7, opset=26), :bad_input, "another width")
end
