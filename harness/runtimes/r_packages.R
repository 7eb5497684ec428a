# For each package named by the arguments, and all they depend on: name, version and bytes of its folder, one JSON object a
# line. Packages that come with R are left out.
wanted <- commandArgs(trailingOnly = TRUE)
all <- installed.packages(fields = c("Depends", "Imports", "LinkingTo", "Priority"))
all <- all[!duplicated(all[, "Package"]), , drop = FALSE]
names_in <- function(text) {
  if (is.na(text)) return(character())
  found <- trimws(sub("\\(.*", "", strsplit(text, ",")[[1]]))
  found[nzchar(found)]
}
seen <- character()
waiting <- wanted
while (length(waiting) > 0) {
  package <- waiting[1]
  waiting <- waiting[-1]
  row <- match(package, all[, "Package"])
  if (package %in% seen || is.na(row) || all[row, "Priority"] %in% "base") next
  seen <- c(seen, package)
  for (field in c("Depends", "Imports", "LinkingTo")) waiting <- c(waiting, names_in(all[row, field]))
  folder <- file.path(all[row, "LibPath"], package)
  files <- list.files(folder, recursive = TRUE, all.files = TRUE, full.names = TRUE)
  if (package == "torch" && nzchar(home <- Sys.getenv("TORCH_HOME"))) {
    files <- c(files, list.files(home, recursive = TRUE, full.names = TRUE))
  }
  size <- sum(file.info(unique(normalizePath(files)))$size)
  cat(sprintf('{"name": "%s", "version": "%s", "bytes": %.0f}\n', package, all[row, "Version"], size))
}
