isdefined(@__MODULE__, :apply_operator) || include("operator_alone.jl")

mean_of(v) = sum(v) / length(v)
variance_of(v) = sum(abs2, v .- mean_of(v)) / length(v)
standard(v, epsilon) = (v .- mean_of(v)) ./ sqrt(variance_of(v) + epsilon)
const small = Float64(Float32(1e-5))

@testset "BatchNormalization: given statistics at inference, those of the batch in training" begin
    x = wavy(Float64, 4, 3, 5)
    scale, bias, mean, variance = [1.0, 2.0, -1.0], [0.5, 0.0, 1.0], [0.1, -0.2, 0.3], [1.0, 0.5, 2.0]
    found = apply_operator("BatchNormalization", x, scale, bias, mean, variance)
    for c in 1:3
        @test found[:, c, :] ≈ (x[:, c, :] .- mean[c]) ./ sqrt(variance[c] + small) .* scale[c] .+ bias[c] rtol = 1e-13
    end
    y, running_mean, running_variance = apply_operator(
        "BatchNormalization", x, scale, bias, mean, variance; opset=15, outputs=3, training_mode=1, momentum=0.75
    )
    for c in 1:3
        @test y[:, c, :] ≈ standard(x[:, c, :], small) .* scale[c] .+ bias[c] rtol = 1e-12
        @test running_mean[c] ≈ 0.75 * mean[c] + 0.25 * mean_of(x[:, c, :])
        @test running_variance[c] ≈ 0.75 * variance[c] + 0.25 * variance_of(x[:, c, :])
    end
    @test size(apply_operator("BatchNormalization", wavy(Float32, 3, 2), (Float32.(v) for v in (scale, bias, mean, variance))...)) == (3, 2)
    @test refuses(
        () -> apply_operator("BatchNormalization", x, scale, bias, mean, variance; opset=9, outputs=3), :unsupported,
        "training mode before opset 14"
    )
    @test refuses(
        () -> apply_operator("BatchNormalization", x, scale, bias, mean, variance; opset=7, spatial=0), :unsupported, "spatial = 0"
    )
    @test refuses(() -> apply_operator("BatchNormalization", x, [1.0], bias, mean, variance), :bad_input, "3 channels")
end

@testset "mixed dtypes: half precision in, statistics of their own dtype out" begin
    x = Float16.(wavy(Float32, 4, 2, 3))
    single = [Float32[1, 2], Float32[0, 1], Float32[0, 0], Float32[1, 1]]
    found = apply_operator("BatchNormalization", x, single...; outputs=3, training_mode=1)
    @test map(eltype, Tuple(found)) == (Float16, Float32, Float32)
    layer = apply_operator("LayerNormalization", x, Float16[1, 1, 1, 1]; outputs=3)
    @test map(eltype, Tuple(layer)) == (Float16, Float32, Float32)
end

@testset "statistics of one sample: instance, group, layer, root mean square" begin
    x = wavy(Float64, 4, 3, 6, 2)
    scale, bias = collect(1.0:6), collect(0.0:5)
    instance = apply_operator("InstanceNormalization", x, scale, bias)
    @test instance[:, :, 4, 2] ≈ standard(x[:, :, 4, 2], small) .* 4 .+ 3 rtol = 1e-12
    by_channel = apply_operator("GroupNormalization", x, scale, bias; opset=21, num_groups=3)
    @test by_channel[:, :, 3, 1] ≈ standard(x[:, :, 3:4, 1], small)[:, :, 1] .* 3 .+ 2 rtol = 1e-12
    by_group = apply_operator("GroupNormalization", x, scale[1:3], bias[1:3]; opset=18, num_groups=3)
    @test by_group[:, :, 3:4, 1] ≈ standard(x[:, :, 3:4, 1], small) .* 2 .+ 1 rtol = 1e-12
    weight = wavy(Float64, 4, 3)
    layer, mean, inverse = apply_operator("LayerNormalization", x, weight, weight; axis=2, outputs=3, precision=Float64)
    @test layer[:, :, 5, 2] ≈ standard(x[:, :, 5, 2], small) .* weight .+ weight rtol = 1e-12
    @test size(mean) == (1, 1, 6, 2) && mean[1, 1, 5, 2] ≈ mean_of(x[:, :, 5, 2])
    @test inverse[1, 1, 5, 2] ≈ 1 / sqrt(variance_of(x[:, :, 5, 2]) + small)
    square = apply_operator("RMSNormalization", x, ones(4); opset=23)
    @test square[:, 2, 3, 1] ≈ x[:, 2, 3, 1] ./ sqrt(mean_of(abs2.(x[:, 2, 3, 1])) + small) rtol = 1e-13
    @test refuses(() -> apply_operator("GroupNormalization", x, scale, bias; num_groups=4), :bad_input, "6 channels do not make 4")
    @test refuses(() -> apply_operator("LayerNormalization", x, ones(3)), :bad_input, "does not fit")
end

@testset "a large mean does not spoil the variance of Float32" begin
    x = Float32.(10_000 .+ wavy(Float64, 1000, 1))
    found, = apply_operator("LayerNormalization", x, ones(Float32, 1000))
    @test found ≈ standard(Float64.(x), small) rtol = 1e-6
end

@testset "other normalisations" begin
    x = wavy(Float64, 3, 4, 2)
    @test apply_operator("LpNormalization", x; axis=1, p=2)[2, :, 1] ≈ x[2, :, 1] ./ sqrt(sum(abs2, x[2, :, 1]))
    @test apply_operator("LpNormalization", x; p=1)[:, 3, 2] ≈ x[:, 3, 2] ./ sum(abs, x[:, 3, 2])
    @test apply_operator("LpNormalization", zeros(3)) == zeros(3)
    @test refuses(() -> apply_operator("LpNormalization", x; p=3), :unsupported, "p = 3")
    y = wavy(Float64, 3, 4, 2, 5)
    @test apply_operator("MeanVarianceNormalization", y)[:, :, 2, :] ≈ standard(y[:, :, 2, :], 0) rtol = 1e-8
    z = wavy(Float64, 2, 5, 1)
    lrn = apply_operator("LRN", z; size=3, alpha=0.5, beta=0.5, bias=2.0)
    @test lrn[1, 1, 1] ≈ z[1, 1, 1] / sqrt(2 + 0.5 / 3 * sum(abs2, z[1, 1:2, 1]))
    @test lrn[2, 3, 1] ≈ z[2, 3, 1] / sqrt(2 + 0.5 / 3 * sum(abs2, z[2, 2:4, 1]))
    even = apply_operator("LRN", z; size=2, alpha=1.0, beta=1.0, bias=1.0)
    @test even[1, 2, 1] ≈ z[1, 2, 1] / (1 + 0.5 * sum(abs2, z[1, 2:3, 1]))
end
