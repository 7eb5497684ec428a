# Gradients of single operators against central differences, in double precision.

function central_differences(f, x; step=1e-6)
    map(eachindex(x)) do k
        up, down = copy(x), copy(x)
        up[k] += step
        down[k] -= step
        (f(up) - f(down)) / 2step
    end |> gradient -> reshape(collect(Float64, gradient), size(x))
end

# Every output counts, each value with a weight of its own.
weighed(y::AbstractArray) = sum(y .* reshape(cos.(1:length(y)), size(y)))
weighed(ys::NamedTuple) = sum(map(weighed, Tuple(ys)))

"""Whether the gradient to each floating-point input is that of central differences."""
function gradient_holds(operator, inputs...; keywords...)
    given = filter(!isnothing, collect(Any, inputs))
    doubles = Any[x isa Array{<:AbstractFloat} ? map(Float64, x) : x for x in inputs]
    model = Flux.testmode!(one_node(operator, doubles...; keywords...))
    arrays = Any[x for x in doubles if x !== nothing]
    found = Flux.gradient((xs...) -> weighed(model(xs...)), arrays...)
    all(findall(x -> x isa Array{Float64}, arrays)) do k
        expected = central_differences(x -> weighed(model((j == k ? x : arrays[j] for j in eachindex(arrays))...)), arrays[k])
        isapprox(found[k], expected; rtol=1e-6, atol=1e-7)
    end
end

x4, x3, x2 = wavy(5, 4, 2, 2), wavy(6, 2, 3), wavy(4, 3)
# Away from the corners of functions that have some.
positive = abs.(x2) .+ 0.3f0

@testset "windows" begin
    @test gradient_holds("Conv", x3, wavy(3, 2, 4), wavy(4); pads=[1, 1])
    @test gradient_holds("Conv", x4, wavy(3, 2, 2, 3); strides=[2, 1], dilations=[1, 2], pads=[1, 0, 1, 2])
    @test gradient_holds("Conv", x4, wavy(3, 2, 1, 4); group=2, auto_pad="SAME_UPPER")
    @test gradient_holds("MaxPool", x3; kernel_shape=[2], strides=[2])
    @test gradient_holds("AveragePool", x4; kernel_shape=[2, 2], pads=[1, 1, 0, 0], count_include_pad=1)
    @test gradient_holds("AveragePool", x3; kernel_shape=[3])
    @test gradient_holds("GlobalAveragePool", x4)
    @test gradient_holds("GlobalMaxPool", x4)
end

@testset "layers" begin
    @test gradient_holds("Gemm", wavy(3, 2), wavy(3, 4), wavy(4); transB=1, alpha=0.5, beta=2.0)
    @test gradient_holds("Gemm", wavy(2, 3), wavy(4, 3); transA=1)
    @test gradient_holds("MatMul", wavy(3, 2), wavy(4, 3))
    @test gradient_holds("MatMul", wavy(3, 2, 2), wavy(4, 3))
    @test gradient_holds("MatMul", wavy(3, 2, 2), wavy(4, 3, 2))
    @test gradient_holds("BatchNormalization", x3, wavy(2), wavy(2), wavy(2), abs.(wavy(2)) .+ 1)
    @test gradient_holds("LayerNormalization", x3, wavy(6), wavy(6))
    @test gradient_holds("Softmax", x3; axis=1)
    @test gradient_holds("Softmax", x3; axis=1, opset=11)
    @test gradient_holds("LogSoftmax", x2)
end

