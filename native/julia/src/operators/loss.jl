# Losses, put together from other operators, see compose.jl.

function refuse_loss(node)
    reduction = node.attributes["reduction"]
    reduction in ("none", "sum", "mean") ? nothing : "reduction '$reduction'"
end

# x (sample, class, ...) at the classes of target (sample, ...), weighted by class.
function build_likelihood_loss(op, inputs, node)
    x, target, weight = inputs[1], inputs[2], input(inputs, 3)
    shape = onnx_shape(x)
    length(shape) >= 2 && onnx_shape(target) == [shape[1]; shape[3:end]] || bad_input(
        "a target of shape ", shape_text(onnx_shape(target)), " does not fit scores of shape ", shape_text(shape)
    )
    ignored = node.attributes["ignore_index"]
    counted = ignored === nothing ? fill(true, size(target)) : Array(target .!= ignored)
    classes = Array(ifelse.(counted, Int64.(target), 0))
    all(class -> 0 <= class < shape[2], classes) || bad_input("a target lies outside the ", shape[2], " classes")
    at = reshape(classes, size(target)[1:(end - 1)]..., 1, size(target)[end])
    picked = op("GatherElements", x, at; axis=1)
    loss = op("Neg", reshaped(op, picked, onnx_shape(target)))
    share = weight === nothing ? nothing : op("Gather", weight, classes; axis=0)
    if !all(counted)
        zero_ = number_like(0, x)
        loss = op("Where", counted, loss, zero_)
        share = op("Where", counted, share === nothing ? number_like(1, x) : share, zero_)
    end
    share === nothing || (loss = op("Mul", loss, share))
    reduction = node.attributes["reduction"]
    reduction == "none" && return loss
    reduction == "sum" && return op("ReduceSum", loss; keepdims=0)
    share === nothing ? op("ReduceMean", loss; keepdims=0) :
        op("Div", op("ReduceSum", loss; keepdims=0), op("ReduceSum", share; keepdims=0))
end

function build_cross_entropy_loss(op, inputs, node)
    likelihood = op("LogSoftmax", inputs[1]; axis=1)
    (build_likelihood_loss(op, Any[likelihood, inputs[2:end]...], node), likelihood)
end
