@testset "a known time is measured, and the first call kept apart" begin
    called = Ref(0)
    call() = (called[] += 1; sleep(called[] == 1 ? 0.2 : 0.01))
    all_of_it = @elapsed found = P.time_batch(call, 0.005, 0.1, 50)
    @test found.calls == 1
    @test found.first_seconds >= 0.2
    @test length(found.seconds) >= P.timing_fewest
    @test length(found.cpu_seconds) == length(found.seconds)
    @test sort(found.seconds)[cld(end, 2)] >= 0.009
    @test found.first_seconds + sum(found.seconds) <= all_of_it
end

@testset "short calls are looped until the clock resolves them" begin
    @test P.calibrate_calls(() -> nothing, 0.002) > 50
    @test P.calibrate_calls(() -> sleep(0.01), 0.002) == 1
    # A call that was interrupted once is looped all the same.
    interruptions = [0.005]
    @test P.calibrate_calls(() -> isempty(interruptions) || sleep(pop!(interruptions)), 0.002) > 50
end

@testset "the resolution of a coarse clock is seen" begin
    ticks = Ref(0)
    clock() = (ticks[] += 1; (ticks[] ÷ 50) * 0.01)
    @test P.clock_resolution(clock) ≈ 0.01
end

@testset "a batch begins again where there are too few samples" begin
    x = wavy(2, 2, 3)
    batch = P.batch_of(Dict("x" => x), 5)["x"]
    @test batch == x[:, :, [1, 2, 3, 1, 2]]
    turned = P.batch_of(Dict("x" => x, "doy" => [1f0]), 5, P.SampleAxes("x" => ndims(x) - 1, "doy" => nothing))
    @test turned["x"] == x[mod1.(1:5, 2), :, :] && turned["doy"] == [1]
    @test refuses(() -> P.batch_of(Dict("x" => fill(1f0)), 2), :bad_input, "no samples")
end

@testset "the peak of memory is told in bytes" begin
    @test 10^7 < P.resident_peak() < 10^11
end
