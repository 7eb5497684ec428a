# LSTM, GRU and RNN. What they do to arrays is a list of functions, `algebra`, so that plain arrays and torch share them. A
# state is a matrix of samples, its features along the side that `gate` cuts:
#
#   part(x, axis, place), stack(parts, axis)     see op_control.R;
#   swapped(x)             the first two axes of three exchanged;
#   rows(x, from, count)   some rows of a tensor, counted from 0;
#   mask(x, counts)        a tensor of the dtype of x: counts[1] ones, then counts[2] zeros;
#   weights(x), state(x)   a tensor (rows, columns) as a factor, and as a state;
#   numbers(x)             a vector, to be added to or multiplied with all samples of a state;
#   project(x, w)          one product for all steps of a sequence (time, sample, feature);
#   at(projected, step, samples)      the state of one step;
#   times(state, w)        a product;
#   gate(state, from, count)    some features, counted from 0;
#   zeros(x, samples, features)      a state of zeros of the dtype of x;
#   chosen(active, new, old)    the samples of `new` that are active, the others of `old`;
#   clipped(state, limit)  each value between -limit and limit;
#   activations            functions by name, of a state and alpha and beta as far as they take them;
#   steps(states, x), final(state, x)     as tensors (time, sample, feature) and (sample, feature) of the dtype of x.

# How a cell turns a step's share of the inputs and its states into new states. `given` holds the recurrent weights `r`,
# the recurrent bias `rb`, peepholes `p`, the activations f, g and h, the number of features and the attributes.
lstm_step <- function(z, states, given, algebra) {
  n <- given$features
  z <- z + algebra$times(states[[1L]], given$r)
  cell <- states[[2L]]
  gates <- function(from, count) algebra$gate(z, from * n, count * n)
  # Gates stand in the order input, output, forget, cell.
  if (is.null(given$p)) {
    open <- given$f(gates(0, 3))
    input <- algebra$gate(open, 0, n)
    output <- algebra$gate(open, n, n)
    forget <- algebra$gate(open, 2 * n, n)
  } else {
    input <- given$f(gates(0, 1) + cell * given$p[[1L]])
    forget <- given$f(gates(2, 1) + cell * given$p[[3L]])
  }
  if (given$attributes$input_forget != 0) forget <- input * -1 + 1
  cell <- forget * cell + input * given$g(gates(3, 1))
  if (!is.null(given$p)) output <- given$f(gates(1, 1) + cell * given$p[[2L]])
  list(output * given$h(cell), cell)
}

gru_step <- function(z, states, given, algebra) {
  n <- given$features
  hidden <- states[[1L]]
  # Gates stand in the order update, reset, hidden.
  if (given$attributes$linear_before_reset != 0) {
    r <- algebra$times(hidden, given$r)
    open <- given$f(algebra$gate(z, 0, 2 * n) + algebra$gate(r, 0, 2 * n))
    recurrent <- algebra$gate(r, 2 * n, n)
    if (!is.null(given$rb)) recurrent <- recurrent + given$rb
    recurrent <- algebra$gate(open, n, n) * recurrent
  } else {
    open <- given$f(algebra$gate(z, 0, 2 * n) + algebra$times(hidden, given$r[[1L]]))
    recurrent <- algebra$times(algebra$gate(open, n, n) * hidden, given$r[[2L]])
  }
  update <- algebra$gate(open, 0, n)
  candidate <- given$g(algebra$gate(z, 2 * n, n) + recurrent)
  list((update * -1 + 1) * candidate + update * hidden)
}

rnn_step <- function(z, states, given, algebra) list(given$f(z + algebra$times(states[[1L]], given$r)))

recurrent_cells <- list(
  LSTM = list(gates = 4, states = 2, activations = c("Sigmoid", "Tanh", "Tanh"), step = lstm_step),
  GRU = list(gates = 3, states = 1, activations = c("Sigmoid", "Tanh"), step = gru_step),
  RNN = list(gates = 1, states = 1, activations = "Tanh", step = rnn_step)
)

# How many of alpha and beta an activation takes, and what they are where they are not given; NA where they must be.
activation_numbers <- list(
  Relu = double(), Tanh = double(), Sigmoid = double(), Softsign = double(), Softplus = double(), LeakyRelu = 0.01,
  ThresholdedRelu = 1, Elu = 1, HardSigmoid = c(0.2, 0.5), Affine = c(NA, NA), ScaledTanh = c(NA, NA)
)

