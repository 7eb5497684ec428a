# Files of opsets 1 to 6. Arrays have the dimensions of the file reversed.

older(operator, inputs...; opset, attributes...) = run_operator(operator, inputs...; opset=opset, attributes...)

const old_x = wavy(4, 3, 2)

@testset "a second input begins at the axis that broadcasting names" begin
    b = Float32[10, 20, 30]
    @test older("Add", old_x, b; opset=6, broadcast=1, axis=1) == old_x .+ b'
    @test older("Mul", old_x, Float32[1, 2, 3, 4]; opset=6, broadcast=1) == old_x .* Float32[1, 2, 3, 4]
    @test older("Sub", old_x, wavy(3, 2); opset=6, broadcast=1, axis=0) == old_x .- reshape(wavy(3, 2), 1, 3, 2)
    @test older("Sub", old_x, Float32[1]; opset=6, broadcast=1, axis=1) == old_x .- 1
end

@testset "attributes of older opsets mean what they meant" begin
    @test older("Abs", old_x; opset=1, consumed_inputs=[0]) == abs.(old_x)
    @test older("Reshape", old_x; opset=1, shape=[6, -1]) == reshape(old_x, 4, 6)
    @test size(older("Pad", old_x; opset=1, paddings=[0, 0, 1, 0, 0, 2])) == (7, 3, 2)
    @test size(older("Concat", old_x, old_x; opset=1)) == (4, 6, 2)
    slopes = Float32[1, 2, 3]
    @test older("PRelu", -abs.(old_x), slopes; opset=6) == -abs.(old_x) .* slopes'
    @test older("Cast", Float32[1.5]; opset=1, to="int64") == [1]
    @test older("Upsample", wavy(2, 2, 1, 1); opset=1, height_scale=2.0, width_scale=1.0) == repeat(wavy(2, 2, 1, 1); inner=(1, 2, 1, 1))
end

@testset "what would train, and what is no type, is refused" begin
    @test refuses(() -> older("Dropout", old_x; opset=6), :unsupported, "training mode")
    @test older("Dropout", old_x; opset=6, is_test=1) == old_x
    @test refuses(() -> older("Cast", old_x; opset=1, to="NUMBER"), :bad_input, "no type")
end
