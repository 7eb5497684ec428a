# LSTM, GRU and RNN. A state is a matrix of features x samples.

"""
A kind of cell: how many gates and states it has, its activations where the file names none, and `step(z, states, given)`, which
turns a step's share of the inputs and the states into new states. `given` see [`CellParameters`](@ref).
"""
struct RecurrentCell
    gates::Int
    states::Int
    activations::Vector{String}
    step::Any
end

"""
The parameters of one direction: weights of the inputs and the states (rows are gates x features), biases of the inputs (with
what does not change from step to step) and of the hidden gate's state, peepholes, and the activations as functions. `flag` is
`input_forget` of an LSTM, `linear_before_reset` of a GRU; without it a GRU has `r` in two parts, the last that of the hidden gate.
"""
struct CellParameters
    features::Int
    w::Any
    r::Any
    bias::Any
    hidden_bias::Any
    peepholes::Any
    activations::Any
    flag::Bool
end

# The rows of some gates, counted from 0.
gate_rows(x, given, from, count=1) = x[(from * given.features + 1):((from + count) * given.features), :]

# Gates stand in the order input, output, forget, cell; with the flag the forget gate is 1 - input.
function lstm_step(z, states, given)
    f, g, h = given.activations
    z = z .+ given.r * states[1]
    cell = states[2]
    peep(gate, place) = given.peepholes === nothing ? gate : gate .+ cell .* given.peepholes[place]
    input = f(peep(gate_rows(z, given, 0), 1))
    forget = given.flag ? 1 .- input : f(peep(gate_rows(z, given, 2), 3))
    cell = forget .* cell .+ input .* g(gate_rows(z, given, 3))
    output = gate_rows(z, given, 1)
    output = f(given.peepholes === nothing ? output : output .+ cell .* given.peepholes[2])
    (output .* h(cell), cell)
end

# Gates stand in the order update, reset, hidden; with the flag the state is multiplied before it is reset.
function gru_step(z, states, given)
    f, g = given.activations
    hidden = states[1]
    if given.flag
        recurrent = given.r * hidden
        open = f(gate_rows(z, given, 0, 2) .+ gate_rows(recurrent, given, 0, 2))
        candidate = gate_rows(recurrent, given, 2)
        candidate = given.hidden_bias === nothing ? candidate : candidate .+ given.hidden_bias
        candidate = gate_rows(open, given, 1) .* candidate
    else
        open = f(gate_rows(z, given, 0, 2) .+ given.r[1] * hidden)
        candidate = given.r[2] * (gate_rows(open, given, 1) .* hidden)
    end
    update = gate_rows(open, given, 0)
    candidate = g(gate_rows(z, given, 2) .+ candidate)
    ((1 .- update) .* candidate .+ update .* hidden,)
end

rnn_step(z, states, given) = (given.activations[1](z .+ given.r * states[1]),)

const recurrent_cells = Dict{String,RecurrentCell}(
    "LSTM" => RecurrentCell(4, 2, ["Sigmoid", "Tanh", "Tanh"], lstm_step),
    "GRU" => RecurrentCell(3, 1, ["Sigmoid", "Tanh"], gru_step),
    "RNN" => RecurrentCell(1, 1, ["Tanh"], rnn_step),
)

# How many of alpha and beta an activation takes, and what they are where they are not given; nothing where they must be.
const activation_numbers = Dict{String,Vector{Union{Nothing,Float64}}}(
    "Relu" => [], "Tanh" => [], "Sigmoid" => [], "Softsign" => [], "Softplus" => [], "LeakyRelu" => [0.01],
    "ThresholdedRelu" => [1.0], "Elu" => [1.0], "HardSigmoid" => [0.2, 0.5], "Affine" => [nothing, nothing],
    "ScaledTanh" => [nothing, nothing],
)

# Files write names in any case.
const activations_in_lowercase = Dict(lowercase(name) => name for name in keys(activation_numbers))

affine(x, alpha, beta) = alpha * x + beta
scaled_tanh(x, alpha, beta) = alpha * tanh(beta * x)

# A function of arrays, its numbers in their dtype.
over_array(f) = (x, numbers...) -> f.(x, map(eltype(x), numbers)...)

const recurrent_activations = Dict{String,Any}(
    name => over_array(f) for (name, f) in (
        "Relu" => relu, "Tanh" => tanh, "Sigmoid" => sigmoid, "Softsign" => softsign, "Softplus" => softplus,
        "LeakyRelu" => leaky_relu, "ThresholdedRelu" => thresholded_relu, "Elu" => elu, "HardSigmoid" => hard_sigmoid,
        "Affine" => affine, "ScaledTanh" => scaled_tanh
    )
)

directions_of(node) = node.attributes["direction"] == "bidirectional" ? 2 : 1

