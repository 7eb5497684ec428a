"""
conv -> batch normalisation -> relu -> dropout -> mean over time -> dense; two classes of series (sample, band, time).
"""
trainable_bytes() = onnx_model(
    [
        onnx_node("Conv", ["x", "w", "b"], "c"; kernel_shape=[3], pads=[1, 1]),
        onnx_node("BatchNormalization", ["c", "scale", "shift", "mean", "variance"], "n"; momentum=0.75),
        onnx_node("Relu", "n", "r"),
        onnx_node("Dropout", ["r", "ratio"], "d"),
        onnx_node("GlobalAveragePool", "d", "g"),
        onnx_node("Flatten", "g", "f"),
        onnx_node("Gemm", ["f", "dense", "bias"], "y"; transB=1),
    ],
    [onnx_value("x", "float32", ["sample", 2, 6])],
    [onnx_value("y", "float32", ["sample", 2])],
    [
        onnx_tensor("w", wavy(3, 2, 4)), onnx_tensor("b", wavy(4)), onnx_tensor("scale", Float32[1, 0.9, 1.1, 1]),
        onnx_tensor("shift", wavy(4) ./ 4), onnx_tensor("mean", wavy(4) ./ 3),
        onnx_tensor("variance", Float32[1, 2, 0.5, 1.5]), onnx_tensor("ratio", fill(0.25f0)),
        onnx_tensor("dense", wavy(4, 2)), onnx_tensor("bias", Float32[0.1, -0.1]),
    ];
    metadata=["harness.classes" => "[\"dry\", \"wet\"]"]
)

trainable(; keywords...) = as_flux_model(read_bytes(trainable_bytes(); keywords...))

"""A graph of one node, its inputs of the given arrays' types and sizes."""
function one_node(operator, inputs...; opset=17, outputs=["y"], attributes...)
    names = [input === nothing ? "" : "in$k" for (k, input) in enumerate(inputs)]
    infos = [
        onnx_value(name, P.dtype_name(eltype(x)), reverse(size(x))) for (name, x) in zip(names, inputs) if x !== nothing
    ]
    as_flux_model(read_onnx(
        [onnx_node(operator, names, outputs; attributes...)], infos, [onnx_value(name) for name in outputs];
        opset=opset, precision=Float64
    ))
end
