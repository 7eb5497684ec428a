"""python/toyref: the reference implementation once more."""

from harness.workers.onnx.reference import ENGINE as Reference


class ToyReference(Reference):
    """See Engine."""

    runtime = "python/toyref"


ENGINE = ToyReference
