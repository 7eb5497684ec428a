"""ConvLSTM written by hand in R torch and in Flux, from the same weights: against the papers and against PyTorch's training."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_parameters import random_parameters
from small_convlstm import X, by_hand, small

from harness.models.spec import ModelSpec
from harness.runtimes.launch import environment
from harness.runtimes.registry import RUNTIMES, availability
from harness.workers.tensors import read_tensors, write_tensors

NATIVE = Path(__file__).resolve().parents[3] / "native"

#: One folder per case; the other two presets in the other orders of the gates.
CASES: dict[str, ModelSpec] = {
    "a": small("thesis-pytorch"),
    "b": small("thesis-keras", gate_order="ifgo", momentum=0.3),
    "c": small("demetrakopoulos", gate_order="iofg", slope=0.3, epsilon=0.1),
}

R = """
arguments <- commandArgs(TRUE)
source(arguments[1])
torch::torch_set_num_threads(1L)
read <- function(...) safetensors::safe_load_file(file.path(...), framework = "torch")
write <- function(tensors, ...) {
  safetensors::safe_save_file(lapply(tensors, function(tensor) tensor$detach()$contiguous()), file.path(...))
}
parameters <- function(model) {
  state <- model$state_dict()
  state[!grepl("num_batches_tracked$", names(state))]
}
data <- read(arguments[2], "data")
for (case in c("a", "b", "c")) {
  folder <- file.path(arguments[2], case)
  new <- do.call(ConvLSTM, convlstm_settings(file.path(folder, "model.json")))
  write(parameters(new), folder, "begun")
  model <- convlstm_load(file.path(folder, "weights.safetensors"))
  write(parameters(model), folder, "held")
  write(list(y = model(data$x)), folder, "y")
  model$train()
  loss <- torch::nnf_mse_loss(model(data$x), data$y)
  loss$backward()
  write(lapply(model$parameters, function(parameter) parameter$grad), folder, "gradients")
  write(c(list(loss = loss$reshape(1)), parameters(model)), folder, "after")
}
bad <- read(arguments[2], "a", "weights.safetensors")
said <- function(weights) tryCatch({convlstm_weights(model, weights); ""}, error = conditionMessage)
cat(said(bad[names(bad) != "norm1.bias"]), said(c(bad, list(extra = bad[[1]]))),
    said(replace(bad, "output.bias", list(torch::torch_zeros(2)))),
    tryCatch(ConvLSTM(1, cell_activation = "relu"), error = conditionMessage),
    tryCatch(ConvLSTM(1, gate_order = "iiog"), error = conditionMessage), sep = "\\n")
"""

JULIA = """
using Flux, PlainONNX
include(ARGS[1])
PlainONNX.pin_threads()
data = safetensors_read(joinpath(ARGS[2], "data"))
gradients(model, found) = Dict(
    "$name.$parameter" => value for (name, layer) in pairs(model.layers)
    for (parameter, value) in given(layer, found.layers[name])
)
given(::ConvLSTMLayer, found) = given(CrossCor, found.convolution)
given(::CrossCor, found) = given(CrossCor, found)
given(::Type{CrossCor}, found) = ("weight" => found.weight, "bias" => found.bias)
given(::BatchNorm, found) = ("weight" => found.γ, "bias" => found.β)
given(_, found) = ()
for case in ("a", "b", "c")
    folder = joinpath(ARGS[2], case)
    store(arrays, name) = safetensors_write(arrays, joinpath(folder, name))
    store(convlstm_parameters(ConvLSTM(; convlstm_settings(joinpath(folder, "model.json"))...)), "begun")
    model = convlstm_load(joinpath(folder, "weights.safetensors"))
    store(convlstm_parameters(model), "held")
    store(Dict("y" => model(data["x"])), "y")
    trainmode!(model)
    loss, found = Flux.withgradient(model -> Flux.mse(model(data["x"]), data["y"]), model)
    store(gradients(model, found[1]), "gradients")
    store(merge(convlstm_parameters(model), Dict("loss" => [loss])), "after")
