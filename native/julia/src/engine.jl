# What the serve loop asks of an engine: these functions, with a method for its type. An engine of a package extension adds
# a type, a method of engine_named(), and methods of all that follow.

"""
    Engine

What computes behind the serve loop. For a type `E <: Engine` there are methods of `engine_named(::Val{:name})`, which makes
it, and, with an `engine::E` first, of

- `engine_name(engine)`: the part of the runtime's name after the slash;
- `operators(engine)`: its operator table, or `nothing` where it has none of its own;
- `versions(engine)`: name to version; `threads(engine)`: pool to count; both pairs;
- `load(engine, path, precision)`: a model, refused here if it cannot be run; its `graph` is a `Graph` or a `Signature`, and it
  has `metadata` (a `Dict`) and `precision`;
- `held_parameters(engine, model)`: what it really holds, pairs of name and `Array` in the file's own dtypes;
- `predict_tensors(engine, model, inputs, batch_size, axes)`: `(tensors, seconds, cpu_seconds, batches, filled)`; inputs are a
  `Dict` of `Array`s as stored, `axes` says where their samples lie (a `SampleAxes`), tensors are pairs;
- `activations(engine, model, inputs, names)`: pairs of name and `Array`;
- `prepare(engine, model, inputs)`: a function without arguments, the engine's own call on these inputs; or `nothing`, and the
  request `time` is refused;
- `prepare_copies(engine, model, inputs)`: a function without arguments that copies as a caller has to who keeps the axes in ONNX'
  order; or `nothing`, where nothing is copied;
- `precisions(engine)`: those that it computes in.
"""
abstract type Engine end

# The package that brings an engine of a package extension.
const engine_packages = Dict(:flux => "Flux", :onnxruntime => "ONNXRunTime")

function engine_named(::Val{name}) where {name}
    haskey(engine_packages, name) || unsupported("there is no engine '", name, "'")
    package = engine_packages[name]
    failed(
        "julia/", name, " is a package extension that has not been loaded: it wants Julia 1.9 or newer, ", package,
        " loaded beside PlainONNX, and the folder of PlainONNX itself on the load path"
    )
end

operators(::Engine) = nothing
prepare(::Engine, model, inputs) = nothing
prepare_copies(::Engine, model, inputs) = nothing
precisions(::Engine) = ("float32", "float64")

runtime_name(engine::Engine) = "julia/" * engine_name(engine)

"""The engine `julia/base`: this package's own operators on plain arrays."""
struct BaseEngine <: Engine end

function engine_named(::Val{:base})
    pin_threads()
    BaseEngine()
end

engine_name(::BaseEngine) = "base"
operators(::BaseEngine) = operator_table()
versions(::BaseEngine) = ["BLAS" => blas_name()]
threads(::BaseEngine) = ["julia" => Threads.nthreads(), "blas" => blas_threads()]
load(::BaseEngine, path, precision) = read_model(path, precision)
held_parameters(::BaseEngine, model) =
    [tensor.name => tensor.value for tensor in [model.graph.initializers; model.graph.stated]]

# The number of threads that the harness asked for, or nothing.
asked_threads() = tryparse(Int, get(ENV, "HARNESS_THREADS", ""))

function pin_threads()
    asked = asked_threads()
    asked === nothing || asked < 1 || BLAS.set_num_threads(asked)
end

# Julia before 1.6 cannot be asked; what the BLAS was told is what can be known there.
function blas_threads()
    isdefined(BLAS, :get_num_threads) && return BLAS.get_num_threads()
    told = (asked_threads(), tryparse(Int, get(ENV, "OPENBLAS_NUM_THREADS", "")), Sys.CPU_THREADS)
    something(told...)
end

# Julia before 1.6 has one BLAS, and no list of them.
blas_name() = join(map(library_name, isdefined(BLAS, :get_config) ?
    [library.libname for library in BLAS.get_config().loaded_libs] : [Base.libblas_name]), ", ")

# An OpenBLAS tells its version, and the processor that it computes for: one that is older than the processor may take it for
# one of twenty years ago, and be several times slower for it.
function library_name(path)
    library = Libdl.dlopen(path; throw_error=false)
    library === nothing && return basename(path)
    for suffix in ("64_", "")
        config = split(asked_text(library, Symbol(:openblas_get_config, suffix)))
        length(config) >= 2 || continue
        return join([config[1:2]; "for"; asked_text(library, Symbol(:openblas_get_corename, suffix))], " ")
    end
    basename(path)
end

function asked_text(library, name)
    ask = Libdl.dlsym(library, name; throw_error=false)
    ask === nothing ? "" : unsafe_string(ccall(ask, Cstring, ()))
end

# Inputs in the dtypes that the model declares; a double model also takes doubles.
function declared_inputs(model, inputs::AbstractDict)
    declared = Dict(info.name => info.dtype for info in model.graph.inputs)
    inputs = Dict{String,Array}(
        name => get(declared, name, "") == "string" && value isa Array{UInt8} ? texts_of_bytes(value) : value
        for (name, value) in inputs
    )
    for (name, value) in inputs
        dtype = get(declared, name, nothing)
        dtype === nothing && continue
        T = dtype_types[dtype]
        eltype(value) == T && continue
        model.precision === Float64 && T <: AbstractFloat && eltype(value) == Float64 && continue
        bad_input("input '", name, "' is ", dtype_name(eltype(value)), "; the model takes ", dtype)
    end
    Dict{String,Array}(name => in_precision(value, model.precision) for (name, value) in inputs)
end

predict_tensors(::BaseEngine, model, inputs, batch_size, axes=SampleAxes()) =
    timed_batches(part -> run_graph(model.graph, part), model, inputs, batch_size, axes)

# The answer to `predict`: what `run_part` makes of each batch of the inputs, and how long that took.
function timed_batches(run_part, model, inputs, batch_size, axes)
    inputs = declared_inputs(model, inputs)
    wall, cpu = wall_clock(), cpu_clock()
    plan = plan_batches(model.graph, inputs, batch_size, axes)
    results = run_planned(outputs_of(run_part, model.graph), model.graph, inputs, plan, axes)
    seconds, cpu_seconds = wall_clock() - wall, cpu_clock() - cpu
    (tensors=results, seconds=seconds, cpu_seconds=cpu_seconds, batches=batch_count(plan), filled=filled_samples(plan))
end

function activations(::BaseEngine, model, inputs, names)
    inputs = declared_inputs(model, inputs)
    check_inputs(model.graph, inputs)
    found = run_graph(model.graph, inputs, names)
    [name => in_precision(value, model.precision) for (name, value) in zip(names, found)]
end

function prepare(::BaseEngine, model, inputs)
    inputs = declared_inputs(model, inputs)
    check_inputs(model.graph, inputs)
    compute = outputs_of(part -> run_graph(model.graph, part), model.graph)
    () -> compute(inputs)
end
