# Room that matrix products work in, kept from one call to the next: asking the system for fresh pages costs as much as
# filling them.

"""The bound on what the workspace of one convolution may take, in bytes."""
const workspace_bytes = 256 * 2^20

# As much as stays close to the processor while a product reads it.
const tile_bytes = 2 * 2^20

struct WorkspacePool{T}
    lock::ReentrantLock
    free::Vector{Vector{T}}
end

WorkspacePool{T}() where {T} = WorkspacePool{T}(ReentrantLock(), Vector{T}[])

const single_pool = WorkspacePool{Float32}()
const double_pool = WorkspacePool{Float64}()
workspace_pool(::Type{Float32}) = single_pool
workspace_pool(::Type{Float64}) = double_pool

"""
    with_workspace(f, T, count)

`f(room)` with a vector of at least `count` values of type `T` that nobody else uses meanwhile.
"""
function with_workspace(f, ::Type{T}, count::Int) where {T}
    pool = workspace_pool(T)
    room = lock(() -> isempty(pool.free) ? T[] : pop!(pool.free), pool.lock)
    length(room) < count && resize!(room, count)
    try
        f(room)
    finally
        lock(() -> push!(pool.free, room), pool.lock)
    end
end

# The first values of a room as a matrix.
matrix_in(room::Vector, offset::Int, rows::Int, columns::Int) =
    reshape(view(room, (offset + 1):(offset + rows * columns)), rows, columns)
