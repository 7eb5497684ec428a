# Run by `Pkg.test()`, or with the package's folder on JULIA_LOAD_PATH: julia test/runtests.jl

using PlainONNX
using Test

const P = PlainONNX

include("onnx_writer.jl")
include("refusal.jl")

fixture(name) = joinpath(@__DIR__, "fixtures", name)
const example = joinpath(@__DIR__, "..", "examples", "crops.onnx")

@testset "PlainONNX" begin
    @testset "$name" for name in sort(filter(name -> occursin(r"^test_.*\.jl$", name), readdir(@__DIR__)))
        include(name)
    end
end
