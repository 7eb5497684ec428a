# Where a file does not say it: which axis of each input and output is the sample. For the inputs the declared names and sizes tell;
# for the outputs two numbers of samples are run and compared, and what is found is proven: a sample alone gives its own row.

"""
    StatedAxes(axes, dims)

What is said of the sample axes: `axes` by whoever wrote the file, in ONNX's counting; `dims` by the caller, in Julia's own,
`nothing` for what all samples share.
"""
struct StatedAxes
    axes::SampleAxes
    dims::SampleAxes
end

function stated_axes(model, sample_axes, shared)
    dims = SampleAxes()
    for (name, dim) in named_dims(sample_axes)
        dim === nothing || (dim isa Integer && !(dim isa Bool)) ||
            bad_input("sample_axes: '", name, "' has ", repr(dim), "; a dimension is a whole number from 1")
        dims[string(name)] = dim
    end
    for name in names_of(shared)
        get(dims, string(name), nothing) === nothing ||
            bad_input("'", name, "' cannot be shared by all samples and have a sample axis")
        dims[string(name)] = nothing
    end
    known = [info.name for info in vcat(model.graph.inputs, model.graph.outputs)]
    for name in keys(dims)
        name in known || bad_input(
            "the model has neither an input nor an output named ", quoted(name), "; it has ", quoted(known)
        )
    end
    StatedAxes(specified_sample_axes(model), dims)
end

named_dims(::Nothing) = ()
named_dims(given::Union{NamedTuple,AbstractDict}) = pairs(given)
named_dims(given::Pair) = (given,)
named_dims(given) = bad_input("sample_axes is a named tuple or a Dict of dimensions by name, not a ", typeof(given))

names_of(name::Union{Symbol,AbstractString}) = (name,)
names_of(names) = names

# Those of the specification that the harness writes into a file.
function specified_sample_axes(model)
    axes = SampleAxes()
    for tensors in ("inputs", "outputs"), tensor in something(specified(model, tensors), ())
        tensor isa Dict && haskey(tensor, "name") && haskey(tensor, "sample_axis") || continue
        axis = tensor["sample_axis"]
        axis isa Union{Int64,Nothing} && (axes[string(tensor["name"])] = axis)
    end
    axes
end

# The axis that is stated for a tensor, or `missing`.
function stated_axis(stated::StatedAxes, name, x::Array)
    haskey(stated.dims, name) || return get(stated.axes, name, missing)
    dim = stated.dims[name]
    dim === nothing && return nothing
    1 <= dim <= ndims(x) || bad_input(
        "sample_axes: dimension ", dim, " of ", quoted(name), " cannot be that of the samples: it has ", ndims(x),
        ", counted from 1"
    )
    ndims(x) - dim
end

"""
    input_axes(graph, inputs, stated, batch_size)

The sample axis of every input. The first input that may have any number of samples leads; another one is shared by all samples
where it declares a fixed number, a name that is an inner axis elsewhere, or where it holds another number than the leading one.
"""
function input_axes(graph, inputs, stated::StatedAxes, batch_size)
    axes = SampleAxes()
    open = ValueInfo[]
    for info in graph.inputs
        axis = stated_axis(stated, info.name, inputs[info.name])
        axis === missing ? push!(open, info) : (axes[info.name] = axis)
    end
    leading = leading_input(graph, inputs, axes)
    leading === nothing && return axes
    axis = get(() -> leading_axis(graph, leading, inputs[leading.name], batch_size), axes, leading.name)
    axes[leading.name] = axis
    size_at(x, axis) = axis < ndims(x) ? size(x, ndims(x) - axis) : -1
    samples = size_at(inputs[leading.name], axis)
    declared = declared_axis(leading, axis)
    for info in open
        info.name == leading.name && continue
        axes[info.name] = following_axis(graph, info, inputs[info.name], declared, samples)
    end
    axes
end

# The name or size that is declared for an axis; nothing where there is none.
declared_axis(info::ValueInfo, axis) =
    info.shape !== nothing && axis < length(info.shape) && info.shape[axis+1] != "" ? info.shape[axis+1] : nothing

# Whether a name is that of another than the first axis of another input.
inner_elsewhere(graph, info, name) = name isa String &&
    any(other -> other.name != info.name && other.shape !== nothing && name in other.shape[2:end], graph.inputs)

function leading_input(graph, inputs, axes)
    known = findfirst(info -> get(axes, info.name, nothing) !== nothing, graph.inputs)
    known === nothing || return graph.inputs[known]
    candidates = filter(info -> !haskey(axes, info.name) && ndims(inputs[info.name]) > 0, graph.inputs)
    free = findfirst(candidates) do info
        first_axis = declared_axis(info, 0)
        !(first_axis isa Int) && !inner_elsewhere(graph, info, first_axis)
    end
    isempty(candidates) ? nothing : candidates[something(free, 1)]
end

