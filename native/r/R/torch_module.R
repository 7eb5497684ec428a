#' A model as a module of R torch
#'
#' The graph of an ONNX file as an `nn_module`: its weights are parameters under
#' the file's own names, and train on like those of any other module.
#'
#' Floating-point initializers that take part in the computation are
#' parameters. The running mean and variance of a batch normalisation are
#' buffers, and so are numbers that only say how to compute (bounds, ratios).
#' After `train()` batch normalisation uses and updates its statistics and
#' dropout is active, as far as the file still has them as operators: an
#' exporter may have folded the one and dropped the other. After `eval()`, which
#' is how a new module starts, the module computes what the file says.
#'
#' With `onnx_read(path, "float32")` everything is computed in single precision,
#' with `"float64"` in double. What R torch has not, such as unsigned integers
#' wider than eight bits, is refused here, by name.
#'
#' @param model a model read by [onnx_read()].
#' @return An `nn_module` of class `onnx_module`. Its `forward()` takes torch
#'   tensors in the order of the model's inputs, or by name, with the axes in the
#'   model's order; it returns a tensor, or a named list of several.
#' @examplesIf requireNamespace("torch", quietly = TRUE) && torch::torch_is_installed()
#' m <- onnx_read(system.file("extdata", "crops.onnx", package = "plainonnx"))
#' module <- as_nn_module(m)
#' module(torch::torch_randn(2, 3, 8))
#' optimiser <- torch::optim_adam(module$parameters, lr = 1e-3)
#' @export
as_nn_module <- function(model) {
  if (!inherits(model, "onnx_model")) stop_bad_input("as_nn_module() takes a model read by onnx_read()")
  require_torch()
  graph <- torch_graph(model$graph)
  onnx_module_generator()(graph)$eval()
}

onnx_module_generator <- function() {
  if (is.null(table_cache$module)) {
    table_cache$module <- torch::nn_module(
      "onnx_module",
      initialize = function(graph) {
        for (stored in graph$initializers) {
          role <- graph$roles[[stored$name]]
          if (role == "plain") next
          values <- widened(stored_to_torch(stored), graph$precision)
          if (role == "parameter") {
            self$register_parameter(stored$name, torch::nn_parameter(values))
          } else {
            self$register_buffer(stored$name, values)
          }
        }
        # The bytes are in the module now.
        graph$initializers <- lapply(graph$initializers, `[`, c("name", "dtype", "shape"))
        self$graph <- graph
      },
      forward = function(...) {
        results <- self$run(list(...))
        if (length(results) == 1L) results[[1L]] else results
      },
      # Named list of the graph values asked for; the graph's outputs by default.
      run = function(inputs, names = NULL) {
        inputs <- checked_torch_inputs(self$graph, inputs)
        run_torch_graph(self$graph, c(private$parameters_, private$buffers_), inputs, self$training, names)
      }
    )
  }
  table_cache$module
}

#' Prepare a graph for torch
#'
#' @param graph what build_graph() returns.
#' @return The graph with torch's functions in its nodes, `roles` (initializer name to
#'   parameter, buffer or plain) and `constants` (values by slot, NULL where there is none).
#' @noRd
torch_graph <- function(graph) {
  graph$nodes <- torch_nodes(graph$nodes)
  refuse_torch_dtypes(graph)
  refuse_unknown_rounding(graph)
  graph$roles <- initializer_roles(graph)
  graph$constants <- vector("list", length(graph$names))
  plain <- which(unlist(graph$roles) == "plain")
  graph$constants[plain] <- graph$tensors[plain]
  graph$held <- vapply(graph$initializers, `[[`, "", "name")
  graph$tensors <- NULL
  constant <- vapply(graph$nodes, function(node) node$operator == "Constant", NA)
  for (node in graph$nodes[constant]) {
    if (node$output_slots[1L] > 0L) graph$constants[[node$output_slots[1L]]] <- constant_on_torch(node)
  }
  graph$run_order <- which(!constant)
  graph
}

# The value of a Constant node. A tensor with a fraction comes as the bytes that the file has.
constant_on_torch <- function(node) {
  stored <- node$attributes$value
  if (!is.null(stored) && is_floating(stored$dtype)) return(widened(stored_to_torch(stored), node$precision))
  value <- op_constant(list(), node)
  if (is_floating(value$dtype)) as_torch(value, node$precision) else value
}

