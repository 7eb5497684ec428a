# Loop, Scan and If, and the graphs inside of nodes. Arrays have the ONNX shape reversed.

isdefined(@__MODULE__, :wire_tag) || include("onnx_writer.jl")

flag(name) = onnx_value(name, "bool", [])
counter(name) = onnx_value(name, "int64", [])
numbers(name) = onnx_value(name, "float32", ["size of $name"])
number_of(name, value) = onnx_tensor(name, fill(value))
const yes = onnx_tensor("true", fill(true))

# A running sum: each step adds `by` to its state, and hands out the state.
summing(nodes=[], last="keep", initializers=[]) = onnx_graph(
    [onnx_node("Add", ["sum", "by"], "more"), onnx_node("Identity", "more", "seen"), nodes...],
    [counter("step"), flag("keep"), numbers("sum")],
    [flag(last), numbers("more"), onnx_value("seen", "float32", [2])], initializers
)

loop_model(body, inputs=["times", "", "start"], extra=[]; outputs=["end", "steps"], keywords...) = read_onnx(
    [onnx_node("Loop", inputs, outputs; body=body)], [numbers("start"), numbers("by")], onnx_value.(outputs),
    [number_of("times", 3), extra...]; keywords...
)

const first_sum = Float32[1, 2]
const summand = Float32[10, 20]
sum_inputs(; start=first_sum, by=summand) = Dict("start" => start, "by" => by)

@testset "a loop runs as often as it is told, and its steps are put together" begin
    found = loop_model(summing())(sum_inputs())
    @test found["end"] == [31, 62]
    @test found["steps"] == [11 21 31; 22 42 62]
end

until(limit=40.0f0) = summing(
    [onnx_node("ReduceMax", "more", "most"; keepdims=0), onnx_node("Less", ["most", "limit"], "on")], "on",
    [number_of("limit", limit)]
)

@testset "a loop ends when its condition says so, with or without a number of steps" begin
    for inputs in (["times", "", "start"], ["", "", "start"], ["", "true", "start"])
        @test loop_model(until(), inputs, [yes])(sum_inputs())["steps"] == [11 21; 22 42]
    end
end

@testset "a loop without a step gives back what it got, and steps of the declared size" begin
    never = onnx_tensor("never", fill(false))
    for model in (
        loop_model(summing(), ["none", "", "start"], [number_of("none", 0)]),
        loop_model(summing(), ["none", "", "start"], [number_of("none", -4)]),
        loop_model(summing(), ["times", "never", "start"], [never]),
    )
        found = model(sum_inputs())
        @test found["end"] == first_sum
        @test size(found["steps"]) == (2, 0)
    end
end

@testset "names of all graphs around are visible, the innermost first" begin
    # Twice a loop of three steps; the inner one reads the outermost 'by' and the outer loop's 'factor'.
    inner = onnx_graph(
        [onnx_node("Mul", ["by", "factor"], "scaled"), onnx_node("Add", ["s", "scaled"], "t")],
        [counter("j"), flag("kj"), numbers("s")], [flag("kj"), numbers("t")]
    )
    outer = onnx_graph(
        [
            onnx_node("Cast", "step", "turn"; to=1), onnx_node("Add", ["turn", "one"], "factor"),
            onnx_node("Loop", ["times", "", "sum"], "more"; body=inner, name="inner"),
        ],
        [counter("step"), flag("keep"), numbers("sum")], [flag("keep"), numbers("more")], [number_of("one", 1.0f0)]
    )
    model = loop_model(outer, ["two", "", "start"], [number_of("two", 2)]; outputs=["end"])
    # 3 steps of 1 x by, 3 of 2 x by.
    @test model(sum_inputs()) == first_sum .+ 9 .* summand
end

