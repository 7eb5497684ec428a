const given_x = [onnx_value("x", "float32", ["n", 2])]
const wanted_y = [onnx_value("y")]

@testset "what is not supported is refused by name when the file is read" begin
    refused(pattern, nodes; keywords...) =
        refuses(() -> read_onnx(nodes, given_x, wanted_y; keywords...), :unsupported, pattern)
    unknown = [onnx_node("Relu", "x", "h"), onnx_node("NoSuchOperator", "h", "y"; name="odd")]
    @test refused("operator NoSuchOperator (opset 17, node 'odd') is not supported by julia/base", unknown)
    @test refused("domain 'com.example'", [onnx_node("Relu", "x", "y"; domain="com.example")])
    relu = [onnx_node("Relu", "x", "y")]
    @test refused("opset 0", relu; opset=0)
    @test refused("opset 99", relu; opset=99)
    @test refused(r"Gelu .*does not exist", [onnx_node("Gelu", "x", "y")])
    @test refused("'slope'", [onnx_node("Relu", "x", "y"; slope=2)])
    foreign = [onnx_value("x", "float8e5m2")]
    @test refuses(() -> read_onnx(relu, foreign, wanted_y), :unsupported, "float8e5m2")
end

@testset "nodes out of order are sorted, and that is told" begin
    nodes = [
        onnx_node("Neg", "h", "y"; name="last"), onnx_node("Add", ["x", "g"], "h"; name="sum"),
        onnx_node("Relu", "x", "g"; name="first")
    ]
    model = @test_logs (:info, r"out of order and were sorted: 'last' and 1 more") read_onnx(nodes, given_x, wanted_y)
    @test [node.operator for node in model.graph.nodes] == ["Relu", "Add", "Neg"]
    @test vec(model(reshape(Float32[-1, 2], 2, 1))) == [1, -4]
end

@testset "a graph that is no order, or not whole, is refused" begin
    refused(pattern, nodes...) = refuses(() -> read_onnx(nodes, given_x, wanted_y), :bad_input, pattern)
    @test refused("before it is computed", onnx_node("Relu", "h", "y"), onnx_node("Relu", "y", "h"))
    @test refused("'nowhere'", onnx_node("Relu", "nowhere", "y"))
    @test refused("before it is computed", onnx_node("Relu", "y", "y"))
    @test refused("'y' is computed twice", onnx_node("Relu", "x", "y"), onnx_node("Abs", "x", "y"))
    @test refused("output 'y'", onnx_node("Relu", "x", "h"))
    @test refused("1 inputs", onnx_node("Add", "x", "y"))
    @test refused("kernel_shape", onnx_node("MaxPool", "x", "y"))
    @test refused("'axis'", onnx_node("Softmax", "x", "y"; axis="one"))
end

@testset "'ai.onnx' is the default domain" begin
    model = read_onnx([onnx_node("Relu", "x", "y"; domain="ai.onnx")], given_x, wanted_y)
    @test model(reshape(Float32[-1, 2], 2, 1)) == reshape(Float32[0, 2], 2, 1)
end

@testset "a value is forgotten after its last use and outputs are kept" begin
    model = read_onnx(
        [onnx_node("Relu", "x", "a"), onnx_node("Abs", "a", "b"), onnx_node("Add", ["a", "b"], "y")], given_x,
        [onnx_value("y"), onnx_value("b")]
    )
    freed = [model.graph.names[slots] for slots in model.graph.release]
    @test freed[3] == ["a"]
    @test "x" in freed[1]
    @test !("b" in vcat(freed...))
end

@testset "64-bit integers are exact, as bounds and as numbers" begin
    ends = onnx_tensor("ends", [typemax(Int64)])
    model = read_onnx(
        [onnx_node("Slice", ["x", "starts", "ends"], "y")], given_x, wanted_y, [onnx_tensor("starts", [1]), ends]
    )
    x = wavy(2, 3)
    @test model(x) == x[:, 2:3]
    large = read_onnx(
        [onnx_node("Add", ["i", "i"], "y")], [onnx_value("i", "int64", [1])], [onnx_value("y", "int64")]
    )
    @test large([2^60 + 1]) == [2^61 + 2]
