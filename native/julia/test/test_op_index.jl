isdefined(@__MODULE__, :apply_operator) || include("operator_alone.jl")

const counting = onnx_array(collect(Float32, 0:23), 2, 3, 4)

@testset "Slice: bounds from either end, any step, as far as they go" begin
    slice(starts, ends, axes=nothing, steps=nothing; x=counting) = apply_operator("Slice", x, starts, ends, axes, steps)
    @test row_major(slice([1, 0, 1], [2, 3, 3])) == [13, 14, 17, 18, 21, 22]
    @test row_major(slice([-1], [typemax(Int64)], [2])) == [3, 7, 11, 15, 19, 23]
    line = collect(Int32, 0:9)
    @test slice([8], [1], [0], [-3]; x=line) == [8, 5, 2]
    @test slice([typemax(Int64)], [typemin(Int64)], [0], [-4]; x=line) == [9, 5, 1]
    @test slice([0], [10], [0], [typemax(Int64)]; x=line) == [0]
    @test slice([-100], [3]; x=line) == [0, 1, 2]
    @test slice([7], [3]; x=line) == Int32[]
    @test slice(Int32[3], Int32[-5]; x=line) == [3, 4]
    # Attributes before opset 10.
    @test apply_operator("Slice", line; opset=9, starts=[2], ends=[4], axes=[0]) == [2, 3]
    @test refuses(() -> slice([0], [1], [0], [0]), :bad_input, "a step of 0")
    @test refuses(() -> slice([0], [1, 2]), :bad_input, "differ in length")
    @test refuses(() -> slice([0], [1], [3]), :bad_input, "axis 3 is outside a tensor of rank 3")
end

@testset "Gather" begin
    picked = apply_operator("Gather", counting, onnx_array([0, -1, 2, 0], 2, 2); axis=1)
    @test reverse(size(picked)) == (2, 2, 2, 4)
    @test picked[:, 2, 1, 2] == counting[:, 3, 2]
    @test apply_operator("Gather", Float32[5, 6, 7], scalar(Int64(-1))) == scalar(7.0f0)
    @test apply_operator("Gather", [true, false], [1]) == [false]
    @test refuses(() -> apply_operator("Gather", counting, [4]; axis=2), :bad_input, "index 4 lies outside an axis of length 4")
end

@testset "GatherElements and ScatterElements" begin
    x = onnx_array(Float32.(1:9), 3, 3)
    indices = onnx_array([1, 2, 0, -1, 0, 0], 2, 3)
    @test row_major(apply_operator("GatherElements", x, indices)) == [4, 8, 3, 7, 2, 3]
    @test row_major(apply_operator("GatherElements", x, indices; axis=1)) == [2, 3, 1, 6, 4, 4]
    updates = onnx_array(Float32[10, 20, 30, 40, 50, 60], 2, 3)
    put(reduction) = row_major(apply_operator("ScatterElements", x, indices, updates; reduction=reduction))
    @test put("none") == [1, 50, 60, 10, 5, 6, 40, 20, 9]
    @test put("add") == [1, 52, 93, 14, 5, 6, 47, 28, 9]
    @test put("max") == [1, 50, 60, 10, 5, 6, 40, 20, 9]
    @test put("min") == row_major(x)
    @test row_major(x) == 1:9
    @test refuses(() -> put("median"), :unsupported, "reduction 'median'")
    @test refuses(() -> apply_operator("GatherElements", x, [0]), :bad_input, "rank")
    @test refuses(() -> apply_operator("GatherElements", x, zeros(Int64, 4, 1)), :bad_input, "reach beyond")
end

@testset "GatherND and ScatterND" begin
    tuples = onnx_array([0, 1, 1, -1], 2, 2)
    @test row_major(apply_operator("GatherND", counting, tuples)) == [4, 5, 6, 7, 20, 21, 22, 23]
    batched = apply_operator("GatherND", counting, onnx_array([2, 0], 2, 1); batch_dims=1)
    @test row_major(batched) == [8, 9, 10, 11, 12, 13, 14, 15]
    x = Float32[1, 2, 3, 4]
    places, updates = onnx_array([3, 1, 3], 3, 1), Float32[10, 20, 30]
    @test apply_operator("ScatterND", x, places, updates) == [1, 20, 3, 30]
    @test apply_operator("ScatterND", x, places, updates; reduction="add") == [1, 22, 3, 44]
    @test apply_operator("ScatterND", x, places, updates; reduction="mul") == [1, 40, 3, 1200]
    @test refuses(() -> apply_operator("GatherND", x, places .+ 2), :bad_input, "outside an axis of length 4")
    @test refuses(() -> apply_operator("ScatterND", x, places, Float32[1]), :bad_input, "updates")
    @test refuses(() -> apply_operator("GatherND", x, onnx_array([0, 0], 1, 2)), :bad_input, "longer than the tensor's rank")
end

@testset "OneHot and NonZero" begin
    hot = apply_operator("OneHot", Int64[1, -1, 5], scalar(Int64(3)), Float32[2, 7])
    @test row_major(hot) == [2, 7, 2, 2, 2, 7, 2, 2, 2]
    @test apply_operator("OneHot", Int64[1, -1, 5], Int64[3], Float32[2, 7]; axis=0) == permutedims(hot)
    @test row_major(apply_operator("NonZero", onnx_array([1, 0, 0, 2, 3, 0], 2, 3))) == [0, 1, 1, 0, 0, 1]
    @test size(apply_operator("NonZero", scalar(1.0))) == (1, 0)
    @test apply_operator("NonZero", [false, true]) isa Array{Int64,2}
end
