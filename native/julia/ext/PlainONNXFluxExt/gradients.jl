# The way back through a node: forward_and_back(config, node, inputs) gives its tensors, and a function from the cotangents of
# these (one each, zero where nothing depends on it) to those of its inputs.

function forward_and_back(config, call::Differentiable, node, training, inputs)
    if !fits_nnlib(inputs)
        return forward_and_back(config, OneWay(call.plain), node, training, inputs)
    end
    y, back = rrule_via_ad(config, call.run, node, training, inputs...)
    several = !(y isa AbstractArray{<:Number})
    # The operator itself, the node and the flag have no cotangents.
    as_outputs(y), cotangents -> back(several ? Tangent{typeof(y)}(cotangents...) : first(cotangents))[4:end]
end

as_outputs(y::Union{AbstractArray{<:Union{Number,String}},PlainONNX.Other}) = (y,)
as_outputs(y::Number) = (fill(y),)
as_outputs(y) = Tuple(y)

plain_outputs(call, node, inputs) = map(as_array, as_outputs(call.plain(inputs, node)))

as_array(y::Array) = y
as_array(y) = PlainONNX.dense(y)

no_cotangents(inputs) = Any[NoTangent() for _ in inputs]
with_first(cotangent, inputs) = pushfirst!(no_cotangents(inputs[2:end]), cotangent)

function forward_and_back(config, call::Constant, node, training, inputs)
    plain_outputs(call, node, inputs), _ -> no_cotangents(inputs)
end

function forward_and_back(config, call::OneWay, node, training, inputs)
    back(cotangents) = unsupported(
        "operator ", node.operator, " (opset ", node.opset, ", node ", node.label, ") has no gradient in julia/flux"
    )
    plain_outputs(call, node, inputs), back
end

function forward_and_back(config, call::Reshaping, node, training, inputs)
    x = first(inputs)
    back(cotangents) = with_first(reshape(first(cotangents), size(x)), inputs)
    plain_outputs(call, node, inputs), back
end

function forward_and_back(config, call::Casting, node, training, inputs)
    x = first(inputs)
    back(cotangents) = with_first(cotangent_like(x, first(cotangents)), inputs)
    plain_outputs(call, node, inputs), back
end

cotangent_like(x::Array{T}, cotangent) where {T<:AbstractFloat} = T.(cotangent)
cotangent_like(x, cotangent) = NoTangent()

# Where each value came from is found by moving the places instead of the values. A 0 is no place: it is padding.
function forward_and_back(config, call::Moving, node, training, inputs)
    moved = isempty(call.moved) ? collect(1:length(inputs)) : call.moved
    outputs = plain_outputs(call, node, inputs)
    function back(cotangents)
        starts = cumsum([0; [length(inputs[k]) for k in moved]])
        places = copy(inputs)
        for (at, k) in enumerate(moved)
            places[k] = reshape(collect(Int64, (starts[at] + 1):starts[at + 1]), size(inputs[k]))
        end
        if node.operator == "Pad" && length(places) > 2 && places[3] !== nothing
            places[3] = zeros(Int64, size(places[3]))
        end
        gathered = zeros(eltype(first(outputs)), starts[end])
        for (origin, cotangent) in zip(as_outputs(call.plain(places, plain_padding(node))), cotangents)
            cotangent isa AbstractZero || add_to_places!(gathered, origin, cotangent)
        end
        found = Any[NoTangent() for _ in inputs]
        for (at, k) in enumerate(moved)
            found[k] = reshape(gathered[(starts[at] + 1):starts[at + 1]], size(inputs[k]))
        end
        found
    end
    outputs, back
end

# Before opset 11 the value to pad with is an attribute.
function plain_padding(node)
    get(node.attributes, "value", 0) isa Real && get(node.attributes, "value", 0) != 0 || return node
    blank = deepcopy(node)
    blank.attributes["value"] = 0
    blank
end

function add_to_places!(gathered, origin, cotangent)
    for (place, value) in zip(origin, cotangent)
        place > 0 && (gathered[place] += value)
    end
end
