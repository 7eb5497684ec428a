"""The manifest of the made-up scenario. Test data: no number in it was measured."""

from __future__ import annotations

import json
from typing import Any

from made_cells import PROBE_SAMPLES, PROBE_SHA256, SUPPORT
from made_graphs import BANDS, CLASSES, FOLDED, GRAPHS, MODEL, SCRIPT, UNFOLDED

from harness.compare.records import CellResult


def manifest(results: list[CellResult]) -> dict[str, Any]:
    def export(label: str, exporter: str, warnings: list[str]) -> dict[str, Any]:
        structure = GRAPHS[label]
        return {
            "route": label.split("-opset")[0],
            "asked": {"opset": int(label.split("opset")[1].split("-")[0]), "fold": label.endswith("-folded")},
            "exporter": exporter,
            "opset": structure["opsets"][""],
            "folded": label.endswith("-folded"),
            "warnings": warnings,
            "seconds": 2.4,
            "bytes": structure["bytes"],
            "versions": {"torch": "2.13.0", "onnx": "1.23.2"},
        }

    def package(
        name: str, version: str, size: int | None, direct: bool = True, language: str = "python"
    ) -> dict[str, Any]:
        return {"name": name, "version": version, "bytes": size, "direct": direct, "language": language}

    return {
        "scenario": {
            "name": "unit-test",
            "title": "TempCNN from PyTorch to other runtimes (test data)",
            "text": "scenario: unit-test\ntitle: TempCNN from PyTorch to other runtimes (test data)\nseed: 42\n",
            "sha256": "a1" * 32,
        },
        "harness": {"version": "0.1.0", "source_sha256": "b2" * 32},
        "hardware": {
            "processor": "Example CPU @ 2.00GHz",
            "architecture": "x86_64",
            "cores": 2,
            "memory_gib": 8,
            "operating_system": "Debian GNU/Linux 12 (bookworm)",
        },
        "threads": 1,
        "seeds": {"scenario": 42},
        "python": {"python": "3.11.7", "numpy": "2.4.6"},
        "lock": "c3" * 32,
        "runtimes": {
            "python/pytorch": {
                "installed": True,
                "versions": {"python": "3.11.7", "torch": "2.13.0"},
                "install": "",
                "packages": [package("torch", "2.13.0", 698_000_000), package("sympy", "1.14.0", 26_700_000, False)],
            },
            "python/onnxruntime": {
                "installed": True,
                "versions": {"onnxruntime": "1.31.1", "python": "3.11.7"},
                "install": "",
            },
            "python/onnx-reference": {
                "installed": True,
                "versions": {"onnx": "1.23.2", "python": "3.11.7"},
                "install": "",
            },
            "r/base": {
                "installed": True,
                "versions": {"R": "4.2.2", "jsonlite": "1.8.4"},
                "install": "",
                "packages": [
                    package("jsonlite", "1.8.4", 520_000, language="r"),
                    package("rpy2-rinterface", "3.6.5", None),
                ],
            },
            "julia/base": {"installed": False, "versions": {}, "install": "apt-get install julia"},
        },
        "data": {
            "name": "synthetic-crops",
            "title": "Synthetic crop time series",
            "synthetic": True,
            "bands": [{"name": name, "unit": "1", "description": "top-of-atmosphere reflectance"} for name in BANDS],
            "class_names": list(CLASSES),
            "licence": "MIT",
            "doi": None,
            "citation": "Made by the test suite; no field was observed.",
            "url": None,
            "notes": ["Every series is drawn from a formula."],
            "dates": 45,
            "sampling": "frozen",
            "seed": 42,
            "normalisation": {"kind": "scale", "offset": [0.0] * 13, "scale": [1e-4] * 13},
            "counts": {
                "train": dict(zip(CLASSES, (n * 5 for n in SUPPORT), strict=True)),
                "valid": dict(zip(CLASSES, SUPPORT, strict=True)),
                "test": dict(zip(CLASSES, SUPPORT, strict=True)),
            },
            "probe": {"samples": PROBE_SAMPLES, "sha256": PROBE_SHA256, "seed": 42, "indices": list(range(64))},
        },
        "model": json.loads(MODEL.to_json()),
        "training": {
            "framework": "pytorch",
            "versions": {"torch": "2.13.0"},
            "seed": 42,
            "threads": 1,
            "epochs": 12,
            "hyperparameters": {"batch_size": 256, "learning_rate": 2.38e-4, "weight_decay": 5.18e-5},
        },
        "exports": {
            FOLDED: export(FOLDED, "torch.onnx.export (dynamo)", []),
            UNFOLDED: export(UNFOLDED, "torch.onnx.export (dynamo)", []),
            SCRIPT: export(
                SCRIPT,
                "torch.onnx.export (TorchScript)",
                ["DeprecationWarning: You are using the legacy TorchScript-based ONNX export <see the docs>."],
            ),
        },
        "artifacts": {"data": "d4" * 32, "train": "e5" * 32},
        "probe": {"samples": PROBE_SAMPLES, "sha256": PROBE_SHA256},
        "cells": {cell.cell: cell.verdict.value for cell in results},
    }
