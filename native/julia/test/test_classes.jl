# Which output holds scores of classes, along which dimension; and what cannot be classes.

"""A graph that hands on what it is given, one output for each pair of a name and a declared shape."""
function passing_model(outputs...; classes=nothing, metadata=Pair{String,String}[], dtype="float32")
    metadata = classes === nothing ? metadata : [metadata; "harness.classes" => P.json_text(classes)]
    read_onnx(
        [onnx_node("Identity", "$name in", name) for (name, _) in outputs],
        [onnx_value("$name in", dtype, shape) for (name, shape) in outputs],
        [onnx_value(name, dtype, shape) for (name, shape) in outputs]; metadata=metadata
    )
end

classes_of(model, pairs...; keywords...) = model(Dict("$name in" => x for (name, x) in pairs); type=:class, keywords...)
no_classes(model, words, pairs...; keywords...) = refuses(() -> classes_of(model, pairs...; keywords...), :bad_input, words)
best_along(x, dim) = dropdims(map(index -> index[dim], argmax(x; dims=dim)); dims=dim)

@testset "classes follow the samples, in vectors and in images" begin
    @test classes_of(passing_model("y" => ["n", 3]), "y" => wavy(3, 5)) == best_along(wavy(3, 5), 1)
    @test classes_of(passing_model("y" => [3, "n"]), "y" => wavy(5, 3)) == best_along(wavy(5, 3), 2)
    image = wavy(6, 5, 4, 2)
    @test classes_of(passing_model("y" => ["n", 4, "h", "w"]), "y" => image) == best_along(image, 3)
    @test classes_of(passing_model("y" => ["n", "c", "h", "w"]), "y" => image) == best_along(image, 3)
    probabilities = passing_model("y" => ["n", 4, "h", "w"])(image; type=:prob, head="logits")
    @test size(probabilities) == size(image)
    @test all(isapprox.(sum(probabilities; dims=3), 1; atol=1e-6))
end

@testset "classes that come last are found where names or sizes tell, and never guessed" begin
    last_axis = wavy(4, 6, 5, 2)
    expected = best_along(last_axis, 1)
    @test classes_of(passing_model("y" => ["n", "h", "w", 4]), "y" => last_axis) == expected
    named = passing_model("y" => ["n", 5, 6, 4]; classes=["a", "b", "c", "d"])
    @test classes_of(named, "y" => last_axis) == ["a", "b", "c", "d"][expected]
    unknown = passing_model("y" => ["n", 5, 6, 4])
    @test no_classes(unknown, "first or last cannot be told", "y" => last_axis)
    @test classes_of(unknown, "y" => last_axis; class_axis=1) == expected
    @test no_classes(unknown, "class_axis = 4 cannot be", "y" => last_axis; class_axis=4)
    @test no_classes(unknown, "class_axis = 5 cannot be", "y" => last_axis; class_axis=5)
    steps = passing_model("y" => ["n", 7, 3]; metadata=["harness.axes" => "{\"y\": [\"sample\", \"time\", \"class\"]}"])
    @test classes_of(steps, "y" => wavy(3, 7, 2)) == best_along(wavy(3, 7, 2), 1)
end

@testset "what cannot be classes is refused" begin
    mask = passing_model("mask" => ["n", "h", "w"]; dtype="uint8")
    @test no_classes(mask, "'mask' cannot be classes: it holds whole numbers (uint8)", "mask" => ones(UInt8, 3, 4, 2))
    @test no_classes(passing_model("y" => ["n", "h", "w"]), "may as well be a mask", "y" => wavy(4, 3, 2))
    @test no_classes(passing_model("y" => ["n", 1]), "one number for each sample", "y" => wavy(1, 2))
    @test no_classes(passing_model("y" => ["n", 1, "h", "w"]), "one number for each place", "y" => wavy(4, 3, 1, 2))
    @test no_classes(passing_model("y" => ["n"]), "1 dimensions", "y" => wavy(2))
    for task in ("regression", "forecast", "multi-label")
        model = passing_model("y" => ["n", 3]; metadata=["harness.spec" => "{\"task\": \"$task\"}"])
        @test no_classes(model, "the model's task is $task", "y" => wavy(3, 2))
    end
end

@testset "of several outputs the one with scores is taken, and a choice is the caller's" begin
    model = passing_model("attention" => [8, "n", 5], "y" => ["n", 3])
    values = ("attention" => wavy(5, 2, 8), "y" => wavy(3, 2))
    @test classes_of(model, values...) == best_along(wavy(3, 2), 1)
    @test no_classes(model, "'attention' cannot be classes", values...; output="attention")
    @test no_classes(model, "no output named 'z'", values...; output="z")
    two = passing_model("mask" => ["n", "h", "w"], "a" => ["n", 3], "b" => ["n", 2])
    values = ("mask" => wavy(4, 3, 2), "a" => wavy(3, 2), "b" => wavy(2, 2))
    @test no_classes(two, "several outputs may be scores of classes: 'a', 'b'", values...)
    @test classes_of(two, values...; output="b") == best_along(wavy(2, 2), 1)
    decided = passing_model("a" => ["n", 3], "b" => ["n", 2]; metadata=["harness.spec" => "{\"decided\": \"b\"}"])
    @test classes_of(decided, values[2:3]...) == best_along(wavy(2, 2), 1)
end
