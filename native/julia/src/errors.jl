# Errors of the package: one type, three kinds, a message of one line.

"""
    ONNXError(kind, message)

What every refusal of the package throws. `kind` is `:unsupported` (the package does not do this, and says what),
`:bad_input` (what was asked for is wrong: a missing file, a corrupt model, a wrong shape) or `:failed` (the package broke
while computing). The message is one line.
"""
struct ONNXError <: Exception
    kind::Symbol
    message::String
    ONNXError(kind::Symbol, message::AbstractString) = new(kind, one_line(message))
end

Base.showerror(io::IO, error::ONNXError) = print(io, error.message)

one_line(parts...) = replace(string(parts...), r"\s*[\r\n]+\s*" => " ")

"""Throw an [`ONNXError`](@ref): the package does not do this. The parts are joined to one message."""
unsupported(parts...) = throw(ONNXError(:unsupported, string(parts...)))

"""Throw an [`ONNXError`](@ref): what was given is wrong. The parts are joined to one message."""
bad_input(parts...) = throw(ONNXError(:bad_input, string(parts...)))

"""Throw an [`ONNXError`](@ref): the package broke."""
failed(parts...) = throw(ONNXError(:failed, string(parts...)))

quoted(names) = join(("'$name'" for name in names), ", ")
quoted(name::AbstractString) = "'$name'"

shape_text(shape) = string("(", join(shape, ", "), ")")

# What an exception says, in one line, whoever threw it.
function message_of(error)
    error isa ONNXError && return error.message
    error isa OutOfMemoryError && return "out of memory"
    text = one_line(strip(sprint(showerror, error)))
    length(text) > 400 ? string(first(text, 400), "...") : text
end
