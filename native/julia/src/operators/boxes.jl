# Boxes of detections.

# Of each sample and class the boxes with the highest scores that do not overlap a better one too much. Boxes are (sample, box, 4):
# two corners in any order, or with center_point_box the centre and the extent; scores (sample, class, box). The result has a row
# (sample, class, box) for each box that stays.
function op_non_max_suppression(inputs, node)
    boxes, scores = inputs[1], inputs[2]
    number(position, default) = (given = input(inputs, position); given === nothing || isempty(given) ? default : given[1])
    most, overlap, least = number(3, 0), number(4, 0), number(5, -Inf)
    ndims(boxes) == 3 && size(boxes, 1) == 4 && ndims(scores) == 3 && size(boxes, 2) == size(scores, 1) &&
        size(boxes, 3) == size(scores, 3) || bad_input(
        "boxes of shape ", shape_text(onnx_shape(boxes)), " do not fit scores of shape ", shape_text(onnx_shape(scores))
    )
    0 <= overlap <= 1 || bad_input("iou_threshold is ", overlap, ", not from 0 to 1")
    rows = Int64[]
    for sample in axes(scores, 3)
        corners = box_corners(boxes[:, :, sample], node.attributes["center_point_box"] != 0)
        for class in axes(scores, 2)
            own = scores[:, class, sample]
            waiting = sortperm(.-own; alg=MergeSort)
            isfinite(least) && filter!(box -> own[box] > least, waiting)
            kept = Int[]
            while !isempty(waiting) && length(kept) < most
                best = popfirst!(waiting)
                push!(kept, best)
                filter!(box -> !(shared_part(corners[:, box], corners[:, best]) > overlap), waiting)
            end
            foreach(box -> append!(rows, (sample - 1, class - 1, box - 1)), kept)
        end
    end
    reshape(rows, 3, length(rows) ÷ 3)
end

# Columns (lowest, lowest, highest, highest).
function box_corners(boxes, centred)
    a, b = boxes[1:2, :], boxes[3:4, :]
    centred ? [a .- b ./ 2; a .+ b ./ 2] : [min.(a, b); max.(a, b)]
end

# Intersection over union; 0 where one of the areas is none.
function shared_part(a, b)
    sides = max.(min.(a[3:4], b[3:4]) .- max.(a[1:2], b[1:2]), 0)
    shared = prod(sides)
    area(box) = (box[3] - box[1]) * (box[4] - box[2])
    union = area(a) + area(b) - shared
    shared > 0 && area(a) > 0 && area(b) > 0 && union > 0 ? shared / union : zero(union)
end
