# Functions of the file, which are inlined.

function onnx_function(name, inputs, outputs, nodes; opset=17, defaults...)
    texts(field, names) = joined_bytes(wire_text(field, text) for text in names)
    [
        wire_text(1, name); texts(4, inputs); texts(5, outputs); joined_bytes(wire_bytes(7, node) for node in nodes)
        wire_bytes(9, [wire_text(1, ""); wire_number(2, opset)]); wire_text(10, "local")
        joined_bytes(wire_bytes(11, onnx_attribute(key, value)) for (key, value) in defaults)
    ]
end

# An attribute of a function's node that is the one of its call.
with_reference(node, name, to) = [node; wire_bytes(5, [wire_text(1, name); wire_text(21, to); wire_number(20, 1)])]

call_of(name, input, output; attributes...) = onnx_node(name, [input], [output]; domain="local", attributes...)

with_functions(nodes, functions) = read_bytes([
    onnx_model(nodes, [onnx_value("x", "float32", ["n"])], [onnx_value("y")])
    joined_bytes(wire_bytes(25, f) for f in functions)
])

const leaky = onnx_function(
    "Leaky", ["a"], ["b"],
    [with_reference(onnx_node("LeakyRelu", "a", "inner"), "alpha", "slope"), onnx_node("Neg", "inner", "b")]; slope=0.5
)

@testset "calls are inlined, each with its own values, attributes and defaults" begin
    model = with_functions([call_of("Leaky", "x", "m"), call_of("Leaky", "m", "y"; slope=0.25)], [leaky])
    @test model(Float32[-2, 4]) == [-1, 1]
end

@testset "functions call functions" begin
    twice = onnx_function("Twice", ["p"], ["q"], [call_of("Leaky", "p", "inner"), call_of("Leaky", "inner", "q")])
    @test with_functions([call_of("Twice", "x", "y")], [leaky, twice])(Float32[-2, 4]) == [-1, 2]
end

@testset "graphs inside of a function have its names and the attributes of its call" begin
    branch(nodes) = onnx_graph(nodes, [], [onnx_value("r")])
    chosen = onnx_function("Chosen", ["a"], ["b"], [
        onnx_node("ReduceSum", "a", "sum"; keepdims=0), onnx_node("Constant", String[], "zero"; value_float=0.0),
        onnx_node("Greater", ["sum", "zero"], "positive"),
        onnx_node(
            "If", "positive", "b"; then_branch=branch([onnx_node("Neg", "a", "r")]),
            else_branch=branch([with_reference(onnx_node("LeakyRelu", "a", "r"), "alpha", "slope")])
        )
    ])
    model = with_functions([call_of("Chosen", "x", "m"; slope=0.5), call_of("Chosen", "m", "y"; slope=0.25)], [chosen])
    @test model(Float32[-2, 4]) == [2, -1]
end

@testset "an output that is an input as it came is a copy" begin
    same = onnx_function("Same", ["a"], ["a"], [])
    @test with_functions([call_of("Same", "x", "y")], [same])(Float32[1, 2]) == [1, 2]
end

@testset "functions that call each other in a circle are refused" begin
    circle = onnx_function("Circle", ["a"], ["b"], [call_of("Circle", "a", "b")])
    @test refuses(() -> with_functions([call_of("Circle", "x", "y")], [circle]), :bad_input, "circle")
    @test refuses(() -> with_functions([call_of("Leaky", "x", "y")], [leaky, leaky]), :bad_input, "two functions are named 'Leaky'")
end

@testset "a function keeps the opset that it is written in" begin
    # Clip has its bounds as attributes in opset 10 alone.
    clip = onnx_function("Bounded", ["a"], ["b"], [onnx_node("Clip", "a", "b"; min=-1, max=1.5)]; opset=10)
    @test with_functions([call_of("Bounded", "x", "y")], [clip])(Float32[-2, 4]) == [-1, 1.5]
    old = onnx_function("Old", ["a"], ["b"], [onnx_node("Abs", "a", "b")]; opset=6)
    @test refuses(() -> with_functions([call_of("Old", "x", "y")], [old]), :unsupported, "opset 6")
end
