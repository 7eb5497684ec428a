# Convolutions of one input that stand beside each other in a body, as exporters
# write the gates of a recurrent layer, as one: torch then reads the input once.

torch_joined_convolutions <- function(inputs, node) {
  filters <- vapply(inputs[-(1:2)], function(weight) weight$shape[1L], 0)
  y <- torch_op_conv(inputs[1:2], node)
  ends <- cumsum(filters)
  Map(function(end, count) y$narrow(2, end - count + 1, count), ends, filters)
}

# The body of a Loop or Scan with such convolutions joined.
join_convolutions <- function(node) {
  body <- node$attributes$body
  fixed <- c(body$captured_slots, unchanged_inputs(node))
  plan <- split_body(body, fixed)
  group_of <- vapply(body$nodes, function(inner) {
    if (!can_be_joined(inner, plan$fixed)) return(NA_character_)
    paste(c(inner$input_slots[1L], deparse(inner$attributes)), collapse = " ")
  }, "")
  groups <- Filter(function(group) length(group) > 1L, unname(split(seq_along(group_of), group_of)))
  if (length(groups) == 0L) return(body)
  joined <- body$nodes
  weights <- list()
  for (group in groups) {
    siblings <- body$nodes[group]
    body$names <- c(body$names, paste("weights of", paste(vapply(siblings, `[[`, "", "label"), collapse = ", ")))
    slot <- length(body$names)
    weights <- c(weights, list(joined_weights(siblings, slot, body$names[slot])))
    joined[[group[1L]]] <- joined_node(siblings, slot, body$names[slot])
  }
  # What is computed once comes first, and with it the joined weights.
  left_out <- unlist(lapply(groups, `[`, -1L))
  body$nodes <- c(body$nodes[plan$once], weights, joined[setdiff(plan$each, left_out)])
  body$release <- release_plan(body)
  body
}

# Inputs of a body that it hands on as they came, by slot.
unchanged_inputs <- function(node) {
  body <- node$attributes$body
  loop <- node$operator == "Loop"
  states <- if (loop) length(node$inputs) - 2L else length(body$inputs) - node$attributes$num_scan_inputs
  inputs <- body$input_slots[seq_len(max(states, 0)) + if (loop) 2L else 0L]
  inputs[inputs == body$output_slots[seq_along(inputs) + if (loop) 1L else 0L]]
}

can_be_joined <- function(node, fixed) {
  node$operator == "Conv" && node$attributes$group == 1 && sum(node$input_slots > 0L) == 2L &&
    node$input_slots[2L] %in% fixed && !node$input_slots[1L] %in% fixed
}

joined_weights <- function(siblings, slot, name) {
  first <- siblings[[1L]]
  list(
    name = "", operator = "Concat", label = first$label, inputs = vapply(siblings, function(node) node$inputs[2L], ""),
    outputs = name, attributes = list(axis = 0), since = 13, opset = first$opset, precision = first$precision,
    run = torch_op_concat, plain = op_concat, input_slots = vapply(siblings, function(node) node$input_slots[2L], 0L),
    output_slots = slot
  )
}

joined_node <- function(siblings, slot, name) {
  node <- siblings[[1L]]
  node$inputs <- c(node$inputs[1L], name, vapply(siblings, function(sibling) sibling$inputs[2L], ""))
  node$input_slots <- c(node$input_slots[1L], slot, vapply(siblings, function(sibling) sibling$input_slots[2L], 0L))
  node$outputs <- vapply(siblings, function(sibling) sibling$outputs[1L], "")
  node$output_slots <- vapply(siblings, function(sibling) sibling$output_slots[1L], 0L)
  node$run <- torch_joined_convolutions
  node
}
