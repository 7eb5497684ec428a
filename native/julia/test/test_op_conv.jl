isdefined(@__MODULE__, :apply_operator) || include("operator_alone.jl")

# The definition, with loops: x (spatial..., C, N), weight (kernel..., C / group, M).
function plain_convolution(x, weight, bias; strides, dilations, before, after, group=1)
    D = ndims(x) - 2
    input, kernel = size(x)[1:D], size(weight)[1:D]
    output = (input .+ before .+ after .- (kernel .- 1) .* dilations .- 1) .÷ strides .+ 1
    filters = size(weight, D + 2)
    result = zeros(Float64, output..., filters, size(x, D + 2))
    per_group = size(weight, D + 1)
    for n in axes(x, D + 2), m in 1:filters, o in CartesianIndices(output)
        first = (m - 1) ÷ (filters ÷ group) * per_group
        total = Float64(bias[m])
        for c in 1:per_group, k in CartesianIndices(kernel)
            place = (Tuple(o) .- 1) .* strides .+ (Tuple(k) .- 1) .* dilations .- before .+ 1
            all(1 .<= place .<= input) || continue
            total += Float64(x[place..., first + c, n]) * Float64(weight[Tuple(k)..., c, m])
        end
        result[Tuple(o)..., m, n] = total
    end
    result
end

onnx_pads(before, after) = [reverse(before)..., reverse(after)...]

@testset "Conv is the sum it is defined by" begin
    cases = (
        # sizes of x, of the weight; group, strides, dilations, before, after
        ((9, 3, 2), (3, 3, 4), 1, (1,), (1,), (1,), (1,)),
        ((9, 3, 2), (4, 3, 2), 1, (2,), (1,), (2,), (1,)),
        ((11, 4, 3), (3, 2, 6), 2, (1,), (3,), (3,), (2,)),
        ((7, 6, 2, 2), (3, 2, 2, 3), 1, (2, 1), (1, 2), (1, 0), (0, 2)),
        ((6, 5, 4, 2), (3, 3, 1, 8), 4, (1, 2), (2, 1), (2, 1), (2, 1)),
        ((6, 5, 4, 2), (3, 3, 1, 4), 4, (2, 1), (1, 1), (1, 1), (1, 1)),
        ((5, 4, 6, 2, 2), (2, 3, 3, 2, 3), 1, (1, 1, 2), (1, 1, 1), (0, 1, 1), (1, 1, 0)),
        ((8, 8, 5, 3), (1, 1, 5, 7), 1, (1, 1), (1, 1), (0, 0), (0, 0)),
        ((2, 2, 1, 1), (3, 3, 1, 2), 1, (1, 1), (1, 1), (1, 1), (1, 1)),
    )
    for (x_size, w_size, group, strides, dilations, before, after) in cases, T in (Float32, Float64)
        x, weight, bias = wavy(T, x_size...), wavy(T, w_size...), wavy(T, w_size[end])
        expected = plain_convolution(
            x, weight, bias; strides=strides, dilations=dilations, before=before, after=after, group=group
        )
        found = apply_operator(
            "Conv", x, weight, bias; group=group, strides=[reverse(strides)...], dilations=[reverse(dilations)...],
            pads=onnx_pads(before, after)
        )
        @test found isa Array{T}
        @test size(found) == size(expected)
        @test found ≈ expected rtol = 20 * eps(T)
    end
end

@testset "Conv in tiles: many samples, many lines, parts of a long line" begin
    for (x_size, w_size) in (((45, 16, 70), (7, 16, 24)), ((40, 50, 48, 2), (5, 5, 48, 4)), ((9000, 24, 2), (9, 24, 5)))
        D = length(x_size) - 2
        x, weight = wavy(Float32, x_size...), wavy(Float32, w_size...)
        before = ntuple(d -> w_size[d] ÷ 2, D)
        found = apply_operator("Conv", x, weight; pads=onnx_pads(before, before))
        @test size(found)[1:D] == x_size[1:D]
        # A few samples, and a stretch of the last dimension, by the definition.
        part = D == 1 ? x : x[:, (end - 9):end, :, :]
        for n in (1, x_size[end])
            one = plain_convolution(
                part[ntuple(d -> Colon(), D)..., :, n:n], weight, zeros(w_size[end]);
                strides=ntuple(d -> 1, D), dilations=ntuple(d -> 1, D), before=before, after=before
            )
            here = D == 1 ? found[:, :, n] : found[:, (end - 7):end, :, n]
            there = D == 1 ? one[:, :, 1] : one[:, (end - 7):end, :, 1]
            @test here ≈ there rtol = 1e-5
        end
    end
    @test all(room -> sizeof(room) <= PlainONNX.workspace_bytes, PlainONNX.single_pool.free)
    @test length(PlainONNX.single_pool.free) == 1
end

