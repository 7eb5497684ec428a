# TreeEnsembleClassifier and TreeEnsembleRegressor, whose trees are lists of nodes with numbers, and TreeEnsemble, which came after
# them. The trees are made once, when the file is read, and kept among the attributes of the node.

const trees_key = "the trees"

trees_of(node)::Trees = node.attributes[trees_key]

"""
    trees_of_nodes(node, leaves; one_target=false)

The trees of the attributes `nodes_*`; `leaves` is what the attributes of leaves are called after, `"class"` or `"target"`. With
`one_target` all leaves give the first target, whatever they name.
"""
function trees_of_nodes(node, leaves; one_target=false)
    whole(name) = collect(Int, listed(node, name))
    tree_ids, node_ids, features = whole("nodes_treeids"), whole("nodes_nodeids"), whole("nodes_featureids")
    if_true, if_false = whole("nodes_truenodeids"), whole("nodes_falsenodeids")
    missing_holds = whole("nodes_missing_value_tracks_true")
    modes, values = collect(String, listed(node, "nodes_modes")), numbers_or_tensor(node, "nodes_values")
    count = length(tree_ids)
    count > 0 && all(list -> length(list) == count, (node_ids, features, modes, if_true, if_false, values)) &&
        length(missing_holds) in (0, count) || bad_input("the attributes of the nodes differ in length")
    for mode in modes
        haskey(splits, mode) || unsupported("nodes of mode ", quoted(mode), " are not supported")
    end
    place_of = Dict{Tuple{Int,Int},Int}()
    for key in zip(tree_ids, node_ids)
        haskey(place_of, key) && bad_input("two nodes of a tree have one number")
        place_of[key] = length(place_of) + 1
    end
    asks = [splits[mode] for mode in modes]
    entries, firsts, lasts = entries_of_leaves(node, leaves, place_of, asks)
    way(tree, number) = get(() -> bad_input("a node leads to one that its tree does not have"), place_of, (tree, number))
    nodes = map(1:count) do k
        holds_missing = !isempty(missing_holds) && missing_holds[k] != 0
        asks[k] == leaf && return TreeNode(values[k], Int32(1), Int32(firsts[k]), Int32(lasts[k]), leaf, false)
        yes, no = way(tree_ids[k], if_true[k]), way(tree_ids[k], if_false[k])
        TreeNode(values[k], Int32(features[k] + 1), Int32(yes), Int32(no), asks[k], holds_missing)
    end
    targets = one_target ? ones(Int, length(entries)) : whole(string(leaves, "_ids"))[entries] .+ 1
    weights = numbers_or_tensor(node, string(leaves, "_weights"))[entries]
    checked_trees(Trees(first_places(tree_ids), nodes, targets, weights, Dict{Int,Vector{eltype(values)}}(), features_asked(nodes)))
end

# Which entries the leaves give, in the order of the leaves: their numbers, and by place of a node the first and the last.
function entries_of_leaves(node, leaves, place_of, asks)
    whole(name) = collect(Int, listed(node, string(leaves, "_", name)))
    trees, numbers = whole("treeids"), whole("nodeids")
    weights = numbers_or_tensor(node, string(leaves, "_weights"))
    length(trees) == length(numbers) == length(whole("ids")) == length(weights) ||
        bad_input("the attributes of the leaves differ in length")
    places = Int[get(place_of, key, 0) for key in zip(trees, numbers)]
    # What is given by no leaf is given to no sample.
    known = findall(place -> place > 0 && asks[place] == leaf, places)
    order, firsts, lasts = entries_by_leaf(places[known], length(asks))
    known[order], firsts, lasts
end

# Where each value stands first.
function first_places(values)
    seen = Set{Int}()
    filter(k -> !(values[k] in seen) && (push!(seen, values[k]); true), eachindex(values))
end

features_asked(nodes) = maximum(Int[0; [node.feature for node in nodes if node.split != leaf]])

function checked_trees(trees::Trees)
    check_ways(trees.roots, trees.nodes)
    all(node -> node.feature >= 1, trees.nodes) || bad_input("a node asks for a feature below 0")
    all(target -> target >= 1, trees.targets) || bad_input("a leaf gives a target below 0")
    trees
end

# Sums of single precision round after each tree, as those of other implementations do.
sum_type(x::Array, node) = eltype(x) === Float64 ? Float64 : score_type(node)

function checked_target_count(trees::Trees, count)
    most = maximum(Int[0; trees.targets])
    most <= count || bad_input("a leaf gives target ", most - 1, " of ", count, ", counted from 0")
    count
end

target_count(node, trees) = something(node.attributes["n_targets"], maximum(Int[0; trees.targets]))

const aggregates = ("AVERAGE", "SUM", "MIN", "MAX")

function prepare_tree_regressor(node)
    aggregate = node.attributes["aggregate_function"]
    aggregate in aggregates || return "aggregate_function '$aggregate'"
    trees = node.attributes[trees_key] = trees_of_nodes(node, "target")
    checked_target_count(trees, target_count(node, trees))
    refuse_transform(node)
end

function op_tree_ensemble_regressor(inputs, node)
    x, trees = inputs[1], trees_of(node)
    values = gathered_leaves(
        feature_matrix(x), trees, target_count(node, trees), node.attributes["aggregate_function"], sum_type(x, node)
    )
    transformed(plus_base(values, numbers_or_tensor(node, "base_values")), node.attributes["post_transform"], score_type(node))
end

