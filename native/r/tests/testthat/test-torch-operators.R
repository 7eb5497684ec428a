# Operators on torch tensors, one at a time: the values are those of plain arrays, the gradients those of central differences.

# A graph of one operator. Inputs are arrays, NULL where one is left out; those at the places `constant` are initializers.
operator_module <- function(operator, inputs, ..., dtypes, opset = 17, out_dtype = "float32", constant = integer()) {
  given <- which(!vapply(inputs, is.null, NA))
  names <- replace(rep("", length(inputs)), given, paste0("in", given))
  sizes <- function(x) if (isTRUE(attr(x, "scalar"))) list() else as.list(if (is.null(dim(x))) length(x) else dim(x))
  free <- setdiff(given, constant)
  path <- write_model(onnx_model(
    list(onnx_node(operator, names, "y", ...)),
    lapply(free, function(k) onnx_value(names[k], dtypes[k], sizes(inputs[[k]]))), list(onnx_value("y", out_dtype)),
    lapply(constant, function(k) onnx_tensor(names[k], inputs[[k]], dtypes[k], scalar = isTRUE(attr(inputs[[k]], "scalar")))),
    opset = opset
  ))
  onnx_read(path, "float64")
}

operator_inputs <- function(inputs, dtypes, which) {
  lapply(which, function(k) {
    x <- plainonnx:::from_r(inputs[[k]], dtypes[k])
    if (isTRUE(attr(inputs[[k]], "scalar"))) x$shape <- double()
    plainonnx:::as_torch(x, "float64")
  })
}

# Values as plain arrays have them, and gradients to the inputs at the places `gradient`.
expect_same_on_torch <- function(operator, inputs, ..., dtypes = rep("float32", length(inputs)), opset = 17,
                                 out_dtype = "float32", constant = integer(), gradient = integer()) {
  # A file holds single precision.
  inputs <- lapply(inputs, function(x) {
    if (!is.null(x)) x[] <- plainonnx:::round_to_dtype(as.double(x), "float32")
    x
  })
  model <- operator_module(operator, inputs, ..., dtypes = dtypes, opset = opset, out_dtype = out_dtype, constant = constant)
  free <- setdiff(which(!vapply(inputs, is.null, NA)), constant)
  expected <- run_operator(operator, inputs, ..., dtypes = dtypes, opset = opset, out_dtypes = out_dtype)
  module <- as_nn_module(model)
  tensors <- operator_inputs(inputs, dtypes, free)
  y <- do.call(module, tensors)
  label <- paste(operator, paste(list(...), collapse = " "))
  expect_equal(as.double(as.array(y$cpu())), as.double(expected), tolerance = 1e-12, label = label)
  expect_equal(as.double(y$shape), as.double(if (is.null(dim(expected))) length(expected) else dim(expected)), label = label)
  for (k in gradient) {
    tensors <- operator_inputs(inputs, dtypes, free)
    at <- match(k, free)
    weighed <- function() {
      y <- do.call(module, tensors)
      (y * torch::torch_arange(1, prod(y$shape), dtype = torch::torch_double())$cos()$reshape(y$shape))$sum()
    }
    tensors[[at]]$requires_grad_(TRUE)
    weighed()$backward()
    found <- tensors[[at]]$grad$reshape(-1)
    tensors[[at]] <- tensors[[at]]$detach()
    flat <- tensors[[at]]$view(-1)
    for (place in seq_len(flat$shape)) {
      shifted <- function(by) {
        flat[place]$add_(by)
        on.exit(flat[place]$sub_(by))
        weighed()$item()
      }
      central <- (shifted(1e-6) - shifted(-1e-6)) / 2e-6
      expect_lt(abs(found[place]$item() - central), 1e-7 + 1e-6 * abs(central), label = paste(label, "gradient", k, "at", place))
    }
  }
}

with_indices <- function(n, at = 2) replace(rep("float32", n), at, "int64")

test_that("torch has every operator of plain arrays, in the same versions", {
  skip_without_torch()
  versions <- function(table) lapply(table[sort(names(table))], `[[`, "since")
  expect_identical(versions(plainonnx:::torch_operator_table()), versions(plainonnx:::operator_table()))
})

