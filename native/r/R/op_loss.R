# Losses, put together from other operators, see compose.R. Targets are plain numbers.

refuse_loss <- function(node) {
  if (!node$attributes$reduction %in% c("none", "sum", "mean")) paste0("reduction '", node$attributes$reduction, "'")
}

#' NegativeLogLikelihoodLoss: x (sample, class, ...) at the classes of target (sample, ...), weighted by class
#' @noRd
build_likelihood_loss <- function(op, inputs, node) {
  x <- inputs[[1L]]
  target <- inputs[[2L]]
  weight <- optional_input(inputs, 3L)
  size <- sizes_of(x)
  if (length(size) < 2L || !identical(as.double(target$shape), size[-2L])) {
    stop_bad_input("a target of shape ", shape_text(target$shape), " does not fit scores of shape ", shape_text(size))
  }
  ignored <- node$attributes$ignore_index
  counted <- if (is.null(ignored)) rep(TRUE, length(target$data)) else target$data != ignored
  classes <- ifelse(counted, target$data, 0)
  if (any(classes < 0 | classes >= size[2L])) stop_bad_input("a target lies outside the ", size[2L], " classes")
  at <- whole_numbers_of(classes, append(target$shape, 1, after = 1))
  loss <- op("Neg", op("Reshape", op("GatherElements", x, at, with = list(axis = 1)), whole_numbers_of(target$shape)))
  share <- NULL
  if (!is.null(weight)) share <- op("Gather", weight, whole_numbers_of(classes, target$shape), with = list(axis = 0))
  if (!all(counted)) {
    zero <- number_like(0, x, node)
    counted <- tensor(counted, target$shape, "bool")
    loss <- op("Where", counted, loss, zero)
    share <- op("Where", counted, if (is.null(share)) number_like(1, x, node) else share, zero)
  }
  if (!is.null(share)) loss <- op("Mul", loss, share)
  all <- list(keepdims = 0)
  switch(node$attributes$reduction,
    none = loss,
    sum = op("ReduceSum", loss, with = all),
    mean = if (is.null(share)) {
      op("ReduceMean", loss, with = all)
    } else {
      op("Div", op("ReduceSum", loss, with = all), op("ReduceSum", share, with = all))
    }
  )
}

build_cross_entropy_loss <- function(op, inputs, node) {
  likelihood <- op("LogSoftmax", inputs[[1L]], with = list(axis = 1))
  inputs[[1L]] <- likelihood
  list(build_likelihood_loss(op, inputs, node), likelihood)
}
