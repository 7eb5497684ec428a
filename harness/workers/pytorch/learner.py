"""A PyTorch model under training: Adam with an L2 penalty, by deterministic algorithms alone."""

from __future__ import annotations

import torch

from harness.models.spec import ModelSpec
from harness.workers.engine import Array
from harness.workers.pytorch.losses import mean_loss
from harness.workers.pytorch.model import build, fill, state_arrays
from harness.workers.training.train import Learner, Settings


class PytorchLearner(Learner):
    """See Learner."""

    framework = "pytorch"

    def __init__(self, spec: ModelSpec, settings: Settings, loss: str, seed: int) -> None:
        self.versions = {"torch": torch.__version__}
        self.threads = torch.get_num_threads()
        self.spec, self.loss = spec, loss
        torch.manual_seed(seed)
        self.module = build(spec)
        # Fused: one pass over the parameters instead of a dozen, which at small batches is most of a step.
        self.optimiser = torch.optim.Adam(
            self.module.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )

    def fill(self, parameters: dict[str, Array], where: str) -> None:
        """See Learner."""
        fill(self.module, self.spec, parameters, where)

    def begin_epoch(self, seed: int) -> None:
        """See Learner."""
        torch.manual_seed(seed)

    def step(self, inputs: dict[str, Array], target: dict[str, Array]) -> float:
        """See Learner."""
        self.module.train()
        self.optimiser.zero_grad()
        with _deterministic():
            output = self._run(inputs)[self.spec.decided_output.name]
            loss = mean_loss(self.loss, self.spec.head, output, target)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
        return float(loss.item())

    def outputs(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """See Learner."""
        self.module.eval()
        with _deterministic(), torch.inference_mode():
            return {name: value.numpy() for name, value in self._run(inputs).items()}

    def _run(self, inputs: dict[str, Array]) -> dict[str, torch.Tensor]:
        found = self.module(**{name: torch.from_numpy(array) for name, array in inputs.items()})
        found = found if isinstance(found, tuple) else (found,)
        return {tensor.name: value for tensor, value in zip(self.spec.outputs, found, strict=True)}

    def state(self) -> dict[str, Array]:
        """See Learner."""
        tensors: dict[str, Array] = {
            f"module/{name}": value.numpy() for name, value in self.module.state_dict().items()
        }
        for index, state in self.optimiser.state_dict()["state"].items():
            for key, value in state.items():
                tensors[f"optimiser/{index}/{key}"] = value.numpy()
        return tensors

    def restore(self, state: dict[str, Array]) -> None:
        """See Learner."""
        weights: dict[str, torch.Tensor] = {}
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, array in state.items():
            kind, _, rest = name.partition("/")
            if kind == "module":
                weights[rest] = torch.from_numpy(array)
            else:
                index, _, key = rest.partition("/")
                moments.setdefault(int(index), {})[key] = torch.from_numpy(array)
        parameters = [parameter for group in self.optimiser.param_groups for parameter in group["params"]]
        if set(moments) != set(range(len(parameters))):
            raise ValueError("the optimiser's state does not fit the model")
        # Checked before anything is filled in, so that a refused checkpoint leaves the model as it started.
        own = self.module.state_dict()
        if {name: value.shape for name, value in own.items()} != {name: value.shape for name, value in weights.items()}:
            raise ValueError("the weights do not fit the model")
        self.module.load_state_dict(weights)
        self.optimiser.load_state_dict({"state": moments, "param_groups": self.optimiser.state_dict()["param_groups"]})

    def parameters(self) -> dict[str, Array]:
        """See Learner."""
        return state_arrays(self.module)


class _deterministic:
    """Only algorithms that give the same bits every time, within the block."""

    def __enter__(self) -> None:
        self._before = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(True)

    def __exit__(self, *_: object) -> None:
        torch.use_deterministic_algorithms(self._before)
