# What lies beside canonical weights: `model.json`, the harness's specification of the model, and `metadata.json`.

"""
What a model specification says of a model to whoever loads its weights: its name, its inputs and outputs, and name and shape of
every canonical parameter, rows first as a file has them.
"""
struct Specification
    model::String
    inputs::Vector{ValueInfo}
    outputs::Vector{ValueInfo}
    parameters::Vector{Pair{String,Vector{Int}}}
end

"""
    read_specification(path)

The [`Specification`](@ref) in a JSON file; `bad_input` where there is none.
"""
function read_specification(path)
    text = PlainONNX.open_for_reading(io -> read(io, String), path)
    try
        specification_of(PlainONNX.parse_json(text))
    catch error
        error isa Union{PlainONNX.JSONError,NotSpecified} || rethrow()
        bad_input(path, ": not a model specification: ", PlainONNX.message_of(error))
    end
end

struct NotSpecified <: Exception
    message::String
end

Base.showerror(io::IO, error::NotSpecified) = print(io, error.message)

# A member of a JSON object that has to be there; `where` says whose it is.
function member(object, name, T, where)
    object isa Dict || throw(NotSpecified("$where is not a JSON object"))
    haskey(object, name) || throw(NotSpecified("$where lacks '$name'"))
    object[name] isa T || throw(NotSpecified("'$name' of $where is something else than it should be"))
    object[name]
end

function specification_of(content)
    whole(name, T) = member(content, name, T, "the document")
    model = whole("model", String)
    whole("hyperparameters", Dict)
    whole("head", String)
    tensors(name) = ValueInfo[specified_tensor(tensor, name) for tensor in whole(name, Vector)]
    parameters = Pair{String,Vector{Int}}[]
    for layer in whole("layers", Vector), parameter in member(layer, "parameters", Vector, "a layer")
        shape = member(parameter, "shape", Vector, "a parameter")
        all(size -> size isa Int64 && size >= 0, shape) || throw(NotSpecified("the shape of a parameter is not one of sizes"))
        push!(parameters, member(parameter, "name", String, "a parameter") => Int.(shape))
    end
    Specification(model, tensors("inputs"), tensors("outputs"), parameters)
end

function specified_tensor(tensor, of)
    where = "one of its $of"
    dtype = get(tensor isa Dict ? tensor : Dict(), "dtype", "float32")
    haskey(PlainONNX.dtype_types, dtype) || throw(NotSpecified("$where has an unknown dtype"))
    shape = map(member(tensor, "axes", Vector, where)) do axis
        name, size = member(axis, "name", String, "an axis"), get(axis, "size", nothing)
        size isa Union{Int64,Nothing} || throw(NotSpecified("the size of axis '$name' is not a whole number"))
        something(size, name)
    end
    ValueInfo(member(tensor, "name", String, where), dtype, shape, "tensor")
end

"""
    read_metadata(path)

The strings of a JSON object by name; none where there is no file.
"""
function read_metadata(path)
    ispath(path) || return Dict{String,String}()
    content = try
        PlainONNX.parse_json(PlainONNX.open_for_reading(io -> read(io, String), path))
    catch error
        error isa PlainONNX.JSONError || rethrow()
        bad_input(path, ": not a file of metadata: ", PlainONNX.message_of(error))
    end
    (content isa Dict && all(value -> value isa String, values(content))) ||
        bad_input(path, ": metadata is a JSON object of strings")
    Dict{String,String}(content)
end

"""
    check_weights(specification, path)

Refuse a safetensors file that does not hold exactly the parameters of a specification, in its shapes, as float32. Its header
tells.
"""
function check_weights(specification, path)
    refused(parts...) = bad_input(path, ": ", parts...)
    entries = Dict(entry.name => entry for entry in PlainONNX.open_for_reading(io -> PlainONNX.read_header(io, path), path))
    expected = first.(specification.parameters)
    lacking = filter(name -> !haskey(entries, name), expected)
    extra = sort!(setdiff(keys(entries), expected) |> collect)
    said = String[]
    isempty(lacking) || push!(said, "lacks $(some_of(lacking))")
    isempty(extra) || push!(said, "has $(some_of(extra)), which $(specification.model) does not have")
    isempty(said) || refused(join(said, " and "))
    for (name, shape) in specification.parameters
        found = entries[name]
        found.shape == shape ||
            refused("'", name, "' must have shape ", shape_text(shape), ", not ", shape_text(found.shape))
        found.type == Float32 || refused("'", name, "' must be float32, not ", PlainONNX.dtype_name(found.type))
    end
end

# The first few of some names, and how many more there are.
function some_of(names)
    shown = quoted(first(names, 4))
    length(names) <= 4 ? shown : "$shown and $(length(names) - 4) more"
end
