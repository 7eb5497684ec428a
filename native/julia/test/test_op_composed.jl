# Operators that are put together from others, and those of order and bits, by hand or by formulas written out.

isdefined(@__MODULE__, :apply_operator) || include("operator_alone.jl")

@testset "Einsum: products, diagonals, ellipses, sizes of one" begin
    einsum(equation, inputs...) = apply_operator("Einsum", inputs...; equation=equation)
    # The ONNX matrix of two rows and three columns is a Julia matrix of three rows.
    a, b = wavy(Float64, 3, 2), wavy(Float64, 4, 3)
    @test einsum("ij,jk->ik", a, b) ≈ b * a
    @test einsum("ij,jk", a, b) ≈ b * a
    @test einsum("ij->ji", a) == permutedims(a)
    @test einsum("ij->", a)[] ≈ sum(a)
    square = wavy(Float64, 3, 3)
    @test einsum("ii->i", square) == [square[k, k] for k in 1:3]
    @test einsum("ii", square)[] ≈ sum(square[k, k] for k in 1:3)
    batch = wavy(Float64, 3, 2, 5)
    @test einsum("...ij,jk->...ik", batch, b) ≈ cat((b * batch[:, :, k] for k in 1:5)...; dims=3)
    @test einsum("ij,kl->ijkl", a, b) ≈ reshape(vec(b) * vec(a)', 4, 3, 3, 2)
    @test einsum("ij,ij->i", a, ones(3, 1)) ≈ vec(sum(a; dims=1))
    @test einsum("ij,jk,k->i", a, b, wavy(Float64, 4)) ≈ a' * (b' * wavy(Float64, 4))
    refused(equation, words, inputs...) = refuses(() -> einsum(equation, inputs...), :bad_input, words)
    @test refused("ij,jk->ik", "2 terms for 1 inputs", a)
    @test refused("ijk->i", "does not fit an input of rank 2", a)
    @test refused("ij->ik", "cannot be read", a)
    @test refused("i1->i", "cannot be read", a)
    @test refused("ij,ij->i", "one label has the sizes 2 and 3", a, b)
end

@testset "TopK and Unique: the first of equal values first, NaN beyond every number" begin
    x = Float32[3 1; NaN 5; 3 5]
    values, places = apply_operator("TopK", x, Int64[2])
    @test isequal(values, Float32[NaN 5; 3 5]) && places == [1 1; 0 2]
    values, places = apply_operator("TopK", x, Int64[2]; largest=0)
    @test values == Float32[3 1; 3 5] && places == [0 0; 2 1]
    values, places = apply_operator("TopK", Int32[3 1; 7 5], Int64[1]; axis=0)
    @test values == Int32[3; 7][:, :] && places == [0; 0][:, :]
    @test refuses(() -> apply_operator("TopK", x, Int64[4]), :bad_input, "k is 4 of 3")
    found = apply_operator("Unique", Float32[2, NaN, 1, 2, NaN]; outputs=4)
    @test isequal(found[1], Float32[1, 2, NaN]) && found[2:4] == ([2, 0, 1], [1, 2, 0, 1, 2], [1, 2, 2])
    @test apply_operator("Unique", [2, 1, 2]; sorted=0)[1] == [2, 1]
    rows = [1 3 1; 2 4 2]
    @test apply_operator("Unique", rows; axis=0)[1] == [1 3; 2 4]
end

@testset "Compress and CenterCropPad" begin
    x = wavy(Float32, 3, 2)
    @test apply_operator("Compress", x, [false, true, true]; axis=1) == x[2:3, :]
    @test apply_operator("Compress", x, [false, true, true, false]) == vec(x)[2:3]
    @test refuses(() -> apply_operator("Compress", x, trues(4) |> Array; axis=1), :bad_input, "for an axis of length 3")
    @test apply_operator("CenterCropPad", x, Int64[1, 4]) == [x[:, 1]; 0][:, :]
    @test apply_operator("CenterCropPad", x, Int64[1]; axes=[-1]) == x[2:2, :]
    @test refuses(() -> apply_operator("CenterCropPad", x, Int64[1]), :bad_input, "does not fit 2 axes")
