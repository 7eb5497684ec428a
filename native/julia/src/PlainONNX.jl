"""
Reads `.onnx` files and runs them on plain Julia arrays, with nothing but the standard library.

    m = onnx_read("model.onnx")
    m(x)

See [`onnx_read`](@ref).
"""
module PlainONNX

using LinearAlgebra

include("errors.jl")
include("dtype.jl")
include("operator_row.jl")
include("operator_table.jl")

end
