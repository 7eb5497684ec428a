# Values put to places, put together from other operators, see compose.jl.

build_scatter(op, inputs, node) = op("ScatterElements", inputs...; axis=node.attributes["axis"])

# An update of a cache from a place on that each sample has, round its end with mode "circular".
function build_tensor_scatter(op, inputs, node)
    cache, update = inputs
    axis = resolve_axis(node.attributes["axis"], ndims(cache))
    dimension = ndims(cache) - axis
    along = size(cache, dimension)
    axis > 0 && ndims(update) == ndims(cache) && size(update, dimension) <= along &&
        all(d -> d == dimension || size(update, d) == size(cache, d), 1:ndims(cache)) || bad_input(
        "an update of shape ", shape_text(onnx_shape(update)), " does not fit a cache of shape ", shape_text(onnx_shape(cache))
    )
    samples = size(cache, ndims(cache))
    given = input(inputs, 3)
    start = given === nothing ? zeros(Int, samples) : vec(given)
    length(start) == samples || bad_input("write_indices must hold ", samples, " numbers")
    circular = node.attributes["mode"] == "circular"
    places = Array{Int64}(undef, size(update))
    for at in CartesianIndices(update)
        place = start[at[ndims(update)]] + at[dimension] - 1
        circular && (place = mod(place, along))
        0 <= place < along || bad_input("an update reaches beyond the cache")
        places[at] = place
    end
    op("ScatterElements", cache, places, update; axis=axis)
end

function refuse_tensor_scatter(node)
    mode = node.attributes["mode"]
    mode in ("linear", "circular") ? nothing : "mode '$mode'"
end

# Values back at the places where MaxPool found them.
function build_max_unpool(op, inputs, node)
    x = inputs[1]
    kernel = node.attributes["kernel_shape"]
    axes = length(kernel)
    strides = something(node.attributes["strides"], fill(1, axes))
    pads = something(node.attributes["pads"], fill(0, 2 * axes))
    ndims(x) == axes + 2 && length(strides) == axes && length(pads) == 2 * axes ||
        bad_input("an input of shape ", shape_text(onnx_shape(x)), " does not fit a kernel of ", axes, " axes")
    check_window(strides, pads, kernel)
    shape = onnx_shape(x)
    natural = [shape[1:2]; (shape[3:end] .- 1) .* strides .- pads[1:axes] .- pads[(axes + 1):end] .+ kernel]
    empty = zeros_like(x, [element_count(natural, "the output")])
    flat(values) = reshaped(op, values, [length(values)])
    y = reshaped(op, op("ScatterElements", empty, flat(inputs[2]), flat(x); axis=0), natural)
    given = input(inputs, 3)
    given === nothing && return y
    wanted = Int.(vec(given))
    length(wanted) == length(natural) && all(wanted .>= natural) ||
        bad_input("an output of shape ", shape_text(wanted), " is smaller than ", shape_text(natural))
    op("Pad", y, whole_numbers([0 .* natural; wanted .- natural]))
end

# Windows (sample, channel x window, place) added up where they lie in an image.
function build_col_to_im(op, inputs, node)
    x, image, block = inputs[1], Int.(vec(inputs[2])), Int.(vec(inputs[3]))
    length(image) == length(block) || bad_input("image_shape and block_shape differ in length")
    window = window_over(node, reverse(Tuple(image)), reverse(Tuple(block)))
    shape = onnx_shape(x)
    length(shape) == 3 && shape[2] % prod(block) == 0 && shape[3] == extent(window.output) || bad_input(
        "shape ", shape_text(shape), " does not fit ", extent(window.output), " windows of ", prod(block), " values"
    )
    # Added up in an image with its padding, which is then cut off.
    padded = window.input .+ window.before .+ window.after
    strides = cumprod([1; padded...])
    offset(places, steps) = sum((Tuple(places) .- 1) .* steps .* Tuple(strides[1:length(padded)]))
    places = Int64[
        offset(start, window.strides) + offset(tap, window.dilations)
        for start in CartesianIndices(window.output), tap in CartesianIndices(window.kernel)
    ]
    channels = shape[2] ÷ prod(block)
    rows = shape[1] * channels
    indices = repeat(vec(places), 1, rows)
    empty = zeros_like(x, [rows, extent(padded)])
    added = op("ScatterElements", empty, indices, reshaped(op, x, [rows, length(places)]); axis=1, reduction="add")
    added = reshaped(op, added, [shape[1]; channels; reverse(padded)...])
    before = collect(reverse(window.before))
    op("Slice", added, whole_numbers(before), whole_numbers(before .+ image), whole_numbers(1 .+ (1:length(image))))
end

# Places of a regular grid, moved by one matrix (axis, axis + 1) for each sample.
function build_affine_grid(op, inputs, node)
    theta, shape = inputs[1], Int.(vec(inputs[2]))
    spatial = shape[3:end]
    axes = length(spatial)
    axes in 2:3 && onnx_shape(theta) == [shape[1], axes, axes + 1] || bad_input(
        "matrices of shape ", shape_text(onnx_shape(theta)), " do not fit a size of ", shape_text(shape)
    )
    aligned = node.attributes["align_corners"] != 0
    aligned && any(<(2), spatial) && unsupported("align_corners with an axis of one place is not supported")
    element_count([spatial; axes + 1], "the grid")
    # The last axis comes first, as in the Arrays; a one shifts.
    sizes = reverse(Tuple(spatial))
    coordinate(d, place) = aligned ? 2 * (place - 1) / (sizes[d] - 1) - 1 : (2 * place - 1) / sizes[d] - 1
    places = eltype(theta)[d > axes ? 1 : coordinate(d, place[d]) for d in 1:(axes + 1), place in vec(CartesianIndices(sizes))]
    grid = op("MatMul", places, op("Transpose", theta; perm=[0, 2, 1]))
    reshaped(op, grid, [shape[1]; spatial; axes])
end
