# Each formula of the standard written out for one sample and one direction.

isdefined(@__MODULE__, :apply_operator) || include("operator_alone.jl")

logistic(x) = 1 / (1 + exp(-x))

# x (feature, time), w (feature, gates x hidden), r (hidden, gates x hidden), b, p (3 x hidden), all of one direction.
function written_lstm(x, w, r, b, p, h, c; f=logistic, g=tanh, last=tanh, coupled=false)
    n = length(h)
    rows(k) = ((k - 1) * n + 1):(k * n)
    states = []
    for t in axes(x, 2)
        z = w' * x[:, t] .+ r' * h .+ b[1:(4n)] .+ b[(4n + 1):end]
        i = f.(z[rows(1)] .+ p[rows(1)] .* c)
        forget = coupled ? 1 .- i : f.(z[rows(3)] .+ p[rows(3)] .* c)
        c = forget .* c .+ i .* g.(z[rows(4)])
        h = f.(z[rows(2)] .+ p[rows(2)] .* c) .* last.(c)
        push!(states, h)
    end
    reduce(hcat, states), h, c
end

function written_gru(x, w, r, b, h, linear)
    n = length(h)
    rows(k) = ((k - 1) * n + 1):(k * n)
    wb, rb = b[1:(3n)], b[(3n + 1):end]
    states = []
    for t in axes(x, 2)
        z = logistic.(w' * x[:, t] .+ r' * h .+ wb .+ rb)
        update, reset = z[rows(1)], z[rows(2)]
        of_state(v) = r[:, rows(3)]' * v
        own = linear ? reset .* (of_state(h) .+ rb[rows(3)]) : of_state(reset .* h) .+ rb[rows(3)]
        candidate = tanh.(w[:, rows(3)]' * x[:, t] .+ wb[rows(3)] .+ own)
        h = (1 .- update) .* candidate .+ update .* h
        push!(states, h)
    end
    reduce(hcat, states), h
end

numbers(sizes...) = wavy(Float64, sizes...)
const sequence = numbers(3, 2, 5)
const sequence_lengths = Int32[5, 3]

@testset "LSTM in both directions, with peepholes, states and lengths, samples or steps first" begin
    w, r, b, p = numbers(3, 16, 2) ./ 2, numbers(4, 16, 2) ./ 3, numbers(32, 2) ./ 4, numbers(12, 2) ./ 5
    h, c = numbers(4, 2, 2) ./ 2, numbers(4, 2, 2) .- 0.2
    for layout in 0:1
        first_two(x) = layout == 1 ? permutedims(x, (1, 3, 2)) : x
        y, yh, yc = apply_operator(
            "LSTM", first_two(sequence), w, r, b, sequence_lengths, first_two(h), first_two(c), p; outputs=3, hidden_size=4,
            direction="bidirectional", layout=layout
        )
        layout == 1 && ((y, yh, yc) = (permutedims(y, (1, 4, 2, 3)), first_two(yh), first_two(yc)))
        for sample in 1:2, direction in 1:2
            steps = 1:sequence_lengths[sample]
            steps = direction == 2 ? reverse(steps) : steps
            expected = written_lstm(
                sequence[:, sample, steps], w[:, :, direction], r[:, :, direction], b[:, direction], p[:, direction],
                h[:, sample, direction], c[:, sample, direction]
            )
            @test y[:, sample, direction, steps] ≈ expected[1]
            @test all(iszero, y[:, sample, direction, (sequence_lengths[sample] + 1):end])
            @test yh[:, sample, direction] ≈ expected[2]
            @test yc[:, sample, direction] ≈ expected[3]
        end
    end
end

@testset "GRU and RNN" begin
    w, r, b, h = numbers(3, 12, 1), numbers(4, 12, 1) ./ 3, numbers(24, 1), numbers(4, 2, 1)
    for linear in 0:1, direction in ("forward", "reverse")
        y, yh = apply_operator(
            "GRU", sequence, w, r, b, nothing, h; outputs=2, linear_before_reset=linear, direction=direction
        )
        steps = direction == "reverse" ? (5:-1:1) : (1:5)
        for sample in 1:2
            expected = written_gru(sequence[:, sample, steps], w[:, :, 1], r[:, :, 1], b[:, 1], h[:, sample, 1], linear == 1)
            @test y[:, sample, 1, steps] ≈ expected[1]
            @test yh[:, sample, 1] ≈ expected[2]
        end
    end
    y, yh = apply_operator("RNN", sequence, w[:, 1:4, :], r[:, 1:4, :]; outputs=2, activations=["relu"])
    state = zeros(4)
    for t in 1:5
        state = max.(w[:, 1:4, 1]' * sequence[:, 1, t] .+ r[:, 1:4, 1]' * state, 0)
        @test y[:, 1, 1, t] ≈ state
    end
    @test yh[:, 1, 1] ≈ state
end

@testset "activations take alpha and beta in the order in which they need them, and clip" begin
    x, w, r = sequence[:, 1:1, :], numbers(3, 16, 1), numbers(4, 16, 1) ./ 3
    run(; keywords...) = apply_operator("LSTM", x, w, r; keywords...)[1][:, 1, 1, :]
    expected(; keywords...) = written_lstm(x[:, 1, :], w[:, :, 1], r[:, :, 1], zeros(32), zeros(12), zeros(4), zeros(4); keywords...)[1]
    hard(x) = clamp(0.3 * x + 0.4, 0, 1)
    leaky(x) = x < 0 ? 0.125 * x : x
    @test run(activations=["HardSigmoid", "LeakyRelu", "ScaledTanh"], activation_alpha=[0.3, 0.125, 2.0], activation_beta=[0.4, 0.5]) ≈
          expected(f=hard, g=leaky, last=x -> 2 * tanh(0.5 * x)) rtol = 1e-6
    @test run(clip=0.25) ≈ expected(f=x -> logistic(clamp(x, -0.25, 0.25)), g=x -> tanh(clamp(x, -0.25, 0.25)))
    @test run(input_forget=1) ≈ expected(coupled=true)
    refused(words; keywords...) = refuses(() -> run(; keywords...), :unsupported, words)
    @test refused("1 activations where 3 are needed"; activations=["Sigmoid"])
    @test refused("activation 'Sine'"; activations=["Sine", "Tanh", "Tanh"])
    @test refused("activation 'Affine' without alpha and beta"; activations=["Affine", "Tanh", "Tanh"])
    @test refused("another number of alphas"; activation_alpha=[1.0, 2.0])
    @test refused("longer than the activations"; activations=["Sigmoid", "LeakyRelu", "Tanh"], activation_alpha=[0.5, 0.1, 0.2])
    @test refused("direction 'backward'"; direction="backward")
end

@testset "what does not fit is refused, and half precision is rounded at the end" begin
    w, r = numbers(3, 4, 1), numbers(4, 4, 1)
    run(x, w, r, rest...; keywords...) = apply_operator("RNN", x, w, r, rest...; keywords...)
    refused(words, inputs...; keywords...) = refuses(() -> run(inputs...; keywords...), :bad_input, words)
    @test refused("hidden_size is 3", sequence, w, r; hidden_size=3)
    @test refused("W has shape (1, 4, 2) where (1, 4, 3)", sequence, numbers(2, 4, 1), r)
    @test refused("B has shape (1, 4) where (1, 8)", sequence, w, r, numbers(4, 1))
    @test refused("sequence_lens must be from 1 to 5", sequence, w, r, nothing, Int32[5, 6])
    @test refused("sequence_lens must be from 1 to 5", sequence, w, r, nothing, Int32[0, 5])
    @test refused("initial_h has shape", sequence, w, r, nothing, nothing, numbers(4, 1, 1))
    @test refused("it needs 3 axes", sequence[:, :, 1], w, r)
    @test refused("different dtypes", sequence, Float32.(w), r)
    half = run(Float16.(sequence), Float16.(w), Float16.(r); outputs=2)
    single = run(map(x -> Float32.(Float16.(x)), (sequence, w, r))...; outputs=2)
    @test half[1] == Float16.(single[1]) && half[2] == Float16.(single[2])
end

@testset "the first steps of each sequence are reversed" begin
    x = numbers(2, 3, 4)
    steps_first = apply_operator("ReverseSequence", x, [4, 2, 0])
    @test steps_first[:, 1, :] == x[:, 1, 4:-1:1]
    @test steps_first[:, 2, :] == x[:, 2, [2, 1, 3, 4]]
    @test steps_first[:, 3, :] == x[:, 3, :]
    samples_first = apply_operator("ReverseSequence", x, [3, 2, 1, 1]; batch_axis=0, time_axis=1)
    @test samples_first[:, :, 1] == x[:, 3:-1:1, 1] && samples_first[:, :, 2] == x[:, [2, 1, 3], 2]
    @test refuses(() -> apply_operator("ReverseSequence", x, [4, 2, 5]), :bad_input, "3 numbers from 0 to 4")
    @test refuses(() -> apply_operator("ReverseSequence", x, [4, 2, 1]; batch_axis=2), :bad_input, "must be 0 and 1")
end