torch_nodes <- function(nodes) {
  table <- torch_operator_table()
  lapply(nodes, function(node) {
    row <- table[[node$operator, exact = TRUE]]
    reason <- if (!is.null(row$refuse)) row$refuse(node)
    if (!is.null(reason)) {
      stop_unsupported("operator ", node$operator, " (node ", node$label, "): ", reason, " is not supported by r/torch")
    }
    node[c("run", "plain")] <- row[c("run", "plain")]
    node$numbers <- row$numbers
    node$either <- row$either
    for (attribute in node$graphs) {
      node$attributes[[attribute]]$nodes <- torch_nodes(node$attributes[[attribute]]$nodes)
    }
    if (node$operator %in% c("Loop", "Scan")) node$attributes$body <- join_convolutions(node)
    node
  })
}

refuse_torch_dtypes <- function(graph) {
  texts <- names_of(Filter(function(info) info$dtype == "string", c(graph$outputs, graph$initializers)))
  for (info in c(graph$inputs, graph$outputs, graph$initializers)) {
    if (!info$dtype %in% names(torch_dtype_names) && !info$name %in% texts) {
      stop_unsupported("dtype ", info$dtype, " ('", info$name, "') is not supported by r/torch")
    }
  }
}

# Under "float64" a tensor does not tell which floating-point type the file gives it. A cast to the type of another tensor is
# then known only where nothing in the file is of half precision, to which a cast has to round.
refuse_unknown_rounding <- function(graph) {
  casts_like <- any(vapply(graph$nodes, function(node) node$operator == "CastLike", NA))
  if (graph$precision != "float64" || !casts_like) return(invisible())
  half <- c("float16", "bfloat16")
  named <- vapply(c(graph$inputs, graph$initializers), `[[`, "", "dtype")
  made <- unlist(lapply(graph$nodes, function(node) {
    value <- node$attributes[["value"]]
    codes <- c(node$attributes[["to"]], node$attributes[["dtype"]])
    c(dtype_names[as.double(codes)], if (is.list(value)) value$dtype)
  }))
  if (any(c(named, made) %in% half)) {
    stop_unsupported("operator CastLike in a graph of half precision is not supported by r/torch under precision 'float64'")
  }
}

# Initializer name to its role in a module that trains.
initializer_roles <- function(graph) {
  uses <- uses_of_values(graph)
  used <- uses$computed
  statistics <- uses$statistics
  roles <- lapply(seq_along(graph$initializers), function(k) {
    if (!is_floating(graph$initializers[[k]]$dtype)) "plain"
    else if (used[k] && !statistics[k]) "parameter"
    else "buffer"
  })
  stats::setNames(roles, vapply(graph$initializers, `[[`, "", "name"))
}

# What is computed with, and what is a running statistic: two logical vectors over the values of a graph or a body.
uses_of_values <- function(graph) {
  computed <- rep(FALSE, length(graph$names))
  statistics <- rep(FALSE, length(graph$names))
  for (node in graph$nodes) {
    slots <- node$input_slots
    how <- seq_along(slots) %in% node$numbers
    running <- node$operator == "BatchNormalization" & seq_along(slots) > 3L
    inside <- seq_along(slots) > length(node$inputs)
    computed[slots[!how & !running & !inside]] <- TRUE
    statistics[slots[running]] <- TRUE
    for (body in node$attributes[node$graphs]) {
      within <- uses_of_values(body)
      outer <- slots[body$captured_at]
      computed[outer] <- computed[outer] | within$computed[body$captured_slots]
      statistics[outer] <- statistics[outer] | within$statistics[body$captured_slots]
    }
  }
  list(computed = computed, statistics = statistics)
}

