# One engine that computes nothing, as an extension would add it.
struct PlainEngine <: P.Engine end
P.engine_named(::Val{:plain}) = PlainEngine()
P.engine_name(::PlainEngine) = "plain"
P.load(::PlainEngine, path, precision) = P.read_model(path, precision)

mktempdir() do folder
    in_folder(name) = joinpath(folder, name)
    ask(; engine="base", fields...) = P.parse_json(P.handle(P.json_text((; id=1, fields...)), engine))
    path = example
    x = wavy(8, 3, 5)
    safetensors_write(Dict("x" => x), in_folder("x.safetensors"))
    safetensors_write(Dict("x" => Float64.(x)), in_folder("wide.safetensors"))
    predicting(inputs; fields...) =
        ask(; request="predict", inputs=in_folder(inputs), outputs=in_folder("y.safetensors"), fields...)

    @testset "describe names runtime, versions, requests and operators" begin
        answer = ask(request="describe")
        @test answer["ok"] && answer["id"] == 1
        result = answer["result"]
        @test result["runtime"] == "julia/base"
        @test result["versions"]["julia"] == string(VERSION)
        @test occursin(r"^\d+\.\d+\.\d+$", result["versions"]["PlainONNX"])
        # The version where the BLAS can be asked for it: Julia brings an OpenBLAS.
        @test occursin(r"^OpenBLAS [0-9.]+.* for \w+$", result["versions"]["BLAS"])
        @test issubset(["describe", "load", "predict", "time", "echo", "shutdown"], result["requests"])
        @test result["operators"]["Conv"] == [1, 11, 22]
        @test result["precisions"] == ["float32", "float64"]
    end

    @testset "a model is loaded, described and run" begin
        loaded = ask(request="load", path=path, precision="float32")["result"]
        @test loaded["inputs"] == [Dict("name" => "x", "dtype" => "float32", "shape" => ["sample", 3, 8])]
        @test loaded["metadata"]["harness.head"] == "logits"
        @test predicting("x.safetensors"; batch_size=2)["result"]["batches"] == 3
        @test safetensors_read(in_folder("y.safetensors"))["logits"] ≈ onnx_read(path)(x)
        for size in (0, -1, 1.5, "2", true)
            @test predicting("x.safetensors"; batch_size=size)["error"]["kind"] == "bad-input"
        end
        refused = predicting("wide.safetensors")["error"]
        @test refused["kind"] == "bad-input"
        @test occursin("'x' is float64; the model takes float32", refused["message"])
    end

    @testset "samples along other axes are told by name, and a fixed number of them is filled" begin
        turned = in_folder("turned.onnx")
        write(turned, onnx_model(
            [onnx_node("Transpose", "x", "t"; perm=[1, 0]), onnx_node("Mul", ["t", "doy"], "y"), onnx_node("Relu", "doy", "d")],
            [onnx_value("x", "float32", ["n", 4]), onnx_value("doy", "float32", [4, 1])], [onnx_value("y"), onnx_value("d")]
        ))
        @test ask(request="load", path=turned)["ok"]
        given = Dict("x" => wavy(4, 10), "doy" => wavy(1, 4))
        safetensors_write(given, in_folder("two.safetensors"))
        told = (doy=nothing, y=1, d=nothing)
        @test predicting("two.safetensors"; batch_size=4, sample_axes=told)["result"]["batches"] == 3
        found = safetensors_read(in_folder("y.safetensors"))
        @test found["y"] == permutedims(given["x"]) .* given["doy"]
        @test found["d"] == max.(given["doy"], 0)
        refused(words; fields...) = occursin(words, predicting("two.safetensors"; fields...)["error"]["message"])
        @test refused("x has 10"; batch_size=4)
        @test refused("no axis of samples at axis 0"; batch_size=3, sample_axes=(doy=nothing, d=nothing))
        @test refused("neither an input nor an output"; sample_axes=(z=1,))
        @test refused("axis 2 of 'x' cannot be"; sample_axes=(x=2,))
        @test refused("whole number from 0"; sample_axes=(x=-1,))
        @test refused("whole number from 0"; sample_axes=[1])
        timed = ask(
            request="time", inputs=in_folder("two.safetensors"), batch_sizes=[12], seconds=0.02, repeats=3, sample_axes=told
        )
        @test timed["ok"]
        fixed = in_folder("fixed.onnx")
        write(fixed, onnx_model([onnx_node("Relu", "x", "y")], [onnx_value("x", "float32", [4, 4])], [onnx_value("y")]))
        @test ask(request="load", path=fixed)["ok"]
        safetensors_write(Dict("x" => given["x"]), in_folder("one.safetensors"))
        filled = predicting("one.safetensors")["result"]
        @test filled["filled"] == 2 && filled["batches"] == 3
        @test safetensors_read(in_folder("y.safetensors"))["y"] == max.(given["x"], 0)
        @test occursin("takes batches of 4", predicting("one.safetensors"; batch_size=5)["error"]["message"])
        safetensors_write(Dict("x" => given["x"][:, 1:4]), in_folder("one.safetensors"))
        @test !haskey(predicting("one.safetensors"; batch_size=4)["result"], "filled")
    end

    @testset "double precision answers in float64 and takes float64" begin
        ask(request="load", path=path, precision="float64")
        @test predicting("wide.safetensors")["ok"]
        wide = safetensors_read(in_folder("y.safetensors"))["logits"]
        @test wide isa Matrix{Float64}
        @test predicting("x.safetensors")["ok"]
        @test safetensors_read(in_folder("y.safetensors"))["logits"] == wide
    end

    @testset "parameters and activations are written under their own names" begin
        ask(request="load", path=path)
        @test ask(request="parameters", outputs=in_folder("p.safetensors"))["result"]["count"] == 8
        @test safetensors_read(in_folder("p.safetensors")) == parameters(onnx_read(path))
        activations(names) = ask(
            request="activations", inputs=in_folder("x.safetensors"), names=names, outputs=in_folder("a.safetensors")
        )
        @test activations(["flat", "features"])["result"]["count"] == 2
        found = safetensors_read(in_folder("a.safetensors"))
        @test size(found["features"]) == (8, 6, 5)
        @test occursin("no value named 'nope'", activations(["nope"])["error"]["message"])
        @test activations([])["error"]["kind"] == "bad-input"
    end

    @testset "structure describes the graph as JSON" begin
        @test ask(request="structure", path=path, outputs=in_folder("s.json"))["result"]["nodes"] == 6
        graph = P.parse_json(read(in_folder("s.json"), String))
        @test graph["opsets"] == Dict("" => 17)
        @test graph["nodes"][1]["attributes"] == Dict("kernel_shape" => [3], "pads" => [1, 1])
        @test graph["nodes"][1]["inputs"] == ["x", "conv.weight", "conv.bias"]
        @test graph["initializers"][1]["shape"] == [6, 3, 3]
        @test graph["bytes"] == filesize(path)
        @test P.sha256_of(Vector{UInt8}("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        odd = in_folder("odd.onnx")
        write(odd, onnx_model([onnx_node("Odd", "x", "y"; alpha=Inf, value=([1, 2],))], [onnx_value("x")], [onnx_value("y")]))
        ask(request="structure", path=odd, outputs=in_folder("s.json"))
        attributes = P.parse_json(read(in_folder("s.json"), String))["nodes"][1]["attributes"]
        @test attributes["alpha"] == "inf"
        @test attributes["value"] == Dict("tensor" => Dict("dtype" => "int64", "shape" => [2], "values" => [1, 2]))
    end

    @testset "an echo has the same bits" begin
        odd = Dict("n" => reinterpret(Float32, [0x7fa00001, 0x80000000])[:], "b" => [true])
        safetensors_write(odd, in_folder("odd.safetensors"))
        answer = ask(request="echo", inputs=in_folder("odd.safetensors"), outputs=in_folder("back.safetensors"))
        @test answer["result"]["bytes"] == 9
        @test read(in_folder("back.safetensors")) == read(in_folder("odd.safetensors"))
    end

    @testset "calls are timed" begin
        ask(request="load", path=path)
        timing(; fields...) = ask(; request="time", inputs=in_folder("x.safetensors"), fields...)
        answer = timing(batch_sizes=[7, 1], seconds=0.02, repeats=5)["result"]
        @test [batch["batch_size"] for batch in answer["batches"]] == [7, 1]
        @test all(batch -> all(>(0), batch["seconds"]), answer["batches"])
        @test timing(batch_sizes=[1, 1], seconds=1)["error"]["kind"] == "bad-input"
        @test timing(batch_sizes=[1], seconds=0)["error"]["kind"] == "bad-input"
        @test timing(batch_sizes=[1], seconds=1, repeats=1)["error"]["kind"] == "bad-input"
    end

    @testset "what goes wrong has a kind and one line" begin
        kind(; fields...) = ask(; fields...)["error"]["kind"]
        @test kind(request="train") == "unsupported"
        @test kind(request="load", path="/no/such.onnx") == "bad-input"
        @test kind(request="load") == "bad-input"
        @test kind() == "bad-input"
        raw(line) = P.parse_json(P.handle(line))
        for line in ("{nonsense", "[1]", "", "\0", "{\"request\": \"describe\"}", String([0xff, 0xfe]))
            @test raw(line)["id"] === nothing && raw(line)["error"]["kind"] == "bad-input"
        end
        @test occursin("1 MiB", raw("x"^(2^20 + 1))["error"]["message"])
        unknown = in_folder("unknown.onnx")
        write(unknown, onnx_model([onnx_node("Frobnicate", "x", "y"; name="f")], [onnx_value("x")], [onnx_value("y")]))
        @test ask(request="load", path=unknown)["error"] == Dict(
            "kind" => "unsupported", "message" => "operator Frobnicate (opset 17, node 'f') is not supported by julia/base"
        )
        # The failed load left no model behind.
        @test occursin("no model is loaded", ask(request="parameters", outputs=in_folder("p"))["error"]["message"])
    end

    @testset "an engine that does not exist, or cannot be timed, says so" begin
        @test occursin("'abacus'", ask(engine="abacus", request="describe")["error"]["message"])
        ask(engine="plain", request="load", path=path)
        refused = ask(engine="plain", request="time", inputs=in_folder("x.safetensors"), batch_sizes=[1], seconds=0.1)
        @test refused["error"]["kind"] == "unsupported"
        @test occursin("julia/plain", refused["error"]["message"])
    end

    @testset "the loop answers line by line over two pipes and ends with the requests" begin
        write(in_folder("requests"), """
            {"id": 1, "request": "describe"}
            nonsense
            {"id": 3, "request": "shutdown"}
            {"id": 4, "request": "describe"}
            """)
        code = "using PlainONNX; PlainONNX.serve()"
        loop = "exec \"\$0\" --startup-file=no -e '$code' 7<\"\$1\" 8>\"\$2\""
        program = joinpath(Sys.BINDIR, "julia")
        paths = [pkgdir(PlainONNX), "@stdlib"]
        serving = setenv(
            `sh -c $loop $program $(in_folder("requests")) $(in_folder("answers"))`,
            merge(Dict(ENV), Dict(
                "HARNESS_REQUESTS_FD" => "7", "HARNESS_ANSWERS_FD" => "8", "JULIA_LOAD_PATH" => join(paths, ":")
            ))
        )
        @test success(serving)
        answers = map(P.parse_json, eachline(in_folder("answers")))
        @test [answer["id"] for answer in answers] == [1, nothing, 3]
        @test [answer["ok"] for answer in answers] == [true, false, true]
    end
end
