# Support vector machines of ai.onnx.ml, in double precision.

const kernel_types = ("LINEAR", "POLY", "RBF", "SIGMOID")

refuse_kernel(node) = node.attributes["kernel_type"] in kernel_types ? refuse_transform(node) :
    "kernel_type $(node.attributes["kernel_type"])"

"""
    kernels(vectors, features, type, parameters)

The kernel between support vectors and samples, both as columns: a matrix of vectors and samples. `parameters` are gamma, the
constant and the degree.
"""
function kernels(vectors::Matrix, features::Matrix, type, parameters)
    gamma, constant, degree = (collect(Float64, parameters)..., 0.0, 0.0, 0.0)
    products = transpose(vectors) * features
    type == "LINEAR" && return products
    type == "POLY" && return (gamma .* products .+ constant) .^ degree
    type == "SIGMOID" && return tanh.(gamma .* products .+ constant)
    squares(x) = sum(abs2, x; dims=1)
    exp.(-gamma .* (permutedims(squares(vectors)) .+ squares(features) .- 2 .* products))
end

# The support vectors as columns.
function support_vectors(node, width, count)
    values = collect(Float64, listed(node, "support_vectors"))
    length(values) == count * width ||
        bad_input(length(values), " values do not make ", count, " support vectors of ", width, " features")
    reshape(values, width, count)
end

function op_svm_regressor(inputs, node)
    attributes, features = node.attributes, exact_features(inputs[1])
    coefficients, count = collect(Float64, listed(node, "coefficients")), attributes["n_supports"]
    vectors = count > 0 ? support_vectors(node, size(features, 1), count) : reshape(coefficients, :, 1)
    length(coefficients) == (count > 0 ? count : size(features, 1)) ||
        bad_input(length(coefficients), " coefficients do not fit ", count, " support vectors of ", size(features, 1), " features")
    values = if count > 0
        reshape(coefficients, 1, :) * kernels(vectors, features, attributes["kernel_type"], listed(node, "kernel_params"))
    else
        kernels(vectors, features, "LINEAR", ())
    end
    values = values .+ attributes["rho"][1]
    attributes["one_class"] == 0 || (values = (value -> value > 0 ? 1.0 : -1.0).(values))
    transformed(values, attributes["post_transform"], score_type(node))
end

"""
    op_svm_classifier(inputs, node)

Every pair of classes has a score, and a vote by its sign; the class of the most votes is the label. Scores are those of the pairs
or, where the file says how to make them, probabilities of the classes.
"""
function op_svm_classifier(inputs, node)
    features, labels = exact_features(inputs[1]), class_labels(node, "classlabels_ints")
    transform = node.attributes["post_transform"]
    votes, scores = votes_of_pairs(features, node)
    chosen = convert(typeof(labels), [labels[largest_place(view(votes, :, sample))] for sample in axes(votes, 2)])
    slopes, shifts = collect(Float64, listed(node, "prob_a")), collect(Float64, listed(node, "prob_b"))
    if !isempty(slopes)
        return (chosen, transformed(probabilities_of_pairs(scores, slopes, shifts, length(labels)), transform, score_type(node)))
    end
    length(labels) == 2 && return (chosen, scores_of_two(vec(scores), transform, false, node))
    (chosen, transformed(scores, transform, score_type(node)))
end

# The pairs of classes, in the order of their scores.
class_pairs(classes) = [(i, j) for i in 1:classes for j in (i + 1):classes]

# Votes (class, sample) and scores (pair, sample).
function votes_of_pairs(features, node)
    counts = collect(Int, listed(node, "vectors_per_class"))
    classes, total = length(counts), sum(counts)
    vectors = support_vectors(node, size(features, 1), total)
    # Of each vector the factors against all other classes.
    coefficients = reshape(collect(Float64, listed(node, "coefficients")), total, classes - 1)
    kernel = kernels(vectors, features, node.attributes["kernel_type"], listed(node, "kernel_params"))
    ends = cumsum(counts)
    of(class) = (ends[class] - counts[class] + 1):ends[class]
    votes, scores = zeros(classes, size(features, 2)), zeros(length(class_pairs(classes)), size(features, 2))
    for (pair, (i, j)) in enumerate(class_pairs(classes))
        sums = coefficients[of(i), j - 1]' * kernel[of(i), :] + coefficients[of(j), i]' * kernel[of(j), :]
        for sample in axes(scores, 2)
            score = scores[pair, sample] = node.attributes["rho"][pair] + sums[sample]
            votes[score > 0 ? i : j, sample] += 1
        end
    end
    votes, scores
end

function probabilities_of_pairs(scores, slopes, shifts, classes)
    result = zeros(classes, size(scores, 2))
    for sample in axes(scores, 2)
        wins = zeros(classes, classes)
        for (pair, (i, j)) in enumerate(class_pairs(classes))
            wins[i, j] = clamp(logistic(-(scores[pair, sample] * slopes[pair] + shifts[pair])), 1e-7, 1 - 1e-7)
            wins[j, i] = 1 - wins[i, j]
        end
        result[:, sample] = coupled(wins)
    end
    result
end

"""
    coupled(wins)

The probabilities of classes that fit best to those of each against each: the second method of Wu, Lin and Weng (2004), with the
limits of its iteration that LIBSVM has, as all implementations do.
"""
function coupled(wins)
    classes = size(wins, 1)
    factor(i, j) = i == j ? sum(wins[k, i]^2 for k in 1:classes if k != i) : -wins[j, i] * wins[i, j]
    quadratic = [factor(i, j) for i in 1:classes, j in 1:classes]
    p = fill(1 / classes, classes)
    for _ in 1:max(100, classes)
        products = quadratic * p
        total = sum(p .* products)
        maximum(abs.(products .- total)) < 0.005 / classes && break
        for t in 1:classes
            step = (total - products[t]) / quadratic[t, t]
            p[t] += step
            total = (total + step * (step * quadratic[t, t] + 2 * products[t])) / (1 + step)^2
            products = (products .+ step .* quadratic[t, :]) ./ (1 + step)
            p ./= 1 + step
        end
    end
    p
end

# Implementations do not agree on machines without support vectors, nor on all scores of two classes.
function refuse_svm_classifier(node)
    attributes, labels = node.attributes, class_labels(node, "classlabels_ints")
    counts = collect(Int, listed(node, "vectors_per_class"))
    classes, pairs, coefficients = length(counts), length(class_pairs(length(counts))), listed(node, "coefficients")
    all(iszero, counts) && return "a support vector classifier without support vectors"
    classes >= 2 && length(labels) == classes || bad_input("there are ", length(labels), " labels of ", classes, " classes")
    length(attributes["rho"]) == pairs && length(coefficients) == (classes - 1) * sum(counts) &&
        length(listed(node, "prob_a")) == length(listed(node, "prob_b")) && length(listed(node, "prob_a")) in (0, pairs) ||
        bad_input("the attributes do not fit ", classes, " classes")
    if classes == 2 && isempty(listed(node, "prob_a"))
        attributes["post_transform"] in ("NONE", "LOGISTIC") ||
            return "post_transform '$(attributes["post_transform"])' of the scores of two classes"
        all(factor -> factor >= 0, coefficients) && return "a support vector classifier with no negative coefficient"
    end
    refuse_kernel(node)
end
