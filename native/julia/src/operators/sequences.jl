# Sequences of tensors, and optionals. They live within a graph; what goes in and comes out is tensors.

"""What a value may be other than a tensor."""
abstract type Other end

"""Tensors in an order, all of one dtype."""
struct TensorSequence <: Other
    elements::Vector{Any}
end

"""An optional that holds nothing. One that holds something is that: a tensor or a sequence."""
struct EmptyOptional <: Other end

dense(value::Other) = value
as_tensors(result::Other) = (result,)

# Values that a caller asks for.
leaving(value, name) = value
leaving(::TensorSequence, name) = unsupported("the value ", quoted(name), " is a sequence of tensors, which cannot leave the graph")
leaving(::EmptyOptional, name) = unsupported("the value ", quoted(name), " is an optional, which cannot leave the graph")

elements_of(x::TensorSequence) = x.elements
elements_of(x) = bad_input("the input is ", words_for(x), ", not a sequence")

words_for(::Array) = "a tensor"
words_for(::TensorSequence) = "a sequence"
words_for(::EmptyOptional) = "an optional that holds nothing"
words_for(::Nothing) = "left out"

function sequence_of(elements)
    for x in elements
        x isa Array || bad_input("an element of a sequence is ", words_for(x), ", not a tensor")
        same_dtype(elements[1], x)
    end
    TensorSequence(elements)
end

op_sequence_empty(inputs, node) = TensorSequence(Any[])
op_sequence_construct(inputs, node) = sequence_of(copy(inputs))
op_sequence_length(inputs, node) = fill(Int64(length(elements_of(inputs[1]))))

# A place counted from 0, from the end where it is negative, as one counted from 1.
function place_in(count::Int, position)
    place = Int(only_value(position, "the position"))
    -count <= place < count || bad_input("position ", place, " is outside a sequence of length ", count)
    mod(place, max(count, 1)) + 1
end

function op_sequence_at(inputs, node)
    elements = elements_of(inputs[1])
    elements[place_in(length(elements), inputs[2])]
end

# Before the element at the position; at the end where none is given.
function op_sequence_insert(inputs, node)
    elements = copy(elements_of(inputs[1]))
    given = input(inputs, 3)
    count = length(elements)
    at = given === nothing || only_value(given, "the position") == count ? count + 1 : place_in(count, given)
    sequence_of(insert!(elements, at, inputs[2]))
end

function op_sequence_erase(inputs, node)
    elements = copy(elements_of(inputs[1]))
    place = something(input(inputs, 2), fill(Int64(-1)))
    TensorSequence(deleteat!(elements, place_in(length(elements), place)))
end

# One number is the length of every part but perhaps the last; several are the lengths; without any each part is one place, whose
# axis may go.
function op_split_to_sequence(inputs, node)
    x = inputs[1]
    axis = resolve_axis(node.attributes["axis"], ndims(x))
    total = size(x, ndims(x) - axis)
    given = input(inputs, 2)
    lengths = given === nothing ? ones(Int, total) : ndims(given) > 0 ? Int.(vec(given)) : parts_of_length(total, Int(given[]))
    all(count -> count >= 0, lengths) && sum(lengths) == total ||
        bad_input("parts of lengths ", join(lengths, ", "), " do not make ", total)
    keeps = given !== nothing || node.attributes["keepdims"] != 0
    values = axis_view(x, axis)
    parts = map(lengths, cumsum(lengths)) do count, last
        part = values[:, (last - count + 1):last, :]
        reshape(part, keeps ? replace_size(size(x), axis, count) : without_axis(size(x), axis))
    end
    sequence_of(collect(Any, parts))
end

function parts_of_length(total::Int, count::Int)
    count > 0 || bad_input("parts of length ", count)
    Int[min(count, total - from) for from in 0:count:(total - 1)]
end

without_axis(sizes, axis::Int) = Tuple(deleteat!(Int[sizes...], length(sizes) - axis))

function op_concat_from_sequence(inputs, node)
    elements = elements_of(inputs[1])
    isempty(elements) && bad_input("the sequence is empty")
    node.attributes["new_axis"] == 0 && return op_concat(elements, node)
    all(x -> size(x) == size(elements[1]), elements) || bad_input("the tensors of the sequence differ in shape")
    stack_steps(PlainSteps(), elements, resolve_axis(node.attributes["axis"], ndims(elements[1]) + 1))
end

"""
    map_sequence(inputs, node, how)

SequenceMap: a graph for each place of sequences; what is a tensor is the same for all.
"""
function map_sequence(inputs, node, how)
    body = node.attributes["body"]
    own = inputs[1:length(node.inputs)]
    count = length(elements_of(own[1]))
    all(x -> !(x isa TensorSequence) || length(x.elements) == count, own) || bad_input("the sequences differ in length")
    still = findall(x -> !(x isa TensorSequence), own)
    moved = setdiff(1:length(own), still)
    opened = count > 0 ? open_body(body, inputs, how, still, own[still]) : nothing
    steps = map(1:count) do k
        in_step(() -> run_body(opened, moved, Any[x.elements[k] for x in own[moved]], how), k - 1)
    end
    Any[sequence_of(Any[step[output] for step in steps]) for output in eachindex(body.outputs)]
end

function check_sequence_map(node)
    body = node.attributes["body"]
    check_body_size(node, "body", length(body.inputs), length(node.inputs), "inputs"; exactly=true)
    check_body_size(node, "body", length(body.outputs), length(node.outputs), "outputs")
end

op_optional(inputs, node) = something(input(inputs, 1), EmptyOptional())

op_optional_has_element(inputs, node) = fill(!(something(input(inputs, 1), EmptyOptional()) isa EmptyOptional))

function op_optional_get_element(inputs, node)
    inputs[1] isa EmptyOptional && bad_input("the optional holds nothing")
    inputs[1]
end
