# A graph as a model of Flux.

"""
    FluxModel

What [`as_flux_model`](@ref PlainONNX.as_flux_model) returns. `parameters` are the weights that train and `buffers` the running
statistics and other numbers that do not, both named tuples under the file's own names; `metadata` is the file's. `active` is
what `trainmode!` and `testmode!` set: `nothing` trains within a gradient and tests elsewhere, as layers of Flux do.
"""
mutable struct FluxModel{P<:NamedTuple,B<:NamedTuple}
    graph::Graph
    parameters::P
    buffers::B
    metadata::Dict{String,String}
    active::Union{Bool,Nothing}
end

Functors.functor(::Type{<:FluxModel}, m) =
    (parameters=m.parameters, buffers=m.buffers), y -> FluxModel(m.graph, y.parameters, y.buffers, m.metadata, m.active)

Optimisers.trainable(m::FluxModel) = (parameters=m.parameters,)

function Flux.testmode!(m::FluxModel, mode=true)
    m.active = mode isa Bool ? !mode : nothing
    m
end

PlainONNX.class_names(m::FluxModel) = PlainONNX.metadata_texts(m, "harness.classes")
PlainONNX.bands(m::FluxModel) = PlainONNX.metadata_texts(m, "harness.bands")

function Base.show(io::IO, m::FluxModel)
    weights = sum(Int[length(weight) for weight in m.parameters])
    print(io, "FluxModel(", length(m.graph.nodes), " nodes, ", weights, " weights that train)")
end

function PlainONNX.as_flux_model(model::ONNXModel)
    graph = join_convolutions(in_flux(model.graph))
    roles = initializer_roles(graph)
    held(role) = [
        Symbol(tensor.name) => copy(value)
        for (tensor, value, found) in zip(graph.initializers, graph.tensors, roles) if found == role
    ]
    FluxModel(graph, NamedTuple(held(:parameter)), NamedTuple(held(:buffer)), model.metadata, nothing)
end

# The same graph, its nodes calling what Flux runs.
in_flux(graph::Union{Graph,Body}) =
    typeof(graph)((field == :nodes ? map(in_flux, graph.nodes) : getfield(graph, field) for field in fieldnames(typeof(graph)))...)

function in_flux(node::Node)
    node.run isa FluxOperator && return node
    attributes = Dict{String,Any}(name => value isa Body ? in_flux(value) : value for (name, value) in node.attributes)
    Node(
        node.name, node.operator, node.label, node.inputs, node.outputs, attributes, node.since, node.opset, node.precision,
        flux_operator(node.operator, node.run), node.input_slots, node.output_slots, node.captured
    )
end

# A weight that takes part in the computation trains; running statistics, bounds and ratios do not; whole numbers are no part
# of the model's state.
function initializer_roles(graph::Graph)
    computed, statistics = uses_of_values(graph)
    map(enumerate(graph.tensors)) do (slot, value)
        eltype(value) <: AbstractFloat || return :plain
        computed[slot] && !statistics[slot] ? :parameter : :buffer
    end
end

# What is computed with, and what is a running statistic: two flags for each value of a graph or a body.
function uses_of_values(graph::Union{Graph,Body})
    computed, statistics = falses(length(graph.names)), falses(length(graph.names))
    for node in graph.nodes
        for (position, slot) in enumerate(node.input_slots[1:length(node.inputs)])
            slot > 0 || continue
            if node.operator == "BatchNormalization" && position > 3
                statistics[slot] = true
            elseif !(position in get(number_inputs, node.operator, Int[]))
                computed[slot] = true
            end
        end
        for (_, body) in PlainONNX.subgraphs(node)
            inside = uses_of_values(body)
            outer = node.input_slots[body.captured_at]
            for (flags, within) in zip((computed, statistics), inside)
                flags[outer] .|= within[body.captured_slots]
            end
        end
    end
    computed, statistics
end

function (m::FluxModel)(inputs::AbstractArray...)
    outputs = run_in_flux(m.graph, m.parameters, m.buffers, m.active, inputs)
    length(outputs) == 1 ? outputs[1] : named_outputs(m.graph, outputs)
end

named_outputs(graph, outputs) = NamedTuple{ignore_derivatives(() -> Tuple(Symbol(info.name) for info in graph.outputs))}(outputs)

function run_in_flux(graph::Graph, parameters, buffers, active, inputs)
    values = starting_values(graph, parameters, buffers, inputs)
    run_nodes!(values, graph, active === true, graph.output_slots)
    Tuple(values[slot] for slot in graph.output_slots)
end

