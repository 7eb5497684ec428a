test_that("Gemm multiplies as its flags say", {
  a <- wavy(2, 3)
  b <- wavy(3, 4)
  c <- wavy(4)
  expected <- a %*% b
  expect_equal(run_operator("Gemm", list(a, b)), expected)
  expect_equal(run_operator("Gemm", list(t(a), b), transA = 1L), expected)
  expect_equal(run_operator("Gemm", list(a, t(b)), transB = 1L), expected)
  expect_equal(run_operator("Gemm", list(t(a), t(b)), transA = 1L, transB = 1L), expected)
  expect_equal(run_operator("Gemm", list(a, b, c), alpha = 0.5, beta = 2), 0.5 * expected + 2 * rep(c, each = 2))
  expect_error(run_operator("Gemm", list(a, a)), "do not fit a product", class = "onnx_bad_input")
})

test_that("MatMul broadcasts its leading axes", {
  a <- wavy(2, 1, 3, 4)
  b <- wavy(5, 4, 2)
  y <- run_operator("MatMul", list(a, b))
  expect_equal(dim(y), c(2L, 5L, 3L, 2L))
  for (i in 1:2) for (j in 1:5) expect_equal(y[i, j, , ], a[i, 1, , ] %*% b[j, , ])
  expect_equal(run_operator("MatMul", list(wavy(2, 3, 4), b[1, , ]))[2, , ], wavy(2, 3, 4)[2, , ] %*% b[1, , ])
  expect_equal(run_operator("MatMul", list(1:3, 4:6)), 32)
  expect_equal(as.vector(run_operator("MatMul", list(1:4, b[1, , ]))), as.vector(1:4 %*% b[1, , ]))
})
