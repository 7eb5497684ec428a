# What lies under the name of a model file, or of weights, without being one.

# `bytes`: how the file begins, 1,024 bytes are enough.
refuse_other_file <- function(bytes, path) {
  head <- bytes[seq_len(min(length(bytes), 1024L))]
  text <- rawToChar(head[head != as.raw(0)])
  like <- function(pattern) grepl(pattern, text, ignore.case = TRUE, perl = TRUE, useBytes = TRUE)
  if (like("^version https://git-lfs\\.github\\.com/spec/")) {
    stop_bad_input("is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`: ", path)
  }
  if (like("^(\xef\xbb\xbf)?[[:space:]]*<(!doctype[[:space:]]+html|html|head|\\?xml|!--)")) {
    stop_bad_input("is a web page (HTML), not a model; download the file itself: on GitHub by 'raw', on a model hub by ",
                   "'resolve' in place of 'blob' in the address: ", path)
  }
  if (length(bytes) < 1024L && like("^(\\.\\./)+[^\\x01-\\x1f]+$") && all(bytes != as.raw(0))) {
    stop_bad_input("holds the text of a link, '", text, "', not a model: it was copied without links; copy it again with links ",
                   "(cp -a), or name the file that it is a link to: ", path)
  }
}

# The folders that weights may lie in, wherever links lead: that of the path, first, and that of the file that the path is a link
# to. A cache of a model hub has links beside each other whose targets lie beside each other.
folders_of_model <- function(path) unique(c(dirname(path), dirname(normalizePath(path, "/"))))
