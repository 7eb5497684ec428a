# Loop, Scan and If in Flux, and the way back through their steps.

flag_value(name) = onnx_value(name, "bool", [])
counter_value(name) = onnx_value(name, "int64", [])
recurrent_input(name) = safetensors_read(fixture("recurrent.safetensors"))[name * "_x"]

@testset "a recurrent layer that Keras or PyTorch exported is a model with its weights" begin
    for (name, weights) in ("loop" => "conv_lstm", "scan" => "cell.conv")
        plain = onnx_read(fixture(name * ".onnx"); precision=Float64)
        model = as_flux_model(plain)
        x = Float64.(recurrent_input(name))
        @test model(x) ≈ plain(x) rtol = 1e-12
        @test count(key -> occursin(weights, string(key)), keys(model.parameters)) >= 2
    end
end

@testset "gradients pass through the steps of Loop and Scan" begin
    for name in ("loop", "scan")
        model = Flux.testmode!(as_flux_model(onnx_read(fixture(name * ".onnx"); precision=Float64)))
        x = Float64.(recurrent_input(name))
        loss(m, x) = sum(abs2, m(x))
        found = Flux.gradient(loss, model, x)
        function central(values, k)
            shifted(by) = (values[k] += by; result = loss(model, x); values[k] -= by; result)
            (shifted(1e-5) - shifted(-1e-5)) / 2e-5
        end
        for key in keys(model.parameters), k in unique((1, length(model.parameters[key])))
            @test found[1].parameters[key][k] ≈ central(model.parameters[key], k) rtol = 1e-5 atol = 1e-7
        end
        for k in (1, length(x))
            @test found[2][k] ≈ central(x, k) rtol = 1e-5 atol = 1e-7
        end
    end
end

@testset "a reloaded recurrent layer trains on" begin
    model = as_flux_model(onnx_read(fixture("loop.onnx")))
    x = recurrent_input("loop")
    target = reverse(x; dims=4)
    loss(m) = Flux.mse(m(x), target)
    first = loss(model)
    state = Flux.setup(Flux.Adam(0.05), model)
    for _ in 1:30
        (gradient,) = Flux.gradient(loss, model)
        Flux.update!(state, model, gradient)
    end
    @test loss(model) < 0.8 * first
end

@testset "weights inside of a body are parameters, and the branch that is taken gets the gradient" begin
    branch(weight) = onnx_graph(
        [onnx_node("Mul", ["x", weight], "y_" * weight)], [], [onnx_value("y_" * weight)], [onnx_tensor(weight, Float32[2, 3])]
    )
    model = as_flux_model(read_onnx(
        [
            onnx_node("ReduceSum", "x", "total"; keepdims=0), onnx_node("Greater", ["total", "zero"], "positive"),
            onnx_node("If", "positive", "y"; then_branch=branch("up"), else_branch=branch("down")),
        ],
        [onnx_value("x", "float32", [2])], [onnx_value("y", "float32", [2])], [onnx_tensor("zero", fill(0.0f0))]
    ))
    @test issubset((:up, :down), keys(model.parameters))
    (gradient,) = Flux.gradient(m -> sum(m(Float32[1, 2])), model)
    @test gradient.parameters.up == [1, 2]
    @test gradient.parameters.down === nothing || all(iszero, gradient.parameters.down)
    (gradient,) = Flux.gradient(m -> sum(m(Float32[-3, -4])), model)
    @test gradient.parameters.down == [-3, -4]
end

@testset "one value in two states, and a step along any axis, have the right gradient" begin
    # Both states start as one array; the sequence is read backwards along its last axis.
    body = onnx_graph(
        [
            onnx_node("Mul", ["a", "x"], "ax"), onnx_node("Add", ["b", "ax"], "b2"), onnx_node("Mul", ["a", "w"], "a2"),
            onnx_node("Identity", "b2", "seen"),
        ],
        [onnx_value("a"), onnx_value("b"), onnx_value("x")], [onnx_value("a2"), onnx_value("b2"), onnx_value("seen")]
    )
    model = as_flux_model(read_onnx(
        [onnx_node(
            "Scan", ["s", "s", "xs"], ["a_end", "b_end", "all"]; body=body, num_scan_inputs=1, scan_input_axes=[1],
            scan_input_directions=[1], scan_output_axes=[1], scan_output_directions=[1]
        )],
        [onnx_value("s", "float32", [2]), onnx_value("xs", "float32", [2, 3])],
        [onnx_value("a_end"), onnx_value("b_end"), onnx_value("all")], [onnx_tensor("w", Float32[0.5, 2])];
        precision=Float64
    ))
    s, xs = [1.0, -2.0], [0.5 1.5; -1.0 2.0; 3.0 0.25]
    loss(m, s, xs) = (y = m(s, xs); sum(abs2, y.all) + sum(y.a_end) + sum(y.b_end))
    found = Flux.gradient(loss, model, s, xs)
    for (values, gradient) in ((s, found[2]), (xs, found[3]), (model.parameters.w, found[1].parameters.w)), k in eachindex(values)
        shifted(by) = (values[k] += by; result = loss(model, s, xs); values[k] -= by; result)
        @test gradient[k] ≈ (shifted(1e-5) - shifted(-1e-5)) / 2e-5 rtol = 1e-6
    end
end

@testset "convolutions of one input in a body are joined, and compute what they did" begin
    conv(weight, from, to; attributes...) = onnx_node("Conv", [from, weight], to; name=to, attributes...)
    body = onnx_graph(
        [
            conv("w1", "s", "a"; pads=[1, 1]), conv("w2", "s", "b"; pads=[1, 1]), onnx_node("Add", ["a", "b"], "t"),
            # Another padding, another input, and a weight that changes: these stay by themselves.
            conv("w1", "s", "c"; pads=[2, 0]), conv("w1", "t", "d"; pads=[1, 1]), conv("u", "s", "e"; pads=[1, 1]),
            onnx_node("Sum", ["c", "d", "e", "t"], "all"), onnx_node("Tanh", "all", "next"), onnx_node("Neg", "u", "v"),
        ],
        [counter_value("step"), flag_value("keep"), onnx_value("s"), onnx_value("u")],
        [flag_value("keep"), onnx_value("next"), onnx_value("v")]
    )
    plain = read_onnx(
        [onnx_node("Loop", ["times", "", "x", "w2"], ["y", "turned"]; body=body)],
        [onnx_value("x", "float32", ["n", 2, 5])], [onnx_value("y")],
        [onnx_tensor("times", fill(3)), onnx_tensor("w1", wavy(3, 2, 2)), onnx_tensor("w2", 1 .- wavy(3, 2, 2) ./ 3)];
        precision=Float64
    )
    model = as_flux_model(plain)
    convolutions(graph) = count(node -> node.operator == "Conv", graph.nodes[1].attributes["body"].nodes)
    @test convolutions(plain.graph) == 5
    @test convolutions(model.graph) == 4
    x = Float64.(wavy(5, 2, 3)) ./ 4
    @test model(x) ≈ plain(x) rtol = 1e-12
    loss(m) = sum(abs2, m(x))
    (found,) = Flux.gradient(loss, model)
    for (name, values) in pairs(model.parameters), k in eachindex(values)
        shifted(by) = (values[k] += by; result = loss(model); values[k] -= by; result)
        @test found.parameters[name][k] ≈ (shifted(1e-5) - shifted(-1e-5)) / 2e-5 rtol = 1e-5 atol = 1e-7
    end
end