# Axis 0, unless the declared names tell that a sequence comes first: a fixed length before the one axis that is free, or a name
# that no output has before one that an output has.
function leading_axis(graph, info, x, batch_size)
    info.shape === nothing && return 0
    free = [axis for axis in 0:(length(info.shape)-1) if !(declared_axis(info, axis) isa Int)]
    of_outputs = [name for output in graph.outputs if output.shape !== nothing for name in output.shape if name isa String]
    first_axis = declared_axis(info, 0)
    if first_axis isa Int
        sequence_first = length(free) == 1 && first_axis == size(x, ndims(x)) && first_axis != batch_size
        return sequence_first && declared_axis(info, free[1]) in of_outputs ? free[1] : 0
    end
    (first_axis === nothing || first_axis in of_outputs) && return 0
    named = filter(axis -> declared_axis(info, axis) in of_outputs, free)
    length(named) == 1 ? named[1] : 0
end

function following_axis(graph, info, x, declared, samples)
    ndims(x) == 0 && return nothing
    first_axis = declared_axis(info, 0)
    if declared isa String && info.shape !== nothing && declared in info.shape
        return findfirst(==(declared), info.shape) - 1
    end
    holds_samples = size(x, ndims(x)) == samples
    first_axis isa Int && first_axis != declared && return nothing
    inner_elsewhere(graph, info, first_axis) && return nothing
    holds_samples ? 0 : nothing
end

"""
    output_axes(compute, graph, inputs, plan, axes, stated, first)

`axes` with those of the outputs: as the caller states them, else found by running two numbers of samples, and proven: a sample
alone, or beside others, gives the same row. `first` are the outputs of the first batch. Refuses an output that cannot be computed
in batches, and an axis that cannot be that of the samples.
"""
function output_axes(compute, graph, inputs, plan::BatchPlan, axes, stated::StatedAxes, first)
    search = plan.fixed ? repeated_sample : lone_sample
    axis_of = search(samples -> compute(part_of(inputs, axes, samples)), plan, first)
    found = copy(axes)
    for (k, info) in enumerate(graph.outputs)
        said = haskey(stated.dims, info.name) ? stated_axis(stated, info.name, first[k]) : missing
        found[info.name] = axis_of(k, info.name, said)
    end
    found
end

# Any number of samples can be run: one alone beside the batch that holds it.
function lone_sample(run, plan, first)
    batch = min(plan.size, plan.samples)
    # Not the first row, which would also be there if rows came in another order.
    alone, group, row = batch > 1 ? (run([batch]), first, batch) : (first, run([2, 1]), 2)
    several = max(batch, 2)
    (k, name, said) -> begin
        one, many = alone[k], group[k]
        moving = ndims(one) == ndims(many) ? filter(d -> size(one, d) != size(many, d), 1:ndims(one)) : nothing
        axis = moving == Int[] ? nothing : moving isa Vector && length(moving) == 1 &&
            size(one, moving[1]) == 1 && size(many, moving[1]) == several ? ndims(one) - moving[1] : missing
        sizes = string("it has size ", shape_text(size(one)), " for 1 sample and ", shape_text(size(many)), " for ", several)
        axis === missing &&
            bad_input("the output ", quoted(name), " cannot be computed in batches: ", sizes, ", so no dimension is that of the samples")
        said === missing || said === axis || bad_input(
            "sample_axes: ", said === nothing ? "an output of no sample" : "dimension $(ndims(one) - said)", " cannot be for ",
            quoted(name), ": ", sizes
        )
        (axis === nothing || said !== missing) && return axis
        same_sample(selectdim(many, moving[1], row), selectdim(one, moving[1], 1)) || depends_on_others(name)
        axis
    end
end

# The number of samples is fixed: one sample in all places beside the batch that holds it.
function repeated_sample(run, plan, first)
    row = min(plan.size, plan.samples)
    same = row == 1 ? first : run(fill(row, plan.size))
    (k, name, said) -> begin
        said === missing || return said
        whole, again = first[k], same[k]
        fitting = filter(d -> size(whole, d) == plan.size, 1:ndims(whole))
        proven = filter(fitting) do d
            all(place -> same_sample(selectdim(again, d, place), selectdim(whole, d, row)), 1:plan.size)
        end
        length(proven) == 1 && return ndims(whole) - proven[1]
        # Nothing tells equal rows apart: ONNX's first axis, where it is one of them.
        ndims(whole) in proven && return 0
        isempty(fitting) && return nothing
        isempty(proven) && !same_values(whole, again) && depends_on_others(name)
        isempty(proven) && return nothing
        bad_input(
            "which dimension of the output ", quoted(name), " is that of the samples cannot be told; say it, for instance ",
            "sample_axes = Dict(\"", name, "\" => ", first(proven), ")"
        )
    end
end

depends_on_others(name) = bad_input(
    "the output ", quoted(name), " of a sample depends on the other samples of its batch, so it cannot be computed in batches; ",
    "where it lies otherwise, sample_axes and shared say so"
)

# Rows of one sample, of two runs, which may round sums in another order: so numbers differ a little, and of many whole numbers (a
# class of each pixel) a few, where two scores are almost equal.
function same_sample(a, b)
    size(a) == size(b) || return false
    eltype(a) <: AbstractFloat ? same_values(a, b; slack=10) : count(a .!= b) <= length(a) / 1000
end