test_that("cumulative products, both ways, with and without their own value", {
  skip_without_torch()
  for (exclusive in 0:1) {
    for (reverse in 0:1) {
      expect_same_on_torch("CumProd", list(wavy(3, 4), scalar(1)), exclusive = exclusive, reverse = reverse, opset = 26,
                           dtypes = with_indices(2), gradient = 1)
    }
  }
})

test_that("hard maxima are the first ones", {
  skip_without_torch()
  x <- rbind(c(1, 3, 3), c(2, 2, 1))
  expect_same_on_torch("Hardmax", list(x))
  expect_same_on_torch("Hardmax", list(x), axis = 0L)
  expect_same_on_torch("Hardmax", list(wavy(2, 3, 4)), axis = 1L, opset = 11)
})

test_that("local response normalisation takes an even neighbourhood as ONNX does", {
  skip_without_torch()
  for (size in 1:5) expect_same_on_torch("LRN", list(wavy(2, 4, 3)), size = size, alpha = 0.5, beta = 0.6, bias = 2, gradient = 1)
  expect_same_on_torch("LRN", list(wavy(2, 3)), size = 3L)
})

test_that("index tuples choose slices, along batch axes too", {
  skip_without_torch()
  x <- wavy(3, 4, 2)
  expect_same_on_torch("GatherND", list(x, rbind(c(0, 1), c(-1, -2), c(0, 1))), dtypes = with_indices(2), gradient = 1)
  expect_same_on_torch("GatherND", list(x, rbind(c(0, 1, 1), c(2, 3, 0))), dtypes = with_indices(2), constant = 2, gradient = 1)
  expect_same_on_torch("GatherND", list(x, matrix(c(3, 0, -2), 3)), batch_dims = 1L, dtypes = with_indices(2), gradient = 1)
  batched <- array(c(0, 3, -1, 1, 2, 0), c(3, 2, 1))
  expect_same_on_torch("GatherND", list(x, batched), batch_dims = 1L, dtypes = with_indices(2), gradient = 1)
  # An index beyond one axis would still point into the tensor.
  read <- operator_module("GatherND", list(x, rbind(c(0, 5))), dtypes = with_indices(2))
  expect_error(as_nn_module(read)(plainonnx:::as_torch(plainonnx:::from_r(x, "float32"), "float64"),
                                  torch::torch_tensor(rbind(c(0, 5)), dtype = torch::torch_long())),
               "outside axes of length \\(3, 4\\)", class = "onnx_bad_input")
})

test_that("values are scattered, and combined with what stands there", {
  skip_without_torch()
  x <- wavy(3, 4)
  elements <- list(x, rbind(c(1, 0), c(-1, 2)), wavy(2, 2) + 0.3)
  slices <- list(x, matrix(c(2, 0), 2), wavy(2, 4) + 0.3)
  single <- list(x, rbind(c(2, 1), c(0, -1)), c(0.7, -1.3))
  for (reduction in c("none", "add", "mul", "max", "min")) {
    same <- function(...) {
      expect_same_on_torch(..., reduction = reduction, opset = 18, dtypes = with_indices(3), gradient = c(1, 3))
    }
    same("ScatterElements", elements, axis = 1L)
    same("ScatterND", slices)
    same("ScatterND", single)
  }
  # One place more than once.
  for (reduction in c("add", "mul", "max", "min")) {
    expect_same_on_torch("ScatterElements", list(wavy(3), c(1, 1, 1, 0), wavy(4) + 0.3), reduction = reduction, opset = 18,
                         dtypes = with_indices(3), gradient = c(1, 3))
    expect_same_on_torch("ScatterND", list(x, matrix(c(1, 1), 2), wavy(2, 4) + 0.3), reduction = reduction, opset = 18,
                         dtypes = with_indices(3), gradient = c(1, 3))
  }
  expect_error(operator_module("ScatterND", slices, reduction = "mean", opset = 18, dtypes = with_indices(3)),
               "reduction 'mean'", class = "onnx_unsupported")
})

