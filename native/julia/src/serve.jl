# The serve loop: one request line in, one answer line out. Arrays travel as safetensors files, by path.

const longest_line = 2^20

"""What a serve loop keeps from request to request."""
mutable struct Session
    engine_name::String
    engine::Union{Engine,Nothing}
    model::Any
    ended::Bool
end

"""
    Session(engine="base")

What [`handle`](@ref) keeps from line to line: the engine (made at the first request), the loaded model, and whether it was asked
to end.
"""
Session(engine="base") = Session(string(engine), nothing, nothing, false)

"""
    serve(engine="base")

Read requests, one JSON object a line, from the file descriptor named by the environment variable `HARNESS_REQUESTS_FD`, and write
answers to the one named by `HARNESS_ANSWERS_FD`, until the request `shutdown` or the end of the requests.

A request is `{"id": 1, "request": "load", "path": "model.onnx"}`; an answer is `{"id": 1, "ok": true, "result": {...}}` or
`{"id": 1, "ok": false, "error": {"kind": "unsupported", "message": "..."}}`. Requests are `describe`, `load`, `parameters`,
`structure`, `predict`, `activations`, `time`, `echo` and `shutdown`.
"""
function serve(engine="base")
    ignore_interrupts()
    requests = open_descriptor("HARNESS_REQUESTS_FD")
    answers = open_descriptor("HARNESS_ANSWERS_FD")
    session = Session(engine)
    while !session.ended
        line = read_line(requests)
        line === nothing && break
        send(answers, handle(session, line)) || break
    end
end

# Whether there is still somebody who listens.
function send(answers::IO, line)
    try
        write(answers, line, '\n')
        flush(answers)
        true
    catch error
        error isa Union{SystemError,Base.IOError} || rethrow()
        false
    end
end

# Whoever interrupts a run speaks to the harness, which ends its workers itself.
function ignore_interrupts()
    Sys.iswindows() && return
    ignore = Ptr{Cvoid}(1)
    ccall(:signal, Ptr{Cvoid}, (Cint, Ptr{Cvoid}), Base.SIGINT, ignore)
end

function open_descriptor(variable)
    number = tryparse(Int, get(ENV, variable, ""))
    number === nothing && bad_input("the environment variable ", variable, " does not hold a number")
    # Closed in whatever a library may start: a channel held open elsewhere would never end.
    Sys.iswindows() || ccall(:fcntl, Cint, (Cint, Cint, Cint...), number, 2, 1)
    fdio(number, true)
end

# A line without its end; nothing at the end of the requests. One that is too long, or cut off by the end, is read to its
# end and left out but for the letter that tells so.
function read_line(io::IO)
    line = UInt8[]
    while !eof(io)
        byte = read(io, UInt8)
        byte == UInt8('\n') && return String(line)
        length(line) <= longest_line && push!(line, byte)
    end
    isempty(line) ? nothing : "\0"
end

const sessions = Dict{String,Session}()

"""
    handle(line, engine="base")
    handle(session, line)

The answer to one request line, as JSON of one line; never throws. Without a [`Session`](@ref) there is one for each engine.

    handle("{\\"id\\": 1, \\"request\\": \\"describe\\"}")
"""
handle(line::AbstractString, engine="base") = handle(get!(() -> Session(engine), sessions, string(engine)), line)

function handle(session::Session, line::AbstractString)
    id = nothing
    answer = try
        ncodeunits(line) <= longest_line || bad_input("the line is longer than 1 MiB")
        request = request_of(line)
        id = request["id"]
        if session.engine === nothing
            session.engine = engine_named(Val(Symbol(session.engine_name)))
        end
        text = json_text((id=id, ok=true, result=answer_request(session, request)))
        ncodeunits(text) <= longest_line || failed("the answer is longer than 1 MiB")
        text
    catch error
        log_failure(error, catch_backtrace())
        kind = error isa ONNXError ? replace(string(error.kind), '_' => '-') : "failed"
        json_text((id=id, ok=false, error=(kind=kind, message=message_of(error))))
    end
    answer
end

# Refusals are told to whoever asked; what broke is of use in the log.
function log_failure(error, trace)
    error isa ONNXError && error.kind != :failed && return
    showerror(stderr, error, trace)
    println(stderr)
end

function request_of(line)
    request = try
        parse_json(line)
    catch error
        error isa JSONError || rethrow()
        bad_input("the request is not a line of JSON: ", error.message)
    end
    request isa Dict || bad_input("the line is not a JSON object")
    get(request, "request", nothing) isa String || bad_input("the request does not say what it requests")
    get(request, "id", nothing) isa Int64 || bad_input("the id of a request is an integer")
    request
end

const request_names = (
    "describe", "load", "parameters", "structure", "predict", "activations", "time", "echo", "shutdown"
)

function answer_request(session::Session, request)
    name = request["request"]
    name in request_names ||
        unsupported("request '", name, "' is not supported by ", runtime_name(session.engine))
    answer(Val(Symbol(name)), session, request)
end

function argument(request, name, T)
    value = get(request, name, nothing)
    value isa T || bad_input("the request '", request["request"], "' lacks a valid '", name, "'")
    value
end

path_argument(request, name) = argument(request, name, String)

loaded_model(session) = session.model === nothing ? bad_input("no model is loaded") : session.model

function answer(::Val{:describe}, session, request)
    engine = session.engine
    described = (
        runtime=runtime_name(engine), language="julia", engine=engine_name(engine),
        host=get(ENV, "HARNESS_HOST", "julia"),
        versions=object(vcat(["julia" => string(VERSION), "PlainONNX" => package_version], versions(engine))),
        threads=object(threads(engine)), requests=request_names, precisions=precisions(engine)
    )
    table = operators(engine)
    table === nothing && return described
    merge(described, (operators=Dict{String,Any}(name => row.since for (name, row) in published_rows(table)),))
