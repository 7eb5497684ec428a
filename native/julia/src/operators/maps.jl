# ZipMap: for each sample its scores by class. The maps of all samples have the same keys, so that they are computed as one array of
# keys and samples, by growing key, which is also how they travel to others. A caller gets a Dict for each sample, see `maps.jl` of
# the package.

function keys_of_maps(node)
    texts = listed(node, "classlabels_strings")
    isempty(texts) ? collect(Int64, listed(node, "classlabels_int64s")) : collect(String, texts)
end

function check_zip_map(node)
    keys = keys_of_maps(node)
    !isempty(keys) && allunique(keys) || bad_input("the classes are missing, or one is named twice")
    nothing
end

function op_zip_map(inputs, node)
    x = inputs[1]
    keys = keys_of_maps(node)
    1 <= ndims(x) <= 2 && size(x, 1) == length(keys) ||
        bad_input("scores of shape ", shape_text(onnx_shape(x)), " do not fit ", length(keys), " classes")
    reshape(x, length(keys), :)[sortperm(keys), :]
end
