# Samples beside axes of the same size, inputs that all samples share, and files of one number of samples.

# y is the mean over each sample's steps, `turned` has the steps first: its samples lie along the second of three dimensions.
turned_model(; samples="n", keywords...) = read_onnx(
    [onnx_node("ReduceMean", "x", "y"; axes=[1], keepdims=0), onnx_node("Transpose", "x", "turned"; perm=[1, 0, 2])],
    [onnx_value("x", "float32", [samples, 4, 2])], [onnx_value("y"), onnx_value("turned")]; keywords...
)

shared_model(; inputs=[onnx_value("x", "float32", ["n", 3]), onnx_value("doy", "float32", [3])]) =
    read_onnx([onnx_node("Mul", ["x", "doy"], "y")], inputs, [onnx_value("y")])

# Centred over all samples of a batch, as a batch normalisation without running statistics does.
centred_model(samples="n") = read_onnx(
    [onnx_node("ReduceMean", "x", "m"; axes=[0]), onnx_node("Sub", ["x", "m"], "y")],
    [onnx_value("x", "float32", [samples, 3])], [onnx_value("y")]
)

@testset "the samples of an output are found where another axis has as many" begin
    x = wavy(2, 4, 10)
    whole = turned_model()(x)
    for size in (4, 1, 2, 3, 9, 10, 11)
        batched = turned_model()(x; batch_size=size)
        @test batched["turned"] == permutedims(x, (1, 3, 2)) == whole["turned"]
        @test batched["y"] ≈ whole["y"]
    end
    @test turned_model()(x; batch_size=4, sample_axes=(turned=2,))["turned"] == whole["turned"]
    @test turned_model()(x; batch_size=4, sample_axes=Dict("turned" => 2, "x" => 3))["turned"] == whole["turned"]
    refused(dims, words) = refuses(() -> turned_model()(x; batch_size=4, sample_axes=dims), :bad_input, words)
    @test refused((turned=3,), "dimension 3 cannot be for 'turned'")
    @test refused((turned=nothing,), "an output of no sample cannot be for 'turned'")
    @test refused((turned=4,), "it has 3, counted from 1")
    @test refused((x=0,), "dimension 0 of 'x'")
    @test refused((other=1,), "named 'other'; it has 'x', 'y', 'turned'")
    @test refused((turned="2",), "whole number from 1")
    @test refuses(() -> turned_model()(x; sample_axes=(turned=1,)), :bad_input, "no axis of samples at axis 2")
end

@testset "the samples of an input are found by the names that the file declares" begin
    model = read_onnx(
        [onnx_node("Transpose", "x", "t"; perm=[1, 0]), onnx_node("Add", ["t", "state"], "y")],
        [onnx_value("x", "float32", ["t", "n"]), onnx_value("state", "float32", ["n", "t"])], [onnx_value("y", "float32", ["n", "t"])]
    )
    inputs = Dict("x" => wavy(5, 3), "state" => wavy(3, 5))
    @test model(inputs; batch_size=2) == permutedims(inputs["x"]) .+ inputs["state"]
    fixed = read_onnx(
        [onnx_node("Transpose", "x", "y"; perm=[1, 0])], [onnx_value("x", "float32", [3, "n"])],
        [onnx_value("y", "float32", ["n", 3])]
    )
    @test fixed(wavy(5, 3); batch_size=2) == permutedims(wavy(5, 3))
end

@testset "an input that all samples share is given to every batch" begin
    inputs = Dict("x" => wavy(3, 7), "doy" => Float32[1, 2, 3])
    expected = inputs["x"] .* inputs["doy"]
    for size in (1, 2, 3, 7)
        @test shared_model()(inputs; batch_size=size) == expected
    end
    # As many samples as dates: the declared size tells.
    square = Dict("x" => wavy(3, 3), "doy" => Float32[1, 2, 3])
    @test shared_model()(square; batch_size=2) == square["x"] .* square["doy"]
    # Nothing is declared: the numbers tell, or the caller.
    nameless = shared_model(inputs=[onnx_value("x"), onnx_value("doy")])
    @test nameless(inputs; batch_size=2) == expected
    for shared in ("doy", :doy, ("doy",), ["doy"])
        @test nameless(square; batch_size=2, shared=shared) == square["x"] .* square["doy"]
    end
    @test refuses(() -> shared_model()(inputs; shared="dates"), :bad_input, "named 'dates'")
    @test refuses(() -> shared_model()(inputs; shared="doy", sample_axes=(doy=1,)), :bad_input, "cannot be shared")
    @test refuses(() -> shared_model()(inputs; batch_size=2, shared=("x", "doy")), :bad_input, "all inputs are shared")
    named = shared_model(inputs=[onnx_value("x", "float32", ["n", "dates"]), onnx_value("doy", "float32", ["dates"])])
    @test named(square; batch_size=2) == square["x"] .* square["doy"]
