isdefined(@__MODULE__, :apply_operator) || include("operator_alone.jl")

code_of(name) = findfirst(isequal(name), PlainONNX.dtype_names)
cast(x, to; attributes...) = apply_operator("Cast", x; to=code_of(to), attributes...)

@testset "casts round, cut off and wrap" begin
    @test cast(Float32[-1.7, 2.9], "int32") == Int32[-1, 2]
    @test cast(Int32[300, -1], "uint8") == UInt8[44, 255]
    @test cast(Int64[typemin(Int64), 2^40 + 5], "int32") == Int32[0, 5]
    @test cast(Float32[0, -0.5, NaN], "bool") == [false, true, true]
    @test cast([true, false], "float32") == Float32[1, 0]
    @test cast([0.1], "float32") == [0.1f0]
    # Undefined in ONNX: the lowest value.
    @test cast([NaN, Inf, -Inf, 1e30], "int64") == fill(typemin(Int64), 4)
    @test cast([2.0^63, 2.0^64], "uint64") == [0x8000000000000000, 0x0000000000000000]
    @test cast([-1.0], "uint64") == [typemax(UInt64)]
    @test cast([300.7, -300.7], "int8") == Int8[44, -44]
    @test cast(scalar(1.5), "int32") == scalar(Int32(1))
    @test cast(Float16[65504], "float64") == [65504.0]
    # Halfway in Float32, but not in Float64: rounded once.
    @test cast([1 + 2.0^-11 + 2.0^-40], "float16") == [Float16(1 + 2.0^-10)]
    @test apply_operator("CastLike", [2.5], Int16[0]) == Int16[2]
    @test refuses(() -> cast([1.0], "string"), :unsupported, "a cast from float64 to string")
    @test cast(Int32[-3, 12], "string") == ["-3", "12"]
    @test cast(["1.5", " -inf", "9007199254740993"], "float32") == Float32[1.5, -Inf, 2^53]
    @test cast(["9007199254740993", "-2.7"], "int64") == [2^53 + 1, -2]
    @test refuses(() -> cast(["one"], "float32"), :bad_input, "a text that is no number")
    @test refuses(() -> cast([1.0], "float8e5m2"), :unsupported, "a cast to float8e5m2")
end

@testset "under float64 a cast to float32 widens, one to half precision still rounds" begin
    wide(to) = cast([0.1], to; precision=Float64)
    @test wide("float32") == [0.1]
    @test wide("float16") == [Float64(Float16(0.1))]
    @test wide("bfloat16") == [Float64(BFloat16(0.1))]
    @test wide("bfloat16") isa Array{Float64}
    @test cast(Int32[1], "float32"; precision=Float64) isa Array{Float64}
    @test apply_operator("Constant"; value_float=0.5, precision=Float64) isa Array{Float64,0}
    @test apply_operator("ConstantOfShape", Int64[2]; precision=Float64) isa Array{Float64,1}
    @test apply_operator("EyeLike", zeros(Int64, 2, 2); dtype=code_of("float32"), precision=Float64) == [1.0 0; 0 1]
end

@testset "constants, ranges and the identity" begin
    @test apply_operator("Constant"; value=Float32[1.5, 2.5]) == Float32[1.5, 2.5]
    @test apply_operator("Constant"; value_ints=[1, 2]) isa Array{Int64,1}
    @test apply_operator("Constant"; value_int=3) == scalar(3)
    @test apply_operator("Constant"; value_floats=[0.5, 1.0]) == Float32[0.5, 1]
    @test refuses(() -> apply_operator("Constant"), :bad_input, "no value")
    @test size(apply_operator("ConstantOfShape", Int64[2, 3]; value=Int32[7])) == (3, 2)
    @test apply_operator("ConstantOfShape", Int64[]) == scalar(0.0f0)
    @test refuses(() -> apply_operator("ConstantOfShape", Int64[2^40]), :bad_input, "larger than the limit")
    @test apply_operator("Range", scalar(Int32(10)), scalar(Int32(1)), scalar(Int32(-4))) == Int32[10, 6, 2]
    @test apply_operator("Range", scalar(1.0f0), scalar(2.0f0), scalar(0.25f0)) == Float32[1, 1.25, 1.5, 1.75]
    @test apply_operator("Range", scalar(5), scalar(1), scalar(1)) == Int64[]
    @test refuses(() -> apply_operator("Range", scalar(1), scalar(2), scalar(0)), :bad_input, "a step of 0")
    @test apply_operator("EyeLike", zeros(Float32, 3, 2); k=1) == Float32[0 0; 1 0; 0 1]
end

@testset "Dropout is off at inference, and one that an input switches on is refused" begin
    x = Float32[1, 2]
    @test apply_operator("Dropout", x) == x
    @test apply_operator("Dropout", x, scalar(0.5f0), scalar(false); outputs=2) == (x, [true, true])
    @test apply_operator("Dropout", x; opset=7, outputs=2) == (x, Float32[1, 1])
    @test apply_operator("Dropout", x, scalar(0.0f0), scalar(true)) == x
    @test refuses(() -> apply_operator("Dropout", x, scalar(0.5f0), scalar(true)), :unsupported, "training mode, which draws at random")
end

@testset "a Dropout that the graph itself switches on is refused when the file is read" begin
    half, none, on = onnx_tensor("ratio", fill(0.5f0)), onnx_tensor("ratio", fill(0.0f0)), onnx_tensor("on", fill(true))
    drop = onnx_node("Dropout", ["x", "ratio", "on"], "y"; name="drop")
    read(nodes, initializers; inputs=[]) =
        read_onnx(nodes, [onnx_value("x", "float32", [5]), inputs...], [onnx_value("y")], initializers)
    refused(nodes, initializers; keywords...) = refuses(
        () -> read(nodes, initializers; keywords...), :unsupported,
        r"^operator Dropout \(opset 17, node 'drop'\): training mode, which draws at random, is not supported; export"
    )
    @test refused([drop], [half, on])
    @test refused([onnx_node("Constant", [], "on"; value=(fill(true),)), drop], [half])
    # In a branch, by what is known around it.
    branch(operator, inputs) =
        onnx_graph([onnx_node(operator, inputs, "z"; name="drop")], [], [onnx_value("z")])
    choice = onnx_node("If", "c", "y"; then_branch=branch("Dropout", ["x", "", "on"]), else_branch=branch("Neg", "x"))
    @test refused([choice], [on]; inputs=[onnx_value("c", "bool", [])])
    @test read([drop], [none, on])(Float32[1, 2, 3, 4, 5]) == 1:5
    # What a caller may replace is not known.
    @test read([drop], [half, on]; inputs=[onnx_value("on", "bool", [])]) isa ONNXModel
end
