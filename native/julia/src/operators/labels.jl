# Labels and categories of ai.onnx.ml: values looked up by key.

# Keys that are equal are one: 0 and -0, and what is no number.
as_key(x::AbstractFloat) = isnan(x) ? NaN : Float64(x) + 0.0
as_key(x) = x

# What each value of `x` is looked up to be; of equal keys the first counts.
function looked_up(x::Array, keys, values, default)
    table = Dict{Any,eltype(values)}()
    for (key, value) in zip(keys, values)
        get!(table, as_key(key), value)
    end
    map(value -> get(table, as_key(value), default), x)
end

function op_label_encoder(inputs, node)
    x = inputs[1]
    node.since < 2 && return numbered_classes(x, node)
    keys, values = coded(node, "keys"), coded(node, "values")
    length(keys) == length(values) || bad_input("there are ", length(keys), " keys and ", length(values), " values")
    (eltype(keys) === String) == (eltype(x) === String) ||
        bad_input("the keys are ", dtype_name(eltype(keys)), " where the input is ", dtype_name(eltype(x)))
    # What is no number is a key like others from opset 4 on.
    if node.since < 4 && eltype(keys) <: AbstractFloat
        known = findall(!isnan, keys)
        keys, values = keys[known], values[known]
    end
    looked_up(x, keys, values, default_label(node, eltype(values)))
end

# Opset 1: texts as their places, counted from 0, and places as texts.
function numbered_classes(x, node)
    classes = listed(node, "classes_strings")
    numbers = Int64[k - 1 for k in 1:length(classes)]
    eltype(x) === String ? looked_up(x, classes, numbers, Int64(node.attributes["default_int64"])) :
        looked_up(x, numbers, collect(String, classes), node.attributes["default_string"])
end

function default_label(node, ::Type{T}) where {T}
    stated = node.attributes["default_tensor"]
    stated === nothing || return convert(T, only_value(stated, "the default"))
    T === String && return node.attributes["default_string"]
    convert(T, node.attributes[T <: Integer ? "default_int64" : "default_float"])
end

# Keys or values, from the attribute that holds some.
function coded(node, what)
    stored = node.attributes["$(what)_tensor"]
    stored === nothing || return vec(stored)
    texts, whole, floats = (listed(node, "$(what)_$kind") for kind in ("strings", "int64s", "floats"))
    isempty(texts) || return collect(String, texts)
    isempty(whole) || return collect(Int64, whole)
    isempty(floats) && bad_input("the ", what, " are missing")
    as_stored(Float32.(floats), node)
end

function op_category_mapper(inputs, node)
    x = inputs[1]
    texts, numbers = node.attributes["cats_strings"], Int64.(node.attributes["cats_int64s"])
    eltype(x) === String ? looked_up(x, texts, numbers, Int64(node.attributes["default_int64"])) :
        looked_up(x, numbers, texts, node.attributes["default_string"])
end

function op_one_hot_encoder(inputs, node)
    x = inputs[1]
    categories = eltype(x) === String ? listed(node, "cats_strings") : listed(node, "cats_int64s")
    count = length(categories)
    places = looked_up(eltype(x) <: AbstractFloat ? trunc.(x) : x, categories, collect(1:count), 0)
    any(iszero, places) && node.attributes["zeros"] == 0 && bad_input("a value is none of the categories")
    rows = zeros(score_type(node), count, size(x)...)
    for (sample, place) in enumerate(places)
        place == 0 || (rows[place, CartesianIndices(places)[sample]] = 1)
    end
    rows
end
