# Canonical weights in the serve loop, loaded into the models of native/flux: see written_tempcnn() in test_tempcnn.jl.

const native = joinpath(@__DIR__, "..", "..", "..")

axis(name, size=nothing) = (name=name, size=size)

"""The harness's specification of written_tempcnn(), as data."""
function specified_tempcnn(weights; model="tempcnn", head="logits")
    parameters = [(name=name, shape=P.onnx_shape(array), role="weight") for (name, array) in weights]
    (
        model=model, head=head, hyperparameters=(dense_width=7,), layers=[(name="all", parameters=parameters)],
        inputs=[(name="x", dtype="float32", axes=[axis("sample"), axis("band", 3), axis("time", 8)])],
        outputs=[(name="logits", dtype="float32", axes=[axis("sample"), axis("class", 4)])],
    )
end

"""A session, and the answer that it gives to a request as an object of JSON."""
function served(work)
    mktempdir() do folder
        withenv("HARNESS_NATIVE" => native) do
            session = P.Session("flux")
            ask(name; fields...) = P.parse_json(P.handle(session, P.json_text((; id=1, request=name, fields...))))
            work(session, ask, name -> joinpath(folder, name))
        end
    end
end

function store_tempcnn(weights, in_folder; keywords...)
    safetensors_write(weights, in_folder("weights.safetensors"))
    write(in_folder("model.json"), P.json_text(specified_tempcnn(weights; keywords...)))
    in_folder("weights.safetensors")
end

@testset "weights are served by the model written by hand, as it holds them" begin
    model = written_tempcnn()
    weights = tempcnn_parameters(model)
    x = wavy(8, 3, 5)
    served() do session, ask, in_folder
        path = store_tempcnn(weights, in_folder)
        write(in_folder("metadata.json"), "{\"harness.model\": \"tempcnn\"}")
        loaded = ask("load"; path=path)["result"]
        @test loaded["inputs"] == [Dict("name" => "x", "dtype" => "float32", "shape" => ["sample", 3, 8])]
        @test loaded["outputs"] == [Dict("name" => "logits", "dtype" => "float32", "shape" => ["sample", 4])]
        @test loaded["metadata"] == Dict("harness.model" => "tempcnn")
        safetensors_write(Dict("x" => x), in_folder("x"))
        @test ask("predict"; inputs=in_folder("x"), outputs=in_folder("y"), batch_size=2)["result"]["batches"] == 3
        @test safetensors_read(in_folder("y"))["logits"] ≈ model(x) rtol = 1e-6
        timed = ask("time"; inputs=in_folder("x"), batch_sizes=[1, 4], seconds=0.05)["result"]
        @test [batch["batch_size"] for batch in timed["batches"]] == [1, 4]
        # A layer of the specification ends before the activation that Flux holds in it.
        @test ask("activations"; inputs=in_folder("x"), outputs=in_folder("a"), names=["norm1", "dense"])["ok"]
        found = safetensors_read(in_folder("a"))
        @test minimum(found["norm1"]) < 0
        @test max.(found["norm1"], 0) == model[1:2](x)
        @test found["dense"] ≈ model[1:8](x)
        # Flux holds the taps backwards: the first in memory is the last of the file.
        session.model.model.layers.conv1.weight[1, 2, 3] = 7
        @test ask("parameters"; outputs=in_folder("p"))["result"]["count"] == length(weights)
        held = safetensors_read(in_folder("p"))
        changed = copy(weights["conv1.weight"])
        changed[end, 2, 3] = 7
        @test held == merge(weights, Dict("conv1.weight" => changed))
    end
end

@testset "weights in double precision keep the numbers that the model holds in single" begin
    model = written_tempcnn()
    weights = tempcnn_parameters(model)
    x = wavy(8, 3, 5)
    served() do session, ask, in_folder
        @test ask("load"; path=store_tempcnn(weights, in_folder; head="softmax"), precision="float64")["ok"]
        safetensors_write(Dict("x" => x), in_folder("x"))
        @test ask("predict"; inputs=in_folder("x"), outputs=in_folder("y"))["ok"]
        found = safetensors_read(in_folder("y"))["logits"]
        @test eltype(found) == Float64
        @test found ≈ Flux.softmax(Flux.f64(model)(Float64.(x))) rtol = 1e-14
        @test session.model.model.layers.norm1.ϵ === 1.0f-5
        ask("parameters"; outputs=in_folder("p"))
        @test safetensors_read(in_folder("p")) == weights
    end
end

@testset "what is no model of weights is refused in one line" begin
    weights = tempcnn_parameters(written_tempcnn())
    served() do session, ask, in_folder
        path = store_tempcnn(weights, in_folder)
        function refusal(kind)
            error = ask("load"; path=path)["error"]
            @test error["kind"] == kind
            @test !occursin('\n', error["message"])
            error["message"]
        end
        good = read(in_folder("model.json"), String)
        withenv(() -> (@test occursin("HARNESS_NATIVE", refusal("unsupported"))), "HARNESS_NATIVE" => nothing)
        for model in ("nobody", "../flux/tempcnn", "tempcnn\n", "", "weights")
            store_tempcnn(weights, in_folder; model=model)
            @test startswith(refusal("unsupported"), "model '")
        end
        store_tempcnn(weights, in_folder; head="sigmoid")
        @test occursin("model 'tempcnn' cannot be built: ", refusal("bad-input"))
        for (from, to, words) in (
            (good, "{", "not JSON"), (good, "[]", "the document is not a JSON object"), ("\"head\"", "\"tail\"", "lacks 'head'"),
            ("\"shape\":[4]", "\"shape\":4", "'shape' of a parameter"), ("\"shape\":[4]", "\"shape\":[-4]", "not one of sizes"),
            ("\"float32\"", "\"float\"", "unknown dtype"), ("\"size\":3", "\"size\":3.5", "axis 'band'"),
        )
            @test occursin(from, good)
            write(in_folder("model.json"), replace(good, from => to))
            said = refusal("bad-input")
            @test startswith(said, in_folder("model.json") * ": not a model specification: ") && occursin(words, said)
        end
        write(in_folder("model.json"), good)
        write(in_folder("metadata.json"), "{\"a\": 1}")
        @test occursin("metadata is a JSON object of strings", refusal("bad-input"))
        rm(in_folder("metadata.json"))
        turned = merge(weights, Dict("dense.weight" => permutedims(weights["dense.weight"])))
        for (changed, words) in (
            (filter(pair -> pair.first != "conv1.bias", weights), "lacks 'conv1.bias'"),
            (merge(weights, Dict("extra" => wavy(2))), "has 'extra', which tempcnn does not have"),
            (turned, "'dense.weight' must have shape (7, 48), not (48, 7)"),
            (merge(weights, Dict("dense.bias" => zeros(7))), "'dense.bias' must be float32, not float64"),
        )
            safetensors_write(changed, path)
            @test refusal("bad-input") == "$path: $words"
        end
        rm(path)
        @test occursin(path, refusal("bad-input"))
        safetensors_write(weights, path)
        @test ask("load"; path=path)["ok"]
    end
end
