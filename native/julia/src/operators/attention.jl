# Attention, RotaryEmbedding and SwiGLU, put together from other operators, see compose.jl.

# softmax(Q K' / sqrt(size)) V for each head. Q, K and V are (sample, head, step, size), or (sample, step, heads x size) where the
# attributes count the heads. Opset 24 adds how many keys of each sample count, 25 windows.
function build_attention(op, inputs, node)
    attributes = node.attributes
    mask, past_key, past_value, counts = (input(inputs, position) for position in 4:7)
    flat = ndims(inputs[1]) == 3
    query, key, value = attention_heads(op, inputs[1:3], attributes)
    (past_key === nothing) == (past_value === nothing) || bad_input("past_key and past_value come together")
    counts === nothing || past_key === nothing || bad_input("nonpad_kv_seqlen does not go with past_key")
    cached = past_key === nothing ? 0 : onnx_shape(past_key)[3]
    keys = past_key === nothing ? key : op("Concat", past_key, key; axis=2)
    values = past_value === nothing ? value : op("Concat", past_value, value; axis=2)
    shape = onnx_shape(query)
    scale = number_like(sqrt(something(attributes["scale"], 1 / sqrt(shape[4]))), query)
    turned = op("Transpose", repeat_heads(op, keys, shape[2]); perm=[0, 1, 3, 2])
    scores = op("MatMul", op("Mul", query, scale), op("Mul", turned, scale))
    shown = Any[scores]
    if attributes["softcap"] > 0
        cap = number_like(attributes["softcap"], query)
        scores = op("Mul", op("Tanh", op("Div", scores, cap)), cap)
    end
    push!(shown, scores)
    bias = attention_bias(op, mask, query, onnx_shape(keys)[3], cached, counts, attributes)
    # A query that sees no key gives zeros.
    hidden = bias === nothing ? nothing :
        op("Equal", op("ReduceMax", bias, whole_numbers(-1)), number_like(-Inf, query))
    bias === nothing || (scores = op("Add", scores, bias))
    push!(shown, scores)
    hidden === nothing || (scores = op("Where", hidden, number_like(0, query), scores))
    wide = attributes["softmax_precision"]
    as_type(x, code) = wide === nothing || node.precision === Float64 ? x : op("Cast", x; to=code)
    own = dtype_code(eltype(query))
    weights = as_type(op("Softmax", as_type(scores, wide); axis=-1), own)
    hidden === nothing || (weights = op("Where", hidden, number_like(0, query), weights))
    push!(shown, weights)
    result = op("MatMul", weights, repeat_heads(op, values, shape[2]))
    if flat
        result = op("Transpose", result; perm=[0, 2, 1, 3])
        result = reshaped(op, result, [shape[1], shape[3], shape[2] * onnx_shape(values)[4]])
    end
    (result, keys, values, shown[attributes["qk_matmul_output_mode"] + 1])
end

function refuse_attention(node)
    attributes = node.attributes
    mode = attributes["qk_matmul_output_mode"]
    mode in 0:3 || return "qk_matmul_output_mode $mode"
    min(attributes["left_window_size"], attributes["right_window_size"]) < -1 && return "a window of negative size"
    wide = attributes["softmax_precision"]
    wide === nothing || wide in (1, 10, 11, 16) ? nothing : "softmax_precision $wide"
end

# Q, K and V as (sample, head, step, size).
function attention_heads(op, parts, attributes)
    ranks = map(ndims, parts)
    length(unique(ranks)) == 1 && ranks[1] in 3:4 || bad_input("Q, K and V have ranks ", join(ranks, ", "))
    ranks[1] == 4 && return parts
    map(parts, (attributes["q_num_heads"], attributes["kv_num_heads"], attributes["kv_num_heads"])) do x, heads
        shape = onnx_shape(x)
        heads !== nothing && heads >= 1 && shape[3] % heads == 0 || bad_input(
            "shape ", shape_text(shape), " does not make ", something(heads, "an unknown number of"), " heads"
        )
        split = reshaped(op, x, [shape[1], shape[2], heads, shape[3] ÷ heads])
        op("Transpose", split; perm=[0, 2, 1, 3])
    end
end

# Each head of keys or values for several heads of queries.
function repeat_heads(op, x, heads)
    own = onnx_shape(x)[2]
    own == heads && return x
    own >= 1 && heads % own == 0 || bad_input(heads, " heads of queries do not share ", own, " heads of keys")
    op("Gather", x, whole_numbers(repeat(0:(own - 1); inner=heads ÷ own)); axis=1)
