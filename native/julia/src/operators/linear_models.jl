# Linear models of ai.onnx.ml. Products are computed in double precision and rounded once.

"""
    linear_scores(features, node, targets)

The scores of targets (rows) and samples (columns); `targets` is `nothing` for as many as the coefficients make.
"""
function linear_scores(features::Matrix{Float64}, node, targets=nothing)
    coefficients = collect(Float64, listed(node, "coefficients"))
    width = size(features, 1)
    targets = something(targets, width == 0 ? 0 : length(coefficients) ÷ width)
    targets >= 1 && length(coefficients) == targets * width ||
        bad_input(length(coefficients), " coefficients do not fit ", width, " features")
    plus_base(transpose(reshape(coefficients, width, targets)) * features, listed(node, "intercepts"))
end

function op_linear_regressor(inputs, node)
    x = inputs[1]
    scores = linear_scores(exact_features(x), node, node.attributes["targets"])
    transformed(scores, node.attributes["post_transform"], score_type(node))
end

function op_linear_classifier(inputs, node)
    scores = linear_scores(exact_features(inputs[1]), node)
    labels = class_labels(node, "classlabels_ints")
    size(scores, 1) == 1 && length(labels) == 2 || return classified(scores, labels, node)
    node.attributes["post_transform"] == "LOGISTIC" ||
        unsupported("one row of coefficients for two classes is supported with post_transform 'LOGISTIC' alone")
    chosen = [labels[score > 0 ? 2 : 1] for score in vec(scores)]
    (convert(typeof(labels), chosen), scores_of_two(vec(scores), "LOGISTIC", false, node))
end

# Implementations do not agree on scores of one class.
refuse_linear_classifier(node) =
    length(class_labels(node, "classlabels_ints")) < 2 ? "a classifier of fewer than two classes" : refuse_transform(node)
