# From a caller's arrays to the graph and back.

"""
    predict(model, x; type=:raw, head=nothing, output=nothing, class_axis=nothing, batch_size=nothing, sample_axes=nothing, shared=())

Run a model.

`x` is an array with the dimensions in reverse to the order that the file declares: for a file of N x C x W (sample, band,
date) a W x C x N array. Several inputs are a `Dict` of arrays by name. Numbers are converted to the type that the model takes
where that loses nothing but precision; a `missing` is NaN, and refused where the model takes whole numbers. Inputs of other names, types or sizes are an [`ONNXError`](@ref), as is all that is refused
below.

`type` is what to return:

- `:raw` the output as it is; a `Dict` by name where there are several;
- `:prob` probabilities of the classes;
- `:class` the name of the likeliest class of each sample (or of each pixel), its number from 1 where the file names none,
  `missing` where a score is not a number;
- `:link` the scores before the softmax: the logits, or the logarithm of the probabilities where the model ends in a softmax.

`head` is what the model's scores are, `"logits"`, `"log-softmax"` or `"softmax"`; by default what the file says, see
[`head`](@ref). `output` names the output to use for every type but `:raw`; by default the one that the file decides on, else the
first that can be scores of classes. Classes run along the dimension before the samples (C x N, W x H x C x N) unless the file's
names of classes fit another one alone; `class_axis` says which dimension it is where that cannot be told. An output that cannot be
classes, such as a mask of whole numbers, is refused.

# Texts and maps

Texts are an `Array{String}`; such an output is what `:class` gives where `output` names it. The maps of a classical model (its
operator ZipMap) are for `:raw` a vector with a `Dict` for each sample, from class to score; `:prob` and `:class` take them as scores,
by growing class.

# Batches

`batch_size` is how many samples to compute at once. A file that has a fixed number of samples takes any number: it is run in
batches of that size, the last one is filled by repeating the last sample, and cut, which is told once; another `batch_size` is
refused.

Where batches have to be computed, the dimension of the samples is found, in inputs by the names and sizes that the file declares
(an input that has another number than the samples is shared by all), in outputs by running two numbers of samples. It is proven:
a sample gives the same numbers without the others. An output that has no such dimension must be the same for every batch. What
is known better can be said, with dimensions in Julia's own counting: `sample_axes = (attention = 2,)`, or a `Dict` of dimensions by
name, and `shared = ("doy",)` for inputs that all samples share.
"""
function predict(
    model, x; type::Symbol=:raw, head=nothing, output=nothing, class_axis=nothing, batch_size=nothing, sample_axes=nothing, shared=()
)
    type in (:raw, :prob, :class, :link) || bad_input("type must be :raw, :prob, :class or :link, not :", type)
    results, axes = computed(model, inputs_from_user(x, model), batch_size, stated_axes(model, sample_axes, shared))
    if type == :raw
        given = [name => as_given(model.graph, name, x) for (name, x) in results]
        return length(given) == 1 ? given[1].second : Dict{String,Array}(given)
    end
    # Texts are classes already.
    labels = findfirst(((name, x),) -> name == output && x isa Array{String}, results)
    type == :class && labels !== nothing && return results[labels].second
    scores = class_scores(model, results, output, class_axis, axes)
    keys = map_keys(model.graph, scores.name)
    type == :class && return likeliest(scores, keys === nothing ? class_names(model) : string.(keys))
    head = something(head, PlainONNX.head(model), keys === nothing ? nothing : head_of_maps(scores.values), "")
    isempty(head) && bad_input(
        "the file does not say what its scores are (metadata 'harness.head'); give head=\"logits\", \"log-softmax\" or ",
        "\"softmax\""
    )
    head in ("logits", "log-softmax", "softmax") || bad_input("unknown head '", head, "'")
    type == :link && return head == "softmax" ? map(log, scores.values) : scores.values
    probabilities(scores, head)
end

# The outputs as pairs, and the sample axes as far as they are known.
function computed(model, inputs, batch_size, stated::StatedAxes)
    graph = model.graph
    check_input_names(graph, inputs)
    axes = input_axes(graph, inputs, stated, batch_size)
    plan = plan_batches(graph, inputs, batch_size, axes)
    compute = outputs_of(part -> run_graph(graph, part), graph)
    if plan === nothing
        first = compute(inputs)
        axes = declared_output_axes(graph, axes, stated, first)
        return run_planned(compute, graph, inputs, nothing, axes, first), axes
    end
    first = compute(part_of(inputs, axes, computed_samples(plan, batch_spans(plan)[1])))
    axes = output_axes(compute, graph, inputs, plan, axes, stated, first)
    tell_of_filling(model, plan)
    run_planned(compute, graph, inputs, plan, axes, first), axes
end

# Nothing has to be cut or joined: what is stated, else the axis of the samples' name.
function declared_output_axes(graph, axes, stated, results)
    names = [declared_axis(info, axes[info.name]) for info in graph.inputs if get(axes, info.name, nothing) !== nothing]
    found = copy(axes)
    for (info, x) in zip(graph.outputs, results)
        axis = stated_axis(stated, info.name, x)
        if axis !== missing
            found[info.name] = axis
        elseif info.shape !== nothing && length(info.shape) == ndims(x)
            at = findfirst(name -> name isa String && name in names, info.shape)
            at === nothing || at == 1 || (found[info.name] = at - 1)
        end
    end
    found
end

function tell_of_filling(model, plan)
    added = filled_samples(plan)
    added == 0 && return
    @info string(
        basename(model.path), " takes ", plan.size, " samples at a time: the last batch is filled with ", added,
        added == 1 ? " copy" : " copies", " of the last sample, and cut"
    ) maxlog = 1 _id = Symbol("PlainONNX filled ", model.path)
end
