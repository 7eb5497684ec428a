# Nodes behind those that make what they read, as ONNX asks for: some exporters
# and many scripts write them in another order.

# The nodes of a graph, sorted where they have to be, which a message tells. Those that read each other in a circle stay, and
# are refused later.
sort_nodes <- function(nodes) {
  outputs <- lapply(nodes, `[[`, "outputs")
  reads <- lapply(nodes, names_read)
  made_at <- rep(seq_along(nodes), lengths(outputs))
  at <- made_at[match(unlist(reads), unlist(outputs))]
  at[!nzchar(unlist(reads))] <- NA
  reader <- rep(seq_along(nodes), lengths(reads))
  early <- unique(reader[!is.na(at) & at >= reader])
  if (length(early) == 0L) return(nodes)
  needs <- unname(split(at, factor(reader, seq_along(nodes))))
  order <- order_of_needs(lapply(needs, function(n) n[!is.na(n)]))
  if (is.null(order)) return(nodes)
  first <- nodes[[early[1L]]]
  tell("the nodes of the file are out of order and were sorted: ",
       if (nzchar(first$name)) quoted(first$name) else first$operator,
       if (length(early) > 1L) paste(" and", length(early) - 1L, "more"), " before what is read there")
  nodes[order]
}

# What a node reads, and what the graphs inside of it do, their own names among them.
names_read <- function(node) {
  inner <- lapply(graph_attributes(node), function(a) {
    graph <- node$attributes[[a]]$graph
    c(names_of(graph$outputs), unlist(lapply(graph$nodes, names_read)))
  })
  c(node$inputs, unlist(inner))
}

# Places in an order in which each comes after what it needs, or NULL where there is a circle.
order_of_needs <- function(needs) {
  state <- integer(length(needs))
  order <- integer(length(needs))
  count <- 0L
  for (start in seq_along(needs)) {
    stack <- start
    while (length(stack)) {
      place <- stack[length(stack)]
      waiting <- needs[[place]][state[needs[[place]]] < 2L]
      if (state[place] < 2L && length(waiting) == 0L) {
        state[place] <- 2L
        count <- count + 1L
        order[count] <- place
      }
      if (state[place] == 2L) {
        stack <- stack[-length(stack)]
        next
      }
      state[place] <- 1L
      if (state[waiting[1L]] == 1L) return(NULL)
      stack <- c(stack, waiting[1L])
    }
  }
  order
}
