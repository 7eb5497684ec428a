# Operators that take values from between the places of an image, or put them back there, and spectra.

isdefined(@__MODULE__, :apply_operator) || include("operator_alone.jl")

@testset "a grid of the places themselves gives the input, and padding is what it says" begin
    x = wavy(Float64, 4, 3, 2, 1)
    grid = [d == 1 ? -1 + 2 * (w - 1) / 3 : -1 + (h - 1) for d in 1:2, w in 1:4, h in 1:3, n in 1:1]
    for mode in ("linear", "nearest", "cubic")
        @test apply_operator("GridSample", x, Float64.(grid); align_corners=1, mode=mode) ≈ x
    end
    beyond = fill(-3.0, 2, 1, 1, 1)
    @test all(iszero, apply_operator("GridSample", x, beyond))
    @test vec(apply_operator("GridSample", x, beyond; padding_mode="border")) == x[1, 1, :, 1]
    @test vec(apply_operator("GridSample", x, beyond; padding_mode="reflection", align_corners=1)) ≈ x[4, 3, :, 1]
    @test refuses(() -> apply_operator("GridSample", x, beyond; mode="bicubic"), :unsupported, "mode 'bicubic'")
    @test refuses(() -> apply_operator("GridSample", x, fill(0.0, 2, 1, 1, 2)), :bad_input, "does not fit an input of shape")
end

@testset "an affine grid of the unit matrix gives places that GridSample reads as they are" begin
    x = wavy(Float64, 4, 3, 1, 1)
    unit = onnx_array(Float64[1, 0, 0, 0, 1, 0], 1, 2, 3)
    grid = apply_operator("AffineGrid", unit, Int64[1, 1, 3, 4])
    @test size(grid) == (2, 4, 3, 1)
    @test apply_operator("GridSample", x, grid) ≈ x
    @test refuses(() -> apply_operator("AffineGrid", unit, Int64[2, 1, 3, 4]), :bad_input, "do not fit a size of")
end

@testset "regions: the mean of a whole image, windows that are not moved" begin
    x = reshape(Float64[1 2; 3 4], 2, 2, 1, 1)
    bins(; keywords...) = apply_operator("RoiAlign", x, [0.0, 0, 2, 2][:, :], Int64[0]; sampling_ratio=1, keywords...)
    @test bins()[] ≈ sum(x) / 4
    @test vec(bins(output_height=2, output_width=2)) ≈ vec(x)
    @test refuses(() -> bins(mode="sum"), :unsupported, "mode 'sum'")
    weight, image = wavy(Float64, 2, 2, 1, 2), wavy(Float64, 3, 3, 1, 1)
    still = zeros(2, 2, 8, 1)
    @test apply_operator("DeformConv", image, weight, still) ≈ apply_operator("Conv", image, weight)
    # By one column to the right, where the image goes on with zeros.
    moved = copy(still)
    moved[:, :, 2:2:8, :] .= 1
    shifted = cat(image[2:3, :, :, :], zeros(1, 3, 1, 1); dims=1)
    @test apply_operator("DeformConv", image, weight, moved) ≈ apply_operator("Conv", shifted, weight)
end

@testset "values put back: windows, pools, caches" begin
    windows = onnx_array(Float32[1:8;], 1, 4, 2)
    # Two windows of 2 x 2 side by side in an image of 2 x 3: the middle column is in both.
    @test apply_operator("Col2Im", windows, Int64[2, 3], Int64[2, 2]) == onnx_array(Float32[1, 5, 4, 5, 13, 8], 1, 1, 2, 3)
    pooled, places = onnx_array(Float32[5, 6], 1, 1, 1, 2), onnx_array(Int64[1, 6], 1, 1, 1, 2)
    unpooled(inputs...) = apply_operator("MaxUnpool", pooled, places, inputs...; kernel_shape=[2, 2], strides=[2, 2])
    @test vec(unpooled()) == Float32[0, 5, 0, 0, 0, 0, 6, 0]
    @test refuses(() -> unpooled(Int64[1, 1, 2, 3]), :bad_input, "is smaller than")
    cache, update = zeros(Float32, 1, 3, 1), ones(Float32, 1, 2, 1)
    stored(; keywords...) = vec(apply_operator("TensorScatter", cache, update, Int64[2]; opset=24, keywords...))
    @test stored(mode="circular") == Float32[1, 0, 1]
    @test refuses(stored, :bad_input, "beyond the cache")
end

@testset "a Fourier transform and the way back" begin
    signal = wavy(Float32, 1, 6, 2)
    spectrum = apply_operator("DFT", signal, nothing, scalar(Int64(1)))
    direct = [sum(signal[1, n + 1, 1] * cis(-2pi * k * n / 6) for n in 0:5) for k in 0:5]
    @test spectrum[1, :, 1] ≈ real.(direct) && spectrum[2, :, 1] ≈ imag.(direct)
    half = apply_operator("DFT", signal, nothing, scalar(Int64(1)); onesided=1)
    @test half ≈ spectrum[:, 1:4, :]
    @test apply_operator("DFT", half, scalar(Int64(6)), scalar(Int64(1)); inverse=1, onesided=1) ≈ signal
    frames = apply_operator("STFT", signal, scalar(Int64(2)), ones(Float32, 4))
    @test size(frames) == (2, 3, 2, 2)
    @test frames[1, 1, 2, 1] ≈ sum(signal[1, 3:6, 1])
    @test apply_operator("HannWindow", scalar(Int64(4))) ≈ Float32[0, 0.5, 1, 0.5]
    @test apply_operator("HammingWindow", scalar(Int64(3)); periodic=0)[2] ≈ 1
    @test refuses(() -> apply_operator("DFT", signal, nothing, scalar(Int64(2))), :bad_input, "no real or complex signal")
end
