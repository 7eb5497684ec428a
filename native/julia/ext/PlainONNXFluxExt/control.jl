# Loop, Scan and If in Flux. To go back through their steps, what was computed is written down, step by step; a value is known by
# the array that holds it, and so are the cotangents.

"""Runs the nodes of a body as Flux does, with no way back."""
struct FluxSteps
    training::Bool
end

function PlainONNX.compute(how::FluxSteps, node::Node, arguments::Vector{Any})
    results = in_node(() -> as_outputs(node.run(arguments, node, how.training)), node)
    check_outputs(node, results)
    Any[as_array(result) for result in results]
end

(call::ControlFlow)(inputs::Vector{Any}, node, training) = call.run(inputs, node, FluxSteps(training))

PlainONNX.part_run(::FluxSteps, name, plain) = flux_operator(name, plain)

"""
What was computed, in order: arguments, results, and the way back, a function from the cotangents of the results to those of the
arguments; or, for a step of a sequence, where it lies.
"""
struct Tape
    config::Any
    training::Bool
    entries::Vector{Any}
end

struct Computed
    node::Node
    arguments::Vector{Any}
    results::Vector{Any}
    back::Any
end

struct StepTaken
    sequence::Array
    axis::Int
    place::Int
    result::Array
end

struct StepsStacked
    parts::Vector{Any}
    axis::Int
    result::Array
end

function PlainONNX.compute(tape::Tape, node::Node, arguments::Vector{Any})
    if takes_a_step(node, arguments)
        x, index = arguments
        axis = resolve_axis(node.attributes["axis"], ndims(x))
        place = in_node(() -> PlainONNX.checked_index(index[], size(x, ndims(x) - axis)) - 1, node)
        return Any[PlainONNX.step_of(tape, x, axis, place)]
    end
    results, back = in_node(() -> forward_and_back(tape.config, node.run, node, tape.training, arguments), node)
    check_outputs(node, results)
    results = Any[as_array(result) for result in results]
    push!(tape.entries, Computed(node, arguments, results, back))
    results
end

PlainONNX.part_run(::Tape, name, plain) = flux_operator(name, plain)

# How exporters read a sequence in a Loop: its cotangent is added to in place, and not made anew for each step.
takes_a_step(node, arguments) = node.operator == "Gather" && arguments[2] isa Array{<:Integer,0}

function PlainONNX.step_of(tape::Tape, x::Array, axis::Int, place::Int)
    result = PlainONNX.step_of(nothing, x, axis, place)
    push!(tape.entries, StepTaken(x, axis, place, result))
    result
end

function PlainONNX.stack_steps(tape::Tape, parts, axis::Int)
    result = PlainONNX.stack_steps(nothing, parts, axis)
    push!(tape.entries, StepsStacked(collect(Any, parts), axis, result))
    result
end

"""Cotangents by array: those that came whole, and those of sequences, which are added to in place."""
struct Cotangents
    whole::IdDict{Any,Any}
    sequences::IdDict{Any,Any}
end

function add!(found::Cotangents, value, cotangent)
    (value === nothing || cotangent === nothing || cotangent isa AbstractZero) && return
    given = unthunk(cotangent)
    given isa AbstractZero && return
    before = get(found.whole, value, nothing)
    found.whole[value] = before === nothing ? given : before .+ given
end

# A value's cotangent is complete where the value was made: it is taken out there.
function take!(found::Cotangents, value)
    value === nothing && return ZeroTangent()
    whole, sequence = pop!(found.whole, value, nothing), pop!(found.sequences, value, nothing)
    sequence === nothing && return something(whole, ZeroTangent())
    whole === nothing ? sequence : sequence .+ whole
end

function go_back!(found::Cotangents, entry::Computed)
    arriving = Tuple(map(result -> take!(found, result), entry.results))
    all(cotangent -> cotangent isa AbstractZero, arriving) && return
    cotangents = in_node(() -> entry.back(arriving), entry.node)
    foreach((value, cotangent) -> add!(found, value, cotangent), entry.arguments, cotangents)
end

function go_back!(found::Cotangents, entry::StepTaken)
    arriving = take!(found, entry.result)
    arriving isa AbstractZero && return
    whole = get!(() -> zero(entry.sequence), found.sequences, entry.sequence)
    selectdim(whole, ndims(whole) - entry.axis, entry.place + 1) .+= arriving
end

function go_back!(found::Cotangents, entry::StepsStacked)
    arriving = take!(found, entry.result)
    arriving isa AbstractZero && return
    for (k, part) in enumerate(entry.parts)
        add!(found, part, collect(selectdim(arriving, ndims(arriving) - entry.axis, k)))
    end
end

function forward_and_back(config, call::ControlFlow, node, training, inputs)
    tape = Tape(config, training, Any[])
    outputs = call.run(inputs, node, tape)
    function back(cotangents)
        found = Cotangents(IdDict{Any,Any}(), IdDict{Any,Any}())
        foreach((output, cotangent) -> add!(found, output, cotangent), outputs, cotangents)
        foreach(entry -> go_back!(found, entry), Iterators.reverse(tape.entries))
        # One array in two places has one cotangent: what they share was made by one node, or is one weight.
        Any[take!(found, input) for input in inputs]
    end
    outputs, back
end
