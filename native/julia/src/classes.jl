# Scores of classes: which output holds them, along which dimension, and what they say.

"""Where the scores of classes lie: the output's name, its array, and the dimension of the classes."""
struct ClassScores
    name::String
    values::Array
    dim::Int
end

# Tasks whose outputs are one class of several; a file that names none is taken at its caller's word.
const class_tasks = ("classification", "segmentation")

"""
    class_scores(model, results, output, class_axis, axes)

The [`ClassScores`](@ref) among the outputs of a run: those named `output`; else those that the file decides on; else the first,
or the only one, that can be classes. `axes` says where the samples lie. Refuses, with the reason, what cannot be classes.
"""
function class_scores(model, results, output, class_axis, axes)
    task = specified(model, "task")
    task isa String && !(task in class_tasks) &&
        bad_input("the model's task is ", task, ", so no output is scores of one class of several; take type=:raw")
    decided = something(output, specified(model, "decided"), Some(nothing))
    if decided === nothing
        can_be(result) = class_dim(model, result..., class_axis, axes) isa Int
        fitting = can_be(results[1]) ? results[1:1] : filter(can_be, results)
        length(fitting) > 1 &&
            bad_input("several outputs may be scores of classes: ", quoted(first.(fitting)), "; say which with output")
        # Where none fits, the first one's reason is told.
        decided = first([fitting; results]).first
    end
    at = findfirst(pair -> pair.first == decided, results)
    at === nothing &&
        bad_input("the model has no output named '", decided, "' but ", quoted(first.(results)))
    dim = class_dim(model, results[at]..., class_axis, axes)
    dim isa Int || bad_input("the output ", quoted(decided), " cannot be classes: ", dim, "; take type=:raw")
    ClassScores(decided, results[at].second, dim)
end

"""The dimension of the classes in an output, or the reason why there is none."""
function class_dim(model, name, x::Array, class_axis, axes)
    eltype(x) === String && return "it holds texts, which type=:class gives as they are where output names it"
    eltype(x) <: AbstractFloat ||
        return "it holds whole numbers ($(dtype_name(eltype(x)))), a mask or labels rather than scores"
    ndims(x) >= 2 || return "it has $(ndims(x)) dimensions, none of them of classes"
    sample = sample_axis(axes, name)
    samples = sample === nothing ? 0 : ndims(x) - sample
    if class_axis !== nothing
        (class_axis isa Integer && 1 <= class_axis <= ndims(x) && class_axis != samples) ||
            bad_input("class_axis = ", class_axis, " cannot be: ", quoted(name), " has size ", shape_text(size(x)))
        return Int(class_axis)
    end
    named = named_class_axis(model, name)
    named === nothing || return named < ndims(x) ? ndims(x) - named : "it lacks the axis 'class'"
    # ONNX's order: what comes after the samples first.
    others = filter(d -> d != samples, ndims(x):-1:1)
    classes = class_names(model)
    classes === nothing ? conventional_class_dim(model, name, x, others) : dim_of_names(x, others, classes)
end

function dim_of_names(x, others, classes)
    size(x, others[1]) == length(classes) && return others[1]
    fitting = filter(d -> size(x, d) == length(classes), others)
    length(fitting) == 1 && return fitting[1]
    "the file names $(length(classes)) classes, the output has $(size(x, others[1]))"
end

# Classes follow the samples in ONNX's order, N x C and N x C x H x W. Three axes may as well be a mask, and a last axis that is the
# shortest the classes of a model that keeps them last.
function conventional_class_dim(model, name, x, others)
    first_dim, last_dim = others[1], others[end]
    size(x, first_dim) == 1 && ndims(x) == 2 && return "it holds one number for each sample"
    ndims(x) == 2 && return first_dim
    hint = "; where it holds scores, say along which dimension with class_axis"
    ndims(x) == 3 && return "it may as well be a mask or a sequence" * hint
    info = model.graph.outputs[findfirst(info -> info.name == name, model.graph.outputs)]
    fixed(dim) = declared_axis(info, ndims(x) - dim) isa Int
    fixed(last_dim) && !fixed(first_dim) && return last_dim
    size(x, first_dim) == 1 && return "it holds one number for each place"
    fixed(first_dim) && !fixed(last_dim) && return first_dim
    size(x, last_dim) < size(x, first_dim) && return "whether its classes come first or last cannot be told" * hint
    first_dim
end

# The axis, in ONNX's counting, that the harness names so in a file.
function named_class_axis(model, name)
    axes = metadata_json(model, "harness.axes")
    named = axes isa Dict ? get(axes, name, nothing) : nothing
    named isa Vector || return nothing
    at = findfirst(==("class"), named)
    at === nothing ? nothing : at - 1
end

"""What the specification that the harness writes into a file says under a name, or nothing."""
function specified(model, name)
    specification = metadata_json(model, "harness.spec")
    specification isa Dict ? get(specification, name, nothing) : nothing
end

function probabilities(scores::ClassScores, head)
    head == "softmax" && return scores.values
    head == "log-softmax" && return map(exp, scores.values)
    grown = exp.(scores.values .- maximum(scores.values; dims=scores.dim))
    grown ./ sum(grown; dims=scores.dim)
end

function likeliest(scores::ClassScores, classes)
    x, dim = scores.values, scores.dim
    if classes !== nothing && length(classes) != size(x, dim)
        bad_input("the file names ", length(classes), " classes, the output has ", size(x, dim))
    end
    before, after = size(x)[1:dim-1], size(x)[dim+1:end]
    columns = reshape(x, prod(before), size(x, dim), prod(after))
    result = Array{Union{Missing,classes === nothing ? Int : String}}(missing, prod(before), prod(after))
    for sample in axes(columns, 3), place in axes(columns, 1)
        column = @view columns[place, :, sample]
        any(isnan, column) && continue
        best = argmax(column)
        result[place, sample] = classes === nothing ? best : classes[best]
    end
    reshape(result, before..., after...)
end
