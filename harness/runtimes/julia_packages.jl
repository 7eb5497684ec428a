# For each package named by the arguments, and all they depend on: name, version, bytes of its folder and artifacts, and
# dependencies, with tabs between them, one line each. What comes with Julia is left out. An extension's packages are no
# dependencies.
const has_artifacts = VERSION >= v"1.6"
has_artifacts && @eval import Artifacts

text_of(folder) = read(joinpath(folder, "Project.toml"), String)

function dependencies(text)
    section = match(r"^\[deps\]\s*$(.*?)(?=^\[|\z)"ms, text)
    section === nothing && return Base.PkgId[]
    [Base.PkgId(Base.UUID(found[2]), String(found[1])) for found in eachmatch(r"^(\w+) *= *\"([^\"]+)\""m, section[1])]
end

function bytes_below(folder)
    total = 0
    for (place, folders, files) in walkdir(realpath(folder))
        filter!(name -> name != ".git", folders)
        total += sum(Int[filesize(joinpath(place, name)) for name in files if !islink(joinpath(place, name))])
    end
    total
end

# Only what is on the disk: asking for the rest would download it.
function artifact_folders(folder)
    file = joinpath(folder, "Artifacts.toml")
    (has_artifacts && isfile(file)) || return String[]
    chosen = Artifacts.select_downloadable_artifacts(file; include_lazy=true)
    hashes = [Base.SHA1(meta["git-tree-sha1"]) for meta in values(chosen)]
    unique(Artifacts.artifact_path(hash) for hash in hashes if Artifacts.artifact_exists(hash))
end

function walk(names)
    waiting = Base.PkgId[id for id in map(Base.identify_package, names) if id !== nothing]
    seen = Set{Base.PkgId}()
    while !isempty(waiting)
        id = popfirst!(waiting)
        id in seen && continue
        push!(seen, id)
        source = Base.locate_package(id)
        (source === nothing || startswith(source, Sys.STDLIB)) && continue
        folder = dirname(dirname(source))
        text = text_of(folder)
        below = dependencies(text)
        append!(waiting, below)
        version = match(r"^version *= *\"(.*)\""m, text)
        bytes = bytes_below(folder) + sum(Int[bytes_below(place) for place in artifact_folders(folder)])
        println(join((id.name, version === nothing ? "" : version[1], bytes, join((dep.name for dep in below), ',')), '\t'))
    end
end

walk(ARGS)
