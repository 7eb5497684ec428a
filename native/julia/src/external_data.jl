# Weights kept in a file of their own, which must lie inside the model's folder.

function read_external(entries, folder, ::Type{T}, shape, what) where {T}
    value(key) = (at = findfirst(pair -> pair.first == key, entries); at === nothing ? nothing : entries[at].second)
    location = something(value("location"), "")
    refuse(parts...) = bad_input("the external data of ", what, parts..., " ('", location, "')")
    folder === nothing && refuse(" cannot be read here")
    isempty(location) && refuse(" has no location")
    (occursin(r"^([/\\~]|[A-Za-z]:)", location) || ".." in split(location, r"[/\\]") || '\0' in location) &&
        refuse(" lies outside the model's folder")
    path = joinpath(folder, location)
    isfile(path) || refuse(" is missing")
    # A link may point anywhere: what counts is where it ends.
    path = realpath(path)
    startswith(path, joinpath(realpath(folder), "")) || refuse(" lies outside the model's folder")
    function number(key, otherwise)
        text = value(key)
        text === nothing && return otherwise
        found = tryparse(Int, text)
        found === nothing || found < 0 ? refuse(" has an impossible ", key) : found
    end
    size = filesize(path)
    needed = element_count(shape, what) * sizeof(T)
    offset = number("offset", 0)
    count = number("length", size - offset)
    (count == needed && offset <= size - needed) ||
        refuse(" should be ", needed, " bytes at ", offset, ", but the file has ", size)
    open(io -> read_values(seek(io, offset), T, shape), path)
end
