#' plainonnx: read and run ONNX models on plain R arrays
#'
#' [onnx_read()] reads a model file, [predict()][predict.onnx_model] runs it,
#' [onnx_serve()] offers the same to another process. A model is refused by name,
#' when it is read, if it asks for anything the operator table does not hold.
#'
#' @section Engines:
#' A model runs on one of three engines. Plain R arrays are what [predict()][predict.onnx_model] computes on: in double
#' precision, with nothing but this package. R torch is optional: [as_nn_module()] makes one of its modules of a model, which
#' computes in single precision, on torch's own kernels, and trains on. `onnx_serve("onnxruntime")` runs a model in Python's
#' onnxruntime by the package reticulate, to be compared with the other two. `onnx_serve()` offers each of them to another
#' process. The files `torch_*.R` are the engine on torch.
#'
#' @section Where things are:
#' `protobuf.R` knows the wire format, `onnx_messages.R` the messages of ONNX,
#' `dtype.R` the number formats, `tensor.R` the layout of an array in memory,
#' `operator_table.R` what is supported, `graph.R` the checks made on reading,
#' `run.R` the order of computation, and one `op_*.R` file each family of
#' operators.
#'
#' @keywords internal
"_PACKAGE"

# What functions find where they run: `self` and `private` in a module of torch; `layout` and `n_times` in the environment that
# as_sits_model() gives its function.
utils::globalVariables(c("self", "private", "layout", "n_times"))
