"""
The engine `julia/onnxruntime` of the serve loop: Microsoft's ONNX Runtime by ONNXRunTime.jl. Loaded by Julia itself where both
packages are.
"""
module PlainONNXONNXRunTimeExt

using PlainONNX
using PlainONNX: Signature, bad_input, unsupported

import ONNXRunTime
using ONNXRunTime: CAPI, InferenceSession

struct RuntimeEngine <: PlainONNX.Engine
    threads::Int
end

PlainONNX.engine_named(::Val{:onnxruntime}) = RuntimeEngine(max(something(PlainONNX.asked_threads(), 1), 1))
PlainONNX.engine_name(::RuntimeEngine) = "onnxruntime"
PlainONNX.precisions(::RuntimeEngine) = ("float32",)
PlainONNX.threads(engine::RuntimeEngine) = ["onnxruntime intra-op" => engine.threads, "onnxruntime inter-op" => engine.threads]

PlainONNX.versions(::RuntimeEngine) = [
    "ONNXRunTime.jl" => string(pkgversion(ONNXRunTime)),
    "onnxruntime" => CAPI.GetVersionString(CAPI.OrtGetApiBase(execution_provider=:cpu)),
]

struct Served
    session::InferenceSession
    path::String
    graph::Signature
    computed::Set{String}
    held::Vector{String}
    metadata::Dict{String,String}
    precision::DataType
end

function PlainONNX.load(engine::RuntimeEngine, path, precision)
    precision === Float32 || unsupported("precision '", PlainONNX.dtype_name(precision), "' is not supported by julia/onnxruntime")
    message = PlainONNX.parse_file(path)
    own = [tensor.name for tensor in message.graph.initializers]
    held = [tensor.name for tensor in held_in_file(message.graph)]
    given = [info.name for info in message.graph.inputs]
    graph = Signature(filter(info -> !(info.name in own), message.graph.inputs), given, message.graph.outputs, precision)
    foreach(refuse_dtype, vcat(graph.inputs, graph.outputs))
    Served(
        open_session(engine, path, graph), path, graph,
        Set(name for node in message.graph.nodes for name in node.outputs if !isempty(name)), held,
        Dict(message.metadata), precision
    )
end

