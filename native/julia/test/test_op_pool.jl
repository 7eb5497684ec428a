isdefined(@__MODULE__, :apply_operator) || include("operator_alone.jl")

# A pool by its definition, over one or two spatial dimensions: `f` gets the values of a window that lie inside.
function plain_pool(f, x; kernel, strides, dilations, before, output)
    D = ndims(x) - 2
    result = zeros(Float64, output..., size(x)[(end - 1):end]...)
    for n in axes(x, D + 2), c in axes(x, D + 1), o in CartesianIndices(output)
        places = [(Tuple(o) .- 1) .* strides .+ (Tuple(k) .- 1) .* dilations .- before .+ 1 for k in CartesianIndices(kernel)]
        inside = filter(place -> all(1 .<= place .<= size(x)[1:D]), vec(places))
        result[Tuple(o)..., c, n] = f([Float64(x[place..., c, n]) for place in inside])
    end
    result
end

@testset "pools are what they are defined by" begin
    for (sizes, kernel, strides, dilations, pads, output) in (
        ((9, 2, 2), (3,), (2,), (1,), (1,), (5,)),
        ((9, 2, 2), (2,), (1,), (3,), (0,), (6,)),
        ((7, 6, 3, 2), (3, 2), (2, 1), (1, 2), (1, 0), (4, 4)),
    )
        x = wavy(Float32, sizes...)
        options = (kernel=kernel, strides=strides, dilations=dilations, before=pads, output=output)
        attributes = (
            kernel_shape=[reverse(kernel)...], strides=[reverse(strides)...], dilations=[reverse(dilations)...],
            pads=[reverse(pads)..., reverse(pads)...]
        )
        @test apply_operator("MaxPool", x; attributes...) == plain_pool(maximum, x; options...)
        @test apply_operator("AveragePool", x; attributes...) ≈ plain_pool(v -> sum(v) / length(v), x; options...)
        @test apply_operator("AveragePool", x; attributes..., count_include_pad=1) ≈
            plain_pool(v -> sum(v) / prod(kernel), x; options...)
        @test apply_operator("LpPool", x; attributes..., p=3) ≈ plain_pool(v -> cbrt(sum(abs.(v) .^ 3)), x; options...)
    end
end

@testset "a last window that begins beyond the input is left out" begin
    x = onnx_array(Float32[1, 2, 3, 4, 5], 1, 1, 5)
    @test vec(apply_operator("MaxPool", x; kernel_shape=[2], strides=[2], ceil_mode=1)) == [2, 4, 5]
    @test vec(apply_operator("AveragePool", x; kernel_shape=[2], strides=[2], ceil_mode=1)) == [1.5, 3.5, 5]
    # What lies beyond the padding never counts.
    @test vec(apply_operator("AveragePool", x; kernel_shape=[4], strides=[2], ceil_mode=1, pads=[1, 1], count_include_pad=1)) ==
        Float32[1.5, 3.5, 3]
    @test size(apply_operator("MaxPool", x; kernel_shape=[1], strides=[4], ceil_mode=1, pads=[0, 0])) == (2, 1, 1)
end

@testset "where a maximum was found" begin
    x = onnx_array(Float32[1, 5, 2, 7, 3, 4, 0, 8, 6, 9, 9, 1], 1, 1, 3, 4)
    values, places = apply_operator("MaxPool", x; outputs=2, kernel_shape=[2, 2])
    @test places isa Array{Int64}
    @test vec(values) == x[vec(places) .+ 1]
    # 3 x 4 counted by columns: the place (r, c) is r + 3 c.
    _, columns = apply_operator("MaxPool", x; outputs=2, kernel_shape=[2, 2], storage_order=1)
    @test vec(columns) == [place ÷ 4 + 3 * (place % 4) for place in vec(places)]
    _, tied = apply_operator("MaxPool", onnx_array(Float32[2, 2, 2], 1, 1, 3); outputs=2, kernel_shape=[3])
    @test vec(tied) == [0]
end

@testset "integers, infinities and NaN" begin
    @test vec(apply_operator("MaxPool", onnx_array(Int8[-3, -128, -7, -128], 1, 1, 4); kernel_shape=[2], pads=[1, 0])) ==
        Int8[-3, -3, -7, -7]
    @test vec(apply_operator("MaxPool", onnx_array(Float32[-Inf, -Inf], 1, 1, 2); kernel_shape=[2])) == [-Inf]
    @test isnan(only(apply_operator("MaxPool", onnx_array(Float32[1, NaN, 3], 1, 1, 3); kernel_shape=[3])))
end

@testset "pools over everything" begin
    x = wavy(Float32, 5, 4, 3, 2)
    @test size(apply_operator("GlobalMaxPool", x)) == (1, 1, 3, 2)
    @test apply_operator("GlobalMaxPool", x) == maximum(x; dims=(1, 2))
    @test apply_operator("GlobalAveragePool", x) ≈ sum(x; dims=(1, 2)) ./ 20
    @test apply_operator("GlobalLpPool", x; p=2) ≈ sqrt.(sum(x .^ 2; dims=(1, 2)))
    @test refuses(() -> apply_operator("GlobalMaxPool", wavy(Float32, 3, 2)), :bad_input, "rank 2")
end
