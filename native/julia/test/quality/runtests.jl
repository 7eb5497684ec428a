# What Aqua, JET and Documenter say of the package, where they are installed: julia test/quality/runtests.jl, with the package's
# folder and an environment that has them on JULIA_LOAD_PATH. What is not there is skipped with the reason.

using PlainONNX, Test

# Code runs later, when the package is loaded.
function with(run, name)
    found = Base.find_package(name)
    if found === nothing
        @info "$name: skipped, it is not in the environment; install it with: using Pkg; Pkg.add(\"$name\")"
        @test_skip name
        return
    end
    @eval Main import $(Symbol(name))
    Base.invokelatest(run, getfield(Main, Symbol(name)))
end

@testset "no method is ambiguous" begin
    @test isempty(Test.detect_ambiguities(PlainONNX))
end

@testset "Aqua" begin
    with("Aqua") do Aqua
        Aqua.test_all(PlainONNX; ambiguities=false, piracies=true, persistent_tasks=false)
    end
end

@testset "JET" begin
    with("JET") do JET
        JET.test_package(PlainONNX; target_defined_modules=true, mode=:typo)
    end
end

@testset "doctests" begin
    with("Documenter") do Documenter
        source = joinpath(@__DIR__, "..", "..", "docs", "src")
        Documenter.DocMeta.setdocmeta!(PlainONNX, :DocTestSetup, :(using PlainONNX); recursive=true)
        Documenter.doctest(source, [PlainONNX])
    end
end
