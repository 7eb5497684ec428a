# Values of a graph on R torch. A value is a torch tensor, or a plain tensor
# (see tensor.R) where it is an integer or boolean that is known without any
# data: a constant, a shape, and what is computed from those. Shapes and axes
# thus stay R numbers, and the operators of plain arrays compute with them.
#
# Tensors cross the border as raw bytes in row-major order, never through
# doubles, so that every bit of a parameter survives.

# dtype name to the name that torch gives it.
torch_dtype_names <- c(
  float32 = "Float", float64 = "Double", float16 = "Half", bfloat16 = "BFloat16", int64 = "Long", int32 = "Int",
  int16 = "Short", int8 = "Char", uint8 = "Byte", bool = "Bool"
)

# The same for torch's reader of buffers.
torch_buffer_names <- c(
  float32 = "float", float64 = "double", float16 = "half", bfloat16 = "bfloat16", int64 = "long", int32 = "int",
  int16 = "short", int8 = "int8", uint8 = "uint8", bool = "bool"
)

torch_dtype_of <- function(dtype) {
  switch(dtype,
    float32 = torch::torch_float(), float64 = torch::torch_double(), float16 = torch::torch_half(),
    bfloat16 = torch::torch_bfloat16(), int64 = torch::torch_long(), int32 = torch::torch_int(),
    int16 = torch::torch_short(), int8 = torch::torch_int8(), uint8 = torch::torch_uint8(),
    bool = torch::torch_bool(), stop_unsupported("dtype ", dtype, " is not supported by r/torch")
  )
}

is_torch <- function(x) inherits(x, "torch_tensor")

dtype_of_torch <- function(x) {
  names(torch_dtype_names)[match(as.character(x$dtype), torch_dtype_names)]
}

# A stored tensor (shape, dtype, bytes) as a torch tensor that owns its memory.
stored_to_torch <- function(stored) {
  if (!stored$dtype %in% names(torch_buffer_names)) {
    stop_unsupported("dtype ", stored$dtype, " ('", stored$name, "') is not supported by r/torch")
  }
  torch::torch_tensor_from_buffer(stored_bytes(stored), stored$shape, torch_buffer_names[[stored$dtype]])$clone()
}

torch_to_stored <- function(x, name) {
  # Texts are no tensors of torch.
  if (!is_torch(x)) return(encode_tensor(x, name))
  # A copy: of a part of a tensor, buffer_from_torch_tensor() reads from the start of the whole.
  x <- x$detach()$cpu()$contiguous()$clone()
  list(name = name, dtype = dtype_of_torch(x), shape = as.double(x$shape), bytes = torch::buffer_from_torch_tensor(x))
}

# A plain tensor as a torch tensor; in double precision, floating-point values are doubles.
as_torch <- function(x, precision = "float32") {
  if (is.null(x) || is_torch(x) || x$dtype %in% c("string", "sequence", "optional")) return(x)
  widened(stored_to_torch(encode_tensor(x, "a constant")), precision)
}

widened <- function(x, precision) {
  if (precision == "float64" && x$is_floating_point()) x$to(dtype = torch::torch_double()) else x
}

as_plain <- function(x) {
  if (is.null(x) || !is_torch(x)) x else decode_tensor(torch_to_stored(x, ""))
}

# Shape and dtype of a value without its data, for the operators that only compute a shape.
shape_only <- function(x) {
  if (is_torch(x)) list(data = NULL, shape = as.double(x$shape), dtype = dtype_of_torch(x)) else x
}

# torch counts dimensions from 1.
torch_dims <- function(axes, rank) resolve_axis(axes, rank) + 1

is_half <- function(x) as.character(x$dtype) %in% c("Half", "BFloat16")
