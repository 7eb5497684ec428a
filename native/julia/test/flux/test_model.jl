crops_in_flux(; keywords...) = as_flux_model(onnx_read(example; keywords...))

@testset "a model computes what plain Julia computes, in either precision" begin
    x = wavy(8, 3, 5)
    plain = onnx_read(example; precision=Float64)(Float64.(x))
    double = crops_in_flux(precision=Float64)
    @test double(Float64.(x)) ≈ plain rtol = 1e-13
    single = crops_in_flux()(x)
    @test eltype(single) == Float32
    @test single ≈ plain rtol = 1e-5
    for name in ("dynamo.onnx", "script.onnx")
        info = only(onnx_read(fixture(name)).graph.inputs)
        series = wavy(reverse((5, info.shape[2:end]...))...)
        @test as_flux_model(onnx_read(fixture(name)))(series) ≈ onnx_read(fixture(name))(series) rtol = 1e-5
    end
end

@testset "weights are parameters, running statistics and ratios are buffers" begin
    model = trainable()
    @test Set(keys(model.parameters)) == Set([:w, :b, :scale, :shift, :dense, :bias])
    @test Set(keys(model.buffers)) == Set([:mean, :variance, :ratio])
    @test sum(length, Flux.trainables(model)) == 24 + 4 + 4 + 4 + 8 + 2
end

@testset "the state goes from one model to another" begin
    one, other = trainable(), trainable()
    one.parameters.w .*= 2
    one.buffers.mean .+= 1
    x = wavy(6, 2, 4)
    @test one(x) != other(x)
    Flux.loadmodel!(other, Flux.state(one))
    @test one(x) == other(x)
    @test one.parameters.w !== other.parameters.w
end

@testset "a model trains on with Flux.setup, and tests the same every time" begin
    Flux.Random.seed!(1)
    model = trainable()
    x = wavy(6, 2, 32)
    # Classes that the series tell.
    y = Flux.onehotbatch(vec(sum(x[:, 1, :]; dims=1) .> 0), [false, true])
    loss(model) = Flux.logitcrossentropy(model(x), y)
    before, first = deepcopy(model.parameters), loss(model)
    state = Flux.setup(Flux.Adam(0.05), model)
    for _ in 1:60
        value, (gradient,) = Flux.withgradient(loss, model)
        Flux.update!(state, model, gradient)
    end
    @test loss(model) < first / 2
    # A shift before batch normalisation has no effect, so no gradient but rounding; everything else moved.
    for name in (:w, :scale, :shift, :dense, :bias)
        @test model.parameters[name] != before[name]
    end
    @test model.buffers.ratio == fill(0.25f0)
    @test model(x) == model(x)
    Flux.trainmode!(model)
    @test model(x) != model(x)
    Flux.testmode!(model)
    frozen = deepcopy(model.buffers)
    Flux.withgradient(loss, model)
    @test model.buffers == frozen
    @test Flux.onecold(model(x), class_names(model)) == [a > b ? "dry" : "wet" for (a, b) in eachcol(model(x))]
end

@testset "a model is a layer among others" begin
    chain = Flux.Chain(trainable(), Flux.softmax)
    x = wavy(6, 2, 4)
    @test all(sum(chain(x); dims=1) .≈ 1)
    gradient, = Flux.gradient(chain -> sum(abs2, chain(x)), chain)
    @test size(gradient.layers[1].parameters.w) == (3, 2, 4)
    Flux.trainmode!(chain)
    @test chain[1].active === true
end

@testset "batch normalisation follows Flux' rule in training and the file's numbers in testing" begin
    model = trainable()
    x = wavy(6, 2, 8)
    layer = Flux.Conv(reverse(model.parameters.w; dims=1), copy(model.parameters.b); pad=1)
    c = layer(x)
    norm = Flux.BatchNorm(4; momentum=0.25f0)
    norm.μ .= model.buffers.mean
    norm.σ² .= model.buffers.variance
    held = deepcopy(model.buffers)
    model(x)
    @test model.buffers == held
    Flux.trainmode!(norm)
    norm(c)
    Flux.trainmode!(model)
    model(x)
    # ONNX momentum 0.75 is the weight of the old value; the running variance is the unbiased one.
    @test model.buffers.mean ≈ norm.μ rtol = 1e-5
    @test model.buffers.variance ≈ norm.σ² rtol = 1e-5
end

@testset "several inputs and outputs, shared weights" begin
    model = as_flux_model(read_onnx(
        [onnx_node("Mul", ["a", "w"], "p"), onnx_node("Add", ["p", "b"], "s"), onnx_node("Mul", ["s", "w"], "q")],
        [onnx_value("a", "float32", [2, 3]), onnx_value("b", "float32", [2, 3])], [onnx_value("s"), onnx_value("q")],
        [onnx_tensor("w", wavy(3))]; precision=Float64
    ))
    a, b = Float64.(wavy(3, 2)), Float64.(wavy(3, 2)) .+ 1
    found = model(a, b)
    @test keys(found) == (:s, :q)
    w = model.parameters.w
    @test found.q ≈ (a .* w .+ b) .* w
    gradient, inward = Flux.gradient((model, a) -> sum(model(a, b).q), model, a)
    @test gradient.parameters.w ≈ vec(sum(2 .* a .* w .+ b; dims=2))
    @test inward ≈ w .^ 2 .* ones(1, 2)
    @test refuses(() -> model(a), :bad_input, "takes 2 inputs, not 1")
end

@testset "what does not fit is refused by name" begin
    @test refuses(() -> trainable()(Float64.(wavy(6, 2, 4))), :bad_input, "'x' is an array of Float64; the model takes Float32")
    @test refuses(() -> trainable()(wavy(6, 3, 4)), :bad_input, "'x' has size (6, 3, 4)")
    model = one_node("LRN", Float64.(wavy(4, 3, 2)) .+ 0.5; size=3)
    x = Float32.(wavy(4, 3, 2))
    @test size(model(Float64.(x))) == (4, 3, 2)
    @test refuses(
        () -> Flux.gradient(x -> sum(model(x)), Float64.(x)), :unsupported, "operator LRN (opset 17, node 'lrn_0') has no gradient"
    )
end

@testset "a Dropout that an input switches on is refused, unless the model trains" begin
    x, on = ones(200), fill(true)
    model = one_node("Dropout", x, nothing, on)
    Flux.testmode!(model)
    @test refuses(() -> model(x, on), :unsupported, "training mode, which draws at random")
    @test model(x, fill(false)) == x
    Flux.trainmode!(model)
    @test sort(unique(model(x, on))) == [0, 2]
end

@testset "an array reaches the first layer, and the next, without a copy" begin
    nodes = [onnx_node("Identity", "x", "h"), onnx_node("Identity", "h", "y")]
    model = as_flux_model(read_onnx(nodes, [onnx_value("x", "float32", ["n", 3, 7])], [onnx_value("y")]))
    x = wavy(7, 3, 5)
    @test pointer(model(x)) == pointer(x)
end
