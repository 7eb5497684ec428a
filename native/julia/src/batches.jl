# Batches along the samples: how a caller's samples are cut, and how the outputs of the batches become one.

"""
Which axis the sample is, by name of input and output: ONNX's axes, counted from 0; `nothing` for what all samples share. A name
that is absent has axis 0.
"""
const SampleAxes = Dict{String,Union{Int,Nothing}}

sample_axis(axes::AbstractDict, name) = get(axes, name, 0)

"""
    BatchPlan(samples, size, fixed)

So many samples are computed in batches of that size. Where the file has a fixed number of samples, the last batch is filled by
repeating the last sample.
"""
struct BatchPlan
    samples::Int
    size::Int
    fixed::Bool
end

batch_count(::Nothing) = 1
batch_count(plan::BatchPlan) = cld(plan.samples, plan.size)

"""How many samples are added to fill the last batch."""
filled_samples(::Nothing) = 0
filled_samples(plan::BatchPlan) = plan.fixed ? mod(-plan.samples, plan.size) : 0

# The samples of each batch by their numbers, without those that fill the last.
batch_spans(plan::BatchPlan) = [first:min(first + plan.size - 1, plan.samples) for first in 1:plan.size:plan.samples]

# The samples that a batch is computed of.
computed_samples(plan::BatchPlan, span) =
    plan.fixed ? [span; fill(last(span), plan.size - length(span))] : span

"""
    plan_batches(graph, inputs, batch_size, axes)

The [`BatchPlan`](@ref) for `inputs`, or `nothing` where they are computed at once. Refuses inputs that the model does not take,
and a batch size that cannot be: the model's own where it has a fixed one.
"""
function plan_batches(graph, inputs::AbstractDict, batch_size, axes::AbstractDict)
    check_input_names(graph, inputs)
    check_sample_axes(graph, inputs, axes)
    batch_size === nothing && return plan_as_declared(graph, inputs, axes)
    (batch_size isa Integer && batch_size >= 1) || bad_input("batch_size must be a positive number")
    samples = common_samples(inputs, axes)
    sizes = fixed_sizes(graph, axes)
    if !isempty(sizes)
        sizes == [batch_size] || bad_input(
            "the model takes batches of ", sizes[1], " samples, which is fixed in the file; a batch_size of ", batch_size,
            " cannot be"
        )
        return plan_as_declared(graph, inputs, axes)
    end
    if samples <= batch_size
        check_inputs(graph, inputs)
        return nothing
    end
    for count in unique([batch_size, mod1(samples, batch_size)])
        check_inputs(graph, inputs; samples=count, axes=axes)
    end
    BatchPlan(samples, batch_size, false)
end

# Inputs of the declared sizes at once; others as batches of the file's own size, where only their number of samples differs.
function plan_as_declared(graph, inputs, axes)
    misfit_of(graph, inputs) === nothing && return nothing
    sizes = fixed_sizes(graph, axes)
    counts = sample_counts(inputs, axes)
    (length(sizes) == 1 && length(counts) == 1 && sizes[1] >= 1 && counts[1] >= 1) || check_inputs(graph, inputs)
    check_inputs(graph, inputs; samples=sizes[1], axes=axes)
    BatchPlan(counts[1], sizes[1], true)
end

# The different numbers of samples that the file fixes.
function fixed_sizes(graph, axes)
    unique(Int[
        info.shape[axis+1] for (info, axis) in ((info, sample_axis(axes, info.name)) for info in graph.inputs)
        if axis !== nothing && info.shape !== nothing && axis < length(info.shape) && info.shape[axis+1] isa Int
    ])
end

# The numbers of samples that the inputs hold; -1 for one that has no axis for them.
function sample_counts(inputs, axes)
    unique(Int[
        axis < ndims(inputs[name]) ? size(inputs[name], ndims(inputs[name]) - axis) : -1
        for (name, axis) in ((name, sample_axis(axes, name)) for name in keys(inputs)) if axis !== nothing
    ])
end

function common_samples(inputs, axes)
    counts = sample_counts(inputs, axes)
    isempty(counts) && bad_input("all inputs are shared by all samples, so there is nothing to make batches of")
    (length(counts) == 1 && counts[1] >= 0) && return counts[1]
    bad_input(
        "the inputs differ in their number of samples: ", join(sort(map(collect(keys(inputs))) do name
            axis = sample_axis(axes, name)
            axis === nothing ? "$name is shared" : axis < ndims(inputs[name]) ?
            "$name has $(size(inputs[name], ndims(inputs[name]) - axis))" : "$name has no axis $axis"
        end), ", ")
    )
end

function check_sample_axes(graph, inputs, axes)
    outputs = [info.name for info in graph.outputs]
    for (name, axis) in axes
        (haskey(inputs, name) || name in outputs || name in graph.optional_inputs) ||
            bad_input("a sample axis is given for ", quoted(name), ", which is neither an input nor an output")
        haskey(inputs, name) && axis !== nothing && check_axis_exists(name, inputs[name], axis)
    end
