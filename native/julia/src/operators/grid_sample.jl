# GridSample, put together from other operators, see compose.jl.

const grid_sample_modes = Dict(
    "bilinear" => "linear", "bicubic" => "cubic", "linear" => "linear", "cubic" => "cubic", "nearest" => "nearest"
)

function refuse_grid_sample(node)
    mode, padding = node.attributes["mode"], node.attributes["padding_mode"]
    # The default of opset 20 stands for that of 16 too.
    mode in (node.since < 20 ? ("bilinear", "nearest", "bicubic", "linear") : ("linear", "nearest", "cubic")) || return "mode '$mode'"
    padding in ("zeros", "border", "reflection") ? nothing : "padding_mode '$padding'"
end

# Values of x (sample, channel, ...) at the places of a grid (sample, ..., axis), -1 to 1, the last axis first.
function build_grid_sample(op, inputs, node)
    x, grid = inputs
    shape, places = onnx_shape(x), onnx_shape(grid)
    spatial = shape[3:end]
    count = length(spatial)
    count >= 1 && length(places) == length(shape) && places[1] == shape[1] && places[end] == count || bad_input(
        "a grid of shape ", shape_text(places), " does not fit an input of shape ", shape_text(shape)
    )
    all(>(0), spatial) || bad_input("values of an empty input")
    outer = places[2:(end - 1)]
    mode = grid_sample_modes[node.attributes["mode"]]
    aligned, padding = node.attributes["align_corners"] != 0, node.attributes["padding_mode"]
    number(value) = number_like(value, x)
    eltype(grid) === eltype(x) || (grid = op("CastLike", grid, x))
    flat = reshaped(op, x, [shape[1:2]; prod(spatial)])
    # Coordinates of each axis as (sample, 1, place).
    taps = map(1:count) do axis
        part = part_of_axis(op, grid, length(places) - 1, count - axis, count - axis + 1)
        at = reshaped(op, part, [shape[1], 1, prod(outer)])
        at = op("Add", at, number(1))
        at = aligned ? op("Mul", op("Div", at, number(2)), number(spatial[axis] - 1)) :
            op("Div", op("Sub", op("Mul", at, number(spatial[axis])), number(1)), number(2))
        mode == "nearest" && (at = op("Round", at))
        grid_taps(op, mode == "cubic" ? at : padded_coordinate(op, at, padding, spatial[axis], aligned, number), mode, number)
    end
    total = nothing
    for chosen in Iterators.product(taps...)
        value = tapped_values(op, flat, chosen, spatial, number, padding, aligned)
        total = total === nothing ? value : op("Add", total, value)
    end
    reshaped(op, total, [shape[1:2]; outer])
end

# A coordinate brought back into the input, or as it is.
function padded_coordinate(op, at, padding, length, aligned, number)
    padding == "border" && return op("Min", op("Max", at, number(0)), number(length - 1))
    padding == "reflection" ? reflected(op, at, length, aligned, number) : at
end

# Reflected at the borders until it lies between them.
function reflected(op, at, length, aligned, number)
    lowest, highest = aligned ? (0, length - 1) : (-0.5, length - 0.5)
    reach = highest - lowest
    reach <= 0 && return op("Mul", at, number(0))
    beyond = op("Abs", op("Sub", at, number(lowest)))
    turns = op("Floor", op("Div", beyond, number(reach)))
    rest = op("Sub", beyond, op("Mul", turns, number(reach)))
    odd = op("Greater", op("Sub", turns, op("Mul", op("Floor", op("Div", turns, number(2))), number(2))), number(0.5))
    op("Where", odd, op("Sub", number(highest), rest), op("Add", rest, number(lowest)))
end

# The neighbours of a coordinate that count, each with its weight (nothing for one).
function grid_taps(op, at, mode, number)
    mode == "nearest" && return [(at, nothing)]
    first = op("Floor", at)
    fraction = op("Sub", at, first)
    rest = op("Sub", number(1), fraction)
    mode == "linear" && return [(first, rest), (op("Add", first, number(1)), fraction)]
    # Cubic convolution (Keys 1981) with a = -0.75, by the distance of each neighbour.
    a = -0.75
    polynomial(x, highest, others...) =
        foldl((sum, c) -> op("Add", op("Mul", sum, x), number(c)), others; init=op("Add", op("Mul", x, number(0)), number(highest)))
    near(x) = polynomial(x, a + 2, -(a + 3), 0, 1)
    far(x) = polynomial(x, a, -5a, 8a, -4a)
    [
        (op("Sub", first, number(1)), far(op("Add", fraction, number(1)))), (first, near(fraction)),
        (op("Add", first, number(1)), near(rest)), (op("Add", first, number(2)), far(op("Add", rest, number(1))))
    ]
end

# Values (sample, channel, place) at one neighbour of every axis, times its weights.
function tapped_values(op, flat, chosen, spatial, number, padding="zeros", aligned=false)
    strides = reverse(cumprod([1; reverse(spatial)])[1:length(spatial)])
    inside = weight = index = nothing
    for (axis, (at, own)) in enumerate(chosen)
        if padding == "zeros"
            here = op("And", op("GreaterOrEqual", at, number(0)), op("LessOrEqual", at, number(spatial[axis] - 1)))
            inside = inside === nothing ? here : op("And", inside, here)
        elseif padding == "reflection"
            at = reflected(op, at, spatial[axis], aligned, number)
        end
        at = op("Min", op("Max", at, number(0)), number(spatial[axis] - 1))
        # Where a coordinate is not a number, the weight is none either.
        at = op("Where", op("IsNaN", at), number(0), at)
        place = op("Mul", op("Cast", at; to=7), fill(Int64(strides[axis])))
        index = index === nothing ? place : op("Add", index, place)
        own === nothing || (weight = weight === nothing ? own : op("Mul", weight, own))
    end
    shape = [onnx_shape(flat)[1:2]; onnx_shape(index)[3]]
    values = op("GatherElements", flat, op("Expand", index, whole_numbers(shape)); axis=2)
    inside === nothing || (values = op("Where", inside, values, number(0)))
    weight === nothing ? values : op("Mul", values, weight)
end