end

# What is added to the scores (..., query, key): minus infinity where a query does not see a key; nothing where all see all.
function attention_bias(op, mask, query, keys, cached, counts, attributes)
    zero_, hidden = number_like(0, query), number_like(-Inf, query)
    if mask !== nothing
        short = keys - size(mask, 1)
        if short > 0
            filling = fill(mask isa Array{Bool} ? false : eltype(mask)(-Inf), short, size(mask)[2:end]...)
            mask = op("Concat", mask, filling; axis=ndims(mask) - 1)
        end
        mask isa Array{Bool} && (mask = op("Where", mask, zero_, hidden))
    end
    seen = visible_keys(attributes, onnx_shape(query)[3], keys, cached, counts)
    seen === nothing && return mask
    own = Array(ifelse.(seen, zero_[], hidden[]))
    mask === nothing ? own : op("Add", mask, own)
end

# Which keys each query sees by order, windows and the number of keys of its sample, as the Array of a mask; nothing for all.
function visible_keys(attributes, queries, keys, cached, counts)
    left, right = attributes["left_window_size"], attributes["right_window_size"]
    causal = attributes["is_causal"] != 0
    causal || left >= 0 || right >= 0 || counts !== nothing || return nothing
    function sees(key, query, before, count)
        place = query + before
        key < count && (!causal || key <= place) && (left < 0 || key >= place - left) && (right < 0 || key <= place + right)
    end
    counts === nothing && return [sees(key, query, cached, keys) for key in 0:(keys - 1), query in 0:(queries - 1)]
    [
        sees(key, query, count - queries, count)
        for key in 0:(keys - 1), query in 0:(queries - 1), one in 1:1, count in Int.(vec(counts))
    ]
end

# Pairs of features turned by an angle that grows with their position.
function build_rotary_embedding(op, inputs, node)
    x, attributes = inputs[1], node.attributes
    stated = onnx_shape(x)
    if length(stated) == 4
        x = op("Transpose", x; perm=[0, 2, 1, 3])
    elseif length(stated) == 3
        heads = attributes["num_heads"]
        heads !== nothing && heads >= 1 && stated[3] % heads == 0 || bad_input("num_heads does not divide ", stated[3])
        x = reshaped(op, x, [stated[1], stated[2], heads, stated[3] ÷ heads])
    else
        bad_input("the input has rank ", length(stated), ", not 3 or 4")
    end
    shape = onnx_shape(x)
    turned = attributes["rotary_embedding_dim"] == 0 ? shape[4] : attributes["rotary_embedding_dim"]
    0 <= turned <= shape[4] && turned % 2 == 0 || bad_input("rotary_embedding_dim ", turned, " of ", shape[4], " features")
    half = turned ÷ 2
    positions = input(inputs, 4)
    cosines, sines = map(inputs[2:3]) do values
        values = positions === nothing ? values : op("Gather", values, positions; axis=0)
        found = onnx_shape(values)
        length(found) == 3 && found[3] == half || bad_input("a cache has shape ", shape_text(found), " for ", half, " angles")
        op("Unsqueeze", values, whole_numbers(2))
    end
    interleaved = attributes["interleaved"] != 0
    rotated = part_of_axis(op, x, 3, 0, turned)
    a, b = interleaved ? (part_of_axis(op, rotated, 3, 0, turned, 2), part_of_axis(op, rotated, 3, 1, turned, 2)) :
        (part_of_axis(op, rotated, 3, 0, half), part_of_axis(op, rotated, 3, half, turned))
    real_part = op("Sub", op("Mul", cosines, a), op("Mul", sines, b))
    other = op("Add", op("Mul", sines, a), op("Mul", cosines, b))
    if interleaved
        both = op("Concat", op("Unsqueeze", real_part, whole_numbers(4)), op("Unsqueeze", other, whole_numbers(4)); axis=4)
        rotated = reshaped(op, both, [shape[1:3]; turned])
    else
        rotated = op("Concat", real_part, other; axis=3)
    end
    turned < shape[4] && (rotated = op("Concat", rotated, part_of_axis(op, x, 3, turned, shape[4]); axis=3))
    length(stated) == 4 ? op("Transpose", rotated; perm=[0, 2, 1, 3]) : reshaped(op, rotated, stated)
end

function build_swiglu(op, inputs, node)
    size(inputs[1]) == size(inputs[2]) || bad_input("the inputs differ in shape")
    op("Mul", op("Swish", inputs[1]; alpha=node.attributes["alpha"]), inputs[2])
end