# The names of the activations as this package writes them (`nothing` for one that it does not know), and as the file does.
function activation_names(node)
    defaults = recurrent_cells[node.operator].activations
    needed = length(defaults) * directions_of(node)
    stated = something(node.attributes["activations"], repeat(defaults, directions_of(node)))
    # A file may state those of two directions where it has one.
    stated = stated[1:min(needed, length(stated))]
    [get(activations_in_lowercase, lowercase(name), nothing) for name in stated], stated, needed
end

function refuse_recurrent(node)
    direction = node.attributes["direction"]
    direction in ("forward", "reverse", "bidirectional") || return "direction '$direction'"
    names, stated, needed = activation_names(node)
    unknown = findfirst(isnothing, names)
    unknown === nothing || return "activation '$(stated[unknown])'"
    length(names) == needed || return "$(length(names)) activations where $needed are needed"
    for (which, attribute) in enumerate(("activation_alpha", "activation_beta"))
        values = something(node.attributes[attribute], Float64[])
        takes = [length(activation_numbers[name]) >= which for name in names]
        length(values) in (0, count(takes), length(names)) ||
            return "another number of alphas or betas than of activations that take them"
        # One for each activation, and one for each that takes it: where the two readings differ nothing tells which is meant.
        length(values) > count(takes) && values[1:count(takes)] != values[takes] &&
            return "a list of alphas or betas that is longer than the activations that take them"
        wanting = findfirst(name -> nothing in activation_numbers[name], names)
        wanting === nothing || !isempty(values) || return "activation '$(names[wanting])' without alpha and beta"
    end
    nothing
end

# The activations as functions of a state, which is clipped before. The cell of LSTM is not, before its activation h: the standard's
# "input of activations" may mean it, but onnxruntime, which files were tried with, leaves it as it is.
function activation_functions(node)
    names, = activation_names(node)
    each = length(recurrent_cells[node.operator].activations)
    taken = [0, 0]
    limit = node.attributes["clip"]
    map(enumerate(names)) do (k, name)
        numbers = copy(activation_numbers[name])
        for (which, attribute) in enumerate(("activation_alpha", "activation_beta")[1:length(numbers)])
            taken[which] += 1
            values = something(node.attributes[attribute], Float64[])
            isempty(values) || (numbers[which] = values[taken[which]])
        end
        f = recurrent_activations[name]
        clips = limit !== nothing && limit > 0 && mod1(k, each) < 3
        x -> f(clips ? clamp.(x, eltype(x)(-limit), eltype(x)(limit)) : x, numbers...)
    end
end

"""
    run_recurrent(inputs, node)

LSTM, GRU or RNN. Inputs in ONNX's order of axes: X (time, sample, feature), W (direction, gates x hidden, feature), R (direction,
gates x hidden, hidden), B, the lengths of the sequences, initial states, and peepholes of LSTM. Returns Y (time, direction, sample,
hidden) and the last states (direction, sample, hidden); with layout 1 samples come first.
"""
function run_recurrent(inputs, node)
    cell = recurrent_cells[node.operator]
    samples_first = node.attributes["layout"] == 1
    x = samples_first ? permutedims(inputs[1], (1, 3, 2)) : inputs[1]
    features = recurrent_features(x, inputs, node, cell, samples_first)
    active = active_steps(input(inputs, 5), size(x, 2), size(x, 3))
    functions = activation_functions(node)
    each = length(cell.activations)
    initial = map(1:cell.states) do k
        given = input(inputs, 5 + k)
        given === nothing || !samples_first ? given : permutedims(given, (1, 3, 2))
    end
    found = map(1:directions_of(node)) do direction
        given = cell_parameters(inputs, node, cell, features, direction, functions[((direction - 1) * each + 1):(direction * each)])
        backward = direction == 2 || node.attributes["direction"] == "reverse"
        states = Tuple(start === nothing ? zero_state(x, features) : start[:, :, direction] for start in initial)
        run_direction(x, cell, given, states, active, backward)
    end
    y = joined_directions([reshape(one[1], features, size(x, 2), 1, size(x, 3)) for one in found])
    last_states = map(1:cell.states) do k
        joined_directions([reshape(one[2][k], features, size(x, 2), 1) for one in found])
    end
    samples_first || return (y, last_states...)
    (permutedims(y, (1, 3, 4, 2)), map(state -> permutedims(state, (1, 3, 2)), last_states)...)
end

joined_directions(parts) = length(parts) == 1 ? parts[1] : cat(parts...; dims=3)

zero_state(x, features) = zeros(eltype(x), features, size(x, 2))

# One product for all inputs of the sequence, then step after step.
function run_direction(x, cell, given, states, active, backward)
    count = size(x, 3)
    z = given.w * reshape(x, size(x, 1), :)
    z = given.bias === nothing ? z : z .+ given.bias
    z = reshape(z, size(z, 1), size(x, 2), count)
    shown = Array{eltype(x)}(undef, given.features, size(x, 2), count)
    for step in (backward ? (count:-1:1) : (1:count))
        new = cell.step(z[:, :, step], states, given)
        here = active[:, step]
        if all(here)
            shown[:, :, step] = new[1]
        else
            # A sequence that has ended keeps its states, and shows zeros.
            mask = reshape(here, 1, :)
            shown[:, :, step] = ifelse.(mask, new[1], zero(eltype(x)))
            new = map((after, before) -> ifelse.(mask, after, before), new, states)
        end
        states = new
    end
    shown, states
