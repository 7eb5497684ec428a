# The safetensors format: eight bytes with the length of a JSON header, the header, the data.
# https://huggingface.co/docs/safetensors

const safetensors_types = Dict{String,DataType}(
    "F64" => Float64, "F32" => Float32, "F16" => Float16, "BF16" => BFloat16, "I64" => Int64, "I32" => Int32,
    "I16" => Int16, "I8" => Int8, "U64" => UInt64, "U32" => UInt32, "U16" => UInt16, "U8" => UInt8, "BOOL" => Bool
)
const safetensors_names = Dict{DataType,String}(type => name for (name, type) in safetensors_types)

const largest_header = 100_000_000

# Where a tensor lies in a file.
struct StoredEntry
    name::String
    type::DataType
    shape::Vector{Int}
    first::Int
end

"""
    safetensors_read(path)

The named arrays of a safetensors file: a `Dict` of plain `Array`s. The file's rows run along the *last* dimension: what is
stored as N x C x W arrives as a W x C x N array, read straight into its place. A file holds no code.
"""
function safetensors_read(path::AbstractString)
    open_for_reading(path) do io
        entries = read_header(io, path)
        tensors = Dict{String,Array}()
        for entry in entries
            seek(io, entry.first)
            tensors[entry.name] = read_values(io, entry.type, entry.shape)
        end
        tensors
    end
end

function open_for_reading(read, path)
    isdir(path) && bad_input("this is a folder, not a file: ", path)
    isfile(path) || bad_input("no such file: ", path)
    io = try
        open(path)
    catch
        bad_input("the file cannot be read: ", path)
    end
    try
        read(io)
    finally
        close(io)
    end
end

function read_header(io::IO, path)
    bad(parts...) = bad_input("not a valid safetensors file: ", parts..., " (", path, ")")
    size = filesize(path)
    size >= 8 || bad("it has ", size, " bytes")
    header_length = ltoh(read(io, UInt64))
    header_length <= min(largest_header, size - 8) || bad("its header should be ", header_length, " bytes long")
    header = try
        parse_json(String(read(io, Int(header_length))))
    catch error
        error isa JSONError || rethrow()
        bad("its header is ", message_of(error))
    end
    header isa Dict || bad("its header is not a JSON object")
    delete!(header, "__metadata__")
    begins = 8 + Int(header_length)
    room = size - begins
    [read_entry(name, header[name], begins, room, path, bad) for name in sort!(collect(keys(header)))]
end

function read_entry(name, entry, begins, room, path, bad)
    entry isa Dict || bad("'", name, "' is not described by an object")
    dtype = get(entry, "dtype", nothing)
    haskey(safetensors_types, dtype) || unsupported("dtype ", dtype, " ('", name, "' in ", path, ") is not supported")
    T = safetensors_types[dtype]
    numbers(values) = values isa Vector && all(value -> value isa Int64, values) ? Int.(values) :
        bad("'", name, "' has a shape or offset that is not a list of numbers")
    shape = numbers(get(entry, "shape", nothing))
    span = numbers(get(entry, "data_offsets", nothing))
    count = element_count(shape, "'$name' in $path")
    (length(span) == 2 && 0 <= span[1] <= span[2] <= room && span[2] - span[1] == count * sizeof(T)) ||
        bad("'", name, "' lies outside the file or does not fit its shape")
    StoredEntry(name, T, shape, begins + span[1])
end

"""
    safetensors_write(tensors, path)

Write named arrays (a `Dict`, or pairs) to a safetensors file, complete or not at all. Dimensions are stored in reverse, as
[`safetensors_read`](@ref) reads them: a W x C x N array as N x C x W. Returns the path.
"""
function safetensors_write(tensors, path::AbstractString)
    stored = Pair{String,Array}[string(name) => dense(value) for (name, value) in tensors]
    for (name, value) in stored
        haskey(safetensors_names, eltype(value)) || unsupported("'", name, "' is an array of ", eltype(value))
    end
    # The widest type first keeps every tensor aligned.
    sort!(stored; by=pair -> (-sizeof(eltype(pair.second)), pair.first))
    allunique(pair.first for pair in stored) || bad_input("two tensors have the same name")
    header = Pair{String,Any}[]
    at = 0
    for (name, value) in stored
        push!(header, name => (
            dtype=safetensors_names[eltype(value)], shape=onnx_shape(value), data_offsets=[at, at + sizeof(value)]
        ))
        at += sizeof(value)
    end
    text = json_text(header)
    text *= " "^mod(-ncodeunits(text), 8)
    write_beside(path) do io
        write(io, htol(UInt64(ncodeunits(text))), text)
        for (_, value) in stored
            write_values(io, value)
        end
    end
    path
end

dense(value::Array) = value
dense(value::AbstractArray) = collect(value)
dense(value::Number) = fill(value)

write_values(io::IO, value::Array) = GC.@preserve value unsafe_write(io, Ptr{UInt8}(pointer(value)), sizeof(value))

# A file is written beside its place and then moved there.
function write_beside(write_to, path)
    folder = dirname(abspath(path))
    isdir(folder) || bad_input("no such folder: ", folder)
    beside = joinpath(folder, string(".", basename(path), "-", getpid(), ".partial"))
    io = try
        open(beside, "w")
    catch
        bad_input("cannot write in ", folder)
    end
    try
        try
            write_to(io)
        finally
            close(io)
        end
        Base.Filesystem.rename(beside, path)
    finally
        rm(beside; force=true)
    end
    path
end