recurrent_directions <- function(node) if (node$attributes$direction == "bidirectional") 2 else 1

# The names of the activations, and for each its alpha and beta.
activations_of <- function(node) {
  cell <- recurrent_cells[[node$operator]]
  needed <- length(cell$activations) * recurrent_directions(node)
  names <- node$attributes$activations
  if (is.null(names)) names <- rep(cell$activations, recurrent_directions(node))
  # A file may state those of two directions where it has one.
  names <- utils::head(names, needed)
  known <- base::names(activation_numbers)
  list(names = known[match(tolower(names), tolower(known))], stated = names, needed = needed)
}

refuse_recurrent <- function(node) {
  if (!node$attributes$direction %in% c("forward", "reverse", "bidirectional")) {
    return(paste0("direction '", node$attributes$direction, "'"))
  }
  given <- activations_of(node)
  if (anyNA(given$names)) return(paste0("activation ", quoted(given$stated[is.na(given$names)])))
  if (length(given$names) != given$needed) return(paste(length(given$names), "activations where", given$needed, "are needed"))
  numbers <- lapply(1:2, function(which) {
    values <- node$attributes[[c("activation_alpha", "activation_beta")[which]]]
    takes <- vapply(activation_numbers[given$names], length, 0L) >= which
    list(values = values, takes = takes)
  })
  for (number in numbers) {
    counts <- c(0L, sum(number$takes), length(given$names))
    if (!length(number$values) %in% counts) return("another number of alphas or betas than of activations that take them")
    # One for each activation, and one for each that takes it: where the two readings differ nothing tells which is meant.
    in_order <- utils::head(number$values, sum(number$takes))
    by_place <- number$values[which(number$takes)]
    if (length(number$values) > sum(number$takes) && !identical(in_order, by_place)) {
      return("a list of alphas or betas that is longer than the activations that take them")
    }
    wanting <- vapply(activation_numbers[given$names], anyNA, NA)
    if (any(wanting) && !length(number$values)) return(paste0("activation ", quoted(given$names[wanting][1L]), " without alpha and beta"))
  }
  NULL
}

# The activations as functions of a state, which is clipped before. The cell of LSTM is not, before its activation h: the
# standard's "input of activations" may mean it, but onnxruntime, which files were tried with, leaves it as it is.
activation_functions <- function(node, algebra) {
  names <- activations_of(node)$names
  per_direction <- length(recurrent_cells[[node$operator]]$activations)
  taken <- c(0L, 0L)
  clip <- node$attributes$clip
  lapply(seq_along(names), function(k) {
    name <- names[k]
    numbers <- activation_numbers[[name]]
    for (which in seq_along(numbers)) {
      given <- node$attributes[[c("activation_alpha", "activation_beta")[which]]]
      taken[which] <<- taken[which] + 1L
      if (length(given)) numbers[which] <- given[taken[which]]
    }
    f <- algebra$activations[[name]]
    clips <- !is.null(clip) && clip > 0 && (k - 1) %% per_direction < 2L
    function(x) {
      if (clips) x <- algebra$clipped(x, clip)
      do.call(f, c(list(x), as.list(numbers)))
    }
  })
}

