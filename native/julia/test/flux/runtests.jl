# Tests of the package extension for Flux. They want Julia 1.9 or newer and an environment with Flux, the package's folder beside it
# on JULIA_LOAD_PATH: julia test/flux/runtests.jl

using PlainONNX
using Test

import Flux

const P = PlainONNX

include(joinpath(@__DIR__, "..", "onnx_writer.jl"))
include(joinpath(@__DIR__, "..", "refusal.jl"))
include("models.jl")
include(joinpath(@__DIR__, "..", "..", "..", "flux", "tempcnn.jl"))

fixture(name) = joinpath(@__DIR__, "..", "fixtures", name)
const example = joinpath(@__DIR__, "..", "..", "examples", "crops.onnx")

@testset "PlainONNX and Flux" begin
    @test Base.get_extension(P, :PlainONNXFluxExt) !== nothing
    @testset "$name" for name in sort(filter(name -> occursin(r"^test_.*\.jl$", name), readdir(@__DIR__)))
        include(name)
    end
end