# What ONNXRunTime.jl can hand over.
const handed_over = Set(("bool", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"))

function refuse_dtype(info)
    PlainONNX.check_value_type(info)
    info.dtype in handed_over || unsupported("dtype ", info.dtype, " ('", info.name, "') is not supported by julia/onnxruntime")
end

# Options that ONNXRunTime.jl itself does not offer yet; the C interface has them.
set_option(api, options, call, argument) = CAPI.check_and_release(api, call(api, options.ptr, argument))

set_intra_op(api, options, count) = @ccall $(api.SetIntraOpNumThreads)(options::Ptr{Cvoid}, count::Cint)::CAPI.OrtStatusPtr
set_inter_op(api, options, count) = @ccall $(api.SetInterOpNumThreads)(options::Ptr{Cvoid}, count::Cint)::CAPI.OrtStatusPtr
set_level(api, options, level) =
    @ccall $(api.SetSessionGraphOptimizationLevel)(options::Ptr{Cvoid}, level::Cint)::CAPI.OrtStatusPtr
set_written(api, options, path) =
    @ccall $(api.SetOptimizedModelFilePath)(options::Ptr{Cvoid}, path::Cstring)::CAPI.OrtStatusPtr

"""
    open_session(engine, path, graph; written=nothing)

A session of its own pool of threads; with `written`, one that optimises nothing and writes what it holds to that file.
"""
function open_session(engine::RuntimeEngine, path, graph::Signature; written=nothing)
    in_words() do
        api = CAPI.GetApi(; execution_provider=:cpu)
        env = CAPI.CreateEnv(api; name="PlainONNX", logging_level=CAPI.ORT_LOGGING_LEVEL_ERROR)
        options = CAPI.CreateSessionOptions(api)
        set_option(api, options, set_intra_op, engine.threads)
        set_option(api, options, set_inter_op, engine.threads)
        if written !== nothing
            set_option(api, options, set_level, 0)
            set_option(api, options, set_written, written)
        end
        session = CAPI.CreateSession(api, env, path, options)
        memory = CAPI.CreateCpuMemoryInfo(api)
        allocator = CAPI.CreateAllocator(api, session, memory)
        # ONNXRunTime.jl 1.3 cannot count the inputs of a model that has none, so the names are not asked of it.
        InferenceSession(
            api, :cpu, session, memory, allocator, [info.name for info in graph.inputs], [info.name for info in graph.outputs]
        )
    end
end

# Words in ONNX Runtime's errors that mean "not supported here" rather than "the file is wrong".
const refusals = (
    "NOT_IMPLEMENTED", "is under development", "Unsupported model IR version", "is not a registered function/op",
    "Could not find an implementation", "Failed to find kernel", "No Op registered", "Type 'tensor(double)'"
)

function in_words(work)
    try
        work()
    catch error
        error isa CAPI.OrtException || rethrow()
        text = "onnxruntime: " * first(join(split(sprint(showerror, error)), " "), 600)
        any(word -> occursin(word, text), refusals) ? unsupported(text) : bad_input(text)
    end
end

# ONNX Runtime reads rows first. An array with its dimensions reversed is that very memory: nothing is copied on the way in,
# and what comes out is copied once, out of the session's own memory.
input_value(session, x::Array) = CAPI.CreateTensorWithDataAsOrtValue(session.api, session.meminfo, vec(x), reverse(size(x)))

function run_session(session, inputs::AbstractDict, names::Vector{String})
    in_words() do
        tensors = CAPI.OrtValue[input_value(session, inputs[name]) for name in session.input_names]
        found = GC.@preserve inputs CAPI.Run(session.api, session.session, nothing, session.input_names, tensors, names)
        Any[collect(parent(CAPI.GetTensorMutableData(session.api, value))) for value in found]
    end
end

output_names(served) = [info.name for info in served.graph.outputs]

PlainONNX.predict_tensors(::RuntimeEngine, served::Served, inputs, batch_size, axes=PlainONNX.SampleAxes()) =
    PlainONNX.timed_batches(part -> run_session(served.session, part, output_names(served)), served, inputs, batch_size, axes)

function PlainONNX.prepare(::RuntimeEngine, served::Served, inputs)
    inputs = PlainONNX.declared_inputs(served, inputs)
    PlainONNX.check_inputs(served.graph, inputs)
    names = output_names(served)
    () -> run_session(served.session, inputs, names)
end

# What a caller pays whose arrays have the axes in ONNX' order, as the package itself expects them: both ways into the other
# order of memory.
function PlainONNX.prepare_copies(::RuntimeEngine, served::Served, inputs)
    inputs = PlainONNX.declared_inputs(served, inputs)
    turned(x) = permutedims(x, ndims(x):-1:1)
    given = [turned(x) for x in values(inputs)]
    found = run_session(served.session, inputs, output_names(served))
    () -> (foreach(turned, given); foreach(turned, found))
end

# What a session holds: the file as onnxruntime itself writes it back without any optimisation.
function PlainONNX.held_parameters(engine::RuntimeEngine, served::Served)
    mktempdir() do folder
        written = joinpath(folder, "held.onnx")
        ONNXRunTime.release(open_session(engine, served.path, served.graph; written=written))
        tensors = held_in_file(PlainONNX.parse_file(written).graph)
        [tensor.name => tensor.value for tensor in tensors if tensor.name in served.held]
    end
end

# onnxruntime makes initializers of Constant nodes.
held_in_file(graph) = [PlainONNX.lift_initializers(graph).initializers; PlainONNX.stated_tensors(graph)]

# The names become outputs of a session of their own, which keeps them from being fused.
function PlainONNX.activations(engine::RuntimeEngine, served::Served, inputs, names)
    for name in names
        name in served.computed || bad_input("the graph has no value named '", name, "'")
    end
    inputs = PlainONNX.declared_inputs(served, inputs)
    PlainONNX.check_inputs(served.graph, inputs)
    missing_outputs = setdiff(names, output_names(served))
    mktempdir() do folder
        wider = joinpath(folder, "wider.onnx")
        write(wider, vcat(read(served.path), outputs_message(missing_outputs)))
        session = open_session(engine, wider, served.graph)
        values = run_session(session, inputs, collect(String, names))
        ONNXRunTime.release(session)
        [name => value for (name, value) in zip(names, values)]
    end
end

# A protobuf message may be continued: what is appended is merged with what stands before. Field 7 of a model is its graph,
# field 12 of a graph an output, field 1 of an output its name.
function outputs_message(names)
    outputs = reduce(vcat, (field(12, field(1, Vector{UInt8}(codeunits(name)))) for name in names); init=UInt8[])
    isempty(outputs) ? UInt8[] : field(7, outputs)
end

field(number::Int, bytes::Vector{UInt8}) = vcat(varint(number << 3 | 2), varint(length(bytes)), bytes)

function varint(value::Int)
    bytes = UInt8[]
    while value >= 0x80
        push!(bytes, UInt8(value & 0x7f) | 0x80)
        value >>= 7
    end
    push!(bytes, UInt8(value))
end

end
