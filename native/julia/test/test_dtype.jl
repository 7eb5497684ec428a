bits(x::P.BFloat16) = reinterpret(UInt16, x)

@testset "bfloat16 keeps the upper half of a float32, rounded once" begin
    @test bits(BFloat16(1)) == 0x3f80
    @test Float32(BFloat16(1 + 2^-8)) == 1
    @test Float32(BFloat16(1 + 3 * 2^-8)) == 1 + 2^-6
    # Just above the middle, by less than a Float32 can hold.
    @test Float32(BFloat16(1 + 2^-8 + 2.0^-40)) == 1 + 2^-7
    @test Float32(BFloat16(-1 - 2^-8 - 2.0^-40)) == -1 - 2^-7
    @test isinf(BFloat16(3.4e38)) && isnan(BFloat16(NaN)) && signbit(BFloat16(-0.0))
    finite = filter(isfinite, reinterpret(P.BFloat16, collect(0x0000:0x7f7f)))
    @test all(x -> BFloat16(Float32(x)) === x && BFloat16(Float64(x)) === x, finite)
end

@testset "float16 is rounded once" begin
    @test P.narrowed(Float16, 1 + 2.0^-11 + 2.0^-40) == Float16(1 + 2.0^-10)
    @test P.narrowed(Float16, 65519.99) == floatmax(Float16)
    @test isinf(P.narrowed(Float16, 65520.0))
end

@testset "every type has the name that ONNX gives it" begin
    for (name, type) in P.dtype_types
        @test P.dtype_name(type) == name
        @test P.dtype_of_code(findfirst(==(name), P.dtype_names), "x") == type
    end
    @test refuses(() -> P.dtype_of_code(14, "'x'"), :unsupported, "dtype complex64 ('x')")
    @test refuses(() -> P.dtype_of_code(99, "'x'"), :bad_input, "99")
end

@testset "no call fits two methods" begin
    @test isempty(detect_ambiguities(PlainONNX))
    modes = (RoundNearest, RoundNearestTiesAway, RoundToZero, RoundUp, RoundDown)
    @test all(round(BFloat16(2.5), mode) == BFloat16(round(2.5, mode)) for mode in modes)
end