@testset "a branch is chosen as the graph runs" begin
    branch(operator, output) = onnx_graph([onnx_node(operator, ["x", "w"], output)], [], [numbers(output)])
    model = read_onnx(
        [
            onnx_node("ReduceSum", "x", "total"; keepdims=0), onnx_node("Greater", ["total", "zero"], "positive"),
            onnx_node("If", "positive", "y"; then_branch=branch("Add", "a"), else_branch=branch("Mul", "m")),
        ],
        [numbers("x")], [numbers("y")], [number_of("zero", 0.0f0), onnx_tensor("w", Float32[2, 3])]; opset=12
    )
    @test model(Float32[1, 1]) == [3, 4]
    @test model(Float32[-1, -1]) == [-2, -3]
end

stepping() = onnx_graph(
    [onnx_node("Add", ["s", "x"], "t"), onnx_node("Identity", "t", "seen")],
    [numbers("s"), numbers("x")], [numbers("t"), numbers("seen")]
)

@testset "a scan goes along any axis in either direction" begin
    function run(xs; attributes...)
        model = read_onnx(
            [onnx_node("Scan", ["s0", "xs"], ["end", "all"]; body=stepping(), num_scan_inputs=1, attributes...)],
            [numbers("s0"), onnx_value("xs", "float32", ["a", "b"])], [onnx_value("end"), onnx_value("all")]
        )
        model(Dict("s0" => zeros(Float32, 3), "xs" => xs))
    end
    xs = Float32[1 10; 2 20; 3 30]
    found = run(xs)
    @test found["end"] == [11, 22, 33]
    @test found["all"] == [1 11; 2 22; 3 33]
    found = run(xs; scan_input_directions=[1], scan_output_axes=[1])
    @test found["all"] == [10 20 30; 11 22 33]
    found = run(xs; scan_input_directions=[1], scan_output_directions=[1], scan_output_axes=[-1])
    @test found["all"] == [11 22 33; 10 20 30]
    @test run(permutedims(xs); scan_input_axes=[-1])["all"] == [1 11; 2 22; 3 33]
end

@testset "scan 8 runs over the samples of a batch, whose sequences may end early" begin
    model = read_onnx(
        [onnx_node("Scan", ["lengths", "s0", "xs"], ["end", "all"]; body=stepping(), num_scan_inputs=1)],
        [onnx_value("s0"), onnx_value("xs")], [onnx_value("end"), onnx_value("all")], [onnx_tensor("lengths", [2, 1])]; opset=8
    )
    found = model(Dict("s0" => zeros(Float32, 1, 2), "xs" => reshape(Float32[1, 2, 10, 20], 1, 2, 2)))
    @test found["end"] == [3 10]
    @test found["all"] == reshape([1, 3, 10, 0], 1, 2, 2)
end

@testset "initializers of subgraphs are the file's, the second of equal names is told apart" begin
    body(weight) = onnx_graph(
        [onnx_node("Mul", ["sum", "w"], "more")], [counter("step"), flag("keep"), numbers("sum")],
        [flag("keep"), numbers("more")], [onnx_tensor("w", weight), number_of("only_$(Int(weight[1]))", 1)]
    )
    model = read_onnx(
        [
            onnx_node("Loop", ["times", "", "start"], "mid"; body=body(Float32[2, 3]), name="one"),
            onnx_node("Loop", ["times", "", "mid"], "end"; body=body(Float32[5, 7]), name=""),
        ],
        [numbers("start")], [numbers("end")], [number_of("times", 2)]
    )
    @test [row.name for row in onnx_summary(model).parameters] == ["times", "w", "only_2", "w#2", "only_5"]
    @test model(Float32[1, 1]) == [4 * 25, 9 * 49]
end

