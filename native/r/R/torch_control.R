# Loop, Scan and If on R torch, see op_control.R. Autograd follows the steps by itself.

torch_algebra <- function(node) {
  list(
    compute = function(inner, arguments) run_torch_node(inner, arguments, node$training),
    number = function(x) plain_algebra$number(as_plain(x)),
    flag = function(x) plain_algebra$flag(as_plain(x)),
    part = function(x, axis, place) if (is_torch(x)) x$select(axis + 1, place + 1) else plain_algebra$part(x, axis, place),
    stack = function(parts, axis) {
      if (!any(vapply(parts, is_torch, NA))) return(plain_algebra$stack(parts, axis))
      torch::torch_stack(lapply(parts, as_torch, node$precision), dim = axis + 1)
    },
    shape = function(x) as.double(x$shape),
    dtype = function(x) if (is_torch(x)) dtype_of_torch(x) else x$dtype,
    empty = function(shape, dtype) {
      if (!is_floating(dtype)) return(plain_algebra$empty(shape, dtype))
      widened(torch::torch_zeros(shape, dtype = torch_dtype_of(dtype)), node$precision)
    },
    blank = function(x) if (is_torch(x)) torch::torch_zeros_like(x) else plain_algebra$blank(x)
  )
}

# A table entry: `run` is loop_over(), scan_over() or choose_branch().
on_torch <- function(run) {
  force(run)
  function(inputs, node) run(inputs, node, torch_algebra(node))
}

torch_control_table <- function() {
  list(Loop = on_torch(loop_over), Scan = on_torch(scan_over), If = on_torch(choose_branch))
}
