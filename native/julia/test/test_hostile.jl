# Files that are wrong, or meant to do harm. Every one ends in one clear line.

relu_model(; keywords...) = onnx_model(
    [onnx_node("Relu", "x", "y")], [onnx_value("x", "float32", ["n", 2])], [onnx_value("y")]; keywords...
)

refused_bytes(bytes, pattern, kind=:bad_input) = refuses(() -> read_bytes(bytes), kind, pattern)

@testset "a missing, empty or foreign file is named" begin
    @test refuses(() -> onnx_read("/no/such.onnx"), :bad_input, "no such file: /no/such.onnx")
    @test refuses(() -> onnx_read(tempdir()), :bad_input, "folder")
    @test refused_bytes(UInt8[], "empty")
    @test refused_bytes(Vector{UInt8}("this is a text, not a model\n"), "not a valid ONNX file")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n"
    @test refused_bytes(Vector{UInt8}(pointer), r"is a Git LFS pointer.*git lfs pull")
    @test refused_bytes(Vector{UInt8}("\n<!DOCTYPE html>\n<html>"), "is a web page (HTML), not a model; download the file itself")
    @test refused_bytes(Vector{UInt8}("../blobs/aaaa"), "holds the text of a link, '../blobs/aaaa', not a model")
end

@testset "a file of a later IR is refused" begin
    later = relu_model()
    later[2] = 99
    @test refused_bytes(later, r"IR version 99 is newer.*export the model again", :unsupported)
end

@testset "sequences other than of maps are refused" begin
    given = [onnx_value("x", "float32", ["n", 2])]
    sequence = [wire_text(1, "y"); wire_bytes(2, wire_bytes(4, UInt8[]))]
    made = onnx_model([onnx_node("Identity", "x", "y")], given, [sequence])
    @test refused_bytes(made, r"values of type sequence \('y'\)", :unsupported)
end

@testset "a file cut anywhere is refused, never half-read" begin
    whole = onnx_model(
        [onnx_node("Add", ["x", "w"], "y")], [onnx_value("x", "float32", [2])], [onnx_value("y")],
        [onnx_tensor("w", Float32[1, 2])]
    )
    @test read_bytes(whole) isa ONNXModel
    @test all(count -> refused_bytes(whole[1:count], ""), 1:length(whole)-1)
end

@testset "a byte changed anywhere ends in an answer or in one of our errors" begin
    body = onnx_graph(
        [onnx_node("Add", ["sum", "w"], "more")],
        [onnx_value("step", "int64", []), onnx_value("keep", "bool", []), onnx_value("sum")],
        [onnx_value("keep", "bool", []), onnx_value("more")], [onnx_tensor("w", Float32[1, 2])]
    )
    loop = onnx_model(
        [onnx_node("Loop", ["times", "", "x"], "y"; body=body)], [onnx_value("x")], [onnx_value("y")],
        [onnx_tensor("times", fill(2))]
    )
    for whole in (relu_model(), loop), at in eachindex(whole), byte in (0x00, 0x7f, 0xff)
        changed = copy(whole)
        changed[at] = byte
        ended = try
            read_bytes(changed) isa ONNXModel
        catch error
            error isa ONNXError && !occursin('\n', error.message)
        end
        @test ended
    end
end

@testset "graphs nested too deeply are refused" begin
    inner = onnx_node("Relu", "x", "y")
    for _ in 1:60
        attribute = [wire_text(1, "body"); wire_bytes(6, wire_bytes(1, inner)); wire_number(20, 5)]
        inner = [wire_text(4, "Loop"); wire_bytes(5, attribute)]
    end
    @test refused_bytes(onnx_model([inner], [], [onnx_value("y")]), "nested")
end

@testset "a tensor whose shape and bytes disagree is refused before memory is asked for" begin
    lying(shape, count) = onnx_model([onnx_node("Relu", "w", "y")], [], [onnx_value("y")], [[
        joined_bytes(wire_number(1, size) for size in shape); wire_number(2, 1); wire_text(8, "w")
        wire_bytes(9, zeros(UInt8, count))
    ]])
    @test refused_bytes(lying([2, 3], 20), "needs 24 bytes but holds 20")
    @test refused_bytes(lying([2^31, 2^31], 4), "larger than the limit")
    @test refused_bytes(lying([-1], 4), "impossible shape")
    @test refused_bytes(lying(fill(1, 10_000), 4), "10000 axes", :unsupported)
end

@testset "an operator that would make an absurdly large tensor is refused" begin
    @test refuses(() -> run_operator("ConstantOfShape", [10^6, 10^6]), :bad_input, "larger than the limit")
    @test refuses(() -> run_operator("Expand", Float32[1], [10^6, 10^6]), :bad_input, "larger than the limit")
end

function external_model(location, count=nothing)
    entry(key, value) = wire_bytes(13, [wire_text(1, key); wire_text(2, value)])
    weight = [
        wire_number(1, 2); wire_number(2, 1); wire_text(8, "w"); entry("location", location)
        count === nothing ? UInt8[] : entry("length", count); wire_number(14, 1)
    ]
    onnx_model([onnx_node("Add", ["x", "w"], "y")], [onnx_value("x", "float32", [2])], [onnx_value("y")], [weight])
end

@testset "external data are read from the model's folder and from nowhere else" begin
    mktempdir() do parent
        folder, outside = joinpath(parent, "model"), joinpath(parent, "outside")
        foreach(mkdir, (folder, outside))
        write(joinpath(outside, "w.bin"), Float32[1, 2])
        write(joinpath(folder, "w.bin"), Float32[3, 4])
        path = joinpath(folder, "m.onnx")
        read_it(parts...) = (write(path, external_model(parts...)); onnx_read(path))
        refused(pattern, parts...) = refuses(() -> read_it(parts...), :bad_input, pattern)
        @test read_it("w.bin")(Float32[0, 0]) == [3, 4]
        for location in (joinpath(outside, "w.bin"), "../outside/w.bin", "sub/../../outside/w.bin", "~/w.bin", "C:\\w.bin")
            @test refused("outside the model's folder", location)
        end
        symlink(joinpath(outside, "w.bin"), joinpath(folder, "link.bin"))
        @test refused("outside the model's folder", "link.bin")
        @test refused("missing", "nothing.bin")
        @test refused("should be 8 bytes", "w.bin", "16")
        @test refused("impossible length", "w.bin", "-1")
        @test refused("no location", "")
    end
end

@testset "weights are found through the links of a hub's cache, and through no others" begin
    mktempdir() do hub
        snapshot = mkpath(joinpath(hub, "snapshots", "main"))
        mkdir(joinpath(hub, "blobs"))
        write(joinpath(hub, "blobs", "aaaa"), external_model("w.bin"))
        write(joinpath(hub, "blobs", "bbbb"), Float32[3, 4])
        write(joinpath(hub, "secret"), Float32[1, 2])
        path, weights = joinpath(snapshot, "m.onnx"), joinpath(snapshot, "w.bin")
        symlink("../../blobs/aaaa", path)
        symlink("../../blobs/bbbb", weights)
        @test onnx_read(path)(Float32[0, 0]) == [3, 4]
        rm(weights)
        symlink("../../secret", weights)
        @test refuses(() -> onnx_read(path), :bad_input, "outside the model's folder")
        rm(weights)
        write(weights, "version https://git-lfs.github.com/spec/v1")
        @test refuses(() -> onnx_read(path), :bad_input, r"is a Git LFS pointer.*w\.bin")
    end
end
