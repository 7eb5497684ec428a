# Operators that are put together from others, so that plain arrays and torch share them and autograd follows. Such an operator
# is a function of (op, inputs, node): op("Add", a, b) runs another operator as the newest opset has it, on tensors of the
# engine or on plain constants; op("Transpose", x, with = list(perm = c(1, 0))) sets attributes. Every step rounds as a node.

operator_caller <- function(node, table, compute) {
  function(operator, ..., with = list()) {
    row <- table[[operator]]
    arguments <- list(...)
    inner <- list(
      name = node$name, operator = operator, label = node$label, inputs = rep("x", length(arguments)), outputs = "y",
      attributes = replace(row$attributes, names(with), with), since = max(row$since), opset = last_opset,
      precision = node$precision, run = row$run, plain = row$plain, numbers = row$numbers, either = row$either,
      any_order = isTRUE(attr(row$run, "any_order"))
    )
    compute(inner, arguments)[[1L]]
  }
}

# Table entries. `build` see above.
composed <- function(build) {
  force(build)
  function(inputs, node) {
    op <- operator_caller(node, operator_table(), function(inner, arguments) lapply(run_node(inner, arguments), settled))
    build(op, inputs, node)
  }
}

torch_composed <- function(build) {
  force(build)
  function(inputs, node) {
    op <- operator_caller(node, torch_operator_table(), function(inner, arguments) {
      run_torch_node(inner, arguments, node$training)
    })
    build(op, inputs, node)
  }
}

# What both kinds of tensors have.
sizes_of <- function(x) as.double(x$shape)
dtype_of <- function(x) if (is_torch(x)) dtype_of_torch(x) else x$dtype

# Plain constants: indices, shapes and axes, and one number of the dtype of a tensor.
whole_numbers_of <- function(values, shape = length(values)) tensor(as.double(values), as.double(shape), "int64")

number_like <- function(value, x, node) {
  dtype <- dtype_of(x)
  if (node$precision == "float32" && dtype %in% c("float16", "bfloat16")) value <- round_to_dtype(value, dtype)
  tensor(value, double(), dtype)
}

# A part of one axis, counted from 0, to before `end`.
part_of_axis <- function(op, x, axis, start, end, step = 1) {
  op("Slice", x, whole_numbers_of(start), whole_numbers_of(end), whole_numbers_of(axis), whole_numbers_of(step))
}

optional_input <- function(inputs, position) if (length(inputs) >= position) inputs[[position]]

# An operator of plain arrays on torch tensors. What has a gradient is refused: it would be lost.
torch_by_plain <- function(run) {
  force(run)
  function(inputs, node) {
    asked <- vapply(inputs, function(x) is_torch(x) && x$requires_grad, NA)
    # Of a parameter too, but not where autograd is switched off.
    if (any(asked) && records_gradients()) {
      stop_unsupported("a gradient through this operator is not supported by r/torch")
    }
    run(lapply(inputs, as_plain), node)
  }
}

# Whether autograd is switched on: torch has no such question, and a view says that it has a gradient either way.
records_gradients <- function() torch::torch_zeros(1, requires_grad = TRUE)$mul(1)$requires_grad
