# Weights kept in a file of their own, which must lie inside one of the model's folders, see folders_of_model().

function read_external(entries, folders, ::Type{T}, shape, what) where {T}
    value(key) = (at = findfirst(pair -> pair.first == key, entries); at === nothing ? nothing : entries[at].second)
    location = something(value("location"), "")
    refuse(parts...) = bad_input("the external data of ", what, parts..., " ('", location, "')")
    isempty(folders) && refuse(" cannot be read here")
    isempty(location) && refuse(" has no location")
    (occursin(r"^([/\\~]|[A-Za-z]:)", location) || ".." in split(location, r"[/\\]") || '\0' in location) &&
        refuse(" lies outside the model's folder")
    at = findfirst(folder -> isfile(joinpath(folder, location)), folders)
    at === nothing && refuse(" is missing")
    # A link may point anywhere: what counts is where it ends.
    path = realpath(joinpath(folders[at], location))
    any(folder -> startswith(path, joinpath(realpath(folder), "")), folders) || refuse(" lies outside the model's folder")
    refuse_other_file(open(io -> read(io, 1024), path), path)
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