# Torch tensors by input name, of the dtype and shape that the model declares; `check` holds the shapes against it.
checked_torch_inputs <- function(graph, inputs, check = check_inputs) {
  infos <- graph$inputs
  expected <- vapply(infos, `[[`, "", "name")
  if (is.null(names(inputs)) && length(inputs) == length(expected)) names(inputs) <- expected
  for (name in names(inputs)) {
    if (!is_torch(inputs[[name]])) stop_bad_input("input '", name, "' is not a torch tensor")
  }
  check(graph, lapply(inputs, shape_only))
  for (info in infos) {
    x <- inputs[[info$name]]
    dtype <- dtype_of_torch(x)
    if (dtype == info$dtype && graph$precision == "float32") next
    floating <- graph$precision == "float64" && is_floating(info$dtype)
    if (!identical(dtype, info$dtype) && !(floating && dtype == "float64")) {
      stop_bad_input("input '", info$name, "' is ", dtype, "; the model takes ", info$dtype)
    }
    if (floating) inputs[[info$name]] <- widened(x, "float64")
  }
  inputs
}

#' Run a graph on torch
#'
#' @param graph what torch_graph() returns; `held` named parameters and buffers;
#'   `inputs` named torch tensors; `training` whether the module trains; `names` the
#'   values wanted.
#' @return named list of torch tensors.
#' @noRd
run_torch_graph <- function(graph, held, inputs, training, names = NULL) {
  wanted <- if (is.null(names)) graph$output_slots else match(names, graph$names)
  if (anyNA(wanted)) stop_bad_input("the graph has no value named ", quoted(names[is.na(wanted)]))
  values <- graph$constants
  here <- match(base::names(held), graph$names)
  values[here] <- held
  values[match(base::names(inputs), graph$names)] <- inputs
  last <- last_node_needed(graph, wanted)
  for (k in graph$run_order) {
    if (k > last) break
    node <- graph$nodes[[k]]
    arguments <- vector("list", length(node$input_slots))
    given <- node$input_slots > 0L
    arguments[given] <- values[node$input_slots[given]]
    results <- run_torch_node(node, arguments, training)
    kept <- which(node$output_slots > 0L)
    values[node$output_slots[kept]] <- results[kept]
    # What autograd needs it holds itself.
    values[setdiff(graph$release[[k]], wanted)] <- list(NULL)
  }
  results <- lapply(Map(leaving, values[wanted], graph$names[wanted]), as_torch, graph$precision)
  base::names(results) <- graph$names[wanted]
  results
}

run_torch_node <- function(node, arguments, training) {
  results <- tryCatch(
    {
      torch_arguments <- vapply(arguments, is_torch, NA)
      if (length(node$graphs)) {
        node$training <- training
        node$run(arguments, node)
      } else if (!any(torch_arguments) && length(arguments) && !node$operator %in% c("ConstantOfShape", "Range")) {
        lapply(as_list_of_tensors(node$plain(arguments, node)), plain_number, node$precision)
      } else {
        number <- seq_along(arguments) %in% node$numbers
        arguments[number] <- lapply(arguments[number], as_plain)
        if (!is_made_plainly(node)) {
          number[node$either] <- TRUE
          arguments[!number] <- lapply(arguments[!number], as_torch, node$precision)
        }
        node$training <- training
        node$run(arguments, node)
      }
    },
    error = function(e) {
      kind <- if (inherits(e, "onnx_error")) class(e)[1L] else "onnx_failed"
      stop_kind(kind, one_line(node_title(node), ": ", substr(conditionMessage(e), 1L, 600L)))
    }
  )
  results <- as_list_of_tensors(results)
  if (length(results) < max(0L, which(nzchar(node$outputs)))) {
    stop_unsupported(node_title(node), ": output number ", length(results) + 1L, " is not supported by r/torch")
  }
  # Only integers, booleans and what plain_number() lets through stay plain.
  lapply(results, function(x) {
    if (is_torch(x) || !is_floating(x$dtype) || isTRUE(x$single)) x else as_torch(x, node$precision)
  })
}

as_list_of_tensors <- function(results) if (is_torch(results) || !is.null(results$dtype)) list(results) else results

# A single number computed from integers, such as how far a loop has come, stays plain too, rounded as torch would hold it.
plain_number <- function(x, precision) {
  if (!is_torch(x) && length(x$data) == 1L && x$dtype %in% c("float32", "float64")) {
    if (precision == "float32") x$data <- round_to_dtype(x$data, x$dtype)
    x$single <- TRUE
  }
  x
}

is_made_plainly <- function(node) node$operator %in% c("Shape", "Size", "EyeLike", "ConstantOfShape", "Range")
