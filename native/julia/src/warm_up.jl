# What a session does first, done once while the package is compiled, so that Julia keeps the code: a worker then answers its first
# requests in a fraction of the time.

function warm_up()
    mktempdir() do folder
        in_folder(name) = joinpath(folder, name)
        model = joinpath(@__DIR__, "..", "examples", "crops.onnx")
        session = Session()
        ask(; fields...) = handle(session, json_text((; id=1, fields...)))
        ask(request="describe")
        x = Float32.(reshape(sin.(1:48), 8, 3, 2))
        safetensors_write(Dict("x" => x), in_folder("x"))
        for precision in ("float32", "float64")
            ask(request="load", path=model, precision=precision)
            ask(request="predict", inputs=in_folder("x"), outputs=in_folder("y"), batch_size=1)
        end
        ask(request="parameters", outputs=in_folder("p"))
        ask(request="activations", inputs=in_folder("x"), names=["flat"], outputs=in_folder("a"))
        ask(request="structure", path=model, outputs=in_folder("s"))
        ask(request="echo", inputs=in_folder("x"), outputs=in_folder("y"))
        sprint(show, MIME"text/plain"(), onnx_read(model))
        predict(onnx_read(model), x; type=:class)
    end
end

# From Julia 1.9 on also what is compiled of Julia's own functions can be kept; other versions lack these two calls, or need none.
function keeping_compiled_code(work)
    switch(on) = try
        on ? ccall(:jl_tag_newly_inferred_enable, Cvoid, ()) : ccall(:jl_tag_newly_inferred_disable, Cvoid, ())
    catch
        nothing
    end
    switch(true)
    try
        work()
    finally
        switch(false)
    end
end

# A package that works but slowly is better than one that does not load.
if ccall(:jl_generating_output, Cint, ()) == 1
    try
        keeping_compiled_code(warm_up)
    catch error
        @debug "the warm-up failed" error
    end
end
