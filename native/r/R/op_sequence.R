# Sequences of tensors, and optionals. They live within a graph; what goes in and comes out is tensors. A sequence is
# list(dtype = "sequence", elements); an optional that holds nothing is list(dtype = "optional"), one that holds something is
# that: a tensor or a sequence. Elements may be tensors of torch.

is_sequence <- function(x) !is_torch(x) && identical(x$dtype, "sequence")

holds_nothing <- function(x) is.null(x) || (!is_torch(x) && identical(x$dtype, "optional"))

kind_in_words <- function(x) {
  if (is.null(x)) "left out"
  else if (is_sequence(x)) "a sequence"
  else if (holds_nothing(x)) "an optional that holds nothing"
  else "a tensor"
}

elements_of <- function(x) if (is_sequence(x)) x$elements else stop_bad_input("the input is ", kind_in_words(x), ", not a sequence")

sequence_of <- function(elements) {
  plain <- Filter(function(x) !is_torch(x), elements)
  for (x in plain) {
    if (kind_in_words(x) != "a tensor") stop_bad_input("an element of a sequence is ", kind_in_words(x), ", not a tensor")
  }
  # Beside tensors of torch a plain one becomes one when it is used.
  dtypes <- unique(vapply(plain, `[[`, "", "dtype"))
  if (length(plain) == length(elements) && length(dtypes) > 1L) stop_bad_input("the inputs have different dtypes, ", dtypes[1L], " and ", dtypes[2L])
  list(dtype = "sequence", elements = elements)
}

# Values that a caller asks for.
leaving <- function(x, name) {
  if (is_sequence(x)) stop_unsupported("the value '", name, "' is a sequence of tensors, which cannot leave the graph")
  if (!is.null(x) && holds_nothing(x)) stop_unsupported("the value '", name, "' is an optional, which cannot leave the graph")
  x
}

# A place counted from 0, from the end where it is negative, as one counted from 1.
place_in <- function(count, position) {
  place <- only_value(position)$data
  if (place < -count || place >= count) stop_bad_input("position ", place, " is outside a sequence of length ", count)
  place %% max(count, 1) + 1
}

op_sequence_empty <- function(inputs, node) sequence_of(list())
op_sequence_construct <- function(inputs, node) sequence_of(unname(inputs))
op_sequence_length <- function(inputs, node) tensor(as.double(length(elements_of(inputs[[1L]]))), double(), "int64")

op_sequence_at <- function(inputs, node) {
  elements <- elements_of(inputs[[1L]])
  elements[[place_in(length(elements), inputs[[2L]])]]
}

# Before the element at the position; at the end where none is given.
op_sequence_insert <- function(inputs, node) {
  elements <- elements_of(inputs[[1L]])
  count <- length(elements)
  given <- optional_input(inputs, 3L)
  at <- if (is.null(given) || only_value(given)$data == count) count + 1 else place_in(count, given)
  sequence_of(append(elements, inputs[2L], after = at - 1))
}

op_sequence_erase <- function(inputs, node) {
  elements <- elements_of(inputs[[1L]])
  given <- optional_input(inputs, 2L)
  place <- place_in(length(elements), if (is.null(given)) whole_numbers_of(-1) else given)
  list(dtype = "sequence", elements = elements[-place])
}

# One number is the length of every part but perhaps the last; several are the lengths; without any each part is one place, whose
# axis may go.
split_to_sequence <- function(split, without_axis) {
  function(inputs, node) {
    x <- inputs[[1L]]
    axis <- resolve_axis(node$attributes$axis, length(x$shape))
    total <- as.double(x$shape[axis + 1])
    given <- optional_input(inputs, 2L)
    lengths <- if (is.null(given)) rep(1, total)
      else if (length(given$shape)) given$data
      else if (given$data <= 0) stop_bad_input("parts of length ", given$data)
      else pmin(given$data, total - given$data * (seq_len(ceiling(total / given$data)) - 1))
    parts <- unname(split(list(x, list(data = as.double(lengths))), node))
    if (is.null(given) && node$attributes$keepdims == 0) parts <- lapply(parts, without_axis, axis)
    sequence_of(parts)
  }
}

op_split_to_sequence <- split_to_sequence(
  function(inputs, node) op_split(inputs, node), function(x, axis) tensor(x$data, x$shape[-(axis + 1)], x$dtype)
)

op_concat_from_sequence <- function(inputs, node) {
  elements <- elements_of(inputs[[1L]])
  if (!length(elements)) stop_bad_input("the sequence is empty")
  on_torch <- any(vapply(elements, is_torch, NA))
  if (on_torch) elements <- lapply(elements, as_torch, node$precision)
  shapes <- lapply(elements, function(x) as.double(x$shape))
  if (node$attributes$new_axis == 0) return((if (on_torch) torch_op_concat else op_concat)(elements, node))
  if (length(unique(shapes)) > 1L) stop_bad_input("the tensors of the sequence differ in shape")
  axis <- resolve_axis(node$attributes$axis, length(shapes[[1L]]) + 1)
  if (on_torch) torch::torch_stack(elements, dim = axis + 1) else plain_algebra$stack(elements, axis)
}

#' SequenceMap: a graph for each place of sequences; what is a tensor is the same for all
#' @noRd
map_sequence <- function(inputs, node, algebra) {
  body <- node$attributes$body
  own <- inputs[seq_along(node$inputs)]
  count <- length(elements_of(own[[1L]]))
  moved <- which(vapply(own, is_sequence, NA))
  still <- setdiff(seq_along(own), moved)
  if (any(vapply(own[moved], function(x) length(x$elements), 0L) != count)) stop_bad_input("the sequences differ in length")
  if (count > 0) opened <- open_body(body, inputs, algebra, still, own[still])
  steps <- lapply(seq_len(count), function(k) {
    in_step(k - 1, run_body(opened, moved, lapply(own[moved], function(x) x$elements[[k]]), algebra))
  })
  lapply(seq_along(body$outputs), function(output) sequence_of(lapply(steps, `[[`, output)))
}

check_sequence_map <- function(node) {
  body <- node$attributes$body
  check_body_size(node, "body", length(body$inputs), length(node$inputs), "inputs", exactly = TRUE)
  check_body_size(node, "body", length(body$outputs), length(node$outputs), "outputs")
}

first_or_nothing <- function(inputs) if (length(inputs) && !is.null(inputs[[1L]])) inputs[[1L]] else list(dtype = "optional")

op_optional <- function(inputs, node) first_or_nothing(inputs)

op_optional_has_element <- function(inputs, node) tensor(!holds_nothing(first_or_nothing(inputs)), double(), "bool")

op_optional_get_element <- function(inputs, node) {
  if (holds_nothing(inputs[[1L]])) stop_bad_input("the optional holds nothing")
  inputs[[1L]]
}

# The same on torch, whose tensors are elements as they are.
torch_sequence_table <- function() {
  list(
    SequenceEmpty = op_sequence_empty, SequenceConstruct = op_sequence_construct, SequenceAt = op_sequence_at,
    SequenceInsert = op_sequence_insert, SequenceErase = op_sequence_erase, SequenceLength = op_sequence_length,
    SplitToSequence = split_to_sequence(torch_op_split, function(x, axis) x$squeeze(axis + 1)),
    ConcatFromSequence = op_concat_from_sequence, SequenceMap = on_torch(map_sequence), Optional = op_optional,
    OptionalHasElement = op_optional_has_element, OptionalGetElement = op_optional_get_element
  )
}
