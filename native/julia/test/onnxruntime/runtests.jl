# Tests of the package extension for ONNXRunTime.jl. They want Julia 1.9 or newer and an environment with ONNXRunTime, the package's
# folder beside it on JULIA_LOAD_PATH: julia test/onnxruntime/runtests.jl

using PlainONNX
using Test

import ONNXRunTime
using ONNXRunTime: CAPI

const P = PlainONNX
const E = Base.get_extension(P, :PlainONNXONNXRunTimeExt)

include(joinpath(@__DIR__, "..", "onnx_writer.jl"))
include(joinpath(@__DIR__, "..", "refusal.jl"))

const example = joinpath(@__DIR__, "..", "..", "examples", "crops.onnx")

@testset "PlainONNX and ONNXRunTime" begin
    @test E !== nothing
    engine = P.engine_named(Val(:onnxruntime))
    served = P.load(engine, example, Float32)
    x = wavy(8, 3, 5)

    @testset "a W x C x N array is handed over where it lies, as N x C x W" begin
        value = E.input_value(served.session, x)
        seen = CAPI.unsafe_GetTensorMutableData(served.session.api, value)
        @test size(seen) == (5, 3, 8)
        @test pointer(parent(seen)) == pointer(x)
        # One memory: what is written here is read there.
        changed = copy(x)
        value = E.input_value(served.session, changed)
        changed[3, 2, 4] = 7
        @test CAPI.unsafe_GetTensorMutableData(served.session.api, value)[4, 2, 3] == 7
    end

    @testset "it answers as the plain engine does, to single precision" begin
        found = Dict(P.predict_tensors(engine, served, Dict{String,Array}("x" => x), nothing).tensors)
        @test found["logits"] ≈ onnx_read(example)(x) rtol = 1e-5
        batched = P.predict_tensors(engine, served, Dict{String,Array}("x" => x), 2)
        @test batched.batches == 3
        @test Dict(batched.tensors)["logits"] ≈ found["logits"] rtol = 1e-6
    end

    @testset "samples lie where it is told, and a fixed number of them is filled" begin
        mktempdir() do folder
            path = joinpath(folder, "turned.onnx")
            write(path, onnx_model(
                [onnx_node("Transpose", "x", "t"; perm=[1, 0]), onnx_node("Mul", ["t", "doy"], "y")],
                [onnx_value("x", "float32", [4, 3]), onnx_value("doy", "float32", [3, 1])], [onnx_value("y", "float32", [3, 4])]
            ))
            given = Dict{String,Array}("x" => wavy(3, 10), "doy" => wavy(1, 3))
            axes = P.SampleAxes("doy" => nothing, "y" => 1)
            turned = P.load(engine, path, Float32)
            found = P.predict_tensors(engine, turned, given, nothing, axes)
            @test found.filled == 2 && found.batches == 3
            @test Dict(found.tensors)["y"] == permutedims(given["x"]) .* given["doy"]
            @test refuses(() -> P.predict_tensors(engine, turned, given, 5, axes), :bad_input, "takes batches of 4 samples")
        end
    end

    @testset "parameters are what a session holds, and inner values outputs of a session of their own" begin
        @test Dict(P.held_parameters(engine, served)) == parameters(onnx_read(example))
        (inner,) = P.activations(engine, served, Dict{String,Array}("x" => x), ["features"])
        @test inner.first == "features"
        @test inner.second ≈ last(only(P.activations(P.BaseEngine(), P.read_model(example, Float32), Dict("x" => x), ["features"])))
    end

    @testset "what comes out is the caller's own" begin
        run() = last(only(P.predict_tensors(engine, served, Dict{String,Array}("x" => x), nothing).tensors))
        first_found = run()
        kept = copy(first_found)
        for _ in 1:20
            run()
        end
        GC.gc()
        @test first_found == kept
    end

    @testset "what it refuses it refuses by name" begin
        @test refuses(() -> P.load(engine, example, Float64), :unsupported, "precision 'float64'")
        mktempdir() do folder
            path = joinpath(folder, "half.onnx")
            write(path, onnx_model(
                [onnx_node("Relu", "x", "y")], [onnx_value("x", "float16", ["n"])], [onnx_value("y", "float16", ["n"])]
            ))
            @test refuses(() -> P.load(engine, path, Float32), :unsupported, "dtype float16 ('x')")
            write(path, onnx_model([onnx_node("NoSuch", "x", "y")], [onnx_value("x", "float32", ["n"])], [onnx_value("y")]))
            @test refuses(() -> P.load(engine, path, Float32), :unsupported, "NoSuch")
        end
    end
end
