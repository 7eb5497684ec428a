# Convolutions of one input that stand beside each other in a body, as exporters write the gates of a recurrent layer, as one: NNlib
# copies every window of its input into a matrix, which is most of the work where there are few filters.

"""Convolutions of the same input, without bias: `inputs` are that input, all weights joined, and the weights one by one."""
struct JoinedConvolutions <: FluxOperator
    plain::Any
end

# Filters are the last dimension of a weight, channels the last but one of a tensor.
function filter_ranges(weights)
    ends = cumsum([size(weight, ndims(weight)) for weight in weights])
    [(last - size(weight, ndims(weight)) + 1):last for (last, weight) in zip(ends, weights)]
end

parts_of_channels(y, ranges) = Any[collect(selectdim(y, ndims(y) - 1, range)) for range in ranges]

joined_fit(x, weight) = 3 <= ndims(x) <= 5 && fits_nnlib((x, weight))

function (call::JoinedConvolutions)(inputs::Vector{Any}, node, training)
    x, joined, weights = inputs[1], inputs[2], inputs[3:end]
    joined_fit(x, joined) || return Any[call.plain(Any[x, weight], node) for weight in weights]
    parts_of_channels(conv(x, joined, convolution_dims(node, x, joined, nothing)), filter_ranges(weights))
end

function forward_and_back(config, call::JoinedConvolutions, node, training, inputs)
    x, joined, weights = inputs[1], inputs[2], inputs[3:end]
    joined_fit(x, joined) || return forward_and_back(config, OneWay(call.plain), node, training, inputs)
    dims = convolution_dims(node, x, joined, nothing)
    y = conv(x, joined, dims)
    ranges = filter_ranges(weights)
    function back(cotangents)
        arriving = zero(y)
        for (range, cotangent) in zip(ranges, cotangents)
            cotangent isa AbstractZero || (selectdim(arriving, ndims(y) - 1, range) .= unthunk(cotangent))
        end
        gradients = Any[NNlib.∇conv_data(arriving, joined, dims), NNlib.∇conv_filter(x, arriving, dims)]
        append!(gradients, (NoTangent() for _ in weights))
    end
    parts_of_channels(y, ranges), back
end

# The same graph with the convolutions of its bodies joined.
join_convolutions(graph::Graph) = Graph(
    (field == :nodes ? map(join_convolutions, graph.nodes) : getfield(graph, field) for field in fieldnames(Graph))...
)

function join_convolutions(node::Node)
    node.operator in ("Loop", "Scan") || return node
    body = join_in_body(node.attributes["body"], fixed_slots(node))
    Node(
        node.name, node.operator, node.label, node.inputs, node.outputs, merge(node.attributes, Dict{String,Any}("body" => body)),
        node.since, node.opset, node.precision, node.run, node.input_slots, node.output_slots, node.captured
    )
end

# What does not change from step to step in the body of a node.
function fixed_slots(node::Node)
    body = node.attributes["body"]
    before, count = node.operator == "Loop" ? (2, length(node.inputs) - 2) : (0, length(body.inputs) - node.attributes["num_scan_inputs"])
    still, _ = PlainONNX.still_and_moved(body, before, node.operator == "Loop" ? 1 : 0, max(count, 0))
    PlainONNX.split_body(body, vcat(body.captured_slots, body.input_slots[before .+ still])).fixed
end

function join_in_body(body::Body, fixed)
    groups = Dict{Any,Vector{Int}}()
    for (k, node) in enumerate(body.nodes)
        joinable(node, fixed) && push!(get!(() -> Int[], groups, (node.input_slots[1], node.attributes)), k)
    end
    siblings = sort!([group for group in values(groups) if length(group) > 1])
    isempty(siblings) && return body
    # What is computed once comes first, and with it the joined weights.
    once = PlainONNX.split_body(body, vcat(body.captured_slots, intersect(body.input_slots, fixed))).once
    names, nodes, joined = copy(body.names), body.nodes[once], Dict{Int,Node}()
    for group in siblings
        push!(names, string("weights of ", join((body.nodes[k].label for k in group), ", ")))
        push!(nodes, joined_weights(body.nodes[group], length(names), names[end]))
        joined[group[1]] = joined_convolutions(body.nodes[group], length(names), names[end])
    end
    left_out = Set(k for group in siblings for k in group)
    for k in setdiff(eachindex(body.nodes), once)
        haskey(joined, k) ? push!(nodes, joined[k]) : k in left_out || push!(nodes, body.nodes[k])
    end
    Body(
        body.inputs, body.outputs, names, nodes, body.input_slots, body.output_slots, body.captured, body.captured_slots,
        body.captured_at, PlainONNX.release_plan(nodes, length(names), 0, body.output_slots)
    )
end

joinable(node, fixed) =
    node.operator == "Conv" && node.attributes["group"] == 1 && length(filter(>(0), node.input_slots)) == 2 &&
    node.input_slots[2] in fixed && !(node.input_slots[1] in fixed)

function joined_weights(siblings, slot, name)
    first = siblings[1]
    node = Node(
        "", "Concat", first.label, [sibling.inputs[2] for sibling in siblings], [name], Dict{String,Any}("axis" => 0), 13,
        first.opset, first.precision, flux_operator("Concat", PlainONNX.op_concat)
    )
    append!(node.input_slots, (sibling.input_slots[2] for sibling in siblings))
    push!(node.output_slots, slot)
    node
end

function joined_convolutions(siblings, slot, name)
    first = siblings[1]
    node = Node(
        first.name, "Conv", first.label, [first.inputs[1]; name; [sibling.inputs[2] for sibling in siblings]],
        [sibling.outputs[1] for sibling in siblings], first.attributes, first.since, first.opset, first.precision,
        JoinedConvolutions(first.run.plain)
    )
    append!(node.input_slots, [first.input_slots[1]; slot; [sibling.input_slots[2] for sibling in siblings]])
    append!(node.output_slots, (sibling.output_slots[1] for sibling in siblings))
    node
end
