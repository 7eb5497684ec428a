fields_of(bytes) = P.scan_message(Vector{UInt8}(bytes))

@testset "fields of all wire types are found where they are" begin
    bytes = [wire_number(1, 300); wire_text(2, "abc"); wire_float(3, 1.5); wire_tag(4, 1); zeros(UInt8, 8)]
    fields = fields_of(bytes)
    @test [field.number for field in fields] == 1:4
    @test [field.wire for field in fields] == [0, 2, 5, 1]
    @test fields[1].value == 300
    @test String(bytes[fields[2].first:fields[2].last]) == "abc"
    @test [field.last - field.first + 1 for field in fields] == [0, 3, 4, 8]
end

@testset "64-bit integers keep their sign and all bits" begin
    values = [0, 1, -1, 127, 128, 2^31, -2^31, typemax(Int64), typemin(Int64)]
    for value in values
        @test fields_of(wire_number(1, value))[1].value === value
    end
    packed = joined_bytes(wire_varint(value) for value in values)
    @test P.packed_varints(packed, 1, length(packed)) == values
end

@testset "lengths beyond the buffer, endless numbers and unknown wire types are refused" begin
    refused(bytes, pattern) = refuses(() -> fields_of(bytes), :bad_input, pattern)
    @test refused([wire_tag(1, 2); wire_varint(10); zeros(UInt8, 3)], "10 bytes where 3 are left")
    @test refused([wire_tag(1, 2); wire_varint(2^62)], "truncated")
    @test refused([wire_tag(1, 2); wire_varint(typemax(Int64))], "truncated")
    @test refused([wire_tag(1, 2); wire_varint(-5)], "negative")
    @test refused(UInt8[8, 200], "does not end")
    @test refused([UInt8[8]; fill(0xff, 11)], "more than 10 bytes")
    @test refused(wire_tag(1, 3), "wire type 3")
    @test refused(UInt8[0, 0], "field number 0")
end
