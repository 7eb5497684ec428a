# Loop, Scan and If: nodes that run graphs. What they do to tensors are methods for the type of `how`, so that plain arrays and Flux
# share them: `compute(how, node, arguments)` runs a node of a body, `step_of(how, x, axis, place)` takes one step of a tensor
# along an axis, which goes, and `stack_steps(how, parts, axis)` is the other way round.

"""A body with what it captures, to be run by [`run_body`](@ref): values by slot, and which nodes run in each step."""
struct OpenBody
    body::Body
    values::Vector{Any}
    each::Vector{Int}
    fixed::Vector{Int}
end

"""
    open_body(body, inputs, how, constant=Int[], values=[])

`inputs` are those of the node that holds the body; `constant` inputs of the body (counted from 1) that do not change from step to
step, and `values` theirs. What depends on nothing else is computed here, once.
"""
function open_body(body::Body, inputs, how, constant=Int[], values=Any[])
    all = captured_values(body, inputs)
    all[body.input_slots[constant]] = values
    plan = split_body(body, vcat(body.captured_slots, body.input_slots[constant]))
    run_nodes!(all, body.nodes, plan.once, body.release, plan.fixed, how)
    OpenBody(body, all, plan.each, plan.fixed)
end

function captured_values(body::Body, inputs)
    values = Vector{Any}(nothing, length(body.names))
    values[body.captured_slots] = inputs[body.captured_at]
    values
end

"""
    run_body(opened, places, arguments, how)

One step: the body's outputs. `arguments` are for its inputs at `places`.
"""
function run_body(opened::OpenBody, places, arguments, how)
    body = opened.body
    values = copy(opened.values)
    values[body.input_slots[places]] = arguments
    run_nodes!(values, body.nodes, opened.each, body.release, (), how)
    values[body.output_slots]
end

function in_step(run, step)
    try
        run()
    catch error
        error isa ONNXError || rethrow()
        throw(ONNXError(error.kind, string("step ", step, ": ", error.message)))
    end
end

function condition_value(x)
    eltype(x) == Bool || bad_input("the condition is ", dtype_name(eltype(x)), ", not bool")
    single_value(x)
end

single_value(x) =
    length(x) == 1 ? first(x) : bad_input("a tensor of shape ", shape_text(onnx_shape(x)), " where one value is needed")

step_of(how, x::Array, axis::Int, place::Int) = collect(selectdim(x, ndims(x) - axis, place + 1))

# What the steps gave for one output, as one tensor. Where there was no step, the shape is as declared, what is not known being 0.
function gathered_steps(how, parts, axis, info::ValueInfo, precision)
    isempty(parts) && return no_steps(axis, info, precision)
    check_steps(parts, info)
    element_count((length(parts), onnx_shape(parts[1])...), "the output '$(info.name)' of all steps")
    stack_steps(how, parts, resolve_axis(axis, ndims(parts[1]) + 1))
end

function no_steps(axis, info, precision)
    sizes = Int[size isa Int ? size : 0 for size in something(info.shape, Int[])]
    T = get(dtype_types, something(info.dtype, "float32"), Float32)
    T = precision === Float64 && T <: AbstractFloat ? Float64 : T
    zeros(T, Tuple(reverse(insert!(sizes, resolve_axis(axis, length(sizes) + 1) + 1, 0))))
end

function check_steps(parts, info)
    for part in parts
        size(part) == size(parts[1]) && eltype(part) == eltype(parts[1]) || bad_input(
            "the output '", info.name, "' of the body has another shape or dtype from step to step: ",
            shape_text(onnx_shape(parts[1])), " and ", shape_text(onnx_shape(part))
        )
    end
end

function stack_steps(how, parts, axis::Int)
    first = parts[1]
    inner = extent(size(first)[1:(ndims(first) - axis)])
    outer = length(first) ÷ max(inner, 1)
    result = Array{eltype(first)}(undef, inner, length(parts), outer)
    for (k, part) in enumerate(parts)
        result[:, k, :] = reshape(part, inner, outer)
    end
    sizes = Int[size(first)...]
    reshape(result, Tuple(insert!(sizes, ndims(first) - axis + 1, length(parts))))