test_that("one-hot vectors along any axis, off where the index is outside", {
  skip_without_torch()
  for (axis in -1:1) {
    expect_same_on_torch("OneHot", list(c(1, -1, 5), scalar(3), c(-2, 5)), axis = axis, dtypes = c("int64", "int64", "float32"))
  }
  expect_same_on_torch("OneHot", list(wavy(2, 3), scalar(2), c(0, 1)), axis = 1L, dtypes = rep("float32", 3), constant = 2:3)
  # What says on and off is no weight.
  module <- as_nn_module(operator_module("OneHot", list(wavy(2), scalar(2), c(0, 1)), dtypes = rep("float32", 3), constant = 2:3))
  expect_length(module$parameters, 0)
})

test_that("places that are not zero, one row for each axis", {
  skip_without_torch()
  expect_same_on_torch("NonZero", list(rbind(c(0, 1, 0), c(2, 0, -1))), out_dtype = "int64")
  expect_same_on_torch("NonZero", list(c(0, 0)), out_dtype = "int64")
  expect_same_on_torch("NonZero", list(array(c(0, 3), c(2, 1, 2))), out_dtype = "int64")
})

test_that("interpolation is that of plain arrays in every mode, with its gradients", {
  skip_without_torch()
  x <- wavy(1, 2, 4, 3)
  with_scales <- function(...) {
    expect_same_on_torch("Resize", list(x, NULL, c(1, 1, 1.7, 0.6)), ..., opset = 18, constant = 3, gradient = 1)
  }
  for (rounding in c("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")) with_scales(nearest_mode = rounding)
  for (mode in c("linear", "cubic")) {
    for (transformation in c("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric")) {
      with_scales(mode = mode, coordinate_transformation_mode = transformation)
    }
    with_scales(mode = mode, antialias = 1L)
    with_scales(mode = mode, exclude_outside = 1L)
  }
  sizes <- function(...) {
    expect_same_on_torch("Resize", list(x, NULL, NULL, c(7, 8)), ..., axes = ints(3, 2), opset = 18,
                         dtypes = c("float32", "float32", "float32", "int64"), gradient = 1)
  }
  for (policy in c("stretch", "not_larger", "not_smaller")) sizes(mode = "linear", keep_aspect_ratio_policy = policy)
  expect_same_on_torch("Resize", list(x, c(0, 0, -0.2, 0.1, 1, 1, 1.3, 0.8), NULL, c(1, 2, 5, 6)), mode = "linear",
                       coordinate_transformation_mode = "tf_crop_and_resize", extrapolation_value = 9, opset = 18,
                       dtypes = c("float32", "float32", "float32", "int64"), gradient = 1)
  whole <- array(c(1, 9, -4, 6), c(1, 1, 4))
  expect_same_on_torch("Resize", list(whole, NULL, c(1, 1, 2)), mode = "linear", dtypes = c("int32", "float32", "float32"),
                       out_dtype = "int32")
  for (mode in c("nearest", "linear")) {
    expect_same_on_torch("Upsample", list(x, c(1, 1, 2, 1.5)), mode = mode, opset = 9, constant = 2, gradient = 1)
  }
  expect_error(operator_module("Upsample", list(x, c(1, 1, 2, 2)), mode = "cubic", opset = 9, dtypes = rep("float32", 2)),
               "mode 'cubic'", class = "onnx_unsupported")
})

test_that("gradients pass through what is put together from others, and through sequences that are turned", {
  skip_without_torch()
  expect_same_on_torch("NegativeLogLikelihoodLoss", list(wavy(3, 4), c(1, 0, 3)), reduction = "none", dtypes = with_indices(2), constant = 2,
                       gradient = 1)
  expect_same_on_torch("RotaryEmbedding", list(wavy(1, 2, 3, 4), wavy(1, 3, 2), wavy(1, 3, 2) + 0.1), opset = 23, gradient = 1:3)
  expect_same_on_torch("SwiGLU", list(wavy(3, 4), wavy(3, 4) + 1), opset = 28, gradient = 1:2)
  expect_same_on_torch("Compress", list(wavy(3, 4), c(TRUE, FALSE, TRUE)), axis = 0L, dtypes = c("float32", "bool"), constant = 2,
                       gradient = 1)
  expect_same_on_torch("CenterCropPad", list(wavy(3, 4), c(2, 6)), opset = 18, dtypes = with_indices(2), constant = 2, gradient = 1)
  expect_same_on_torch("ReverseSequence", list(wavy(4, 3, 2), c(4, 2, 3)), dtypes = with_indices(2), constant = 2, gradient = 1)
})
