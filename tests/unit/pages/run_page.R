# Runs the R code of a Markdown page in one session: Rscript run_page.R page.md [prelude.R]. Lines that begin with `#> ` are what
# the code of their block prints. Chunks of R Markdown whose option `eval` is FALSE here are left out.
arguments <- commandArgs(TRUE)
page <- readLines(arguments[1L], encoding = "UTF-8")
world <- globalenv()
if (length(arguments) > 1L) sys.source(arguments[2L], world)

starts <- grep("^```(r|\\{r.*\\})$", page)
stopifnot(length(starts) > 0L)
done <- 0L
for (start in starts) {
  end <- start + which(startsWith(page[-seq_len(start)], "```"))[1L]
  options <- sub("^```\\{?r,? ?(.*?)\\}?$", "\\1", page[start], perl = TRUE)
  asked <- eval(parse(text = paste0("list(", options, ")")), world)
  # Only knitr runs what sets knitr up.
  if (isFALSE(asked$eval) || isFALSE(asked$include)) next
  block <- page[seq(start + 1L, end - 1L)]
  said <- startsWith(block, "#>")
  code <- block[!said]
  printed <- utils::capture.output(source(textConnection(code), local = world, print.eval = TRUE, echo = FALSE))
  expected <- sub("^#> ?", "", block[said])
  if (length(expected) && !identical(trimws(printed, "right"), trimws(expected, "right"))) {
    stop("the block at line ", start, " prints:\n", paste0("#> ", printed, collapse = "\n"), call. = FALSE)
  }
  done <- done + 1L
}
cat("blocks run:", done, "\n")
