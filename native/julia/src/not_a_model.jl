# What lies under the name of a model file, or of weights, without being one.

# `bytes`: how the file begins, 1,024 bytes are enough.
function refuse_other_file(bytes::Vector{UInt8}, path)
    text = String(filter(byte -> 0 < byte < 128, bytes[1:min(end, 1024)]))
    startswith(text, "version https://git-lfs.github.com/spec/") &&
        bad_input("is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`: ", path)
    occursin(r"^\s*<(!doctype\s+html|html|head|\?xml|!--)"i, text) && bad_input(
        "is a web page (HTML), not a model; download the file itself: on GitHub by 'raw', on a model hub by 'resolve' in place of ",
        "'blob' in the address: ", path
    )
    length(bytes) == length(text) < 1024 && occursin(r"^(\.\./)+[^\x01-\x1f]+$", text) && bad_input(
        "holds the text of a link, '", text, "', not a model: it was copied without links; copy it again with links (cp -a), or ",
        "name the file that it is a link to: ", path
    )
end

# The folders that weights may lie in, wherever links lead: that of the path, first, and that of the file that the path is a link
# to. A cache of a model hub has links beside each other whose targets lie beside each other.
folders_of_model(path) = unique([dirname(abspath(path)), dirname(realpath(path))])
