@testset "a row-major N x C x W buffer is a W x C x N array, and is not copied" begin
    samples, channels, width = 5, 3, 7
    buffer = Float32.(1:samples*channels*width)
    x = from_row_major(buffer, (samples, channels, width))
    @test x isa Array{Float32,3}
    @test size(x) == (width, channels, samples)
    @test pointer(x) == pointer(buffer)
    # Row-major: element (n, c, w), from 0, lies at (n C + c) W + w.
    @test x[3, 2, 4] == buffer[((4-1)*channels+(2-1))*width+3]
    buffer[1] = -1
    @test x[1, 1, 1] == -1
    @test pointer(row_major(x)) == pointer(buffer)
    @test refuses(() -> from_row_major(buffer, (5, 3, 8)), :bad_input, "(5, 3, 8)")
end

@testset "a file's array is read straight into its place" begin
    mktempdir() do folder
        path = joinpath(folder, "x.safetensors")
        x = wavy(45, 13, 512)
        safetensors_write(Dict("x" => x), path)
        safetensors_read(path)
        # One array of that size and no second one.
        @test (@allocated safetensors_read(path)) < 1.2 * sizeof(x)
        @test safetensors_read(path)["x"] == x
    end
end

@testset "an input reaches the first node without a copy" begin
    seen = Ref{Any}(nothing)
    x = wavy(7, 3, 5)
    model = read_onnx([onnx_node("Identity", "x", "y")], [onnx_value("x", "float32", ["n", 3, 7])], [onnx_value("y")])
    node = model.graph.nodes[1]
    node.run = (inputs, _) -> (seen[] = inputs[1])
    model(x)
    @test pointer(seen[]) == pointer(x)
end

@testset "absurd shapes are refused before memory is asked for" begin
    @test refuses(() -> P.element_count([2^31, 2^31]), :bad_input, "larger than the limit")
    @test refuses(() -> P.element_count([-1]), :bad_input, "impossible shape")
    @test refuses(() -> P.element_count([0, 2^62, 2^62]), :bad_input, "limit")
    @test refuses(() -> P.element_count(fill(1, 1000)), :unsupported, "1000 axes")
    @test P.element_count(Int[]) == 1
    @test P.element_count([0, 5]) == 0
end
