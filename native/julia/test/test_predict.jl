const crop_classes = ["barley", "wheat", "corn", "meadow"]
const crop_series = wavy(8, 3, 5)

crops(; keywords...) = onnx_read(example; keywords...)

"""A graph of a single node, with the given head."""
function scores_model(head=nothing; shape=["n", 3], classes=["a", "b", "c"], keywords...)
    metadata = ["harness.classes" => P.json_text(classes)]
    head === nothing || push!(metadata, "harness.head" => head)
    read_onnx(
        [onnx_node("Identity", "x", "y")], [onnx_value("x", "float32", shape)], [onnx_value("y")]; metadata=metadata,
        keywords...
    )
end

@testset "the file says its classes, bands and head" begin
    model = crops()
    @test class_names(model) == crop_classes
    @test bands(model) == ["red", "near infrared", "short-wave infrared"]
    @test P.head(model) == "logits"
    @test bands(scores_model()) === nothing && P.head(scores_model()) === nothing
    broken = read_onnx(
        [onnx_node("Identity", "x", "y")], given_x, [onnx_value("y")]; metadata=["harness.classes" => "[1,"]
    )
    @test refuses(() -> class_names(broken), :bad_input, "harness.classes")
end

@testset "a model is called on W x C x N arrays" begin
    scores = crops()(crop_series)
    @test size(scores) == (4, 5) && scores isa Matrix{Float32}
    probabilities = predict(crops(), crop_series; type=:prob)
    @test all(isapprox.(sum(probabilities; dims=1), 1; atol=1e-6))
    @test crops()(crop_series; type=:class) == [crop_classes[argmax(column)] for column in eachcol(scores)]
    @test crops()(Float64.(crop_series)) == scores
    @test crops()(view(crop_series, :, :, 1:2)) == scores[:, 1:2]
    @test eltype(crops(precision=Float64)(crop_series)) == Float64
end

@testset "the whole network equals the same network written out" begin
    model = crops(precision=Float64)
    held = Dict(name => Float64.(value) for (name, value) in parameters(model))
    padded = zeros(10, 3)
    padded[2:9, :] = crop_series[:, :, 2]
    weight = held["conv.weight"]
    features = [sum(weight[:, :, f] .* padded[t:t+2, :]) for t in 1:8, f in 1:6]
    pooled = sum(max.(features ./ sqrt(1 + Float64(1f-5)), 0); dims=1)[:] ./ 8
    @test model(crop_series)[:, 2] ≈ held["dense.weight"]' * pooled rtol = 1e-12
end

@testset "files of both PyTorch exporters give what PyTorch gave" begin
    expected = safetensors_read(fixture("expected.safetensors"))
    result(name) = onnx_read(fixture(name); precision=Float64)(expected["x"])
    # The folded weights were rounded to float32; the unfolded ones are the same numbers.
    @test result("dynamo.onnx") ≈ expected["logits"] rtol = 1e-6
    @test result("script.onnx") ≈ expected["logits"] rtol = 1e-12
    @test onnx_read(fixture("script.onnx"))(expected["x"]) ≈ expected["logits"] rtol = 1e-5
end

@testset "batches give what the whole gives" begin
    whole = crops(precision=Float64)(crop_series)
    for size in 1:6
        @test crops(precision=Float64)(crop_series; batch_size=size) ≈ whole rtol = 1e-14
    end
    @test refuses(() -> predict(crops(), crop_series; batch_size=0), :bad_input, "batch_size")
end

@testset "prob and link follow the head that the file declares" begin
    logits = Float32[1 0; 2 0; 4 0]
    soft = exp.(logits) ./ sum(exp.(logits); dims=1)
    @test predict(scores_model("logits"), logits; type=:prob) ≈ soft
    @test predict(scores_model("log-softmax"), log.(soft); type=:prob) ≈ soft
    @test predict(scores_model("softmax"), soft; type=:prob) ≈ soft
    @test predict(scores_model("softmax"), soft; type=:link) ≈ log.(soft)
    @test refuses(() -> predict(scores_model(), logits; type=:prob), :bad_input, "harness.head")
    @test predict(scores_model(), logits; type=:prob, head="logits") ≈ soft
    @test refuses(() -> predict(scores_model("raw"), logits; type=:prob), :bad_input, "unknown head 'raw'")
    @test refuses(() -> predict(scores_model(), logits; type=:best), :bad_input, "type")
    @test refuses(() -> predict(scores_model(), logits; type=:class, output="z"), :bad_input, "no output named 'z'")
end

