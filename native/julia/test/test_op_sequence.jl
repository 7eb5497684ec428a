# Sequences and optionals, within graphs of tensors. Arrays have the dimensions of the file reversed.

const seq_x, seq_y = wavy(3, 2), wavy(3, 4)

# The outputs of a graph with x and y as inputs; `held` are its initializers.
function with_sequences(nodes, outputs...; held=[], opset=17)
    infos = [onnx_value("x", "float32", reverse(size(seq_x))), onnx_value("y", "float32", reverse(size(seq_y)))]
    model = read_onnx(nodes, infos, [onnx_value(name) for name in outputs], [onnx_tensor(name, x) for (name, x) in held]; opset=opset)
    found = P.run_graph(model.graph, Dict{String,Array}("x" => seq_x, "y" => seq_y))
    length(found) == 1 ? found[1] : found
end

const both = onnx_node("SequenceConstruct", ["x", "y"], "s")
const places = ["zero" => fill(Int64(0)), "last" => fill(Int64(-1)), "far" => fill(Int64(2)), "two" => fill(Int64(2))]

@testset "sequences are made, asked, and changed" begin
    at(sequence, place) = onnx_node("SequenceAt", [sequence, place], "at")
    @test with_sequences([both, at("s", "zero")], "at"; held=places) == seq_x
    @test with_sequences([both, at("s", "last")], "at"; held=places) == seq_y
    @test with_sequences([both, onnx_node("SequenceLength", "s", "n")], "n") == fill(2)
    grown = onnx_node("SequenceInsert", ["s", "x", "zero"], "t")
    @test with_sequences([both, grown, at("t", "last")], "at"; held=places) == seq_y
    appended = onnx_node("SequenceInsert", ["s", "x"], "t")
    @test with_sequences([both, appended, at("t", "last"), onnx_node("SequenceLength", "s", "n")], "at", "n"; held=places) == [seq_x, fill(2)]
    @test with_sequences([both, onnx_node("SequenceErase", "s", "t"), at("t", "last")], "at"; held=places) == seq_x
    empty = [onnx_node("SequenceEmpty", String[], "s"), onnx_node("SequenceInsert", ["s", "y"], "t"), at("t", "zero")]
    @test with_sequences(empty, "at"; held=places) == seq_y
    @test refuses(() -> with_sequences([both, at("s", "far")], "at"; held=places), :bad_input, "position 2")
    @test refuses(() -> with_sequences([onnx_node("SequenceLength", "x", "n")], "n"), :bad_input, "a tensor, not a sequence")
    @test refuses(() -> with_sequences([both], "s"), :unsupported, "cannot leave the graph")
end

@testset "tensors are split to sequences and put together again" begin
    split(inputs; keywords...) = onnx_node("SplitToSequence", inputs, "s"; keywords...)
    joined = onnx_node("ConcatFromSequence", "s", "z"; axis=0)
    first_of = onnx_node("SequenceAt", ["s", "zero"], "at")
    @test with_sequences([split(["y", "two"]), first_of, joined], "at", "z"; held=places) == [seq_y[:, 1:2], seq_y]
    @test with_sequences([split(["y", "parts"]), first_of], "at"; held=[places; "parts" => Int64[1, 3]]) == seq_y[:, 1:1]
    @test with_sequences([split(["y"]; axis=1, keepdims=0), first_of], "at"; held=places) == seq_y[1, :]
    stacked = onnx_node("ConcatFromSequence", "s", "z"; axis=-1, new_axis=1)
    @test with_sequences([split(["y"]; axis=1, keepdims=0), stacked], "z") == seq_y
    @test refuses(() -> with_sequences([split(["y", "parts"]), joined], "z"; held=["parts" => Int64[1, 1]]), :bad_input, "do not make 4")
end

@testset "graphs run over sequences" begin
    body = onnx_graph(
        [onnx_node("Mul", ["a", "b"], "p"), onnx_node("Shape", "a", "q")], [onnx_value("a"), onnx_value("b")],
        [onnx_value("p"), onnx_value("q", "int64")]
    )
    mapped = onnx_node("SequenceMap", ["s", "half"], ["t", "u"]; body=body)
    at(name, sequence, place) = onnx_node("SequenceAt", [sequence, place], name)
    @test with_sequences([both, mapped, at("at", "t", "last"), at("shape", "u", "zero")], "at", "shape"; held=[places; "half" => Float32[0.5]]) ==
        [seq_y ./ 2, [2, 3]]
    # A sequence that grows from step to step.
    a_sequence(name) = [wire_text(1, name); wire_bytes(2, wire_bytes(4, wire_bytes(1, wire_bytes(1, wire_number(1, 1)))))]
    step = onnx_graph(
        [onnx_node("SequenceInsert", ["given", "x"], "grown"), onnx_node("Identity", "on", "still")],
        [onnx_value("i", "int64", []), onnx_value("on", "bool", []), a_sequence("given")],
        [onnx_value("still", "bool", []), a_sequence("grown")]
    )
    looped = [
        onnx_node("SequenceEmpty", String[], "s"), onnx_node("Loop", ["two", "", "s"], "t"; body=step), onnx_node("SequenceLength", "t", "n")
    ]
    @test with_sequences(looped, "n"; held=places) == fill(2)
end

@testset "optionals hold a tensor, a sequence or nothing" begin
    has(inputs) = onnx_node("OptionalHasElement", inputs, "has")
    filled = [onnx_node("Optional", "x", "o"), has(["o"]), onnx_node("OptionalGetElement", "o", "z")]
    @test with_sequences(filled, "has", "z"; opset=18) == [fill(true), seq_x]
    @test with_sequences([both, onnx_node("Optional", "s", "o"), onnx_node("OptionalGetElement", "o", "t"), onnx_node("SequenceLength", "t", "n")], "n") ==
        fill(2)
    nothing_in = onnx_node("Optional", String[], "o")
    @test with_sequences([nothing_in, has(["o"])], "has"; opset=18) == fill(false)
    @test with_sequences([has(String[])], "has"; opset=18) == fill(false)
    @test refuses(() -> with_sequences([nothing_in, onnx_node("OptionalGetElement", "o", "z")], "z"), :bad_input, "holds nothing")
end
