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