end

@testset "bits of quality bands" begin
    flags = UInt16[0x0000, 0x1803, 0xffff]
    @test apply_operator("BitwiseAnd", flags, UInt16[0x0800]) == UInt16[0, 0x0800, 0x0800]
    @test apply_operator("BitwiseOr", flags, UInt16[1]) == UInt16[1, 0x1803, 0xffff]
    @test apply_operator("BitwiseXor", Int8[-1, 5], Int8[5, 5]) == Int8[-6, 0]
    @test apply_operator("BitwiseNot", Int32[0, -1]) == Int32[-1, 0]
    @test apply_operator("BitShift", flags, UInt16[11]; direction="RIGHT") == UInt16[0, 3, 31]
    @test apply_operator("BitShift", UInt8[1, 200], UInt8[8, 1]; direction="LEFT") == UInt8[0, 144]
    @test refuses(() -> apply_operator("BitwiseNot", Float32[1]), :bad_input, "bits of float32")
    @test refuses(() -> apply_operator("BitShift", flags, flags; direction="UP"), :unsupported, "direction 'UP'")
    @test apply_operator("BitShift", Int8[-4, 4], Int8[1, -1]; direction="RIGHT") == Int8[-2, 0]
    @test apply_operator("BitShift", Int8[-4, 4], Int8[1, -1]; direction="LEFT") == Int8[-8, 0]
end

@testset "losses are means over what is counted, weighted by class" begin
    x, target = wavy(Float64, 3, 4), Int64[2, 0, 1, 2]
    scores = permutedims(x)
    likelihood = log.(exp.(x) ./ sum(exp.(x); dims=1))
    each = [-likelihood[class + 1, k] for (k, class) in enumerate(target)]
    loss(; keywords...) = apply_operator("SoftmaxCrossEntropyLoss", x, target; opset=13, keywords...)[1]
    @test loss(reduction="none") ≈ each
    @test loss()[] ≈ sum(each) / 4
    @test loss(ignore_index=2)[] ≈ (each[2] + each[3]) / 2
    weight = [0.5, 2.0, 1.0]
    weighed = apply_operator("NegativeLogLikelihoodLoss", likelihood, target, weight)
    @test weighed[] ≈ sum(each .* weight[target .+ 1]) / sum(weight[target .+ 1])
    @test refuses(() -> apply_operator("NegativeLogLikelihoodLoss", x, Int64[3, 0, 0, 0]), :bad_input, "outside the 3 classes")
end

@testset "Attention is a softmax over the keys that a query sees" begin
    q, k, v = wavy(Float64, 4, 2, 1, 1), wavy(Float64, 4, 3, 1, 1) .+ 0.3, wavy(Float64, 5, 3, 1, 1)
    weights(seen) = begin
        scores = (k[:, :, 1, 1]' * q[:, :, 1, 1]) ./ 2
        powers = exp.(scores) .* seen
        powers ./ sum(powers; dims=1)
    end
    run(inputs...; keywords...) = apply_operator("Attention", inputs...; opset=23, keywords...)[1][:, :, 1, 1]
    @test run(q, k, v) ≈ v[:, :, 1, 1] * weights(trues(3, 2))
    @test run(q, k, v; is_causal=1) ≈ v[:, :, 1, 1] * weights([1 1; 0 1; 0 0])
    mask = [true true; false true; true false]
    @test run(q, k, v, Array(mask)) ≈ v[:, :, 1, 1] * weights(mask)
    # A query that sees nothing gives zeros.
    @test run(q, k, v, Array([false true; false true; false true]))[:, 1] == zeros(5)
    @test refuses(() -> run(q, k, v, nothing, k), :bad_input, "come together")
    @test refuses(() -> run(q, k, v; qk_matmul_output_mode=4), :unsupported, "qk_matmul_output_mode 4")
end
