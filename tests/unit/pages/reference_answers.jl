# The same for its Julia code.
using Flux, PlainONNX
model = Chain(Dense(3 => 2), BatchNorm(2))
safetensors_write(Dict("x" => randn(Float32, 3, 4)), "X.safetensors")
