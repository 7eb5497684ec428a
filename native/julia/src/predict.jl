# From a caller's arrays to the graph and back: names, types and shapes checked, batches along the samples.

"""
    Signature(inputs, optional_inputs, outputs, precision)

What the checks of inputs and the batches ask of a graph, of a model that is none of this package's: its inputs and outputs
(`ValueInfo`s), the names of inputs that may be left out, and the precision that it computes in.
"""
struct Signature
    inputs::Vector{ValueInfo}
    optional_inputs::Vector{String}
    outputs::Vector{ValueInfo}
    precision::String
end

"""
    check_inputs(graph, inputs; samples=nothing)

Refuse inputs (a `Dict` of tensors) whose names, ranks or sizes are not those that the model declares; one name of an axis is
one size throughout. `samples` is how many of the inputs' samples are computed at once, where that is not all of them.
"""
function check_inputs(graph, inputs::AbstractDict; samples=nothing)
    expected = [info.name for info in graph.inputs]
    for name in keys(inputs)
        name in expected || name in graph.optional_inputs ||
            bad_input("the model has no input named ", quoted(name), "; it takes ", quoted(expected))
    end
    for name in expected
        haskey(inputs, name) || bad_input("the input ", quoted(name), " is missing")
    end
    sizes = Dict{String,Int}()
    for info in graph.inputs
        info.shape === nothing && continue
        shape = onnx_shape(inputs[info.name])
        if samples !== nothing && !isempty(shape)
            shape = (samples, shape[2:end]...)
        end
        fits = length(shape) == length(info.shape) && all(zip(info.shape, shape)) do (axis, size)
            axis isa Int ? axis == size : axis isa String && !isempty(axis) ? get!(sizes, axis, size) == size : true
        end
        fits || wrong_shape(info, inputs[info.name])
    end
end

# Sizes in Julia's order, which is what the caller sees, and the file's beside it.
wrong_shape(info, value) = bad_input(
    "input '", info.name, "' has size ", shape_text(size(value)), ", in the order of ONNX ",
    shape_text(onnx_shape(value)), "; the model takes ", shape_of_info(info)
)

function shape_of_info(info::ValueInfo)
    info.shape === nothing && return "any shape"
    isempty(info.shape) && return "a scalar"
    join((axis === nothing || axis == "" ? "?" : string(axis) for axis in info.shape), " x ")
end

"""
    run_batches([run_part,] graph, inputs, batch_size)

Run a graph on `inputs` (a `Dict` of tensors), `batch_size` samples at a time, or all at once for `nothing`. The sample is ONNX'
axis 0, the last dimension. Returns the outputs by name, as pairs in the graph's order. `run_part` is who computes the outputs of a
part, by default [`run_graph`](@ref).
"""
run_batches(graph::Graph, inputs::AbstractDict, batch_size=nothing) =
    run_batches(part -> run_graph(graph, part), graph, inputs, batch_size)

function run_batches(run_part, graph, inputs::AbstractDict, batch_size=nothing)
    foreach(samples -> check_inputs(graph, inputs; samples), batch_lengths(inputs, batch_size))
    run(part) = map(x -> in_precision(x, graph.precision), run_part(part))
    names = [info.name for info in graph.outputs]
    batch_size === nothing && return map(=>, names, run(inputs))
    (batch_size isa Integer && batch_size >= 1) || bad_input("batch_size must be a positive number")
    counts = unique(ndims(x) > 0 ? size(x, ndims(x)) : -1 for x in values(inputs))
    (length(counts) == 1 && counts[1] >= 0) || bad_input("the inputs differ in their number of samples")
    samples = counts[1]
    samples <= batch_size && return map(=>, names, run(inputs))
    parts = map(1:batch_size:samples) do first
        span = first:min(first + batch_size - 1, samples)
        results = run(Dict{String,Array}(name => samples_of(x, span) for (name, x) in inputs))
        for (name, result) in zip(names, results)
            (ndims(result) > 0 && size(result, ndims(result)) == length(span)) ||
                bad_input("the output '", name, "' has no axis of samples, so it cannot be computed in batches")
        end
        results
    end
    [name => joined([part[k] for part in parts], samples, name) for (k, name) in enumerate(names)]
end

# The different numbers of samples of the batches that inputs are computed in; `nothing` for inputs that are computed at once.
function batch_lengths(inputs, batch_size)
    (batch_size isa Integer && batch_size >= 1) || return [nothing]
    counts = unique(ndims(x) > 0 ? size(x, ndims(x)) : -1 for x in values(inputs))
    (length(counts) == 1 && counts[1] > batch_size) || return [nothing]
    left = counts[1] % batch_size
    left == 0 ? [batch_size] : [batch_size, left]
end

# Samples lie one after another in memory.
function samples_of(x::Array, span)
    one = size(x)[1:end-1]
    reshape(reshape(x, prod(one), :)[:, span], one..., length(span))
end

function joined(parts, samples, name)
    one = size(parts[1])[1:end-1]
    all(part -> size(part)[1:end-1] == one, parts) ||
        bad_input("the output '", name, "' differs in shape from batch to batch")
    result = Array{eltype(parts[1])}(undef, one..., samples)
    at = 1
    for part in parts
        copyto!(result, at, part, 1, length(part))
        at += length(part)
    end
    result