end

@testset "what belongs to no sample is the same for every batch, or refused" begin
    model = read_onnx(
        [onnx_node("Relu", "x", "y"), onnx_node("Identity", "doy", "same"), onnx_node("ReduceSum", "x", "sum"; keepdims=0)],
        [onnx_value("x", "float32", ["n", 3]), onnx_value("doy", "float32", [3])],
        [onnx_value("y"), onnx_value("same"), onnx_value("sum")]
    )
    inputs = Dict("x" => wavy(3, 5), "doy" => Float32[1, 2, 3])
    @test model(inputs)["same"] == inputs["doy"]
    @test refuses(() -> model(inputs; batch_size=2), :bad_input, "'sum' belongs to no sample and differs")
    inputs["x"] .= 1
    @test model(Dict("x" => inputs["x"][:, 1:4], "doy" => inputs["doy"]); batch_size=2)["same"] == inputs["doy"]
end

@testset "an output that mixes samples is refused in batches" begin
    @test refuses(() -> centred_model()(wavy(3, 6); batch_size=4), :bad_input, "depends on the other samples of its batch")
    @test refuses(() -> centred_model()(wavy(3, 6); batch_size=1), :bad_input, "depends on the other samples of its batch")
    @test refuses(() -> centred_model(4)(wavy(3, 6)), :bad_input, "depends on the other samples of its batch")
    @test centred_model()(wavy(3, 6)) ≈ wavy(3, 6) .- sum(wavy(3, 6); dims=2) ./ 6
    pairs = read_onnx(
        [onnx_node("Transpose", "x", "t"), onnx_node("MatMul", ["x", "t"], "y")], [onnx_value("x", "float32", ["n", 3])],
        [onnx_value("y")]
    )
    @test refuses(() -> pairs(wavy(3, 6); batch_size=4), :bad_input, "no dimension is that of the samples")
end

@testset "a file of one number of samples takes any number, and says how" begin
    x = wavy(2, 4, 10)
    told = "takes 4 samples at a time: the last batch is filled with 2 copies of the last sample"
    whole = turned_model()(x)
    batched = @test_logs (:info, Regex(told)) turned_model(samples=4)(x)
    @test batched["turned"] == whole["turned"]
    @test batched["y"] ≈ whole["y"]
    @test_logs turned_model(samples=4)(x[:, :, 1:8])
    # Fewer than one batch, and one at a time.
    @test turned_model(samples=4)(x[:, :, 1:1])["turned"] == whole["turned"][:, 1:1, :]
    @test turned_model(samples=1)(x)["turned"] == whole["turned"]
    @test turned_model(samples=4)(x; batch_size=4)["turned"] == whole["turned"]
    for size in (1, 2, 10, 64)
        @test refuses(() -> turned_model(samples=4)(x; batch_size=size), :bad_input, "takes batches of 4 samples")
    end
    @test refuses(() -> turned_model(samples=4)(x[:, 1:3, :]), :bad_input, "the model takes 4 x 4 x 2")
    @test refuses(() -> turned_model(samples=4)(x[:, :, 1:0]), :bad_input, "the model takes 4 x 4 x 2")
    # Equal samples do not tell rows from columns.
    @test turned_model(samples=4)(fill(1f0, 2, 4, 6); sample_axes=(turned=2,))["turned"] == fill(1f0, 2, 6, 4)
end

@testset "batches along other axes are cut and joined there" begin
    x = wavy(3, 7, 2)
    for axis in 0:2
        dim = 3 - axis
        parts = [P.samples_of(x, [k], axis) for k in axes(x, dim)]
        @test P.joined(parts, axis, fill(1, size(x, dim)), "y") == x
    end
    @test refuses(() -> P.joined([[1f0], [2f0]], nothing, [1, 1], "y"), :bad_input, "'y' belongs to no sample")
    @test P.joined([[1f0], [1.000001f0]], nothing, [1, 1], "y") == [1]
    @test P.same_values([NaN, Inf, 1.0], [NaN, Inf, 1.0]) && !P.same_values([Inf], [-Inf]) && !P.same_values([1.0], [1.0001])
    @test P.same_values([1, 2], [1, 2]) && !P.same_values([1, 2], [1, 3]) && !P.same_values([1f0], [1.0])
    @test P.same_values(Float16[1, 2], Float16[1.01, 2]) && !P.same_values(Float16[1, 2], Float16[1.1, 2])
end