end

check_axis_exists(name, x::Array, axis) = 0 <= axis < ndims(x) ||
    bad_input("axis ", axis, " of ", quoted(name), " cannot be that of the samples: it has ", ndims(x), " axes, counted from 0")

"""A function from inputs to outputs in the graph's precision; `run_part` computes the outputs, for instance [`run_graph`](@ref)."""
outputs_of(run_part, graph) = part -> Array[in_precision(x, graph.precision) for x in run_part(part)]

"""
    run_planned(compute, graph, inputs, plan, axes[, first])

The outputs of all samples, as pairs of name and `Array` in the graph's order, computed by `plan` (see [`plan_batches`](@ref)).
`compute` gives the outputs of a batch, see [`outputs_of`](@ref); `first` are those of the first batch, if they are already
computed. An output that lacks its axis of samples, or that belongs to no sample and differs from batch to batch, is refused.
"""
function run_planned(compute, graph, inputs, plan::BatchPlan, axes, first=nothing)
    names = [info.name for info in graph.outputs]
    spans = batch_spans(plan)
    parts = map(spans) do span
        here = computed_samples(plan, span)
        results = first !== nothing && span == spans[1] ? first : compute(part_of(inputs, axes, here))
        for (name, result) in zip(names, results)
            check_batch_output(name, result, sample_axis(axes, name), length(here))
        end
        results
    end
    [
        name => joined([part[k] for part in parts], sample_axis(axes, name), map(length, spans), name)
        for (k, name) in enumerate(names)
    ]
end

function run_planned(compute, graph, inputs, ::Nothing, axes, first=nothing)
    results = first === nothing ? compute(inputs) : first
    counts = sample_counts(inputs, axes)
    pairs = map((info, x) -> info.name => x, graph.outputs, results)
    for (name, x) in pairs
        haskey(axes, name) && length(counts) == 1 && check_batch_output(name, x, axes[name], counts[1])
    end
    pairs
end

function check_batch_output(name, x::Array, axis, samples)
    axis === nothing && return
    axis == 0 && ndims(x) == 0 &&
        bad_input("the output ", quoted(name), " has no axis of samples, so it cannot be computed in batches")
    check_axis_exists(name, x, axis)
    size(x, ndims(x) - axis) == samples || bad_input(
        "the output ", quoted(name), " has no axis of samples at axis ", axis, " of ONNX: it has shape ",
        shape_text(onnx_shape(x)), " for a batch of ", samples
    )
end

part_of(inputs, axes, samples) = Dict{String,Array}(
    name => sample_axis(axes, name) === nothing ? x : samples_of(x, samples, sample_axis(axes, name)) for (name, x) in inputs
)

# The samples of these numbers, in that order.
function samples_of(x::Array, samples, axis=0)
    axis == 0 || return copy(selectdim(x, ndims(x) - axis, samples))
    # They lie one after another in memory.
    one = size(x)[1:end-1]
    reshape(reshape(x, prod(one), :)[:, samples], one..., length(samples))
end

# One output of all batches, of which the first `counts[k]` samples of batch k are kept.
function joined(parts, axis, counts, name)
    if axis === nothing
        all(part -> same_values(part, parts[1]), parts) || bad_input(
            "the output ", quoted(name), " belongs to no sample and differs from batch to batch, so it cannot be computed in ",
            "batches"
        )
        return parts[1]
    end
    dim = ndims(parts[1]) - axis
    others(x) = (size(x)[1:dim-1], size(x)[dim+1:end])
    all(part -> others(part) == others(parts[1]), parts) ||
        bad_input("the output ", quoted(name), " differs in shape from batch to batch")
    before, after = others(parts[1])
    result = Array{eltype(parts[1])}(undef, before..., sum(counts), after...)
    at = 0
    for (part, count) in zip(parts, counts)
        copyto!(selectdim(result, dim, at+1:at+count), selectdim(part, dim, 1:count))
        at += count
    end
    result
end

# How far the same values of two batches may lie from each other, relative to the largest, for rounding.
batch_rounding(::Type) = 1e-5
batch_rounding(::Type{<:Narrow}) = 2e-2

"""Whether two arrays hold the same numbers but for rounding, at most `slack` times as much as batches are allowed."""
function same_values(a::AbstractArray, b::AbstractArray; slack=1)
    size(a) == size(b) && eltype(a) == eltype(b) || return false
    eltype(a) <: AbstractFloat || return a == b
    finite = 0.0
    for x in a
        isfinite(x) && (finite = max(finite, abs(Float64(x))))
    end
    most = slack * batch_rounding(eltype(a)) * finite
    all(zip(a, b)) do (x, y)
        isequal(x, y) || x == y || (isfinite(x) && isfinite(y) && abs(Float64(x) - Float64(y)) <= most)
    end
end
