# Einsum as products of two factors at a time, put together from other operators, see compose.jl.

# The labels of each factor and of the result. The axes of an ellipsis are labelled "-1", "-2", ... from the last.
function read_equation(equation::String, ranks)
    text = replace(equation, r"\s" => "")
    sides = split(text, "->")
    terms = split(sides[1], ",")
    length(sides) <= 2 || unreadable(equation)
    length(terms) == length(ranks) ||
        bad_input("the equation '", equation, "' has ", length(terms), " terms for ", length(ranks), " inputs")
    factors = map(zip(terms, ranks)) do (term, rank)
        labels = equation_labels(term, rank, equation)
        length(labels) == rank || bad_input("the term '", term, "' does not fit an input of rank ", rank)
        labels
    end
    all_labels = reduce(vcat, factors; init=String[])
    is_spread(label) = startswith(label, "-")
    spread = maximum(Int[0; [parse(Int, label[2:end]) for label in all_labels if is_spread(label)]])
    result = if length(sides) == 2
        equation_labels(sides[2], spread + length(replace(sides[2], "." => "")), equation)
    else
        named = filter(!is_spread, all_labels)
        once = sort(unique(filter(label -> count(==(label), named) == 1, named)))
        [["-$k" for k in spread:-1:1]; once]
    end
    allunique(result) && issubset(result, all_labels) || unreadable(equation)
    factors, result
end

unreadable(equation) = bad_input("the equation '", equation, "' cannot be read")

function equation_labels(term, rank, equation)
    letters = [string(letter) for letter in replace(term, "..." => ".")]
    all(letter -> occursin(r"^[A-Za-z.]$", letter), letters) && count(==("."), letters) <= 1 || unreadable(equation)
    at = findfirst(==("."), letters)
    at === nothing && return letters
    spread = max(rank - length(letters) + 1, 0)
    [letters[1:(at - 1)]; ["-$k" for k in spread:-1:1]; letters[(at + 1):end]]
end

"""A tensor of a product, each axis with its label, in ONNX's order."""
struct Factor
    x::Array
    labels::Vector{String}
end

function build_einsum(op, inputs, node)
    labels, result = read_equation(node.attributes["equation"], map(ndims, inputs))
    sizes = label_sizes(inputs, labels)
    element_count([sizes[label] for label in result], "the result")
    factors = Factor[without_repetition(op, x, own, sizes) for (x, own) in zip(inputs, labels)]
    while length(factors) > 1
        (i, j) = cheapest_pair(factors, result, sizes)
        others = [factors[k] for k in eachindex(factors) if k != i && k != j]
        kept = [result; [label for factor in others for label in factor.labels]]
        factors = [others; product_of_pair(op, factors[i], factors[j], kept, sizes)]
    end
    arranged(op, summed_to(op, factors[1], result), result)
end

arranged(op, factor::Factor, labels) = length(labels) < 2 ? factor.x :
    op("Transpose", factor.x; perm=[findfirst(==(label), factor.labels) - 1 for label in labels])

# One size for each label; a size of 1 fits all.
function label_sizes(inputs, labels)
    sizes = Dict{String,Int}()
    for (x, own) in zip(inputs, labels), (size, label) in zip(onnx_shape(x), own)
        before = get(sizes, label, 1)
        before == 1 || size == 1 || before == size || bad_input("one label has the sizes ", before, " and ", size)
        sizes[label] = before == 1 ? size : before
    end
    sizes
end

# A factor with every label once: diagonals taken, axes of size 1 left out where the label is longer elsewhere.
function without_repetition(op, x, labels, sizes)
    own = onnx_shape(x)
    narrow = [size == 1 && sizes[label] != 1 for (size, label) in zip(own, labels)]
    if any(narrow)
        own, labels = own[.!narrow], labels[.!narrow]
        x = op("Reshape", x, whole_numbers(own); allowzero=1)
    end
    allunique(labels) && return Factor(x, labels)
    strides = reverse(cumprod([1; reverse(own)])[1:length(own)])
    once = unique(labels)
    places = zeros(Int64, reverse(Tuple(sizes[label] for label in once)))
    for place in CartesianIndices(places)
        at = reverse(Tuple(place)) .- 1
        places[place] = sum(at[findfirst(==(label), once)] * stride for (label, stride) in zip(labels, strides))
    end
    Factor(op("Gather", op("Reshape", x, whole_numbers(-1)), places; axis=0), once)
end

# The pair whose product is smallest.
function cheapest_pair(factors, result, sizes)
    pairs = [(i, j) for i in eachindex(factors) for j in eachindex(factors) if i < j]
    cost((i, j)) = begin
        others = Set([result; [label for k in eachindex(factors) if k != i && k != j for label in factors[k].labels]])
        prod(Float64[sizes[label] for label in union(factors[i].labels, factors[j].labels) if label in others])
    end
    pairs[argmin(map(cost, pairs))]
end

# A factor with all labels summed that are not kept.
function summed_to(op, factor::Factor, kept)
    gone = findall(label -> !(label in kept), factor.labels)
    isempty(gone) && return factor
    Factor(op("ReduceSum", factor.x, whole_numbers(gone .- 1); keepdims=0), filter(label -> label in kept, factor.labels))
end

# One product: labels of both that are kept count the products, those that are not are summed over.
function product_of_pair(op, a::Factor, b::Factor, kept, sizes)
    a = summed_to(op, a, [kept; b.labels])
    b = summed_to(op, b, [kept; a.labels])
    shared = intersect(a.labels, b.labels)
    batch, inner = filter(in(kept), shared), filter(!in(kept), shared)
    rows, columns = setdiff(a.labels, shared), setdiff(b.labels, shared)
    count(labels) = prod(Int[sizes[label] for label in labels])
    stacked(factor, first, second) = op(
        "Reshape", arranged(op, factor, [batch; first; second]), whole_numbers(count(batch), count(first), count(second)); allowzero=1
    )
    # Without a sum an outer product is cheaper than many small products of matrices.
    x = op(isempty(inner) ? "Mul" : "MatMul", stacked(a, rows, inner), stacked(b, inner, columns))
    labels = [batch; rows; columns]
    Factor(op("Reshape", x, whole_numbers(Int[sizes[label] for label in labels]); allowzero=1), labels)
end