end

"""
    predict(model, x; type=:raw, head=nothing, output=nothing, batch_size=nothing)

Run a model.

`x` is an array with the dimensions in reverse to the order that the file declares: for a file of N x C x W (sample, band,
date) a W x C x N array. Several inputs are a `Dict` of arrays by name. Numbers are converted to the type that the model takes
where that loses nothing but precision.

`type` is what to return:

- `:raw` the output as it is; a `Dict` by name where there are several;
- `:prob` probabilities of the classes;
- `:class` the name of the likeliest class of each sample (or of each pixel), its number from 1 where the file names none,
  `missing` where a score is not a number;
- `:link` the scores before the softmax: the logits, or the logarithm of the probabilities where the model ends in a softmax.

`head` is what the model's scores are, `"logits"`, `"log-softmax"` or `"softmax"`; by default what the file says, see
[`head`](@ref). `output` names the output to use for every type but `:raw`, the first by default. Classes run along the last
dimension but one. `batch_size` is how many samples to compute at once.
"""
function predict(model, x; type::Symbol=:raw, head=nothing, output=nothing, batch_size=nothing)
    type in (:raw, :prob, :class, :link) || bad_input("type must be :raw, :prob, :class or :link, not :", type)
    results = run_batches(model.graph, inputs_from_user(x, model), batch_size)
    type == :raw && return length(results) == 1 ? results[1].second : Dict{String,Array}(results)
    scores = find_output(results, output)
    ndims(scores) >= 2 || bad_input("the output has no axis of classes")
    type == :class && return likeliest(scores, class_names(model))
    head = something(head, PlainONNX.head(model), "")
    isempty(head) && bad_input(
        "the file does not say what its scores are (metadata 'harness.head'); give head=\"logits\", \"log-softmax\" or ",
        "\"softmax\""
    )
    head in ("logits", "log-softmax", "softmax") || bad_input("unknown head '", head, "'")
    type == :link && return head == "softmax" ? map(log, scores) : scores
    head == "softmax" ? scores : head == "log-softmax" ? map(exp, scores) : softmax_of_classes(scores)
end

function find_output(results, output)
    output === nothing && return results[1].second
    at = findfirst(pair -> pair.first == output, results)
    at === nothing &&
        bad_input("the model has no output named '", output, "' but ", quoted(first.(results)))
    results[at].second
end

function softmax_of_classes(scores)
    along = ndims(scores) - 1
    grown = exp.(scores .- maximum(scores; dims=along))
    grown ./ sum(grown; dims=along)
end

function likeliest(scores, classes)
    along = ndims(scores) - 1
    if classes !== nothing && length(classes) != size(scores, along)
        bad_input("the file names ", length(classes), " classes, the output has ", size(scores, along))
    end
    before = prod(size(scores)[1:along-1])
    columns = reshape(scores, before, size(scores, along), :)
    result = Array{Union{Missing,classes === nothing ? Int : String}}(missing, before, size(columns, 3))
    for sample in axes(columns, 3), place in axes(columns, 1)
        column = @view columns[place, :, sample]
        any(isnan, column) && continue
        best = argmax(column)
        result[place, sample] = classes === nothing ? best : classes[best]
    end
    reshape(result, size(scores)[1:along-1]..., :)
end

# A caller's arrays as tensors of the declared types.
function inputs_from_user(x, model)
    infos = model.graph.inputs
    if !(x isa AbstractDict)
        length(infos) == 1 || bad_input(
            "the model has ", length(infos), " inputs; give a Dict of arrays by name: ", quoted(info.name for info in infos)
        )
        x = Dict(infos[1].name => x)
    end
    declared = Dict(info.name => info.dtype for info in infos)
    Dict{String,Array}(
        string(name) => tensor_from_user(value, get(declared, string(name), nothing), string(name), model.precision)
        for (name, value) in x
    )
end

tensor_from_user(value::Number, dtype, name, precision) = tensor_from_user(fill(value), dtype, name, precision)
tensor_from_user(value, dtype, name, precision) =
    bad_input("input '", name, "' is a ", typeof(value), "; give an array of numbers")

function tensor_from_user(value::AbstractArray, dtype, name, precision)
    # A name that the model does not know is refused by check_inputs().
    dtype === nothing && return value isa Array ? value : collect(value)
    T = dtype_types[dtype]
    (eltype(value) <: Real && (eltype(value) <: Bool) == (T == Bool)) ||
        bad_input("input '", name, "' is an array of ", eltype(value), "; the model takes ", dtype)
    if T <: Integer && T != Bool && !(eltype(value) <: T)
        all(isinteger, value) || bad_input("input '", name, "' must hold whole numbers")
        all(number -> typemin(T) <= number <= typemax(T), value) ||
            bad_input("input '", name, "' holds values beyond ", dtype)
    end
    # Under "float64" what is given as a Float64 stays one.
    wide = precision == "float64" && T <: AbstractFloat ? Float64 : T
    value isa Array{wide} ? value : convert(Array{wide}, value)
end