@testset "in double precision nothing rounds inside of a body" begin
    body = onnx_graph(
        [
            onnx_node("Constant", [], "c"; value=(fill(0.1f0),)), onnx_node("Cast", "sum", "cast"; to=1),
            onnx_node("Mul", ["cast", "w"], "m"), onnx_node("Add", ["m", "c"], "more"),
        ],
        [counter("step"), flag("keep"), numbers("sum")], [flag("keep"), numbers("more")], [number_of("w", 0.3f0)]
    )
    expected = [1.0, 2.0]
    for _ in 1:3
        expected = expected .* Float64(0.3f0) .+ Float64(0.1f0)
    end
    @test loop_model(body; outputs=["end"], precision=Float64)(sum_inputs()) == expected
end

@testset "what does not change from step to step is computed once" begin
    body = summing([onnx_node("Exp", "by", "e"; name="exp"), onnx_node("Dropout", "e", "d"), onnx_node("Neg", "step", "n")])
    prepared = loop_model(body).graph.nodes[1].attributes["body"]
    plan = P.split_body(prepared, prepared.captured_slots)
    @test [node.operator for node in prepared.nodes[plan.once]] == ["Exp"]
    # A state that is handed on as it came does not change either.
    handed = onnx_graph(
        [onnx_node("Exp", "w", "e"), onnx_node("Add", ["s", "e"], "t")],
        [counter("step"), flag("keep"), numbers("s"), numbers("w")], [flag("keep"), numbers("t"), numbers("w")]
    )
    model = read_onnx(
        [onnx_node("Loop", ["times", "", "start", "by"], ["end", "weight"]; body=handed)],
        [numbers("start"), numbers("by")], [onnx_value("end"), onnx_value("weight")], [number_of("times", 3)]
    )
    found = model(sum_inputs(by=Float32[0, 1]))
    @test found["end"] ≈ [1 + 3, 2 + 3 * exp(1)]
    @test found["weight"] == [0, 1]
end

@testset "bounds of Slice inside of a body, and the number of steps, may be as large as they go" begin
    body = onnx_graph(
        [onnx_node("Slice", ["sum", "from", "end"], "more")], [counter("step"), flag("keep"), numbers("sum")],
        [flag("keep"), onnx_value("more")], [onnx_tensor("end", [typemax(Int64)]), onnx_tensor("from", [1])]
    )
    model = loop_model(body, ["far", "", "start"], [number_of("far", 1)]; outputs=["y"])
    @test model(sum_inputs(start=Float32[1, 2, 3, 4])) == [2, 3, 4]
    model = loop_model(until(), ["ever", "", "start"], [number_of("ever", typemax(Int64))])
    @test size(model(sum_inputs())["steps"]) == (2, 2)
end

@testset "exports of Keras (Loop) and PyTorch (Scan) give what they gave" begin
    expected = safetensors_read(fixture("recurrent.safetensors"))
    for name in ("loop", "scan")
        x, y = expected[name * "_x"], expected[name * "_y"]
        # Normalisation was folded into float32 by the one exporter.
        @test onnx_read(fixture(name * ".onnx"); precision=Float64)(x) ≈ y rtol = 1e-6
        @test onnx_read(fixture(name * ".onnx"))(x) ≈ y rtol = 1e-5
    end
end

@testset "what a subgraph cannot do is refused by name, with where it stands" begin
    odd = summing([onnx_node("NoSuchOperator", "more", "o"; name="odd")])
    @test refuses(() -> loop_model(odd), :unsupported, r"node 'loop_0' \(Loop\), body: operator NoSuchOperator .*'odd'")
    lost = summing([onnx_node("Relu", "nowhere", "o"; name="lost")])
    @test refuses(() -> loop_model(lost), :bad_input, "body: node 'lost' reads 'nowhere', which nothing computes")
    # A name of a graph beside it, not around it.
    branch(from) = onnx_graph([onnx_node("Relu", from, from * "_r")], [], [numbers(from * "_r")])
    @test refuses(:bad_input, "node 'relu_0' reads 'x_r'") do
        read_onnx(
            [onnx_node("If", "c", "y"; then_branch=branch("x"), else_branch=branch("x_r"))],
            [flag("c"), numbers("x")], [numbers("y")]
        )
    end