end
bad = safetensors_read(joinpath(ARGS[2], "a", "weights.safetensors"))
model = convlstm_load(joinpath(ARGS[2], "a", "weights.safetensors"))
said(f) = try f(); "" catch error; sprint(showerror, error) end
println(said(() -> convlstm_weights!(model, filter(pair -> pair.first != "norm1.bias", bad))))
println(said(() -> convlstm_weights!(model, merge(bad, Dict("extra" => bad["norm1.bias"])))))
println(said(() -> convlstm_weights!(model, merge(bad, Dict("output.bias" => zeros(Float32, 2))))))
println(said(() -> ConvLSTM(; bands=1, cell_activation="relu")))
println(said(() -> ConvLSTM(; bands=1, gate_order="iiog")))
"""

REFUSALS = [
    "the weights lack norm1.bias",
    "no place for extra",
    "output.bias is 2, the model wants 1",
    "relu",
    "gate_order must hold i, f, o and g once each, not 'iiog'",
]


def ran(runtime: str, command: list[str], script: str, source: Path, folder: Path) -> list[str]:
    """What a script says that answers for every case in ``folder``."""
    if not (here := availability(RUNTIMES[runtime])).installed:
        pytest.skip(f"{runtime}: {here.reason}; install it with: {here.install}")
    path = folder / f"script{source.suffix}"
    path.write_text(script, encoding="utf-8")
    done = subprocess.run(
        [*command, os.fspath(path), os.fspath(source), os.fspath(folder)],
        env=environment(RUNTIMES[runtime], 1),
        capture_output=True,
        text=True,
    )
    # Julia goes on with types of many lines.
    assert done.returncode == 0, done.stderr[:2000]
    return done.stdout.strip().splitlines()


def in_pytorch(spec: ModelSpec, truth: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], float]:
    """Gradients, what the model holds after one pass of training, and the loss."""
    torch = pytest.importorskip("torch")
    from harness.workers.pytorch.model import build, fill, state_arrays

    module = build(spec).train()
    fill(module, spec, random_parameters(spec), "here")
    loss = torch.nn.functional.mse_loss(module(torch.from_numpy(X)), torch.from_numpy(truth))
    loss.backward()
    gradients = {name: parameter.grad.numpy() for name, parameter in module.named_parameters()}
    return gradients, state_arrays(module), float(loss.item())


@pytest.mark.parametrize(
    ("runtime", "command", "script", "source"),
    [
        ("r/torch", ["Rscript", "--vanilla"], R, NATIVE / "rtorch" / "convlstm.R"),
        pytest.param(
            *("julia/flux", ["julia", "--startup-file=no"], JULIA, NATIVE / "flux" / "convlstm.jl"),
            # Julia compiles the model and its gradient anew in every process.
            marks=pytest.mark.slow,
        ),
    ],
    ids=["r/torch", "julia/flux"],
)
def test_it_is_the_model_that_pytorch_has(
    tmp_path: Path, runtime: str, command: list[str], script: str, source: Path
) -> None:
    truth = np.random.default_rng(5).random((4, 1, 3, 6, 5)).astype(np.float32)
    write_tensors(tmp_path / "data", {"x": X, "y": truth})
    for name, spec in CASES.items():
        (tmp_path / name).mkdir()
        write_tensors(tmp_path / name / "weights.safetensors", random_parameters(spec))
        (tmp_path / name / "model.json").write_text(spec.to_json())
    said = ran(runtime, command, script, source, tmp_path)
    assert len(said) == len(REFUSALS)
    assert all(words in line for words, line in zip(REFUSALS, said, strict=True)), said

    def found(name: str, file: str) -> dict[str, np.ndarray]:
        return read_tensors(tmp_path / name / file)

    for name, spec in CASES.items():
        weights: dict[str, Any] = random_parameters(spec)
        held = found(name, "held")
        assert set(held) == set(weights)
        assert all(held[key].shape == array.shape for key, array in weights.items())
        assert all(held[key].tobytes() == array.tobytes() for key, array in weights.items())
        error = np.abs(found(name, "y")["y"] - by_hand(X, weights, spec)).max()
        assert 0 < error < 1e-5, (name, error)
        gradients, state, loss = in_pytorch(spec, truth)
        after = found(name, "after")
        assert float(after.pop("loss").item()) == pytest.approx(loss, rel=1e-5)
        # Moving statistics by the same convention, and nothing else has moved.
        assert set(after) == set(state)
        for key, array in state.items():
            assert np.abs(after[key] - array).max() < 1e-5, (name, key)
        told = found(name, "gradients")
        assert set(told) == set(gradients)
        for key, array in gradients.items():
            assert np.abs(told[key] - array).max() < 1e-5 + 1e-4 * np.abs(array).max(), (name, key)
        order, begun = spec.hyperparameters["gate_order"], found(name, "begun")
        bias = dict(zip(order, np.split(begun["lstm1.bias"], 4), strict=True))
        assert {gate: set(values.tolist()) for gate, values in bias.items()} == {
            gate: {spec.hyperparameters["forget_bias"] if gate == "f" else 0.0} for gate in order
        }
