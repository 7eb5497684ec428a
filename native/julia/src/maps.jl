# Maps: what ZipMap gives a caller, one for each sample. Within a graph they are one array, see `operators/maps.jl`.

# Maps come from ZipMap, and go to the caller alone.
function refuse_other_maps(graph::GraphMessage)
    zips = filter(node -> node.operator == "ZipMap" && node.domain == "ai.onnx.ml", graph.nodes)
    maps = reduce(vcat, (node.outputs for node in zips); init=String[])
    declared = [info.name for info in vcat(graph.inputs, graph.outputs) if info.kind == maps_kind]
    read = intersect(reduce(vcat, (node.inputs for node in graph.nodes); init=String[]), maps)
    other = [setdiff(declared, maps); read]
    isempty(other) ||
        unsupported("maps (", quoted(other), ") other than as what ZipMap gives the caller are not supported")
end

"""The keys of an output that is maps, in the order of their values; `nothing` where it is none."""
function map_keys(graph, name)
    at = findfirst(node -> node.operator == of_domain("ZipMap") && name in node.outputs, graph.nodes)
    at === nothing ? nothing : sort(keys_of_maps(graph.nodes[at]))
end

"""The maps of all samples: for each a `Dict` from class to score."""
maps_of(x::Matrix, keys) = [Dict(zip(keys, x[:, sample])) for sample in axes(x, 2)]

# What the scores of maps are: a classifier of ai.onnx.ml gives probabilities, or what is none of them.
head_of_maps(x::Matrix) =
    all(value -> value >= 0, x) && all(total -> abs(total - 1) <= 1e-4, sum(x; dims=1)) ? "softmax" : nothing

# What a caller gets of an output as it is.
function as_given(graph, name, x)
    keys = map_keys(graph, name)
    keys === nothing ? x : maps_of(x, keys)
end
