"""Graphs inside of nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx.reference.ops.op_loop import Loop as ReferenceLoop


class Loop(ReferenceLoop):  # type: ignore[misc]
    """Loop whose scanned outputs get an axis of their own, before those of the values of every step.

    onnx.reference joins them along the first axis that they have already, so that the frames of a time series end up among its
    samples. Everything else is as it does it. A scanned output of a loop that never runs has no axes to know of.
    """

    op_domain = ""

    def _run(  # type: ignore[no-untyped-def]
        self, trips, condition, *initial, context=None, body=None, attributes=None, bindings=None
    ):
        values = dict(context or {})
        names, results = self.body.input_names, self.body.output_names
        carried = dict(zip(names[2:], initial, strict=True))
        scanned: list[list[Any]] = [[] for _ in results[1 + len(carried) :]]
        step, goes_on = 0, condition is None or bool(condition)
        while goes_on and (trips is None or step < int(trips)):
            given = {**values, **carried, names[0]: np.array(step, np.int64), names[1]: np.array(True)}
            found = self._run_body(given, attributes=attributes, bindings=bindings)
            goes_on = bool(found[0])
            carried = dict(zip(carried, found[1:], strict=False))
            for steps, value in zip(scanned, found[1 + len(carried) :], strict=True):
                steps.append(value)
            step += 1
        if scanned and not step:
            raise RuntimeError("a Loop that never runs has scanned outputs of unknown shape")
        return (*carried.values(), *(np.stack(steps) for steps in scanned))