# Whether a classifier of two classes has weights of one of them alone.
weighs_one_class(node, labels) = length(labels) == 2 && length(unique(listed(node, "class_ids"))) == 1

# Implementations do not agree on classifiers with weights of one class alone.
function prepare_tree_classifier(node)
    labels = class_labels(node, "classlabels_int64s")
    length(labels) < 2 && return "a classifier of fewer than two classes"
    one_class = weighs_one_class(node, labels)
    trees = node.attributes[trees_key] = trees_of_nodes(node, "class"; one_target=one_class)
    checked_target_count(trees, length(labels))
    if one_class
        listed(node, "class_ids")[1] == 0 || return "a classifier of two classes with weights of the second alone"
        length(numbers_or_tensor(node, "base_values")) <= 1 ||
            return "a classifier of two classes with weights of one and two base values"
    end
    refuse_transform(node)
end

# Weights of one class alone, of two, are those of the second: as a probability where all weights are positive, else as a score
# against zero.
function op_tree_ensemble_classifier(inputs, node)
    x, trees = inputs[1], trees_of(node)
    labels, base = class_labels(node, "classlabels_int64s"), numbers_or_tensor(node, "base_values")
    transform = node.attributes["post_transform"]
    one_class = weighs_one_class(node, labels)
    scores = gathered_leaves(feature_matrix(x), trees, one_class ? 1 : length(labels), "SUM", sum_type(x, node))
    scores = plus_base(scores, base)
    one_class || return classified(scores, labels, node)
    probability = all(weight -> weight >= 0, numbers_or_tensor(node, "class_weights"))
    score = vec(scores)
    chosen = [labels[value > (probability ? 0.5 : 0) ? 2 : 1] for value in score]
    (convert(typeof(labels), chosen), scores_of_two(score, transform, probability, node))
end

const member_splits = (at_most, below, at_least, above, equal, unequal, member)

function prepare_tree_ensemble(node)
    attributes = node.attributes
    modes = vec(attributes["nodes_modes"])
    count = length(modes)
    lists = ("nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids", "nodes_trueleafs", "nodes_falseleafs", "nodes_splits")
    missing_holds = listed(node, "nodes_missing_value_tracks_true")
    count > 0 && all(name -> length(attributes[name]) == count, lists) && length(missing_holds) in (0, count) ||
        bad_input("the attributes of the nodes differ in length")
    attributes["aggregate_function"] in 0:3 || return "aggregate_function $(attributes["aggregate_function"])"
    attributes["post_transform"] in 0:4 || return "post_transform $(attributes["post_transform"])"
    trees = attributes[trees_key] = trees_of_ensemble(node, modes, missing_holds)
    checked_target_count(trees, target_count(node, trees))
    nothing
end

# The leaves follow the nodes: each has one entry.
function trees_of_ensemble(node, modes, missing_holds)
    attributes = node.attributes
    count, values = length(modes), vec(attributes["nodes_splits"])
    targets, weights = Int.(attributes["leaf_targetids"]) .+ 1, vec(attributes["leaf_weights"])
    length(targets) == length(weights) || bad_input("the attributes of the leaves differ in length")
    all(mode -> mode < length(member_splits), modes) || bad_input("a node of a mode that ONNX does not know")
    leaves = length(targets)
    function place(id, to_leaf)
        0 <= id < (to_leaf ? leaves : count) || bad_input("a node leads to one that is not there")
        to_leaf ? count + id + 1 : id + 1
    end
    ways(name) = [place(id, to_leaf != 0) for (id, to_leaf) in
                  zip(attributes["nodes_$(name)nodeids"], attributes["nodes_$(name)leafs"])]
    yes, no = ways("true"), ways("false")
    nodes = map(1:count) do k
        TreeNode(
            values[k], Int32(attributes["nodes_featureids"][k] + 1), Int32(yes[k]), Int32(no[k]), member_splits[modes[k] + 1],
            !isempty(missing_holds) && missing_holds[k] != 0
        )
    end
    append!(nodes, [TreeNode(zero(eltype(values)), Int32(1), Int32(k), Int32(k), leaf, false) for k in 1:leaves])
    # A tree of a leaf alone has a node whose ways are one.
    roots = map(id -> place(id, false), attributes["tree_roots"])
    roots = Int[yes[root] == no[root] > count ? yes[root] : root for root in roots]
    checked_trees(Trees(
        roots, nodes, targets, weights, sets_of_members(modes, attributes["membership_values"], eltype(values)),
        features_asked(nodes)
    ))
end

# The sets that nodes of the split `member` ask for, one after the other in the order of the nodes, each ended by a NaN.
function sets_of_members(modes, values, ::Type{T}) where {T}
    asking = findall(mode -> member_splits[mode + 1] == member, modes)
    isempty(asking) && return Dict{Int,Vector{T}}()
    values = vec(something(values, T[]))
    ends = findall(isnan, values)
    length(ends) == length(asking) ||
        bad_input("there are ", length(ends), " sets for ", length(asking), " nodes that ask for one")
    starts = [1; ends[1:end-1] .+ 1]
    Dict{Int,Vector{T}}(node => values[first:last-1] for (node, first, last) in zip(asking, starts, ends))
end

function op_tree_ensemble(inputs, node)
    x, trees = inputs[1], trees_of(node)
    aggregate = aggregates[node.attributes["aggregate_function"] + 1]
    values = gathered_leaves(feature_matrix(x), trees, target_count(node, trees), aggregate, sum_type(x, node))
    transformed(values, post_transforms[node.attributes["post_transform"] + 1], eltype(x))
end