end

# Weights and biases of one direction. What does not change from step to step is added to the product of the inputs.
function cell_parameters(inputs, node, cell, features, direction, functions)
    gru = node.operator == "GRU"
    flag = get(node.attributes, gru ? "linear_before_reset" : "input_forget", 0) != 0
    own(position) = (given = input(inputs, position); given === nothing ? nothing : given[:, direction])
    w, r = permutedims(inputs[2][:, :, direction]), permutedims(inputs[3][:, :, direction])
    gates = cell.gates * features
    bias = own(4)
    hidden_bias = nothing
    if bias !== nothing
        of_input, of_state = bias[1:gates], bias[(gates + 1):(2 * gates)]
        if gru && flag
            hidden_bias = of_state[(2 * features + 1):gates]
            of_state = vcat(of_state[1:(2 * features)], zero(hidden_bias))
        end
        bias = of_input .+ of_state
    end
    peepholes = node.operator == "LSTM" ? own(8) : nothing
    peepholes === nothing || (peepholes = [peepholes[((k - 1) * features + 1):(k * features)] for k in 1:3])
    split = gru && !flag
    CellParameters(
        features, w, split ? (r[1:(2 * features), :], r[(2 * features + 1):end, :]) : r, bias, hidden_bias, peepholes, functions, flag
    )
end

# How many features a state has; everything else has to fit.
function recurrent_features(x, inputs, node, cell, samples_first)
    shape = onnx_shape(inputs[1])
    length(shape) == 3 && size(x, 3) >= 1 || bad_input("X has shape ", shape_text(shape), "; it needs 3 axes and a step")
    weights, directions = onnx_shape(inputs[3]), directions_of(node)
    features = length(weights) == 3 ? weights[3] : -1
    declared = node.attributes["hidden_size"]
    declared === nothing || declared == features ||
        bad_input("hidden_size is ", declared, ", but R has shape ", shape_text(weights))
    function fits(position, expected, name)
        given = input(inputs, position)
        given === nothing || onnx_shape(given) == expected ||
            bad_input(name, " has shape ", shape_text(onnx_shape(given)), " where ", shape_text(expected), " is needed")
    end
    samples = size(x, 2)
    state = samples_first ? [samples, directions, features] : [directions, samples, features]
    fits(2, [directions, cell.gates * features, size(x, 1)], "W")
    fits(3, [directions, cell.gates * features, features], "R")
    fits(4, [directions, 2 * cell.gates * features], "B")
    fits(5, [samples], "sequence_lens")
    fits(6, state, "initial_h")
    fits(7, state, "initial_c")
    fits(8, [directions, 3 * features], "P")
    foreach(given -> given isa Array{<:AbstractFloat} && same_dtype(inputs[1], given), inputs)
    element_count([size(x, 3), directions, samples, features], "Y")
    features
end

# Which samples (rows) still have a step (columns).
function active_steps(lengths, samples, count)
    lengths === nothing && return trues(samples, count)
    all(length -> 1 <= length <= count, lengths) || bad_input("sequence_lens must be from 1 to ", count)
    vec(lengths) .>= (1:count)'
end

const op_recurrent = widened((inputs, node) -> map(dense, run_recurrent(inputs, node)), (1, 1, 1))

# The first steps of each sequence in the opposite order.
function op_reverse_sequence(inputs, node)
    x, lengths = inputs[1], vec(inputs[2])
    ndims(x) >= 2 || bad_input("the input has rank ", ndims(x), "; at least 2 is needed")
    batch, time = resolve_axis(node.attributes["batch_axis"], ndims(x)), resolve_axis(node.attributes["time_axis"], ndims(x))
    Set((batch, time)) == Set((0, 1)) ||
        bad_input("batch_axis and time_axis must be 0 and 1, not ", batch, " and ", time)
    samples, count = size(x, ndims(x) - batch), size(x, ndims(x) - time)
    length(lengths) == samples && all(length -> 0 <= length <= count, lengths) ||
        bad_input("sequence_lens must hold ", samples, " numbers from 0 to ", count)
    values = reshape(x, extent(size(x)[1:(ndims(x) - 2)]), size(x, ndims(x) - 1), size(x, ndims(x)))
    result = similar(values)
    place(sample, step) = time == 0 ? (sample, step) : (step, sample)
    for sample in 1:samples, step in 1:count
        from = step <= lengths[sample] ? lengths[sample] + 1 - step : step
        to_second, to_third = place(sample, step)
        from_second, from_third = place(sample, from)
        for k in axes(values, 1)
            result[k, to_second, to_third] = values[k, from_second, from_third]
        end
    end
    reshape(result, size(x))
end
