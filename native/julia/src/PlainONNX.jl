"""
Reads `.onnx` files and runs them on plain Julia arrays, with nothing but the standard library.

    m = onnx_read("model.onnx")
    m(x)

See [`onnx_read`](@ref).
"""
module PlainONNX

using Libdl
using LinearAlgebra
using SHA

export onnx_read, as_flux_model, predict, class_names, bands, parameters, onnx_summary, onnx_operators, ONNXModel, ONNXError
export safetensors_read, safetensors_write, from_row_major, row_major, BFloat16

const package_version = match(r"^version = \"(.*)\""m, read(joinpath(@__DIR__, "..", "Project.toml"), String)).captures[1]

include("errors.jl")
include("dtype.jl")
include("tensor.jl")
include("texts.jl")
include("json.jl")
include("safetensors.jl")
include("protobuf.jl")
include("not_a_model.jl")
include("onnx_messages.jl")
include("node_order.jl")
include("functions.jl")
include("older_opsets.jl")
include("external_data.jl")
include("operator_row.jl")
include("operator_table.jl")
include("graph.jl")
include("subgraph.jl")
include("run.jl")
include("batches.jl")
include("inputs.jl")
include("sample_axes.jl")
include("classes.jl")
include("maps.jl")
include("predict.jl")
include("model.jl")
include("structure.jl")
include("timing.jl")
include("engine.jl")
include("serve.jl")
include("warm_up.jl")

end
