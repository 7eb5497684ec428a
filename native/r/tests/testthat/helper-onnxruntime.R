skip_without_onnxruntime <- function() {
  skip_if_not_installed("reticulate")
  skip_if(Sys.getenv("RETICULATE_PYTHON") == "", "RETICULATE_PYTHON names no Python with onnxruntime")
  skip_if_not(reticulate::py_module_available("onnxruntime"), "RETICULATE_PYTHON holds no onnxruntime")
}