@testset "a class is chosen for every pixel, and NaN has none" begin
    scores = wavy(5, 4, 3, 2)
    chosen = predict(scores_model("logits"; shape=["n", 3, "h", "w"]), scores; type=:class)
    @test size(chosen) == (5, 4, 2)
    @test chosen[4, 3, 2] == ["a", "b", "c"][argmax(scores[4, 3, :, 2])]
    @test predict(scores_model("logits"), Float32[1 0; NaN 3; 2 1]; type=:class)[1] === missing
    nameless = read_onnx([onnx_node("Identity", "x", "y")], [onnx_value("x", "float32", ["n", 3])], [onnx_value("y")])
    @test predict(nameless, Float32[1 0; 5 3; 2 4]; type=:class) == [2, 3]
    @test refuses(
        () -> predict(scores_model("logits"; classes=["a"]), Float32[1 0; 5 3; 2 4]; type=:class), :bad_input, "1 classes"
    )
end

@testset "wrong inputs are refused, never guessed at" begin
    model = crops()
    turned = permutedims(crop_series, (2, 1, 3))
    @test refuses(() -> model(turned), :bad_input, "(3, 8, 5), in the order of ONNX (5, 8, 3); the model takes sample x 3 x 8; its dimensions are in another order: permutedims(x, (2, 1, 3)) fits")
    @test refuses(() -> model(crop_series[:, :, 1]), :bad_input, "size")
    @test refuses(() -> model(Dict("y" => crop_series)), :bad_input, "no input named 'y'; it takes 'x'")
    @test refuses(() -> model(Dict{String,Array}()), :bad_input, "'x' is missing")
    @test refuses(() -> model(fill("1", 8, 3, 1)), :bad_input, "String")
    @test refuses(() -> model(trues(8, 3, 1)), :bad_input, "Bool")
    @test refuses(() -> model("x"), :bad_input, "String")
    whole = read_onnx([onnx_node("Identity", "i", "y")], [onnx_value("i", "int32", [1])], [onnx_value("y", "int32")])
    @test whole([3.0]) == Int32[3]
    @test refuses(() -> whole([1.5]), :bad_input, "whole numbers")
    @test refuses(() -> whole([2^40]), :bad_input, "beyond int32")
end

@testset "several inputs are a Dict, and one axis name is one size" begin
    model = read_onnx(
        [onnx_node("Add", ["a", "b"], "sum"), onnx_node("Sub", ["a", "b"], "difference")],
        [onnx_value("a", "float32", ["n", 2]), onnx_value("b", "float32", ["n", 2])],
        [onnx_value("sum"), onnx_value("difference")]
    )
    a = reshape(Float32.(1:6), 2, 3)
    @test model(Dict("b" => a, "a" => 2a); batch_size=2) == Dict("sum" => 3a, "difference" => a)
    @test refuses(() -> model(a), :bad_input, "2 inputs")
    @test refuses(() -> model(Dict("a" => a, "b" => a[:, 1:2])), :bad_input, "'b' has size (2, 2)")
end

@testset "what goes wrong in a node names it" begin
    model = read_onnx([onnx_node("Identity", "x", "y"; name="odd")], given_x, [onnx_value("y")])
    model.graph.nodes[1].run = (inputs, node) -> error("two\nlines")
    @test refuses(() -> model(wavy(2, 1)), :failed, "node 'odd' (Identity): two lines")
    model.graph.nodes[1].run = (inputs, node) -> P.unsupported("this")
    @test refuses(() -> model(wavy(2, 1)), :unsupported, "node 'odd' (Identity): this")
end

@testset "a model shows what a reader wants to know" begin
    shown = sprint(show, MIME"text/plain"(), crops())
    @test occursin("x: float32, 8 x 3 x sample", shown)
    @test occursin("barley, wheat, corn, meadow", shown)
    @test occursin("6 nodes", sprint(show, crops()))
    summary = onnx_summary(crops())
    @test summary.nodes == 6
    @test summary.values == 6 * 3 * 3 + 6 * 5 + 4 * 6 + 4
    @test summary.operators["Conv"] == 1
    @test summary.parameters[1] == (name="conv.weight", type=Float32, size=(3, 3, 6))
    @test occursin("112 parameters in 8 initializers", sprint(show, MIME"text/plain"(), summary))
    @test onnx_operators()["Conv"] == [1, 11, 22]
end

@testset "a missing value is NaN where the model's type has one" begin
    model = read_onnx([onnx_node("IsNaN", "x", "y")], [onnx_value("x", "float32", ["n"])], [onnx_value("y")])
    @test predict(model, [1.0f0, missing]) == [false, true]
    @test predict(model, Union{Missing,Int}[1, 2]) == [false, false]
    @test predict(model, [missing, missing]) == [true, true]
    whole = read_onnx([onnx_node("Abs", "x", "y")], [onnx_value("x", "int64", ["n"])], [onnx_value("y")])
    @test predict(whole, Union{Missing,Int}[-1, 2]) == [1, 2]
    @test refuses(() -> predict(whole, [1, missing]), :bad_input, "'x' holds missing values, and int64 has no number for them")
end
