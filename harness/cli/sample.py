"""``harness sample``: a probe for a model file of the user's own, to feed to the harness and to any framework."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Json, StoreFolder


def sample(
    model: Annotated[Path, typer.Argument(help="An .onnx file.")],
    out: Annotated[Path, typer.Option("--out", help="X.npz or X.safetensors; X.npy for a model with one input.")],
    samples: Annotated[int, typer.Option("--samples", min=1, help="Samples of the probe.")] = 64,
    value_range: Annotated[
        list[str] | None,
        typer.Option("--range", help="LOW:HIGH of the values of all inputs, or NAME=LOW:HIGH of one; 0:1 if left out."),
    ] = None,
    from_data: Annotated[
        list[str] | None,
        typer.Option(
            "--from-data",
            help="Draw from data of yours instead: X.npy, NAME=X.npy for each of several inputs, or all in X.npz.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="What is drawn.")] = 0,
    size: Annotated[
        list[str] | None,
        typer.Option(
            "--size", help="NAME=N of an axis that the file leaves open, e.g. time=24; INPUT:AXIS=N without a name."
        ),
    ] = None,
    sample_axis: Annotated[
        list[str] | None,
        typer.Option("--sample-axis", help="NAME=K: axis K, counted from 0, of that input or output is the sample."),
    ] = None,
    shared: Annotated[
        list[str] | None, typer.Option("--shared", help="NAME of an input or output that belongs to all samples.")
    ] = None,
    store: StoreFolder = Path("exported"),
    as_json: Json = False,
) -> None:
    """Draw a probe for a model you have, to feed to your own framework and to `harness compare --probe`."""
    from harness.cli.arguments import named_files, read_numbers, read_ranges
    from harness.cli.printing import print_json
    from harness.cli.progress import listener
    from harness.data.sample_axes import ToldAxes
    from harness.data.sample_probe import Wanted
    from harness.errors import ScenarioError
    from harness.results.sample_given import sample_given

    if value_range and from_data:
        raise ScenarioError("ranges are for values that are drawn", where="--range", hint="leave it or --from-data out")
    if size and from_data:
        raise ScenarioError("sizes are those of the data", where="--size", hint="leave it or --from-data out")
    axes = read_numbers(sample_axis or [], "--sample-axis", "names no axis", "write NAME=K, axes counted from 0")
    wanted = Wanted(
        samples,
        seed,
        read_ranges(value_range or []),
        read_numbers(size or [], "--size", "names no size", "write NAME=N, e.g. time=24"),
        ToldAxes(axes, tuple(dict.fromkeys(shared or []))),
    )
    data = named_files(from_data or [], "--from-data")
    with listener(quiet=as_json) as listening:
        made = sample_given(model, wanted, data, out=out, store=store, listener=listening)
    inputs = {name: dict(described) for name, described in made.inputs.items()}
    if as_json:
        print_json(
            {
                "path": str(made.path),
                "sha256": made.sha256,
                "samples": made.samples,
                "inputs": inputs,
                "said": list(made.said),
            }
        )
        return
    for name, described in made.inputs.items():
        shape = " x ".join(map(str, described["shape"])) if isinstance(described["shape"], list) else ""
        typer.echo(f"{name}: {described['dtype']} {shape}, {described['lowest']:.6g} to {described['highest']:.6g}")
    for sentence in made.said:
        typer.echo(f"Samples: {sentence}.")
    typer.echo(f"Written: {made.path} ({made.samples} samples, seed {seed}, SHA-256 {made.sha256[:16]})")