end

@testset "a node that a body reads from may stand behind the loop" begin
    late = [onnx_node("Loop", ["times", "", "start"], ["end", "s"]; body=summing()), onnx_node("Relu", "start", "by")]
    model = @test_logs (:info, r"out of order and were sorted: 'loop_0'") read_onnx(
        late, [numbers("start")], [numbers("end")], [number_of("times", 1)]
    )
    @test model(first_sum) == 2 .* first_sum
end

@testset "a body whose inputs or outputs do not fit is refused when the file is read" begin
    @test refuses(:bad_input, "its body has 3 inputs where 4 are needed") do
        loop_model(summing(), ["times", "", "start", "start"])
    end
    @test refuses(:bad_input, "its body has 3 outputs where at least 4 are needed") do
        loop_model(summing(); outputs=["end", "steps", "more"])
    end
    scan(; attributes...) = read_onnx(
        [onnx_node("Scan", ["a", "b"], "y"; body=summing(), attributes...)], [numbers("a"), numbers("b"), numbers("by")],
        [numbers("y")]
    )
    @test refuses(() -> scan(num_scan_inputs=1), :bad_input, "its body has 3 inputs where 2 are needed")
    @test refuses(() -> scan(num_scan_inputs=3), :bad_input, "2 inputs, of which 3 are scanned")
    @test refuses(() -> scan(), :bad_input, "num_scan_inputs")
    @test refuses(:bad_input, "has 3 inputs where 0 are needed") do
        read_onnx(
            [onnx_node("If", "c", "y"; then_branch=summing(), else_branch=summing())], [flag("c"), numbers("by")], [numbers("y")]
        )
    end
    @test refuses(:bad_input, "'body' is not of the type") do
        read_onnx([onnx_node("Loop", ["", ""], "y"; body=3)], [], [numbers("y")])
    end
end

@testset "a loop without an end is refused, and so are steps that do not fit" begin
    model = loop_model(summing(), ["", "", "start"])
    @test refuses(() -> model(sum_inputs()), :bad_input, "the loop has no end")
    always = summing([onnx_node("Not", "never", "on")], "on", [onnx_tensor("never", fill(false))])
    @test refuses(() -> loop_model(always, ["", "", "start"])(sum_inputs()), :bad_input, "no end")

    growing(more...) = onnx_graph(
        [onnx_node("Concat", ["sum", "by"], "more"; axis=0), onnx_node("Identity", "more", "seen")],
        [counter("step"), flag("keep"), numbers("sum")], [flag("keep"), numbers("more"), more...]
    )
    short = sum_inputs(start=Float32[1], by=Float32[2])
    @test loop_model(growing(); outputs=["end"])(short) == [1, 2, 2, 2]
    @test refuses(() -> loop_model(growing(numbers("seen")))(short), :bad_input, r"'seen' .* another shape or dtype")
    failing = onnx_graph(
        [onnx_node("Gather", ["by", "step"], "v"; name="pick"), onnx_node("Add", ["sum", "v"], "more")],
        [counter("step"), flag("keep"), numbers("sum")], [flag("keep"), numbers("more")]
    )
    model = loop_model(failing; outputs=["end"])
    @test refuses(() -> model(sum_inputs()), :bad_input, r"node 'loop_0' \(Loop\): step 2: node 'pick' \(Gather\)")
end

@testset "an endless loop that collects its steps ends at the largest tensor" begin
    body = summing([onnx_node("Less", ["step", "far"], "on")], "on", [number_of("far", 10^9)])
    model = loop_model(body, ["", "", "start"])
    limit = P.max_elements[]
    P.max_elements[] = 100
    try
        @test refuses(() -> model(sum_inputs()), :bad_input, r"'seen' of all steps .*limit")
    finally
        P.max_elements[] = limit
    end
end
