# Interpolation. Every mode is separable: one axis after the other, each a weighted sum of its values. Coordinates and
# weights follow the Resize specification; the cubic kernel is that of Keys (1981).

const coordinate_transformations = (
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize",
    "tf_half_pixel_for_nn"
)

function refuse_resize(node)
    allowed = (
        ("mode", ("nearest", "linear", "cubic")),
        ("coordinate_transformation_mode", coordinate_transformations),
        ("nearest_mode", ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")),
        ("keep_aspect_ratio_policy", ("stretch", "not_larger", "not_smaller")),
    )
    for (name, known) in allowed
        value = node.attributes[name]
        value in known || return "$name '$value'"
    end
    nothing
end

"""How one axis is interpolated: attributes of Resize in force."""
struct Interpolation
    mode::String
    nearest::String
    cubic::Float64
    exclude_outside::Bool
    antialias::Bool
end

const op_resize = widened() do inputs, node
    x = inputs[1]
    attributes = node.attributes
    # Opset 10 has (X, scales); later ones (X, roi, scales, sizes).
    older = node.since < 11
    part(position) = (given = input(inputs, position); given === nothing || isempty(given) ? nothing : vec(given))
    scales = older ? part(2) : part(3)
    sizes = older ? nothing : part(4)
    region = older ? nothing : part(2)
    transformation = older ? "asymmetric" : attributes["coordinate_transformation_mode"]
    way = Interpolation(
        attributes["mode"], older ? "floor" : attributes["nearest_mode"], attributes["cubic_coeff_a"],
        attributes["exclude_outside"] == 1, attributes["antialias"] == 1
    )
    axes = attributes["axes"]
    axes = axes === nothing ? collect(0:(ndims(x) - 1)) : resolve_axes(axes, ndims(x))
    lengths = onnx_shape(x)[axes .+ 1]
    scales, sizes = resized(scales, sizes, lengths, attributes["keep_aspect_ratio_policy"])
    shape = onnx_shape(x)
    shape[axes .+ 1] = sizes
    element_count(shape, "the resized tensor")
    cropped = transformation == "tf_crop_and_resize"
    cropped && (region === nothing || length(region) != 2 * length(axes)) &&
        bad_input("roi does not fit ", length(axes), " axes")
    outside = [falses(size(x, d)) for d in 1:ndims(x)]
    # Between the axes integers are numbers with a fraction; they are cut off at the end.
    y = way.mode == "nearest" || eltype(x) <: AbstractFloat ? x : Float64.(x)
    for (k, axis) in enumerate(axes)
        scales[k] == 1 && sizes[k] == lengths[k] && !cropped && continue
        crop = cropped ? (Float64(region[k]), Float64(region[length(axes) + k])) : (0.0, 1.0)
        at = original_coordinates(transformation, sizes[k], lengths[k], scales[k], crop)
        outside[ndims(x) - axis] = [place < 0 || place > lengths[k] - 1 for place in at]
        y = interpolate_axis(y, axis, at, scales[k], way)
    end
    y = in_dtype(eltype(x), y)
    cropped && any(any, outside) ? beyond(y, outside, eltype(y)(attributes["extrapolation_value"])) : y
end

# Scales and sizes, of which one is given, for the lengths of the axes.
function resized(scales, sizes, lengths, policy)
    (scales === nothing) == (sizes === nothing) && bad_input("exactly one of scales and sizes must be given")
    length(something(scales, sizes)) == length(lengths) || bad_input("scales or sizes do not fit ", length(lengths), " axes")
    if sizes === nothing
        all(scale -> scale > 0, scales) || bad_input("a scale is not positive")
        factors = Float64.(scales)
        # The product is one of Float32 numbers, as exporters and runtimes take it: 17 times 1.9411764 is 33.
        resulting = floor.(Float32.(lengths) .* Float32.(factors))
        element_count(resulting, "the resized tensor")
        return factors, Int.(resulting)
    end
    factors = sizes ./ lengths
    policy == "stretch" && return factors, Int.(sizes)
    factor = policy == "not_larger" ? minimum(factors) : maximum(factors)
    fill(factor, length(lengths)), floor.(Int, factor .* lengths .+ 0.5)
end

# A value wherever a place lies outside the input along any axis.
function beyond(x::Array, outside, value)
    result = copy(x)
    for place in CartesianIndices(x)
        any(d -> outside[d][place[d]], 1:ndims(x)) && (result[place] = value)
    end
    result
end

# The place in the input, counted from 0, that every place of the output stands for.
function original_coordinates(mode, size::Int, length::Int, scale::Float64, crop)
    # The size before it was rounded down.
    full = length * scale
    map(0:(size - 1)) do at
        if mode == "half_pixel"
            (at + 0.5) / scale - 0.5
        elseif mode == "half_pixel_symmetric"
            # Centred on what the rounding of the size cut off.
            length / 2 * (1 - size / full) + (at + 0.5) / scale - 0.5
        elseif mode == "pytorch_half_pixel"
            size > 1 ? (at + 0.5) / scale - 0.5 : 0.0
        elseif mode == "align_corners"
            size == 1 || full <= 1 ? 0.0 : at * (length - 1) / (full - 1)
        elseif mode == "tf_half_pixel_for_nn"
            (at + 0.5) / scale
        elseif mode == "tf_crop_and_resize"
            size > 1 ? crop[1] * (length - 1) + at * (crop[2] - crop[1]) * (length - 1) / (size - 1) :
                0.5 * (crop[1] + crop[2]) * (length - 1)
        else
            at / scale
        end
    end
end

# Replaces one axis by weighted sums of its values.
function interpolate_axis(x::Array, axis::Int, at::Vector{Float64}, scale::Float64, way::Interpolation)
    along = size(x, ndims(x) - axis)
    along == 0 && bad_input("an empty axis is resized")
    view = axis_view(x, axis)
    result = if way.mode == "nearest"
        view[:, [nearest_place(place, way.nearest, along) + 1 for place in at], :]
    else
        weighted_sums(view, [interpolation_taps(place, along, scale, way) for place in at])
    end
    reshape(result, replace_size(size(x), axis, length(at)))
end

function nearest_place(at::Float64, rounding, length::Int)
    place = rounding == "round_prefer_floor" ? ceil(at - 0.5) :
        rounding == "round_prefer_ceil" ? floor(at + 0.5) :
        rounding == "floor" ? floor(at) : ceil(at)
    Int(clamp(place, 0, length - 1))
end

# The input places, counted from 1, that count for one place of the output, and how much each does.
function interpolation_taps(at::Float64, length::Int, scale::Float64, way::Interpolation)
    # With antialias a smaller picture takes in more of the larger one.
    stretch = way.antialias && scale < 1 ? scale : 1.0
    reach = (way.mode == "cubic" ? 2 : 1) / stretch
    first = ceil(Int, at - reach)
    places = first:(first + ceil(Int, 2 * reach))
    weights = map(places) do place
        way.exclude_outside && !(0 <= place < length) && return 0.0
        distance = abs(place - at) * stretch
        way.mode == "cubic" ? cubic_kernel(distance, way.cubic) : max(1 - distance, 0.0)
    end
    total = sum(weights)
    [(clamp(place, 0, length - 1) + 1, weight / total) for (place, weight) in zip(places, weights) if weight != 0]
end

function cubic_kernel(distance::Float64, a::Float64)
    distance <= 1 && return ((a + 2) * distance - (a + 3)) * distance^2 + 1
    distance < 2 ? a * (((distance - 5) * distance + 8) * distance - 4) : 0.0
end

function weighted_sums(x::Array{T,3}, taps) where {T}
    after, _, before = size(x)
    result = zeros(T, after, length(taps), before)
    @inbounds for b in 1:before, (k, counted) in enumerate(taps), (place, weight) in counted
        factor = T(weight)
        @simd for a in 1:after
            result[a, k, b] += factor * x[a, place, b]
        end
    end
    result
end

# The older form of Resize.
const op_upsample = widened() do inputs, node
    x = inputs[1]
    given = input(inputs, 2)
    scales = given === nothing ? node.attributes["scales"] : vec(given)
    scales === nothing && bad_input("the scales are missing")
    length(scales) == ndims(x) || bad_input("scales does not fit a tensor of rank ", ndims(x))
    lengths = onnx_shape(x)
    factors, sizes = resized(scales, nothing, lengths, "stretch")
    mode = node.attributes["mode"] == "nearest" ? "nearest" : "linear"
    way = Interpolation(mode, "floor", 0.0, false, false)
    y = mode == "nearest" || eltype(x) <: AbstractFloat ? x : Float64.(x)
    for axis in findall(!isequal(1.0), factors) .- 1
        at = original_coordinates("asymmetric", sizes[axis + 1], lengths[axis + 1], factors[axis + 1], (0.0, 1.0))
        y = interpolate_axis(y, axis, at, factors[axis + 1], way)
    end
    in_dtype(eltype(x), y)
end

function refuse_upsample(node)
    mode = node.attributes["mode"]
    mode in ("nearest", "linear", "bilinear") ? nothing : "mode '$mode'"
end
