"""python/toytorch: PyTorch once more, as a framework of its own."""

import dataclasses
import functools

from harness.workers.pytorch.engine import Pytorch
from harness.workers.pytorch.learner import PytorchLearner
from harness.workers.pytorch.routes import ROUTES
from harness.workers.training.train import train


class Learner(PytorchLearner):
    framework = "toytorch"


class ToyTorch(Pytorch):
    """See Engine."""

    runtime = "python/toytorch"
    routes = dataclasses.replace(ROUTES, runtime="python/toytorch")

    def requests(self, progress):
        return super().requests(progress) | {
            "train": functools.partial(train, learner=Learner, progress=progress),
            "export": self.routes.export,
        }


ENGINE = ToyTorch
