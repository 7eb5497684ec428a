# The hand-written TempCNN of native/flux against the ONNX graph of the same weights.

const tempcnn_file = joinpath(@__DIR__, "..", "..", "..", "flux", "tempcnn.jl")

"""A model with weights and statistics that are not round; three bands, eight dates, four classes."""
function written_tempcnn()
    Flux.Random.seed!(20190306)
    model = TempCNN(;
        bands=3, dates=8, classes=4, filters=(5, 6), kernels=(3, 5), dropouts=(0.2, 0.3), dense_width=7
    )
    for layer in model
        layer isa Flux.BatchNorm || continue
        layer.γ .= 0.5f0 .+ rand(Float32, size(layer.γ))
        layer.β .= randn(Float32, size(layer.β)) ./ 2
        layer.μ .= randn(Float32, size(layer.μ)) ./ 2
        layer.σ² .= 0.5f0 .+ rand(Float32, size(layer.σ²))
    end
    Flux.testmode!(model)
end

"""The graph as an exporter writes it that folds nothing, or one that folds batch normalisation."""
function tempcnn_bytes(weights; folded=false)
    norm(name, from, to) = folded ? onnx_node("Identity", from, to) : onnx_node(
        "BatchNormalization", [from; name .* [".weight", ".bias", ".running_mean", ".running_var"]], to
    )
    onnx_model(
        [
            onnx_node("Conv", ["x", "conv1.weight", "conv1.bias"], "c1"; kernel_shape=[3], pads=[1, 1]),
            norm("norm1", "c1", "n1"), onnx_node("Relu", "n1", "r1"),
            onnx_node("Conv", ["r1", "conv2.weight", "conv2.bias"], "c2"; kernel_shape=[5], pads=[2, 2]),
            norm("norm2", "c2", "n2"), onnx_node("Relu", "n2", "r2"), onnx_node("Flatten", "r2", "f"),
            onnx_node("Gemm", ["f", "dense.weight", "dense.bias"], "d"; transB=1), norm("dense_norm", "d", "dn"),
            onnx_node("Relu", "dn", "dr"),
            onnx_node("Gemm", ["dr", "classifier.weight", "classifier.bias"], "logits"; transB=1),
        ],
        [onnx_value("x", "float32", ["sample", 3, 8])], [onnx_value("logits", "float32", ["sample", 4])],
        [onnx_tensor(name, weight) for (name, weight) in weights if !(folded && occursin("norm", name))]
    )
end

@testset "canonical weights and the ONNX graph of them give what the model gives" begin
    model = written_tempcnn()
    weights = tempcnn_parameters(model)
    x = wavy(8, 3, 6)
    expected = model(x)
    mktempdir() do folder
        stored = joinpath(folder, "weights.safetensors")
        safetensors_write(weights, stored)
        onnx = joinpath(folder, "model.onnx")
        write(onnx, tempcnn_bytes(weights))
        @test tempcnn_load(stored)(x) == expected
        @test tempcnn_load(onnx)(x) == expected
        @test as_flux_model(onnx_read(onnx))(x) ≈ expected rtol = 1e-5
        @test onnx_read(onnx)(x) ≈ expected rtol = 1e-5
    end
end

@testset "heads are over the classes" begin
    weights = tempcnn_parameters(written_tempcnn())
    x = wavy(8, 3, 6)
    mktempdir() do folder
        stored = joinpath(folder, "weights.safetensors")
        safetensors_write(weights, stored)
        soft = tempcnn_load(stored; head="softmax")(x)
        @test all(sum(soft; dims=1) .≈ 1)
        @test tempcnn_load(stored; head="log-softmax")(x) ≈ log.(soft)
        @test_throws ArgumentError tempcnn_load(stored; head="sigmoid")
        @test tempcnn_load(stored)(x) == tempcnn_load(stored; head="logits")(x)
        write(joinpath(folder, "model.json"), "{\"head\": \"softmax\"}")
        @test tempcnn_load(stored)(x) == soft
    end
end

@testset "weights that do not fit are refused by name" begin
    model = written_tempcnn()
    weights = tempcnn_parameters(model)
    lacking = filter(pair -> pair.first != "norm1.weight", weights)
    @test_throws ErrorException("the weights lack norm1.weight") tempcnn_weights!(model, lacking)
    mktempdir() do folder
        onnx = joinpath(folder, "model.onnx")
        write(onnx, tempcnn_bytes(weights; folded=true))
        @test_throws ErrorException("the weights lack norm1.weight, so batch normalisation was folded: $onnx") tempcnn_load(onnx)
    end
    @test_throws ErrorException("no place for extra") tempcnn_weights!(model, merge(weights, Dict("extra" => wavy(2))))
    turned = merge(weights, Dict("dense.weight" => permutedims(weights["dense.weight"])))
    @test_throws ErrorException("dense.weight is 48 x 7, the model wants 7 x 48") tempcnn_weights!(model, turned)
end
