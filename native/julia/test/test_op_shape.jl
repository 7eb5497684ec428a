isdefined(@__MODULE__, :apply_operator) || include("operator_alone.jl")

shape_in_file(x) = reverse(size(x))
const numbered = onnx_array(collect(Int64, 0:23), 2, 3, 4)

@testset "Reshape and its relatives move nothing" begin
    reshaped(shape; attributes...) = apply_operator("Reshape", numbered, Int64[shape...]; attributes...)
    @test shape_in_file(reshaped((4, -1))) == (4, 6)
    @test shape_in_file(reshaped((0, 12))) == (2, 12)
    @test pointer(reshaped((24,))) == pointer(numbered)
    @test shape_in_file(apply_operator("Reshape", zeros(0, 3), Int64[0, 7]; allowzero=1)) == (0, 7)
    @test refuses(() -> reshaped((5, -1)), :bad_input, "shape (2, 3, 4) cannot become (5, -1)")
    @test refuses(() -> reshaped((-1, -1)), :bad_input, "impossible")
    @test refuses(() -> reshaped((24, 1, 1, 0)), :bad_input, "no axis to copy")
    @test refuses(() -> reshaped((2^32, 2^32)), :bad_input, "larger than the limit")
    @test shape_in_file(apply_operator("Flatten", numbered; axis=2)) == (6, 4)
    @test shape_in_file(apply_operator("Flatten", numbered; axis=0)) == (1, 24)
    @test shape_in_file(apply_operator("Flatten", numbered; axis=-1)) == (6, 4)
    unsqueezed = apply_operator("Unsqueeze", numbered, Int64[0, -1])
    @test shape_in_file(unsqueezed) == (1, 2, 3, 4, 1)
    @test apply_operator("Squeeze", unsqueezed) == numbered
    @test shape_in_file(apply_operator("Squeeze", unsqueezed; opset=11, axes=[4])) == (1, 2, 3, 4)
    @test refuses(() -> apply_operator("Squeeze", numbered, Int64[0]), :bad_input, "not of length 1")
    @test refuses(() -> apply_operator("Unsqueeze", numbered, Int64[0, 0]), :bad_input, "twice")
    @test apply_operator("Shape", numbered) == [2, 3, 4]
    @test apply_operator("Shape", numbered; start=-2, var"end"=-1) == [3]
    @test apply_operator("Size", numbered) == scalar(24)
end

@testset "Transpose follows ONNX' axes" begin
    moved = apply_operator("Transpose", numbered; perm=[2, 0, 1])
    @test shape_in_file(moved) == (4, 2, 3)
    # Place (l, i, k) of the result is (i, k, l) of the tensor, in ONNX' order.
    @test all(moved[k, i, l] == numbered[l, k, i] for i in 1:2, k in 1:3, l in 1:4)
    @test apply_operator("Transpose", onnx_array(1:6, 2, 3)) == onnx_array([1, 4, 2, 5, 3, 6], 3, 2)
    @test apply_operator("Transpose", scalar(1)) == scalar(1)
    @test refuses(() -> apply_operator("Transpose", numbered; perm=[0, 0, 1]), :bad_input, "not an order of 3 axes")
end

@testset "copies along axes" begin
    x = onnx_array(Int32[1, 2, 3, 4], 2, 2)
    @test row_major(apply_operator("Concat", x, x; axis=0)) == [1, 2, 3, 4, 1, 2, 3, 4]
    @test row_major(apply_operator("Concat", x, onnx_array(Int32[9, 8], 2, 1); axis=-1)) == [1, 2, 9, 3, 4, 8]
    @test apply_operator("Concat", x; axis=1) == x
    @test refuses(() -> apply_operator("Concat", x, Int32[1]; axis=0), :bad_input, "do not fit along axis 0")
    parts = apply_operator("Split", collect(1:7), Int64[2, 0, 5]; outputs=3)
    @test parts == [[1, 2], Int[], [3, 4, 5, 6, 7]]
    @test apply_operator("Split", collect(1:7); num_outputs=3, outputs=3) == [[1, 2, 3], [4, 5, 6], [7]]
    @test row_major.(apply_operator("Split", x; opset=11, split=[1, 1], axis=1, outputs=2)) == [[1, 3], [2, 4]]
    @test refuses(() -> apply_operator("Split", collect(1:7), Int64[2, 2]; outputs=2), :bad_input, "axis of length 7")
    @test row_major(apply_operator("Expand", onnx_array([1, 2], 2, 1), Int64[3, 1, 2])) == repeat([1, 1, 2, 2], 3)
    @test apply_operator("Expand", scalar(true), Int64[2]) == [true, true]
    @test shape_in_file(apply_operator("Expand", numbered, Int64[1])) == (2, 3, 4)
    @test row_major(apply_operator("Tile", x, Int64[1, 2])) == [1, 2, 1, 2, 3, 4, 3, 4]
    @test row_major(apply_operator("Trilu", onnx_array(1:9, 3, 3))) == [1, 2, 3, 0, 5, 6, 0, 0, 9]
    @test row_major(apply_operator("Trilu", onnx_array(1:6, 2, 3), scalar(Int64(1)); upper=0)) == [1, 2, 0, 4, 5, 6]
