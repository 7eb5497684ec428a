# Runs the Julia code of a Markdown page in one session: julia run_page.jl page.md [prelude.jl]. Lines that begin with `#> ` are
# what the code of their block prints.

if length(ARGS) > 1
    include(abspath(ARGS[2]))
end

function printed(code)
    path, io = mktemp()
    redirect_stdout(io) do
        include_string(Main, code)
    end
    close(io)
    rstrip(read(path, String))
end

function run_page(text)
    blocks = [found.captures[1] for found in eachmatch(r"^```julia\n(.*?)^```"ms, text)]
    isempty(blocks) && error("the page has no Julia code")
    for block in blocks
        lines = split(chomp(block), '\n')
        said = startswith.(lines, "#>")
        given = printed(join(lines[.!said], '\n'))
        expected = rstrip(join(replace.(lines[said], r"^#> ?" => ""), '\n'))
        any(said) && given != expected && error("this block prints otherwise:\n$block\n--- it prints\n$given")
    end
    println("blocks run: ", length(blocks))
end

run_page(read(ARGS[1], String))
