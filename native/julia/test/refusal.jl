"""Whether a function ends in an `ONNXError` of a kind, with a message of one line that holds a pattern."""
function refuses(run, kind::Symbol, pattern)
    try
        run()
    catch error
        error isa ONNXError || rethrow()
        fits = error.kind == kind && occursin(pattern, error.message) && !occursin('\n', error.message)
        fits || @info "refused otherwise" error.kind error.message
        return fits
    end
    @info "not refused" pattern
    false
end