end

@testset "Pad in every mode, and negative pads" begin
    pad(x, pads, rest...; attributes...) = apply_operator("Pad", x, Int64[pads...], rest...; attributes...)
    x = onnx_array(Float32[1, 2, 3, 4, 5, 6], 2, 3)
    @test row_major(pad(x, (0, 1, 1, 0), scalar(9.0f0))) == [9, 1, 2, 3, 9, 4, 5, 6, 9, 9, 9, 9]
    @test row_major(pad(x, (1, -2), nothing, Int64[1])) == [0, 1, 0, 4]
    line = collect(1:4)
    @test pad(line, (2, 3); mode="edge") == [1, 1, 1, 2, 3, 4, 4, 4, 4]
    @test pad(line, (2, 3); mode="reflect") == [3, 2, 1, 2, 3, 4, 3, 2, 1]
    @test pad(line, (2, 3); mode="wrap") == [3, 4, 1, 2, 3, 4, 1, 2, 3]
    @test pad(line, (-1, -1)) == [2, 3]
    @test pad(line, (3, -6)) == [0]
    @test apply_operator("Pad", x; opset=10, pads=[0, 0, 0, 1], value=-1.0)[4, :] == [-1, -1]
    @test pad(x, (0, 0, 0, 0)) == x
    @test refuses(() -> pad(line, (1, 1); mode="mirror"), :unsupported, "padding mode 'mirror'")
    @test refuses(() -> pad(line, (1,)), :bad_input, "pads does not fit 1 axes")
    @test refuses(() -> pad(line, (-3, -3)), :bad_input, "impossible shape")
end

@testset "DepthToSpace and SpaceToDepth undo each other" begin
    x = wavy(Float32, 6, 4, 8, 2)
    for mode in ("DCR", "CRD")
        deep = apply_operator("SpaceToDepth", x; blocksize=2, mode=mode)
        @test shape_in_file(deep) == (2, 32, 2, 3)
        @test apply_operator("DepthToSpace", deep; blocksize=2, mode=mode) == x
    end
    corner = apply_operator("DepthToSpace", onnx_array(1:8, 1, 8, 1, 1); blocksize=2)
    @test row_major(corner) == [1, 3, 5, 7, 2, 4, 6, 8]
    @test refuses(() -> apply_operator("DepthToSpace", x; blocksize=3), :bad_input, "does not fit blocks of 3")
end

@testset "a batch of nothing stays one" begin
    x, weight = zeros(Float32, 5, 2, 0), ones(Float32, 3, 2, 4)
    @test size(apply_operator("Conv", x, weight)) == (3, 4, 0)
    @test size(apply_operator("ConvTranspose", zeros(Float32, 5, 4, 0), weight)) == (7, 2, 0)
    @test size(apply_operator("MaxPool", x; kernel_shape=[2])) == (4, 2, 0)
    @test size(apply_operator("MaxPool", x; kernel_shape=[2], outputs=2)[2]) == (4, 2, 0)
    @test size(apply_operator("AveragePool", x; kernel_shape=[2], count_include_pad=1)) == (4, 2, 0)
    @test size(apply_operator("GlobalAveragePool", x)) == (1, 2, 0)
    @test size(apply_operator("BatchNormalization", x, (ones(Float32, 2) for _ in 1:4)...)) == (5, 2, 0)
    @test size(apply_operator("InstanceNormalization", x, ones(Float32, 2), ones(Float32, 2))) == (5, 2, 0)
    @test size(first(apply_operator("LayerNormalization", x, ones(Float32, 5)))) == (5, 2, 0)
    @test size(apply_operator("Gemm", zeros(Float32, 3, 0), ones(Float32, 4, 3), ones(Float32, 4))) == (4, 0)
    @test size(apply_operator("MatMul", zeros(Float32, 3, 0), ones(Float32, 4, 3))) == (4, 0)
    @test size(apply_operator("Gather", x, [0]; axis=1)) == (5, 1, 0)
    @test size(apply_operator("GatherND", zeros(Float32, 5, 2), zeros(Int64, 1, 0))) == (5, 0)
    @test size(apply_operator("OneHot", zeros(Int64, 3, 0), scalar(4), Float32[0, 1])) == (4, 3, 0)
    @test size(apply_operator("Softmax", x; axis=1)) == (5, 2, 0)
    @test size(apply_operator("Transpose", x)) == (0, 2, 5)
    @test size(apply_operator("Resize", x, nothing, Float32[1, 1, 2])) == (10, 2, 0)
    @test size(apply_operator("Relu", x)) == (5, 2, 0)
    @test map(size, apply_operator("Split", x; outputs=2, axis=1)) == [(5, 1, 0), (5, 1, 0)]
    @test size(apply_operator("Concat", x, x; axis=1)) == (5, 4, 0)
    @test size(apply_operator("Pad", x, Int64[0, 0, 1, 0, 0, 1])) == (7, 2, 0)
end
