@testset "arrays keep sizes, values and types" begin
    mktempdir() do folder
        path = joinpath(folder, "x.safetensors")
        tensors = Dict{String,Array}(
            "x" => reshape(collect(1.0:24.0), 2, 3, 4), "flags" => [true, false], "i" => Int32[1, 2, 3],
            "u" => UInt64[typemax(UInt64)], "half" => Float16[1, -2], "brain" => BFloat16.([1, 2]), "scalar" => fill(2.5f0),
            "none" => zeros(Int8, 0, 3), "ä \"\\" => [0x01]
        )
        safetensors_write(tensors, path)
        back = safetensors_read(path)
        @test keys(back) == keys(tensors)
        for (name, value) in tensors
            @test back[name] == value && typeof(back[name]) == typeof(value)
        end
        @test readdir(folder) == ["x.safetensors"]
    end
end

@testset "the data are row-major on disk and aligned" begin
    mktempdir() do folder
        path = joinpath(folder, "x.safetensors")
        safetensors_write(Dict("x" => UInt8[1 3 5; 2 4 6]), path)
        bytes = read(path)
        @test bytes[end-5:end] == 1:6
        @test occursin("\"shape\":[3,2]", String(copy(bytes)))
        @test reinterpret(UInt64, bytes[1:8])[1] % 8 == 0
    end
end

@testset "damaged files are refused with their path" begin
    mktempdir() do folder
        path = joinpath(folder, "x.safetensors")
        function refused(bytes, pattern, kind=:bad_input)
            write(path, bytes)
            refuses(() -> safetensors_read(path), kind, pattern) && refuses(() -> safetensors_read(path), kind, path)
        end
        with_header(text, data=UInt8[]) = [raw_bytes(UInt64(ncodeunits(text))); Vector{UInt8}(codeunits(text)); data]
        described(text) = "{\"a\":{\"dtype\":\"F32\"," * text * "}}"
        @test refused(UInt8[1, 2, 3, 4], "4 bytes")
        @test refused([fill(0xff, 8); zeros(UInt8, 8)], "header")
        @test refused(with_header("{nonsense"), "not JSON")
        @test refused(with_header("[1]"), "not a JSON object")
        @test refused(with_header("{\"a\":1}"), "'a'")
        @test refused(with_header(described("\"shape\":[2],\"data_offsets\":[0,8]"), zeros(UInt8, 4)), "'a'")
        @test refused(with_header(described("\"shape\":[-2],\"data_offsets\":[0,8]"), zeros(UInt8, 8)), "impossible shape")
        @test refused(with_header(described("\"shape\":[1],\"data_offsets\":[4,0]"), zeros(UInt8, 8)), "'a'")
        @test refused(with_header(described("\"shape\":[1.5],\"data_offsets\":[0,4]"), zeros(UInt8, 8)), "'a'")
        @test refused(with_header(described("\"data_offsets\":[0,4]"), zeros(UInt8, 8)), "'a'")
        @test refused(
            with_header("{\"a\":{\"dtype\":\"F8_E5M2\",\"shape\":[1],\"data_offsets\":[0,1]}}", zeros(UInt8, 1)), "F8_E5M2",
            :unsupported
        )
        @test refuses(() -> safetensors_read(folder), :bad_input, "folder")
        @test refuses(() -> safetensors_read(joinpath(folder, "no")), :bad_input, "no such file")
        @test refuses(() -> safetensors_write(Dict("x" => [1]), joinpath(folder, "no", "x")), :bad_input, "no such folder")
        @test refuses(() -> safetensors_write(Dict("x" => ["a"]), path), :unsupported, "String")
    end
end