#' LSTM, GRU or RNN
#'
#' @param inputs X (time, sample, feature), W (direction, gates x hidden, feature), R (direction, gates x hidden, hidden), B,
#'   the lengths of the sequences, initial states and, of LSTM, peepholes.
#' @return Y (time, direction, sample, hidden), then the last states (direction, sample, hidden); with layout 1 samples first.
#' @noRd
run_recurrent <- function(inputs, node, algebra) {
  cell <- recurrent_cells[[node$operator]]
  input <- function(position) optional_input(inputs, position)
  batchwise <- identical(node$attributes$layout, 1)
  x <- inputs[[1L]]
  if (batchwise) x <- algebra$swapped(x)
  sizes <- recurrent_sizes(x, inputs, node, cell, batchwise)
  active <- active_steps(input(5L), sizes)
  functions <- activation_functions(node, algebra)
  per_direction <- length(cell$activations)
  directions <- lapply(seq_len(sizes$directions), function(direction) {
    own <- function(position) if (!is.null(input(position))) algebra$part(input(position), 0, direction - 1)
    start <- function(position) {
      given <- input(position)
      if (is.null(given)) return(algebra$zeros(x, sizes$samples, sizes$features))
      algebra$state(algebra$part(given, if (batchwise) 1 else 0, direction - 1))
    }
    given <- recurrent_parameters(own, node, sizes, algebra)
    given[c("f", "g", "h")[seq_len(per_direction)]] <- functions[(direction - 1) * per_direction + seq_len(per_direction)]
    z <- algebra$project(x, given$w)
    if (!is.null(given$b)) z <- z + given$b
    states <- lapply(seq_len(cell$states), function(k) start(5L + k))
    steps <- vector("list", sizes$steps)
    backward <- node$attributes$direction == "reverse" || direction == 2L
    for (step in if (backward) rev(seq_len(sizes$steps)) else seq_len(sizes$steps)) {
      new <- cell$step(algebra$at(z, step, sizes$samples), states, given, algebra)
      shown <- new[[1L]]
      if (!all(active[, step])) {
        # A sequence that has ended keeps its states, and shows zeros.
        shown <- algebra$chosen(active[, step], shown, algebra$zeros(x, sizes$samples, sizes$features))
        new <- Map(function(a, b) algebra$chosen(active[, step], a, b), new, states)
      }
      states <- new
      steps[[step]] <- shown
    }
    list(steps = algebra$steps(steps, x), final = lapply(states, algebra$final, x))
  })
  y <- lapply(directions, `[[`, "steps")
  y <- if (batchwise) algebra$stack(lapply(y, algebra$swapped), 2) else algebra$stack(y, 1)
  c(list(y), lapply(seq_len(cell$states), function(k) {
    algebra$stack(lapply(directions, function(one) one$final[[k]]), if (batchwise) 1 else 0)
  }))
}

# Weights and biases of one direction. What does not change from step to step is added to the product of the inputs.
recurrent_parameters <- function(own, node, sizes, algebra) {
  n <- sizes$features
  gates <- recurrent_cells[[node$operator]]$gates
  r <- own(3L)
  bias <- own(4L)
  rows <- function(x, from, count) algebra$rows(x, from * n, count * n)
  given <- list(w = algebra$weights(own(2L)), attributes = node$attributes, features = n)
  split <- node$operator == "GRU" && node$attributes$linear_before_reset == 0
  given$r <- if (split) list(algebra$weights(rows(r, 0, 2)), algebra$weights(rows(r, 2, 1))) else algebra$weights(r)
  if (!is.null(bias)) {
    of_input <- algebra$numbers(rows(bias, 0, gates))
    of_state <- algebra$numbers(rows(bias, gates, gates))
    if (node$operator == "GRU" && !split) {
      given$rb <- algebra$numbers(rows(bias, 2 * gates - 1, 1))
      of_state <- of_state * algebra$numbers(algebra$mask(bias, c(2 * n, n)))
    }
    given$b <- of_input + of_state
  }
  peepholes <- if (node$operator == "LSTM") own(8L)
  if (!is.null(peepholes)) given$p <- lapply(0:2, function(k) algebra$numbers(rows(peepholes, k, 1)))
  given
}

# How many steps, samples, features and directions there are; everything else has to fit.
recurrent_sizes <- function(x, inputs, node, cell, batchwise) {
  shape <- sizes_of(x)
  if (length(shape) != 3L || shape[1L] < 1) stop_bad_input("X has shape ", shape_text(shape), "; it needs 3 axes and a step")
  weights <- sizes_of(inputs[[3L]])
  directions <- recurrent_directions(node)
  features <- if (length(weights) == 3L) weights[3L] else NA
  declared <- node$attributes$hidden_size
  if (!is.null(declared) && !isTRUE(declared == features)) stop_bad_input("hidden_size is ", declared, ", but R has shape ", shape_text(weights))
  fits <- function(position, expected, name) {
    x <- optional_input(inputs, position)
    if (!is.null(x) && !identical(sizes_of(x), as.double(expected))) {
      stop_bad_input(name, " has shape ", shape_text(sizes_of(x)), " where ", shape_text(expected), " is needed")
    }
  }
  state <- if (batchwise) c(shape[2L], directions, features) else c(directions, shape[2L], features)
  fits(2L, c(directions, cell$gates * features, shape[3L]), "W")
  fits(3L, c(directions, cell$gates * features, features), "R")
  fits(4L, c(directions, 2 * cell$gates * features), "B")
  fits(5L, shape[2L], "sequence_lens")
  fits(6L, state, "initial_h")
  fits(7L, state, "initial_c")
  fits(8L, c(directions, 3 * features), "P")
  element_count(c(shape[1L], directions, shape[2L], features), "Y")
  list(steps = shape[1L], samples = shape[2L], features = features, directions = directions)
}

