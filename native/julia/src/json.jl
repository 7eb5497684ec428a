# A small JSON reader and writer (RFC 8259), strict: the standard library has none.
#
# Read: an object is a Dict{String,Any}, an array a Vector{Any}, a number an Int64 where it is written as a whole one that
# fits, else a Float64. Written: also a NamedTuple or a vector of pairs is an object, which keeps its order.

struct JSONError <: Exception
    message::String
end

Base.showerror(io::IO, error::JSONError) = print(io, "not JSON: ", error.message)

# Deeper documents are refused, so that none can exhaust the stack.
const deepest_json = 200

mutable struct JSONReader
    text::String
    at::Int
end

"""
    parse_json(text)

The value of a JSON document. Throws where it is not one: text after its end, numbers that are not finite, names given twice,
control characters, lone surrogates and documents nested too deeply included.
"""
function parse_json(text::AbstractString)
    text = String(text)
    isvalid(text) || throw(JSONError("it is not UTF-8"))
    reader = JSONReader(text, 1)
    value = read_value(reader, 0)
    skip_space(reader)
    reader.at > ncodeunits(text) || unexpected(reader)
    value
end

peek_byte(r::JSONReader) = r.at <= ncodeunits(r.text) ? codeunit(r.text, r.at) : 0x00

function unexpected(r::JSONReader)
    r.at > ncodeunits(r.text) && throw(JSONError("it ends too early"))
    throw(JSONError("something unexpected at byte $(r.at)"))
end

function skip_space(r::JSONReader)
    while peek_byte(r) in (0x20, 0x09, 0x0a, 0x0d)
        r.at += 1
    end
end

function expect_byte(r::JSONReader, byte::Char)
    peek_byte(r) == UInt8(byte) || unexpected(r)
    r.at += 1
end

function read_value(r::JSONReader, depth::Int)
    depth > deepest_json && throw(JSONError("it is nested too deeply"))
    skip_space(r)
    byte = peek_byte(r)
    byte == UInt8('{') && return read_object(r, depth)
    byte == UInt8('[') && return read_array(r, depth)
    byte == UInt8('"') && return read_string(r)
    byte == UInt8('t') && return read_word(r, "true", true)
    byte == UInt8('f') && return read_word(r, "false", false)
    byte == UInt8('n') && return read_word(r, "null", nothing)
    read_number(r)
end

function read_word(r::JSONReader, word::String, value)
    for letter in word
        expect_byte(r, letter)
    end
    value
end

function read_object(r::JSONReader, depth::Int)
    object = Dict{String,Any}()
    expect_byte(r, '{')
    skip_space(r)
    if peek_byte(r) == UInt8('}')
        r.at += 1
        return object
    end
    while true
        skip_space(r)
        name = read_string(r)
        haskey(object, name) && throw(JSONError("the name '$name' is given twice"))
        skip_space(r)
        expect_byte(r, ':')
        object[name] = read_value(r, depth + 1)
        skip_space(r)
        if peek_byte(r) == UInt8('}')
            r.at += 1
            return object
        end
        expect_byte(r, ',')
    end
end

function read_array(r::JSONReader, depth::Int)
    values = Any[]
    expect_byte(r, '[')
    skip_space(r)
    if peek_byte(r) == UInt8(']')
        r.at += 1
        return values
    end
    while true
        push!(values, read_value(r, depth + 1))
        skip_space(r)
        if peek_byte(r) == UInt8(']')
            r.at += 1
            return values
        end
        expect_byte(r, ',')
    end
end

const json_escapes = Dict(
    UInt8('"') => '"', UInt8('\\') => '\\', UInt8('/') => '/', UInt8('b') => '\b', UInt8('f') => '\f', UInt8('n') => '\n',
    UInt8('r') => '\r', UInt8('t') => '\t'
)

