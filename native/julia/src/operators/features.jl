# What ai.onnx.ml does to features before its models. The features of a sample lie along the first dimension.

function op_scaler(inputs, node)
    x = inputs[1]
    T, features = score_type(node), size(x, 1)
    function by_feature(name, otherwise)
        values = collect(Float64, listed(node, name))
        isempty(values) && return otherwise
        length(values) in (1, features) || bad_input(length(values), " numbers do not fit ", features, " features")
        values
    end
    offset, scale = by_feature("offset", 0.0), by_feature("scale", 1.0)
    tensor(T.((Float64.(x) .- offset) .* scale))
end

function op_normalizer(inputs, node)
    x = Float64.(inputs[1])
    norm = node.attributes["norm"]
    # The standard divides by the largest, its reference implementation by the largest without its sign.
    norm == "MAX" && any(value -> value < 0, x) && unsupported("norm 'MAX' of negative features is not supported")
    sizes = norm == "MAX" ? maximum(abs, x; dims=1) : norm == "L1" ? sum(abs, x; dims=1) : sqrt.(sum(abs2, x; dims=1))
    tensor(score_type(node).(x ./ max.(sizes, 1e-30)))
end

refuse_norm(node) = node.attributes["norm"] in ("MAX", "L1", "L2") ? nothing : "norm $(node.attributes["norm"])"

function op_imputer(inputs, node)
    x = inputs[1]
    floats = listed(node, "imputed_value_floats")
    values = isempty(floats) ? listed(node, "imputed_value_int64s") : floats
    replaced = node.attributes[isempty(floats) ? "replaced_value_int64" : "replaced_value_float"]
    eltype(x) <: Integer && !isempty(floats) && bad_input("values with a fraction for whole numbers")
    length(values) in (1, size(x, 1)) || bad_input(length(values), " values do not fit ", size(x, 1), " features")
    is_missing(value) = isnan(replaced) ? isnan(value) : value == replaced
    tensor(ifelse.(is_missing.(x), eltype(x).(values), x))
end

op_binarizer(inputs, node) = map(value -> eltype(inputs[1])(value > node.attributes["threshold"]), inputs[1])

function op_array_feature_extractor(inputs, node)
    x, places = inputs[1], vec(inputs[2])
    features = size(x, 1)
    all(place -> 0 <= place < features, places) || bad_input("a place is outside of ", features, " features")
    columns = reshape(x, features, :)[places .+ 1, :]
    reshape(columns, length(places), (ndims(x) == 1 ? (1,) : Base.tail(size(x)))...)
end

function op_feature_vectorizer(inputs, node)
    sizes = listed(node, "inputdimensions")
    isempty(sizes) || length(sizes) == length(inputs) ||
        bad_input("there are ", length(inputs), " inputs and ", length(sizes), " sizes")
    T = score_type(node)
    parts = map(enumerate(inputs)) do (k, x)
        values = ndims(x) == 1 ? reshape(x, 1, :) : feature_matrix(x)
        wanted = isempty(sizes) ? size(values, 1) : sizes[k]
        kept = min(wanted, size(values, 1))
        [T.(values[1:kept, :]); zeros(T, wanted - kept, size(values, 2))]
    end
    all(part -> size(part, 2) == size(parts[1], 2), parts) || bad_input("the inputs differ in their number of samples")
    reduce(vcat, parts)
end