end

function answer(::Val{:load}, session, request)
    path = path_argument(request, "path")
    precision = precision_named(haskey(request, "precision") ? argument(request, "precision", String) : "float32")
    # The old model goes first: two large ones need not fit at once.
    session.model = nothing
    began = wall_clock()
    model = load(session.engine, path, precision)
    seconds = wall_clock() - began
    session.model = model
    (
        inputs=map(describe_value, model.graph.inputs), outputs=map(describe_value, model.graph.outputs),
        metadata=object(model.metadata), seconds=seconds
    )
end

function answer(::Val{:parameters}, session, request)
    held = held_parameters(session.engine, loaded_model(session))
    safetensors_write(travelling(held), path_argument(request, "outputs"))
    (count=length(held),)
end

function answer(::Val{:structure}, session, request)
    described = model_structure(path_argument(request, "path"))
    write_beside(io -> write_json(io, described), path_argument(request, "outputs"))
    (nodes=length(described.nodes),)
end

function answer(::Val{:predict}, session, request)
    model = loaded_model(session)
    inputs = path_argument(request, "inputs")
    outputs = path_argument(request, "outputs")
    batch_size = get(request, "batch_size", nothing)
    batch_size === nothing || (batch_size isa Int64 && batch_size >= 1) ||
        bad_input("batch_size must be a positive integer or null")
    done = predict_tensors(session.engine, model, safetensors_read(inputs), batch_size, sample_axes_argument(request))
    safetensors_write(travelling(done.tensors), outputs)
    told = (seconds=done.seconds, cpu_seconds=done.cpu_seconds, batches=done.batches)
    done.filled == 0 ? told : merge(told, (filled=done.filled,))
end

# A file of arrays has no texts.
travelling(tensors) = [name => as_stored_array(x) for (name, x) in tensors]

# Axes by name of input and output, counted from 0 as the file has them, or null.
function sample_axes_argument(request)
    given = get(request, "sample_axes", nothing)
    given === nothing && return SampleAxes()
    (given isa Dict && all(axis -> axis === nothing || (axis isa Int64 && axis >= 0), values(given))) ||
        bad_input("sample_axes must be an object of axes by name, each a whole number from 0 or null")
    SampleAxes(given)
end

function answer(::Val{:activations}, session, request)
    model = loaded_model(session)
    names = get(request, "names", nothing)
    (names isa Vector && !isempty(names) && all(name -> name isa String, names)) ||
        bad_input("the request 'activations' lacks 'names', a list of tensor names")
    found = activations(session.engine, model, safetensors_read(path_argument(request, "inputs")), unique(String.(names)))
    safetensors_write(travelling(found), path_argument(request, "outputs"))
    (count=length(found),)
end

function answer(::Val{:time}, session, request)
    sizes = get(request, "batch_sizes", nothing)
    (sizes isa Vector && 1 <= length(sizes) <= timing_batch_sizes && all(size -> size isa Int64, sizes) &&
     allunique(sizes)) || bad_input("batch_sizes must be a list of 1 to ", timing_batch_sizes, " different integers")
    all(size -> 1 <= size <= timing_largest_batch, sizes) ||
        bad_input("every batch size must be from 1 to ", timing_largest_batch)
    seconds = get(request, "seconds", nothing)
    (seconds isa Union{Int64,Float64} && 0 < seconds <= timing_seconds) ||
        bad_input("seconds must be a number over 0 and at most ", timing_seconds)
    repeats = get(request, "repeats", timing_samples)
    (repeats isa Int64 && timing_fewest <= repeats <= timing_most) ||
        bad_input("repeats must be an integer from ", timing_fewest, " to ", timing_most)
    model = loaded_model(session)
    axes = sample_axes_argument(request)
    tensors = safetensors_read(path_argument(request, "inputs"))
    check_sample_axes(model.graph, tensors, axes)
    calls = [prepare(session.engine, model, batch_of(tensors, size, axes)) for size in sizes]
    any(isnothing, calls) && unsupported("request 'time' is not supported by ", runtime_name(session.engine))
    shortest = timing_ticks * max(clock_resolution(wall_clock), clock_resolution(cpu_clock))
    batches = [
        merge((batch_size=size,), time_batch(call, shortest, seconds, repeats)) for (size, call) in zip(sizes, calls)
    ]
    # After all calls, so that they are timed in the same state as in a runtime that copies nothing.
    batches = map(batches) do batch
        copies = prepare_copies(session.engine, model, batch_of(tensors, batch.batch_size, axes))
        copies === nothing && return batch
        merge(batch, (copy_seconds=time_batch(copies, shortest, seconds / 4, repeats).seconds,))
    end
    (batches=batches, resident_peak_bytes=resident_peak(), threads=object(threads(session.engine)))
end

# What it costs to hand arrays over: from the file to Julia's own arrays, and back.
function answer(::Val{:echo}, session, request)
    inputs = path_argument(request, "inputs")
    outputs = path_argument(request, "outputs")
    began = wall_clock()
    tensors = safetensors_read(inputs)
    middle = wall_clock()
    safetensors_write(tensors, outputs)
    ended = wall_clock()
    (bytes=sum(Int[sizeof(x) for x in values(tensors)]), read_seconds=middle - began, write_seconds=ended - middle)
end

function answer(::Val{:shutdown}, session, request)
    session.ended = true
    Pair{String,Any}[]
end
