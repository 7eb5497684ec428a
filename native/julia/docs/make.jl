# The site of the package, whose examples are run: julia --project=docs docs/make.jl

using Documenter, PlainONNX

DocMeta.setdocmeta!(PlainONNX, :DocTestSetup, :(using PlainONNX); recursive=true)
makedocs(;
    sitename="PlainONNX.jl", modules=[PlainONNX], doctest=true, warnonly=[:missing_docs, :cross_references, :docs_block],
    remotes=nothing, format=Documenter.HTML(; edit_link=nothing, repolink=nothing, inventory_version="0.1.0"),
    pages=["Read and predict" => "index.md", "Functions" => "functions.md"]
)
