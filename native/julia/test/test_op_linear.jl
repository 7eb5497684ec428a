isdefined(@__MODULE__, :apply_operator) || include("operator_alone.jl")

# An ONNX matrix as the matrix that a reader sees, and back.
as_seen(x) = permutedims(x)

@testset "Gemm, with each factor as it is or transposed" begin
    a, b, c = wavy(Float64, 3, 4), wavy(Float64, 4, 2), wavy(Float64, 1, 2)
    for transA in (0, 1), transB in (0, 1)
        found = apply_operator(
            "Gemm", as_seen(transA == 1 ? permutedims(a) : a), as_seen(transB == 1 ? permutedims(b) : b), as_seen(c);
            transA=transA, transB=transB, alpha=0.5, beta=2.0
        )
        @test as_seen(found) ≈ 0.5 .* (a * b) .+ 2 .* c rtol = 1e-14
    end
    @test eltype(apply_operator("Gemm", ones(Float32, 2, 2), ones(Float32, 2, 2); alpha=0.1)) == Float32
    @test apply_operator("Gemm", Int32[1 2; 3 4], Int32[1 0; 0 1], scalar(Int32(1))) == Int32[2 3; 4 5]
    @test refuses(() -> apply_operator("Gemm", ones(3, 2), ones(2, 2)), :bad_input, "shapes (2, 3) and (2, 2)")
    @test refuses(() -> apply_operator("Gemm", ones(3, 2), ones(4, 3), ones(3)), :bad_input, "C of shape (3)")
end

@testset "MatMul: leading axes are broadcast, vectors get an axis" begin
    a, b = wavy(Float64, 4, 3, 2, 1), wavy(Float64, 5, 4, 1, 6)
    found = apply_operator("MatMul", a, b)
    @test size(found) == (5, 3, 2, 6)
    for i in 1:2, j in 1:6
        @test found[:, :, i, j] ≈ b[:, :, 1, j] * a[:, :, i, 1] rtol = 1e-14
    end
    shared = apply_operator("MatMul", a, b[:, :, 1, 1])
    @test shared[:, :, 2, 1] ≈ b[:, :, 1, 1] * a[:, :, 2, 1] rtol = 1e-14
    v = [1.0, 2, 3, 4]
    @test apply_operator("MatMul", v, v) == scalar(30.0)
    @test size(apply_operator("MatMul", v, b)) == (5, 1, 6)
    @test size(apply_operator("MatMul", a, v)) == (3, 2, 1)
    @test size(apply_operator("MatMul", zeros(0, 3), zeros(2, 0))) == (2, 3)
    @test apply_operator("MatMul", zeros(0, 3), zeros(2, 0)) == zeros(2, 3)
    @test size(apply_operator("MatMul", zeros(4, 3, 0), zeros(5, 4, 0))) == (5, 3, 0)
    @test apply_operator("MatMul", fill(Int8(100), 2, 1), fill(Int8(1), 1, 2)) == fill(Int8(-56), 1, 1)
    @test refuses(() -> apply_operator("MatMul", scalar(1.0), v), :bad_input, "scalar")
    @test refuses(() -> apply_operator("MatMul", ones(3, 2), ones(2, 4)), :bad_input, "do not fit a product")
end

@testset "NaN and infinities in weights and inputs reach exactly the outputs that they should" begin
    weight = Float32[1 0 0; 0 1 0; 0 0 1]
    x = Float32[1 NaN 0; 2 0 0; 3 4 0]
    @test isnan.(apply_operator("Gemm", x, weight)) == Bool[0 1 0; 0 1 0; 0 1 0]
    # 0 * Inf is NaN, 1 * Inf is not.
    weight[2, 1] = Inf
    @test isequal(apply_operator("Gemm", Float32[1 0; 0 0; 0 0], weight), Float32[1 0; Inf NaN; 0 0])
end

@testset "determinants of the last two axes" begin
    @test apply_operator("Det", Float32[1 2; 3 4])[] == -2
    @test apply_operator("Det", cat([1.0 2; 3 4], [2.0 0; 0 3]; dims=3)) ≈ [-2, 6]
    @test refuses(() -> apply_operator("Det", ones(Float32, 2, 3)), :bad_input, "square matrices")
end
