# Decision trees, flattened: all nodes of all trees lie in one vector, and samples walk over it.

"""What a node asks of a feature `a` and its value `b`; a leaf asks nothing."""
@enum Split::UInt8 leaf at_most below at_least above equal unequal member

const splits = Dict(
    "LEAF" => leaf, "BRANCH_LEQ" => at_most, "BRANCH_LT" => below, "BRANCH_GTE" => at_least, "BRANCH_GT" => above,
    "BRANCH_EQ" => equal, "BRANCH_NEQ" => unequal
)

"""
One node: where `feature` (counted from 1) fulfils `split` with `value`, or is missing and `missing_holds`, the sample goes on at
`yes`, else at `no`. Of a leaf they are the first and the last of its entries in [`Trees`](@ref).
"""
struct TreeNode{T}
    value::T
    feature::Int32
    yes::Int32
    no::Int32
    split::Split
    missing_holds::Bool
end

"""
Trees with what their leaves give: `targets[k]` (counted from 1) gets `weights[k]`, for the entries `k` of a leaf. `roots` are
places in `nodes`; `sets` are the values that nodes of the split `member` ask for, by place.
"""
struct Trees{T,W}
    roots::Vector{Int}
    nodes::Vector{TreeNode{T}}
    targets::Vector{Int}
    weights::Vector{W}
    sets::Dict{Int,Vector{T}}
    features::Int
end

# Which entries belong to each leaf, one after the other in their own order; `places` are the leaves of the entries.
function entries_by_leaf(places::Vector{Int}, count)
    order = sortperm(places; alg=MergeSort)
    firsts, lasts = ones(Int, count), zeros(Int, count)
    for (at, entry) in enumerate(order)
        place = places[entry]
        lasts[place] == 0 && (firsts[place] = at)
        lasts[place] = at
    end
    order, firsts, lasts
end

"""
    check_ways(roots, nodes)

Refuse trees in which a way leads back to one of its own nodes: a sample would never arrive.
"""
function check_ways(roots, nodes)
    # 1 while a node is on the way that is followed, 2 when all behind it is known to end.
    states = zeros(UInt8, length(nodes))
    way = Tuple{Int,Int}[]
    for root in roots
        push!(way, (root, 0))
        while !isempty(way)
            place, done = pop!(way)
            node = nodes[place]
            if node.split == leaf || done == 2
                states[place] = 2
                continue
            end
            states[place] = 1
            push!(way, (place, done + 1))
            next = Int(done == 0 ? node.yes : node.no)
            states[next] == 1 && bad_input("a tree leads back to one of its own nodes")
            states[next] == 0 && push!(way, (next, 0))
        end
    end
end

@inline function holds(node::TreeNode, place, a, sets)
    split, b = node.split, node.value
    # Only the question for another value holds of what is no number.
    a != a && return node.missing_holds || split == unequal
    split == at_most && return a <= b
    split == below && return a < b
    split == at_least && return a >= b
    split == above && return a > b
    split == equal && return a == b
    split == unequal && return a != b
    a in sets[place]
end

"""
    gathered_leaves(x, trees, targets, combine, S)

What the leaves of each sample add up to, a matrix of targets and samples: their `"SUM"`, `"AVERAGE"` over trees, `"MIN"` or
`"MAX"`; zero where no leaf gives a target. `x` is features and samples. Summed in `S`, tree by tree.
"""
function gathered_leaves(x::Matrix, trees::Trees, targets::Int, combine, ::Type{S}) where {S}
    size(x, 1) >= trees.features ||
        bad_input("the trees ask for feature ", trees.features - 1, " of ", size(x, 1), ", counted from 0")
    if combine in ("SUM", "AVERAGE")
        values = zeros(S, targets, size(x, 2))
        foreach(root -> walk!(+, values, x, trees, root), trees.roots)
        return combine == "SUM" ? values : values ./ S(length(trees.roots))
    end
    nothing_yet = S(combine == "MIN" ? Inf : -Inf)
    values = fill(nothing_yet, targets, size(x, 2))
    foreach(root -> walk!(combine == "MIN" ? min : max, values, x, trees, root), trees.roots)
    map(value -> value == nothing_yet ? zero(S) : value, values)
end

# All samples through one tree, whose nodes then stay in the cache.
function walk!(join::F, values::Matrix{S}, x::Matrix, trees::Trees, root) where {F,S}
    nodes = trees.nodes
    # Places were checked by `check_ways`, features in `gathered_leaves`, targets where the trees were made.
    @inbounds for sample in axes(x, 2)
        place = root
        node = nodes[place]
        while node.split != leaf
            place = Int(holds(node, place, x[node.feature, sample], trees.sets) ? node.yes : node.no)
            node = nodes[place]
        end
        for entry in node.yes:node.no
            target = trees.targets[entry]
            values[target, sample] = join(values[target, sample], S(trees.weights[entry]))
        end
    end
end
