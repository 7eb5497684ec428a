@testset "documents are read and written" begin
    text = "{\"a\": [1, -2.5e3, true, null, \"\\u00e4\\ud83d\\ude00\\n\"], \"b\": {}, \"c\": 9223372036854775808}"
    value = P.parse_json(text)
    @test value["a"] == [1, -2500.0, true, nothing, "ä😀\n"]
    @test value["a"][1] isa Int64 && value["a"][2] isa Float64
    @test value["c"] == 2.0^63
    @test P.parse_json(P.json_text(value)) == value
    @test P.json_text((b=1, a=Any["x\"\\\u0001"], n=nothing, e=Dict{String,Any}())) ==
        "{\"b\":1,\"a\":[\"x\\\"\\\\\\u0001\"],\"n\":null,\"e\":{}}"
    @test P.json_text(["z" => 1, "" => 0.1]) == "{\"z\":1,\"\":0.1}"
    @test P.json_text(0.1f0) == string(Float64(0.1f0))
    @test P.parse_json(P.json_text(1e300)) == 1e300
end

@testset "what is not JSON is refused" begin
    for text in (
        "", " ", "{", "[1,]", "{\"a\":1,}", "01", "1.", ".5", "+1", "NaN", "Infinity", "[1 2]", "'a'", "\"\\ud800\"",
        "\"\\udc00\"", "\"\\x\"", "{\"a\":1,\"a\":2}", "{a:1}", "1 2", "\"\n\"", "\"a", "-", "1e999", "tru", "[1]]",
        repeat("[", 100_000), String([0x22, 0xff, 0x22])
    )
        @test_throws P.JSONError P.parse_json(text)
    end
    @test_throws P.JSONError P.json_text(NaN)
end
