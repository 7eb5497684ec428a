@testset "the serve loop answers for julia/flux, parameters bit for bit" begin
    ask(request) = P.parse_json(P.handle(P.json_text(merge((id=1,), request)), "flux"))
    said = ask((request="describe",))["result"]
    @test said["runtime"] == "julia/flux"
    @test said["operators"]["Conv"] == [1, 11, 22]
    @test haskey(said["versions"], "Flux") && haskey(said["versions"], "NNlib")
    mktempdir() do folder
        path = example
        @test ask((request="load", path=path, precision="float32"))["ok"]
        @test ask((request="parameters", outputs=joinpath(folder, "p")))["ok"]
        held = safetensors_read(joinpath(folder, "p"))
        @test held == parameters(onnx_read(path))
        x = wavy(8, 3, 5)
        safetensors_write(Dict("x" => x), joinpath(folder, "x"))
        files = (inputs=joinpath(folder, "x"), outputs=joinpath(folder, "y"))
        @test ask(merge((request="predict", batch_size=2), files))["result"]["batches"] == 3
        @test safetensors_read(files.outputs)["logits"] ≈ onnx_read(path)(x) rtol = 1e-5
        turned = joinpath(folder, "turned.onnx")
        write(turned, onnx_model(
            [onnx_node("Transpose", "x", "t"; perm=[1, 0]), onnx_node("Mul", ["t", "doy"], "y")],
            [onnx_value("x", "float32", [4, 3]), onnx_value("doy", "float32", [3, 1])], [onnx_value("y")]
        ))
        given = Dict("x" => wavy(3, 10), "doy" => wavy(1, 3))
        safetensors_write(given, joinpath(folder, "two"))
        @test ask((request="load", path=turned))["ok"]
        told = (request="predict", inputs=joinpath(folder, "two"), outputs=files.outputs, sample_axes=(doy=nothing, y=1))
        @test ask(told)["result"]["filled"] == 2
        @test safetensors_read(files.outputs)["y"] == permutedims(given["x"]) .* given["doy"]
        @test occursin("takes batches of 4", ask(merge(told, (batch_size=5,)))["error"]["message"])
        @test ask((request="load", path=path))["ok"]
        timed = ask((request="time", inputs=files.inputs, batch_sizes=[1, 4], seconds=0.05))["result"]
        @test [batch["batch_size"] for batch in timed["batches"]] == [1, 4]
    end
end
