# How long a model's own call takes: first call apart, calibrated inner loops, raw numbers. The same request, bounds and
# answer as in the other languages.

# A sample lasts at least this many times the resolution of the coarser clock.
const timing_ticks = 100
# Seconds of a sample that no interruption explains.
const timing_certain = 0.1
const timing_fewest = 3
const timing_most = 1000
const timing_samples = 500
const timing_batch_sizes = 16
const timing_seconds = 600
const timing_largest_batch = 2^20

wall_clock() = time_ns() / 1e9

# CPU seconds of all threads of this process; C says CLOCKS_PER_SEC is a million where POSIX holds.
cpu_clock() = ccall(:clock, Clong, ()) / 1e6

function clock_resolution(clock, tries=3)
    minimum(1:tries) do _
        began = clock()
        now = clock()
        while now <= began
            now = clock()
        end
        now - began
    end
end

struct Spent
    wall::Float64
    cpu::Float64
end

function time_calls(call, calls::Int)
    cpu = cpu_clock()
    wall = wall_clock()
    for _ in 1:calls
        call()
    end
    wall = wall_clock() - wall
    Spent(wall, cpu_clock() - cpu)
end

"""How many calls make a sample of at least `shortest` seconds; warms up on the way."""
function calibrate_calls(call, shortest)
    calls = 1
    while calls < 10^6
        wall = undisturbed(call, calls, shortest)
        wall >= shortest && break
        needed = wall > 0 ? ceil(Int, min(1.2 * calls * shortest / wall, 1e6)) : 10 * calls
        calls = min(max(needed, calls + 1), 10 * calls, 10^6)
    end
    calls
end

# Wall seconds of some calls; where they seem to be long enough, the least of three, since others interrupt.
function undisturbed(call, calls, shortest)
    wall = time_calls(call, calls).wall
    for _ in 1:2
        shortest <= wall < timing_certain || break
        wall = min(wall, time_calls(call, calls).wall)
    end
    wall
end

function time_batch(call, shortest, seconds, repeats)
    GC.gc()
    first = time_calls(call, 1)
    calls = calibrate_calls(call, shortest)
    samples = Spent[]
    deadline = wall_clock() + seconds
    while length(samples) < repeats && (length(samples) < timing_fewest || wall_clock() < deadline)
        push!(samples, time_calls(call, calls))
    end
    per_call(of) = [round(of(sample) / calls; digits=9) for sample in samples]
    (
        calls=calls, first_seconds=first.wall, first_cpu_seconds=first.cpu, seconds=per_call(sample -> sample.wall),
        cpu_seconds=per_call(sample -> sample.cpu)
    )
end

"""The first samples of tensors along their sample axes; from the beginning again where there are too few."""
function batch_of(tensors::AbstractDict, size::Int, axes=SampleAxes())
    Dict{String,Array}(name => samples_again(value, size, name, sample_axis(axes, name)) for (name, value) in tensors)
end

samples_again(value::Array, count::Int, name, ::Nothing) = value

function samples_again(value::Array, count::Int, name, axis::Int)
    (axis < ndims(value) && size(value, ndims(value) - axis) > 0) ||
        bad_input("input '", name, "' has no samples along axis ", axis, " to make batches of")
    samples_of(value, mod1.(1:count, size(value, ndims(value) - axis)), axis)
end

"""The most memory that this process held at once, in bytes."""
function resident_peak()
    status = try
        read("/proc/self/status", String)
    catch
        return Int(Sys.maxrss())
    end
    # What the system counts for a process may begin with that of its parent; this does not.
    found = match(r"^VmHWM:\s*([0-9]+)"m, status)
    found === nothing ? nothing : parse(Int, found.captures[1]) * 1024
end
