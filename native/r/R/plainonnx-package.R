#' plainonnx: read and run ONNX models on plain R arrays
#'
#' [onnx_read()] reads a model file, [predict()][predict.onnx_model] runs it,
#' [serve()] offers the same to another process. A model is refused by name,
#' when it is read, if it asks for anything the operator table does not hold.
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