function run_nodes!(values, graph::Graph, training::Bool, wanted)
    kept = Set(wanted)
    for k in 1:PlainONNX.last_node_needed(graph, kept)
        node = graph.nodes[k]
        arguments = Any[slot > 0 ? values[slot] : nothing for slot in node.input_slots]
        store!(values, node, in_node(() -> as_outputs(node.run(arguments, node, training)), node))
        for slot in graph.release[k]
            slot in kept || (values[slot] = nothing)
        end
    end
end

# What goes wrong names the node.
function in_node(run, node)
    try
        run()
    catch error
        error isa InterruptException && rethrow()
        kind = error isa ONNXError ? error.kind : :failed
        throw(ONNXError(kind, string(PlainONNX.node_title(node), ": ", PlainONNX.message_of(error))))
    end
end

function store!(values, node, results)
    check_outputs(node, results)
    for (slot, result) in zip(node.output_slots, results)
        slot > 0 && (values[slot] = as_array(result))
    end
end

function check_outputs(node, results)
    needed = something(findlast(!isempty, node.outputs), 0)
    length(results) >= needed ||
        unsupported(PlainONNX.node_title(node), ": output number ", length(results) + 1, " is not supported")
end

function starting_values(graph::Graph, parameters, buffers, inputs)
    values = Vector{Any}(nothing, length(graph.names))
    copyto!(values, graph.tensors)
    for held in (parameters, buffers), (name, value) in pairs(held)
        values[graph.slots[string(name)]] = value
    end
    length(inputs) == length(graph.inputs) ||
        bad_input("the model takes ", length(graph.inputs), " inputs, not ", length(inputs))
    given = Dict{String,Array}(info.name => input_array(info, x, graph.precision) for (info, x) in zip(graph.inputs, inputs))
    PlainONNX.check_inputs(graph, given)
    for (name, value) in given
        values[graph.slots[name]] = value
    end
    values
end

# Another number type would be computed in silence, and slowly.
function input_array(info, x::AbstractArray, precision)
    T = PlainONNX.dtype_types[info.dtype]
    T = precision === Float64 && T <: AbstractFloat ? Float64 : T
    eltype(x) == T || bad_input("input '", info.name, "' is an array of ", eltype(x), "; the model takes ", T)
    x isa Array ? x : collect(x)
end

# The graph is one step to whoever differentiates: node after node forward, and back in the opposite order.
function ChainRulesCore.rrule(
    config::RuleConfig{>:HasReverseMode}, ::typeof(run_in_flux), graph::Graph, parameters, buffers, active, inputs
)
    values = starting_values(graph, parameters, buffers, inputs)
    training = active !== false
    backs = map(graph.nodes) do node
        arguments = Any[slot > 0 ? values[slot] : nothing for slot in node.input_slots]
        results, back = in_node(() -> forward_and_back(config, node.run, node, training, arguments), node)
        store!(values, node, results)
        back
    end
    outputs = Tuple(values[slot] for slot in graph.output_slots)
    function pullback(given)
        cotangents = Vector{Any}(nothing, length(graph.names))
        for (slot, cotangent) in zip(graph.output_slots, unthunk(given))
            add_cotangent!(cotangents, slot, cotangent)
        end
        for (node, back) in Iterators.reverse(zip(graph.nodes, backs))
            arriving = map(slot -> slot > 0 ? something(cotangents[slot], ZeroTangent()) : ZeroTangent(), node.output_slots)
            all(cotangent -> cotangent isa ZeroTangent, arriving) && continue
            found = in_node(() -> back(Tuple(arriving)), node)
            foreach(slot -> slot > 0 && (cotangents[slot] = nothing), node.output_slots)
            foreach((slot, cotangent) -> add_cotangent!(cotangents, slot, cotangent), node.input_slots, found)
        end
        of(held) = map(
            name -> something(cotangents[graph.slots[string(name)]], ZeroTangent()), NamedTuple{keys(held)}(keys(held))
        )
        trained = Tangent{typeof(parameters)}(; of(parameters)...)
        inward = Tangent{typeof(inputs)}((something(cotangents[graph.slots[info.name]], ZeroTangent()) for info in graph.inputs)...)
        NoTangent(), NoTangent(), trained, NoTangent(), NoTangent(), inward
    end
    outputs, pullback
end

function add_cotangent!(cotangents, slot, cotangent)
    (slot == 0 || cotangent === nothing || cotangent isa AbstractZero) && return
    found = unthunk(cotangent)
    found isa AbstractZero && return
    cotangents[slot] = cotangents[slot] === nothing ? found : cotangents[slot] .+ found
end