# Which samples (rows) still have a step (columns).
active_steps <- function(lengths, sizes) {
  lengths <- if (is.null(lengths)) rep(sizes$steps, sizes$samples) else lengths$data
  if (any(lengths < 1 | lengths > sizes$steps)) {
    stop_bad_input("sequence_lens must be from 1 to ", sizes$steps)
  }
  outer(lengths, seq_len(sizes$steps), `>=`)
}

plain_recurrent <- c(plain_algebra[c("part", "stack")], list(
  swapped = function(x) tensor(permute_axes(x$data, x$shape, c(1, 0, 2)), x$shape[c(2L, 1L, 3L)], x$dtype),
  rows = function(x, from, count) {
    size <- prod(x$shape[-1L])
    tensor(x$data[from * size + seq_len(count * size)], c(count, x$shape[-1L]), x$dtype)
  },
  weights = function(x) as_dim(x$data, rev(x$shape)),
  state = function(x) as_dim(x$data, rev(x$shape)),
  numbers = function(x) x$data,
  mask = function(x, counts) tensor(rep(c(1, 0), counts), sum(counts), x$dtype),
  project = function(x, w) crossprod(w, as_dim(x$data, c(x$shape[3L], prod(x$shape[1:2])))),
  at = function(projected, step, samples) projected[, (step - 1) * samples + seq_len(samples), drop = FALSE],
  times = function(state, w) crossprod(w, state),
  gate = function(state, from, count) state[from + seq_len(count), , drop = FALSE],
  zeros = function(x, samples, features) matrix(0, features, samples),
  chosen = function(active, new, old) {
    new[, !active] <- old[, !active]
    new
  },
  clipped = function(state, limit) array(pmin.int(pmax.int(state, -limit), limit), dim(state)),
  activations = lapply(list(
    Relu = relu, Tanh = tanh, Sigmoid = function(x) 1 / (1 + exp(-x)), Softsign = softsign, Softplus = softplus, LeakyRelu = leaky_relu,
    ThresholdedRelu = thresholded_relu, Elu = elu, HardSigmoid = hard_sigmoid,
    Affine = function(x, alpha, beta) alpha * x + beta, ScaledTanh = function(x, alpha, beta) alpha * tanh(beta * x)
  ), function(f) {
    force(f)
    function(x, ...) as_dim(f(x, ...), dim(x))
  }),
  steps = function(states, x) {
    tensor(unlist(states, use.names = FALSE), c(length(states), x$shape[2L], nrow(states[[1L]])), x$dtype)
  },
  final = function(state, x) tensor(as_vector(state), as.double(rev(dim(state))), x$dtype)
))

op_recurrent <- function(inputs, node) run_recurrent(inputs, node, plain_recurrent)

# The first steps of each sequence in the opposite order.
op_reverse_sequence <- function(inputs, node) {
  x <- inputs[[1L]]
  order <- reversed_places(x$shape, inputs[[2L]], node)
  swapped <- c(order$axes, setdiff(seq_along(x$shape) - 1, order$axes))
  data <- permute_axes(x$data, x$shape, swapped)
  shape <- x$shape[swapped + 1]
  inner <- prod(shape[-(1:2)])
  data <- as_dim(data, c(inner, prod(shape[1:2])))[, order$places]
  tensor(permute_axes(as_vector(data), shape, order(swapped) - 1), x$shape, x$dtype)
}

# Axes of the samples and of time, and where each step of each sample comes from, counted from 1 with time innermost.
reversed_places <- function(shape, lengths, node) {
  axes <- c(node$attributes$batch_axis, node$attributes$time_axis)
  if (length(shape) < 2L) stop_bad_input("the input has rank ", length(shape), "; at least 2 is needed")
  axes <- resolve_axis(axes, length(shape))
  if (!setequal(axes, 0:1)) stop_bad_input("batch_axis and time_axis must be 0 and 1, not ", paste(axes, collapse = " and "))
  steps <- shape[axes[2L] + 1]
  samples <- shape[axes[1L] + 1]
  lengths <- lengths$data
  if (length(lengths) != samples || any(lengths < 0 | lengths > steps)) {
    stop_bad_input("sequence_lens must hold ", samples, " numbers from 0 to ", steps)
  }
  step <- rep(seq_len(steps), samples)
  length <- rep(lengths, each = steps)
  sample <- rep(seq_len(samples), each = steps)
  list(axes = axes, places = ifelse(step <= length, length + 1 - step, step) + (sample - 1) * steps)
}