@testset "padding by name" begin
    x, weight = wavy(Float32, 8, 2, 1), wavy(Float32, 4, 2, 3)
    same(auto) = apply_operator("Conv", x, weight; auto_pad=auto)
    @test same("SAME_UPPER") == apply_operator("Conv", x, weight; pads=[1, 2])
    @test same("SAME_LOWER") == apply_operator("Conv", x, weight; pads=[2, 1])
    @test same("VALID") == apply_operator("Conv", x, weight)
    @test refuses(() -> same("SAME"), :unsupported, "auto_pad 'SAME'")
    @test refuses(() -> apply_operator("Conv", x, weight; pads=[-1, 0]), :unsupported, "negative padding")
    @test refuses(() -> apply_operator("Conv", x, weight; pads=[1]), :bad_input, "pads")
    @test refuses(() -> apply_operator("Conv", x, wavy(Float32, 9, 2, 3)), :bad_input, "does not fit an input of (8)")
    @test refuses(() -> apply_operator("Conv", x, wavy(Float32, 4, 3, 3)), :bad_input, "does not fit a weight of shape (3, 3, 4)")
    @test refuses(() -> apply_operator("Conv", x, weight; kernel_shape=[3]), :bad_input, "kernel_shape (3)")
    @test refuses(() -> apply_operator("Conv", x, weight, ones(Float32, 2)), :bad_input, "bias")
end

@testset "half precision is computed in Float32 and rounded once" begin
    x, weight = Float16.(wavy(Float32, 9, 3, 2)), Float16.(wavy(Float32, 3, 3, 4))
    found = apply_operator("Conv", x, weight)
    @test found isa Array{Float16}
    @test found == Float16.(apply_operator("Conv", Float32.(x), Float32.(weight)))
    coarse = apply_operator("Conv", BFloat16.(x), BFloat16.(weight))
    @test coarse isa Array{BFloat16}
end

@testset "NaN and infinities reach exactly the windows that hold them" begin
    x = ones(Float32, 6, 1, 2)
    x[2, 1, 1] = NaN
    x[6, 1, 2] = -Inf
    # A weight of 0 makes NaN of both.
    found = apply_operator("Conv", x, reshape(Float32[0, 1], 2, 1, 1))
    @test isequal(found[:, 1, 1], Float32[NaN, NaN, 1, 1, 1])
    @test isequal(found[:, 1, 2], Float32[1, 1, 1, 1, -Inf])
    found = apply_operator("Conv", x, reshape(Float32[1, 0], 2, 1, 1))
    @test isequal(found[:, 1, 2], Float32[1, 1, 1, 1, NaN])
end

@testset "a bias is added once, at the edges too: whole numbers stay exact" begin
    x, weight = reshape(Float32.(1:6), 6, 1, 1), reshape(Float32[1, 2, 1], 3, 1, 1)
    @test vec(apply_operator("Conv", x, weight, Float32[7]; pads=[1, 1])) == Float32[4, 8, 12, 16, 20, 17] .+ 7
end

@testset "ConvTranspose is the transpose of Conv" begin
    # <conv(x), y> = <x, transposed(y)> for every x and y.
    cases = (
        ((9, 3, 2), (3, 3, 4), 1, (1,), (1,), (1,), (1,)),
        ((11, 4, 3), (3, 2, 6), 2, (2,), (2,), (1,), (1,)),
        ((7, 9, 2, 2), (3, 2, 2, 3), 1, (2, 1), (1, 2), (1, 0), (1, 2)),
        ((7, 5, 6, 2, 1), (2, 3, 3, 2, 3), 1, (1, 2, 1), (1, 1, 1), (0, 1, 1), (0, 1, 0)),
    )
    for (x_size, w_size, group, strides, dilations, before, after) in cases
        x, weight = wavy(Float64, x_size...), wavy(Float64, w_size...)
        attributes = (
            group=group, strides=[reverse(strides)...], dilations=[reverse(dilations)...], pads=onnx_pads(before, after)
        )
        forward = apply_operator("Conv", x, weight; attributes...)
        y = wavy(Float64, size(forward)...) .+ 0.1
        back = apply_operator("ConvTranspose", y, weight; attributes..., output_shape=nothing)
        @test size(back) == size(x)
        @test sum(forward .* y) ≈ sum(x .* back) rtol = 1e-12
    end
    # Places that no window reaches hold the bias alone.
    grown = apply_operator("ConvTranspose", ones(2, 1, 1), ones(1, 1, 1), [0.5]; strides=[2], output_padding=[1])
    @test vec(grown) == [1.5, 0.5, 1.5, 0.5]
    wide = apply_operator("ConvTranspose", ones(3, 1, 1), ones(2, 1, 1); strides=[2], output_shape=[8])
    @test vec(wide) == [1, 1, 1, 1, 1, 1, 0, 0]
end