function read_string(r::JSONReader)
    expect_byte(r, '"')
    out = IOBuffer()
    while true
        byte = peek_byte(r)
        if byte == UInt8('"')
            r.at += 1
            return String(take!(out))
        elseif byte == UInt8('\\')
            r.at += 1
            escape = peek_byte(r)
            r.at += 1
            if escape == UInt8('u')
                print(out, read_escaped(r))
            else
                haskey(json_escapes, escape) || unexpected(r)
                print(out, json_escapes[escape])
            end
        elseif byte < 0x20
            unexpected(r)
        else
            write(out, byte)
            r.at += 1
        end
    end
end

function read_escaped(r::JSONReader)
    code = read_hex(r)
    if 0xd800 <= code <= 0xdbff
        expect_byte(r, '\\')
        expect_byte(r, 'u')
        low = read_hex(r)
        0xdc00 <= low <= 0xdfff || throw(JSONError("half of a surrogate pair"))
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)
    elseif 0xdc00 <= code <= 0xdfff
        throw(JSONError("half of a surrogate pair"))
    end
    Char(code)
end

function read_hex(r::JSONReader)
    code = UInt32(0)
    for _ in 1:4
        digit = Char(peek_byte(r))
        digit in '0':'9' || digit in 'a':'f' || digit in 'A':'F' || unexpected(r)
        code = code << 4 + parse(UInt32, digit; base=16)
        r.at += 1
    end
    code
end

const json_number = r"\G-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?"

function read_number(r::JSONReader)
    found = match(json_number, r.text, r.at)
    found === nothing && unexpected(r)
    r.at += ncodeunits(found.match)
    if found.captures[1] === nothing && found.captures[2] === nothing
        whole = tryparse(Int64, found.match)
        whole === nothing || return whole
    end
    value = something(tryparse(Float64, found.match), Inf)
    isfinite(value) || throw(JSONError("the number $(found.match) is too large"))
    value
end

"""
    json_text(value)

A value as JSON of one line. Numbers that are not finite are refused: JSON has none.
"""
json_text(value) = sprint(write_json, value)

write_json(io::IO, ::Nothing) = print(io, "null")
write_json(io::IO, value::Bool) = print(io, value ? "true" : "false")
write_json(io::IO, value::Integer) = print(io, value)

function write_json(io::IO, value::AbstractFloat)
    isfinite(value) || throw(JSONError("$value is not a finite number"))
    # As a Float64, whose text every reader takes back to the same number.
    print(io, isinteger(value) && abs(value) < 2.0^53 ? Int64(value) : Float64(value))
end

write_json(io::IO, value::Symbol) = write_json(io, string(value))

function write_json(io::IO, value::AbstractString)
    print(io, '"')
    for letter in value
        if letter == '"' || letter == '\\'
            print(io, '\\', letter)
        elseif letter < ' ' || letter == '\u7f' || !isvalid(letter)
            # Bytes that are no letter become the mark that stands for such.
            print(io, "\\u", string(isvalid(letter) ? UInt32(letter) : 0xfffd; base=16, pad=4))
        else
            print(io, letter)
        end
    end
    print(io, '"')
end

write_json(io::IO, values::Union{AbstractVector,Tuple}) = write_items(io, values, '[', ']', write_json)

write_json(io::IO, value::Union{AbstractDict,NamedTuple,Vector{<:Pair}}) =
    write_items(io, pairs_of(value), '{', '}', write_member)

pairs_of(value::AbstractDict) = sort!(collect(value); by=pair -> string(pair.first))
pairs_of(value) = value
pairs_of(value::NamedTuple) = pairs(value)

function write_member(io::IO, member::Pair)
    write_json(io, string(member.first))
    print(io, ':')
    write_json(io, member.second)
end

function write_items(io::IO, items, left::Char, right::Char, write_item)
    print(io, left)
    for (k, item) in enumerate(items)
        k > 1 && print(io, ',')
        write_item(io, item)
    end
    print(io, right)
end
