library(testthat)
library(plainonnx)

test_check("plainonnx")