end

"""
    loop_over(inputs, node, how)

Loop: steps as long as a condition holds, at most as often as a number says.
"""
function loop_over(inputs, node, how)
    body = node.attributes["body"]
    own = inputs[1:length(node.inputs)]
    most = input(own, 1) === nothing ? typemax(Int) : Int(single_value(own[1]))
    going = input(own, 2) === nothing || condition_value(own[2])
    state = own[3:end]
    still, moved = still_and_moved(body, 2, 1, length(state))
    parts = [Any[] for _ in (length(state) + 2):length(body.outputs)]
    step = 0
    if going && most > 0
        opened = open_body(body, inputs, how, [2; 2 .+ still], Any[fill(true), state[still]...])
        refuse_endless(opened, input(own, 1))
    end
    while going && step < most
        results = in_step(step) do
            run_body(opened, [1; 2 .+ moved], Any[fill(Int64(step)), state[moved]...], how)
        end
        going = condition_value(results[1])
        state[moved] = results[1 .+ moved]
        step += 1
        for (k, part) in enumerate(parts)
            push!(part, results[1 + length(state) + k])
            info = body.outputs[1 + length(state) + k]
            element_count((step, size(part[end])...), "the output '$(info.name)' of all steps")
        end
    end
    collected = body.outputs[(length(state) + 2):end]
    vcat(state, Any[gathered_steps(how, part, 0, info, node.precision) for (part, info) in zip(parts, collected)])
end

# A state that the body hands on as it came is no state. States are the inputs and outputs after so many others.
function still_and_moved(body::Body, inputs_before, outputs_before, count)
    hands_on(k) = body.output_slots[outputs_before + k] == body.input_slots[inputs_before + k]
    filter(hands_on, 1:count), filter(k -> !hands_on(k), 1:count)
end

function refuse_endless(opened::OpenBody, most)
    condition = opened.body.output_slots[1]
    most === nothing && condition in opened.fixed && condition_value(opened.values[condition]) &&
        bad_input("the loop has no end: no number says how often it runs, and its condition is always true")
end

# Bodies whose inputs and outputs do not fit are refused when the file is read.
function check_loop(node)
    state = max(length(node.inputs) - 2, 0)
    body = node.attributes["body"]
    check_body_size(node, "body", length(body.inputs), 2 + state, "inputs"; exactly=true)
    check_body_size(node, "body", length(body.outputs), 1 + max(state, length(node.outputs)), "outputs")
end

function check_body_size(node, attribute, found, needed, what; exactly=false)
    found < needed || (exactly && found > needed) || return
    bad_input(
        node_title(node), ": its ", attribute, " has ", found, " ", what, " where ", exactly ? "" : "at least ", needed,
        " are needed"
    )
end

"""
    scan_over(inputs, node, how)

Scan: a step for each place along an axis of its inputs. Scan 8 does so for each sample of a batch, whose sequences may differ in
length.
"""
function scan_over(inputs, node, how)
    own = inputs[1:length(node.inputs)]
    node.since > 8 && return scan_sequence(inputs, own, node, how)
    given = own[2:end]
    samples = unique(ndims(x) > 0 ? size(x, ndims(x)) : -1 for x in given)
    length(samples) == 1 && samples[1] >= 0 || bad_input("the inputs differ in their number of samples")
    results = map(0:(samples[1] - 1)) do sample
        length = own[1] === nothing ? nothing : Int(single_value(step_of(how, own[1], 0, sample)))
        scan_sequence(inputs, Any[step_of(how, x, 0, sample) for x in given], node, how, length)
    end
    Any[stack_steps(how, [result[k] for result in results], 0) for k in eachindex(results[1])]
end

