# What a model takes and what it is given: names, ranks and sizes checked, a caller's arrays made tensors of the declared types.

"""
    Signature(inputs, optional_inputs, outputs, precision)

What the checks of inputs and the batches ask of a graph, of a model that is none of this package's: its inputs and outputs
(`ValueInfo`s), the names of inputs that may be left out, and the precision that it computes in.
"""
struct Signature
    inputs::Vector{ValueInfo}
    optional_inputs::Vector{String}
    outputs::Vector{ValueInfo}
    precision::DataType
end

"""
    check_inputs(graph, inputs; samples=nothing, axes=SampleAxes())

Refuse inputs (a `Dict` of tensors) whose names, ranks or sizes are not those that the model declares; one name of an axis is
one size throughout. `samples` is how many of the inputs' samples are computed at once, where that is not all of them, and
`axes` says along which axis they lie.
"""
function check_inputs(graph, inputs::AbstractDict; samples=nothing, axes=SampleAxes())
    check_input_names(graph, inputs)
    info = misfit_of(graph, inputs; samples=samples, axes=axes)
    info === nothing || wrong_shape(info, inputs[info.name])
end

function check_input_names(graph, inputs)
    expected = [info.name for info in graph.inputs]
    for name in keys(inputs)
        name in expected || name in graph.optional_inputs ||
            bad_input("the model has no input named ", quoted(name), "; it takes ", quoted(expected))
    end
    for name in expected
        haskey(inputs, name) || bad_input("the input ", quoted(name), " is missing")
    end
end

# The first input that has another rank or size than the model declares, or nothing.
function misfit_of(graph, inputs; samples=nothing, axes=SampleAxes())
    sizes = Dict{String,Int}()
    for info in graph.inputs
        info.shape === nothing && continue
        shape = onnx_shape(inputs[info.name])
        axis = sample_axis(axes, info.name)
        if samples !== nothing && axis !== nothing && axis < length(shape)
            shape[axis+1] = samples
        end
        fits = length(shape) == length(info.shape) && all(zip(info.shape, shape)) do (declared, size)
            declared isa Int ? declared == size :
            declared isa String && !isempty(declared) ? get!(sizes, declared, size) == size : true
        end
        fits || return info
    end
    nothing
end

# Sizes in Julia's order, which is what the caller sees, and the file's beside it.
wrong_shape(info, value) = bad_input(
    "input '", info.name, "' has size ", shape_text(size(value)), ", in the order of ONNX ",
    shape_text(onnx_shape(value)), "; the model takes ", shape_of_info(info), order_that_fits(size(value), info.shape)
)

# The order of dimensions in which an array would fit, in words and Julia's order; empty where there is none. Of several the one that
# moves the fewest.
function order_that_fits(size, shape)
    (length(size) == length(shape) && length(size) <= 6) || return ""
    wanted = reverse(shape)
    fits(order) = all(k -> !(wanted[k] isa Int) || size[order[k]] == wanted[k], eachindex(wanted))
    fitting = filter(fits, orders_of(collect(1:length(size))))
    isempty(fitting) && return ""
    moved = [count(k -> order[k] != k, eachindex(order)) for order in fitting]
    minimum(moved) == 0 && return ""
    string("; its dimensions are in another order: permutedims(x, (", join(fitting[argmin(moved)], ", "), ")) fits")
end

orders_of(axes) = length(axes) < 2 ? [axes] :
    [[first; rest] for first in axes for rest in orders_of(filter(!=(first), axes))]

function shape_of_info(info::ValueInfo)
    info.shape === nothing && return "any shape"
    isempty(info.shape) && return "a scalar"
    join((axis === nothing || axis == "" ? "?" : string(axis) for axis in info.shape), " x ")
end

# A caller's arrays as tensors of the declared types.
function inputs_from_user(x, model)
    infos = model.graph.inputs
    if !(x isa AbstractDict)
        length(infos) == 1 || bad_input(
            "the model has ", length(infos), " inputs; give a Dict of arrays by name: ", quoted(info.name for info in infos)
        )
        x = Dict(infos[1].name => x)
    end
    declared = Dict(info.name => info.dtype for info in infos)
    Dict{String,Array}(
        string(name) => tensor_from_user(value, get(declared, string(name), nothing), string(name), model.precision)
        for (name, value) in x
    )
end

tensor_from_user(value::Union{Number,AbstractString}, dtype, name, precision) =
    tensor_from_user(fill(value), dtype, name, precision)
tensor_from_user(value, dtype, name, precision) =
    bad_input("input '", name, "' is a ", typeof(value), "; give an array of numbers")

function tensor_from_user(value::AbstractArray, dtype, name, precision)
    # A name that the model does not know is refused by check_inputs().
    dtype === nothing && return value isa Array ? value : collect(value)
    T = dtype_types[dtype]
    T === String && return texts_from_user(value, name)
    value = without_missing(value, T, name)
    (eltype(value) <: Real && (eltype(value) <: Bool) == (T == Bool)) ||
        bad_input("input '", name, "' is an array of ", eltype(value), "; the model takes ", dtype)
    if T <: Integer && T != Bool && !(eltype(value) <: T)
        all(isinteger, value) || bad_input("input '", name, "' must hold whole numbers")
        all(number -> typemin(T) <= number <= typemax(T), value) ||
            bad_input("input '", name, "' holds values beyond ", dtype)
    end
    # Under precision `Float64` what is given as a Float64 stays one.
    wide = precision === Float64 && T <: AbstractFloat ? Float64 : T
    value isa Array{wide} ? value : convert(Array{wide}, value)
end

texts_from_user(value::Array{String}, name) = value
texts_from_user(value::AbstractArray, name) = all(text -> text isa AbstractString, value) ? Array{String}(map(String, value)) :
    bad_input("input '", name, "' is an array of ", eltype(value), "; the model takes string")

# A missing value is NaN where the model's type has one. The numbers that are there keep their type.
function without_missing(value::AbstractArray, ::Type{T}, name) where {T}
    eltype(value) <: Union{Missing,Real} && Missing <: eltype(value) || return value
    S = nonmissingtype(eltype(value))
    S = S === Union{} ? T : S
    any(ismissing, value) || return convert(Array{S}, value)
    T <: AbstractFloat || bad_input("input '", name, "' holds missing values, and ", dtype_name(T), " has no number for them")
    S <: Bool && return convert(Array{S}, coalesce.(value, false))
    wide = promote_type(S, Float64)
    convert(Array{wide}, coalesce.(value, wide(NaN)))
end
