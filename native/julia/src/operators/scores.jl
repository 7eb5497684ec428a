# What the models of ai.onnx.ml share: labels of classes, scores of samples, and what becomes of them. Scores are a matrix of
# classes (or targets) and samples, which is ONNX' own order of samples and classes.

# The standard gives scores as float, whatever the features are.
score_type(node) = storage_type(Float32, node)

# What an attribute lists; nothing where it is left out.
listed(node, name) = something(node.attributes[name], ())

# Numbers that come as an attribute or, under its name and `_as_tensor`, as a tensor. The attribute holds values of Float32.
function numbers_or_tensor(node, name)
    stored = node.attributes[string(name, "_as_tensor")]
    stored === nothing ? as_stored(Float32.(collect(listed(node, name))), node) : vec(stored)
end

"""
    feature_matrix(x)

Features and samples of a tensor of shape (sample, feature), or of the features of one sample.
"""
function feature_matrix(x::Array)
    eltype(x) === String && bad_input("the features are texts")
    1 <= ndims(x) <= 2 || bad_input("the features have shape ", shape_text(onnx_shape(x)), "; they need 2 axes")
    reshape(x, size(x, 1), size(x, 2))
end

# The same for sums of products, which are computed in double precision.
exact_features(x::Array) = as_eltype(Float64, feature_matrix(x))

# Labels of classes: texts where there are any, else the whole numbers of the attribute `numbers`.
function class_labels(node, numbers)
    texts = node.attributes["classlabels_strings"]
    texts === nothing || isempty(texts) ? Int64[listed(node, numbers)...] : texts
end

# The labels of the largest scores, and the scores. The first of equal ones counts; what is no number is the smallest.
function classified(scores::Matrix, labels::Vector, node)
    size(scores, 1) == length(labels) ||
        bad_input("there are scores of ", size(scores, 1), " classes and ", length(labels), " labels")
    chosen = [labels[largest_place(view(scores, :, sample))] for sample in axes(scores, 2)]
    (convert(typeof(labels), chosen), transformed(scores, node.attributes["post_transform"], score_type(node)))
end

function largest_place(scores)
    place = 1
    for k in eachindex(scores)
        (scores[k] > scores[place] || (isnan(scores[place]) && !isnan(scores[k]))) && (place = k)
    end
    place
end

function plus_base(scores::Matrix, base)
    isempty(base) && return scores
    length(base) in (1, size(scores, 1)) ||
        bad_input("there are ", length(base), " base values for ", size(scores, 1), " targets")
    scores .+ eltype(scores).(base)
end

const post_transforms = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")

function refuse_transform(node)
    name = node.attributes["post_transform"]
    name in post_transforms ? nothing : "post_transform '$name'"
end

# Scores of classes and samples after a transform, in double precision until they are stored in `T`.
function transformed(scores::Matrix, name, ::Type{T}) where {T}
    name == "NONE" && return as_eltype(T, scores)
    wide_scores = as_eltype(Float64, scores)
    name == "LOGISTIC" && return T.(logistic.(wide_scores))
    name == "PROBIT" && return T.(probit.(wide_scores))
    powers = similar(wide_scores)
    for sample in axes(powers, 2)
        softmax_of!(view(powers, :, sample), view(wide_scores, :, sample), name == "SOFTMAX_ZERO")
    end
    T.(powers)
end

function logistic(x)
    small = exp(-abs(x))
    x >= 0 ? 1 / (1 + small) : small / (1 + small)
end

# The quantile of a normal distribution as the implementations of the standard have it: by Winitzki's approximation to the
# inverse of the error function, with the constant 0.147.
function probit(p)
    x = 2p - 1
    logarithm = log((1 - x) * (1 + x))
    shift = 2 / (pi * 0.147) + logarithm / 2
    1.41421356 * copysign(sqrt(sqrt(shift^2 - logarithm / 0.147) - shift), x)
end

# With `keeping_zeros` scores that are zero add nothing: each is multiplied by the power that all are divided by.
function softmax_of!(powers, scores, keeping_zeros)
    isempty(scores) && return
    largest = maximum(scores)
    for k in eachindex(scores)
        small = keeping_zeros && abs(scores[k]) <= 1e-7
        powers[k] = small ? scores[k] * exp(-largest) : exp(scores[k] - largest)
    end
    total = sum(powers)
    iszero(total) ? fill!(powers, 0.5) : (powers ./= total)
end

"""
    scores_of_two(score, transform, probability, node)

The scores of both classes where the model has those of the second; `probability` tells whether they are one already.
"""
function scores_of_two(score::AbstractVector, transform, probability, node)
    T = score_type(node)
    score = Float64.(score)
    first_class, second_class = if transform == "LOGISTIC"
        logistic.(-score), logistic.(score)
    elseif transform == "PROBIT"
        unsupported("post_transform 'PROBIT' of the scores of one of two classes is not supported")
    else
        (probability ? 1 .- score : -score), score
    end
    T.(permutedims([first_class second_class]))
end
