isdefined(@__MODULE__, :apply_operator) || include("operator_alone.jl")

resize(x, scales; attributes...) = apply_operator("Resize", x, nothing, Float32[scales...]; attributes...)
resize_to(x, sizes, region=nothing; attributes...) = apply_operator("Resize", x, region, nothing, Int64[sizes...]; attributes...)

@testset "nearest, and how halves are rounded" begin
    x = Float32[1, 2, 3, 4]
    @test resize(x, (2,)) == repeat(x; inner=2)
    @test resize(x, (0.5,)) == Float32[1, 3]
    @test resize(x, (0.5,); nearest_mode="round_prefer_ceil") == Float32[2, 4]
    @test resize(x, (0.5,); coordinate_transformation_mode="asymmetric", nearest_mode="floor") == Float32[1, 3]
    @test resize([true, false], (2,)) == [true, true, false, false]
    @test apply_operator("Resize", x, Float32[2]; opset=10) == repeat(x; inner=2)
    @test apply_operator("Upsample", x; opset=7, scales=[2.0]) == repeat(x; inner=2)
end

@testset "a scale that was divided gives the size that was divided" begin
    # 33 / 17 in single precision, times 17 in double precision, is a little less than 33.
    @test length(resize(wavy(Float32, 17), (33 / 17,))) == 33
    @test length(apply_operator("Upsample", wavy(Float32, 17), Float32[33 / 17]; opset=9)) == 33
    @test length(resize(wavy(Float32, 17), (1.94f0,))) == 32
end

@testset "linear and cubic" begin
    x = [0.0, 4.0]
    @test resize(x, (2,); mode="linear") == [0, 1, 3, 4]
    @test resize(x, (2,); mode="linear", coordinate_transformation_mode="align_corners") ≈ [0, 4 / 3, 8 / 3, 4]
    @test resize(x, (2,); mode="linear", coordinate_transformation_mode="asymmetric") == [0, 2, 4, 4]
    # A cubic through a straight line is that line, away from the edges.
    line = collect(0.0:9)
    cubic = resize(line, (2,); mode="cubic", cubic_coeff_a=-0.5)
    @test cubic[6:15] ≈ (5:14) ./ 2 .- 0.25
    @test resize_to(line, (5,); mode="linear", antialias=1)[3] ≈ 4.5
    picture = wavy(Float32, 4, 3)
    both = resize(picture, (2, 2); mode="linear")
    @test both ≈ resize(resize(picture, (1, 2); mode="linear"), (2, 1); mode="linear")
    # Integers are cut off at the end only.
    @test resize(UInt8[0, 3], (2,); mode="linear") == UInt8[0, 0, 2, 3]
end

@testset "sizes, axes, aspect and crops" begin
    x = wavy(Float32, 6, 4)
    @test reverse(size(resize_to(x, (8, 9)))) == (8, 9)
    @test reverse(size(resize_to(x, (3,); axes=[1]))) == (4, 3)
    @test reverse(size(resize_to(x, (8, 9); keep_aspect_ratio_policy="not_larger"))) == (6, 9)
    @test reverse(size(resize_to(x, (8, 9); keep_aspect_ratio_policy="not_smaller"))) == (8, 12)
    line = Float32[0, 1, 2, 3]
    crop(region) = resize_to(line, (3,), Float32[region...]; mode="linear", coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=-7.0)
    @test crop((0, 1)) == [0, 1.5, 3]
    @test crop((0, 2)) == [0, 3, -7]
    @test refuses(() -> crop(()), :bad_input, "roi does not fit 1 axes")
    @test refuses(() -> resize(line, (0,)), :bad_input, "not positive")
    @test refuses(() -> resize(line, (1, 2)), :bad_input, "do not fit 1 axes")
    @test refuses(() -> apply_operator("Resize", line), :bad_input, "exactly one of scales and sizes")
    @test refuses(() -> resize(line, (2,); mode="lanczos"), :unsupported, "mode 'lanczos'")
    @test refuses(() -> resize(line, (1.0e12,)), :bad_input, "larger than the limit")
end