@testset "operators that are put together from others" begin
    heads = (wavy(4, 3, 2, 1), wavy(4, 5, 2, 1) .+ 0.1f0, wavy(3, 5, 2, 1))
    @test gradient_holds("Attention", heads...; opset=23, is_causal=1)
    @test gradient_holds("Einsum", wavy(4, 3, 2), wavy(5, 4, 2) .+ 0.1f0; equation="bij,bjk->bik")
    @test gradient_holds("TopK", x2, Int64[2]; outputs=["y", "places"])
    @test gradient_holds("GridSample", x4, wavy(2, 3, 2, size(x4, 4)) ./ 3; opset=20)
    @test gradient_holds("SoftmaxCrossEntropyLoss", wavy(4, 3), Int64[1, 0, 3])
    @test gradient_holds("NegativeLogLikelihoodLoss", wavy(4, 3), Int64[1, 0, 3])
    @test gradient_holds("RotaryEmbedding", wavy(4, 3, 2, 1), wavy(2, 3, 1), wavy(2, 3, 1) .+ 0.1f0; opset=23)
    @test gradient_holds("SwiGLU", wavy(4, 3), wavy(4, 3) .+ 1; opset=28)
    @test gradient_holds("Compress", x2, [true, false, true]; axis=0)
    @test gradient_holds("CenterCropPad", x2, Int64[2, 6]; opset=18)
end

@testset "one value: $operator" for operator in (
    "Relu", "Elu", "Sigmoid", "Softplus", "Softsign", "Tanh", "Abs", "Neg", "Exp", "Sin", "Cos", "HardSigmoid", "HardSwish"
)
    @test gradient_holds(operator, x2)
end

@testset "one value, where it has one" begin
    @test gradient_holds("LeakyRelu", x2; alpha=0.2)
    @test gradient_holds("Gelu", x2; opset=20)
    @test gradient_holds("Gelu", x2; opset=20, approximate="tanh")
    @test gradient_holds("Mish", x2; opset=18)
    @test gradient_holds("Swish", x2; opset=24, alpha=0.7)
    @test all(operator -> gradient_holds(operator, positive), ("Log", "Sqrt", "Reciprocal"))
end

@testset "two values and more" begin
    @test all(operator -> gradient_holds(operator, x3, wavy(6) .+ 3), ("Add", "Sub", "Mul", "Div"))
    @test all(operator -> gradient_holds(operator, x2, wavy(4) .+ 0.1f0), ("Min", "Max", "Sum", "Mean"))
    @test gradient_holds("Where", collect(x2 .> 0), x2, positive)
end

@testset "reductions" begin
    @test gradient_holds("ReduceMean", x3; axes=[1], keepdims=0)
    @test gradient_holds("ReduceSum", x3, Int64[0, -1])
    @test gradient_holds("ReduceSum", x3)
end

@testset "values that move" begin
    @test gradient_holds("Transpose", x3; perm=[2, 0, 1])
    @test gradient_holds("Slice", x3, Int64[1, 0], Int64[6, 2], Int64[2, 0], Int64[2, 1])
    @test gradient_holds("Gather", x3, Int64[0 2; 2 1]; axis=2)
    @test gradient_holds("Concat", x3, x3 .+ 1; axis=1)
    @test gradient_holds("Split", x3; axis=2, outputs=["a", "b"])
    @test gradient_holds("Expand", wavy(1, 3), Int64[2, 3, 4])
    @test gradient_holds("Tile", x2, Int64[2, 2])
    @test gradient_holds("Pad", x2, Int64[1, 0, 0, 2])
    @test gradient_holds("Pad", x2, Int64[1, 0, 1, 2]; mode="reflect")
    @test gradient_holds("DepthToSpace", wavy(3, 2, 4, 1); blocksize=2)
    @test gradient_holds("ReverseSequence", wavy(2, 3, 4), Int64[4, 2, 3])
end

@testset "shapes and types" begin
    @test gradient_holds("Reshape", x3, Int64[-1, 4])
    @test gradient_holds("Flatten", x3; axis=2)
    @test gradient_holds("Squeeze", wavy(3, 1, 2), Int64[1])
    @test gradient_holds("Unsqueeze", x2, Int64[0])
    @test gradient_holds("Cast", x2; to=11)
end