function scan_sequence(inputs, own, node, how, length_given=nothing)
    body = node.attributes["body"]
    scanned = node.attributes["num_scan_inputs"]
    states = length(own) - scanned
    collected = length(body.outputs) - states
    per(name, count) = something(node.attributes[name], zeros(Int, count))
    backward = per(node.since > 8 ? "scan_input_directions" : "directions", scanned)
    state, sequences = own[1:states], own[(states + 1):end]
    axes = [resolve_axis(axis, ndims(x)) for (x, axis) in zip(sequences, per("scan_input_axes", scanned))]
    lengths = unique(size(x, ndims(x) - axis) for (x, axis) in zip(sequences, axes))
    length(lengths) == 1 || bad_input("the sequences differ in length: ", join(lengths, ", "))
    steps = something(length_given, lengths[1])
    0 <= steps <= lengths[1] || bad_input("a sequence of length ", lengths[1], " is said to have ", steps)
    still, moved = still_and_moved(body, 0, 0, states)
    parts = [Any[] for _ in 1:collected]
    opened = steps > 0 ? open_body(body, inputs, how, still, state[still]) : nothing
    for step in 0:(steps - 1)
        now = Any[
            step_of(how, x, axis, back == 1 ? steps - 1 - step : step) for (x, axis, back) in zip(sequences, axes, backward)
        ]
        results = in_step(step) do
            run_body(opened, [moved; states .+ (1:scanned)], Any[state[moved]..., now...], how)
        end
        state[moved] = results[moved]
        foreach((part, result) -> push!(part, result), parts, results[(states + 1):end])
    end
    turned = per("scan_output_directions", collected)
    foreach((part, turn) -> turn == 1 && reverse!(part), parts, turned)
    # A sequence that ends early is zero from there on.
    foreach(part -> append!(part, fill(zero(part[1]), steps > 0 ? lengths[1] - steps : 0)), filter(!isempty, parts))
    infos = body.outputs[(states + 1):end]
    vcat(state, Any[
        gathered_steps(how, part, axis, info, node.precision)
        for (part, axis, info) in zip(parts, per("scan_output_axes", collected), infos)
    ])
end

function check_scan(node)
    body = node.attributes["body"]
    own = length(node.inputs) - (node.since == 8)
    scanned = node.attributes["num_scan_inputs"]
    states = own - scanned
    own >= 1 && scanned >= 1 && states >= 0 ||
        bad_input(node_title(node), ": it has ", own, " inputs, of which ", scanned, " are scanned")
    node.since > 8 && node.attributes["directions"] !== nothing &&
        bad_input(node_title(node), ": 'directions' is of opset 8")
    check_body_size(node, "body", length(body.inputs), own, "inputs"; exactly=true)
    check_body_size(node, "body", length(body.outputs), max(states, length(node.outputs)), "outputs")
    collected = length(body.outputs) - states
    counts = (
        "directions" => scanned, "scan_input_directions" => scanned, "scan_input_axes" => scanned,
        "scan_output_directions" => collected, "scan_output_axes" => collected
    )
    for (name, count) in counts
        given = node.attributes[name]
        given === nothing || length(given) == count || bad_input(
            node_title(node), ": attribute '", name, "' has ", length(given), " entries where ", count, " are needed"
        )
    end
end

"""
    choose_branch(inputs, node, how)

If: one of two graphs.
"""
function choose_branch(inputs, node, how)
    branch = node.attributes[condition_value(inputs[1]) ? "then_branch" : "else_branch"]
    values = captured_values(branch, inputs)
    run_nodes!(values, branch.nodes, eachindex(branch.nodes), branch.release, (), how)[branch.output_slots]
end

function check_if(node)
    for attribute in ("then_branch", "else_branch")
        branch = node.attributes[attribute]
        check_body_size(node, attribute, length(branch.inputs), 0, "inputs"; exactly=true)
        check_body_size(node, attribute, length(branch.outputs), length(node.outputs), "outputs"; exactly=true)
    end
end

"""A table entry: `run` is [`loop_over`](@ref), [`scan_over`](@ref) or [`choose_branch`](@ref)."""
on_plain_arrays(run) = (inputs, node) -> run(inputs, node, PlainSteps())
