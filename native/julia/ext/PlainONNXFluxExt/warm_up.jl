# What a session with Flux does first, done once while the extension is compiled: see warm_up.jl of the package.

function warm_up()
    mktempdir() do folder
        in_folder(name) = joinpath(folder, name)
        example = joinpath(pkgdir(PlainONNX), "examples", "crops.onnx")
        session = PlainONNX.Session("flux")
        ask(; fields...) = PlainONNX.handle(session, PlainONNX.json_text((; id=1, fields...)))
        ask(request="describe")
        safetensors_write(Dict("x" => Float32.(reshape(sin.(1:48), 8, 3, 2))), in_folder("x"))
        for precision in ("float32", "float64")
            ask(request="load", path=example, precision=precision)
            ask(request="predict", inputs=in_folder("x"), outputs=in_folder("y"), batch_size=1)
        end
        ask(request="parameters", outputs=in_folder("p"))
        write(in_folder("model.json"), """
        {"model": "none", "head": "logits", "hyperparameters": {}, "outputs": [],
         "inputs": [{"name": "x", "axes": [{"name": "sample"}, {"name": "band", "size": 3}]}],
         "layers": [{"parameters": [{"name": "w", "shape": [2]}]}]}
        """)
        safetensors_write(Dict("w" => zeros(Float32, 2)), in_folder("w"))
        check_weights(read_specification(in_folder("model.json")), in_folder("w"))
    end
end

if ccall(:jl_generating_output, Cint, ()) == 1
    try
        PlainONNX.keeping_compiled_code(warm_up)
    catch error
        @debug "the warm-up failed" error
    end
end