end

@testset "typed tensor fields hold the same values as raw bytes" begin
    float_data = [wire_number(1, 2); wire_number(2, 1); wire_text(8, "w"); wire_bytes(4, raw_bytes(Float32[1.5, -2]))]
    model = read_onnx([onnx_node("Add", ["x", "w"], "y")], given_x, wanted_y, [float_data])
    @test model(zeros(Float32, 2, 1)) == reshape(Float32[1.5, -2], 2, 1)
    held(code, dtype, field, values) = parameters(read_onnx(
        [onnx_node("Identity", "w", "y")], [], [onnx_value("y", dtype)],
        [[wire_number(1, length(values)); wire_number(2, code); wire_text(8, "w")
          wire_bytes(field, joined_bytes(wire_varint(value) for value in values))]]
    ))["w"]
    @test held(6, "int32", 5, [-7, 9]) == Int32[-7, 9]
    @test held(7, "int64", 7, [typemin(Int64), -1, 2^53 + 1]) == [typemin(Int64), -1, 2^53 + 1]
    @test held(13, "uint64", 11, [-1]) == [typemax(UInt64)]
    @test held(9, "bool", 5, [1, 0]) == [true, false]
    @test held(10, "float16", 5, [0x3c00]) == Float16[1]
    @test held(16, "bfloat16", 5, [0x3f80]) == BFloat16[BFloat16(1)]
end

@testset "a signalling NaN keeps its bits in the parameters" begin
    signalling = reinterpret(Float32, [0x7fa00001])
    model = read_onnx(
        [onnx_node("Add", ["x", "w"], "y")], [onnx_value("x", "float32", [1])], wanted_y, [onnx_tensor("w", Array(signalling))]
    )
    @test raw_bytes(parameters(model)["w"]) == raw_bytes([0x7fa00001])
end

@testset "under float64 a cast to the type of another tensor is refused where that may be half precision" begin
    @test run_operator("CastLike", [0.1], Float32[0]; precision=Float64) == [0.1]
    @test run_operator("CastLike", [0.1], Float16[0]) == [Float16(0.1)]
    @test refuses(() -> run_operator("CastLike", [0.1], Float16[0]; precision=Float64), :unsupported, "CastLike")
    through_cast = [onnx_node("Cast", ["x"], ["h"]; to=16), onnx_node("CastLike", ["x", "h"], ["y"])]
    @test refuses(() -> read_onnx(through_cast, given_x, wanted_y; precision=Float64), :unsupported, "half precision")
    @test read_onnx(through_cast, given_x, wanted_y) isa ONNXModel
end

@testset "weights in Constant nodes are parameters, those of graphs inside of nodes too" begin
    weight(name, value) = onnx_node("Constant", [], name; value=(value,))
    branch(value) =
        onnx_graph([weight("w", value), onnx_node("Add", ["x", "w"], "z")], [], [onnx_value("z")])
    choice = onnx_node("If", "c", "y"; then_branch=branch(Float32[3, 4]), else_branch=branch(Float32[5, 6]))
    model = read_onnx(
        [weight("v", Float32[1, 2]), weight("two", fill(2.0f0)), weight("at", Int64[0]), onnx_node("Mul", ["x", "v"], "h"), choice],
        [onnx_value("x", "float32", [2]), onnx_value("c", "bool", [])], [onnx_value("y")], [onnx_tensor("unused", Float32[7])]
    )
    @test parameters(model) ==
        Dict("unused" => Float32[7], "v" => Float32[1, 2], "w" => Float32[5, 6], "w#2" => Float32[3, 4])
end
