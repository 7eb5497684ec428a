"""``harness compare``: a model file of the user's own in several runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from harness.cli.options import Json, Output, Pdf, StoreFolder
from harness.cli.outcome import print_outcome
from harness.errors import ExitCode
from harness.runtimes.table import importing_frameworks


def compare(
    model: Annotated[Path, typer.Argument(help="An .onnx file.")],
    to: Annotated[str, typer.Option("--to", help="Runtimes to open it in, with commas between them.")],
    probe: Annotated[
        list[str],
        typer.Option(
            "--probe", help="X.npy, axis 0 the sample; NAME=X.npy for each of several inputs, or all in X.npz."
        ),
    ],
    expected: Annotated[
        Path | None,
        typer.Option(
            "--expected",
            help="What your own framework gave for the probe: Y.npy, or .npz or .safetensors by output name. Asks whether the "
            "export changed the model; float64 outputs tell it exactly.",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            help="y.npy: classes from 0 (sample,), 0 and 1 (sample, label), or classes of pixels (sample, row, column), "
            "negative where none is known; 0 and 1 in the output's own shape for several labels per pixel.",
        ),
    ] = None,
    ignore_label: Annotated[
        int | None, typer.Option("--ignore-label", help="With --labels: the number that stands where none is known.")
    ] = None,
    decision: Annotated[
        str | None,
        typer.Option(
            "--decision",
            help="What is decided on the outputs where the file does not tell: argmax, argmax-axis=1, threshold=0.5 (or one "
            "per label with commas), classes or none.",
        ),
    ] = None,
    decision_output: Annotated[
        str | None, typer.Option("--decision-output", help="The output that is decided on; the first if left out.")
    ] = None,
    ids: Annotated[Path | None, typer.Option("--ids", help="ids.npy: whole numbers that name the samples.")] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="What it was made from: weights (.safetensors, .pt or .keras), which add parameters and route; or a whole model "
            "(.keras, torch.export's .pt2, TorchScript, a SavedModel).",
        ),
    ] = None,
    trust_source: Annotated[
        bool,
        typer.Option(
            "--trust-source", help="With --from: run a program (.pt2, TorchScript, SavedModel) that you trust."
        ),
    ] = False,
    architecture: Annotated[
        str | None,
        typer.Option("--model", help="With --from: the model of the weights, e.g. tempcnn, where no file says it."),
    ] = None,
    head: Annotated[
        str | None, typer.Option("--head", help="With --model: logits, log-softmax or softmax; the file's if left out.")
    ] = None,
    framework: Annotated[
        str,
        typer.Option(
            "--framework",
            help=f"With --from: what runs the weights: {', '.join(importing_frameworks())}.",
        ),
    ] = "pytorch",
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=1, help="Samples per call; 64, or as many as the file takes.")
    ] = None,
    sample_axis: Annotated[
        list[str] | None,
        typer.Option("--sample-axis", help="NAME=K: axis K, counted from 0, of that input or output is the sample."),
    ] = None,
    shared: Annotated[
        list[str] | None, typer.Option("--shared", help="NAME of an input or output that belongs to all samples.")
    ] = None,
    nan: Annotated[
        str,
        typer.Option(
            "--nan",
            help="refuse or allow NaN and infinities in the probe, where the model is made for them: their positions must "
            "be equal everywhere.",
        ),
    ] = "refuse",
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of every runtime.")] = 1,
    time: Annotated[bool, typer.Option("--time", help="Time every runtime, at batch 1 and at --batch-size.")] = False,
    layers: Annotated[
        int | None,
        typer.Option("--layers", min=0, help="Samples of the probe that are followed node by node: 8, or 0 for none."),
    ] = None,
    no_layers: Annotated[
        bool, typer.Option("--no-layers", help="Follow none: large files take minutes per runtime.")
    ] = False,
    expect: Annotated[str, typer.Option("--expect", help="The worst verdict that exits with 0.")] = "equivalent",
    output: Output = Path("results"),
    store: StoreFolder = Path("exported"),
    pdf: Pdf = False,
    as_json: Json = False,
) -> None:
    """Compare a model you have: open one file in several runtimes, on your own probe. No scenario is needed."""
    from harness.cli.arguments import named_files, read_numbers
    from harness.cli.progress import listener
    from harness.compare.asked_decision import read_decision
    from harness.compare.records import Verdict
    from harness.compare.verdict import exit_code
    from harness.errors import ScenarioError
    from harness.models.spec import Head
    from harness.pipeline.given_plan import BATCH_SIZE, Given
    from harness.results.given_run import compare_given
    from harness.scenario.sections import LayersSection, TimingSection

    if expect not in [verdict.value for verdict in Verdict]:
        raise ScenarioError(
            f"there is no verdict '{expect}'", where="--expect", hint="e.g. identical, equivalent, undecided, drifted"
        )
    if head is not None and head not in get_args(Head):
        raise ScenarioError(
            f"there is no head '{head}'", where="--head", hint=f"choose one of {', '.join(get_args(Head))}"
        )
    if ignore_label is not None and labels is None:
        raise ScenarioError("there are no labels", where="--ignore-label", hint="name them by --labels")
    if nan not in ("refuse", "allow"):
        raise ScenarioError(f"'{nan}' is no choice", where="--nan", hint="say refuse or allow")
    if no_layers and layers:
        raise ScenarioError("asked for layers and for none", where="--layers", hint="leave out --no-layers")
    given = Given(
        model=model,
        targets=tuple(dict.fromkeys(part.strip() for part in to.split(","))),
        probe=named_files(probe, "--probe"),
        expected=expected,
        labels=labels,
        ignored_label=ignore_label,
        ids=ids,
        decision=None if decision is None else read_decision(decision),
        decision_output=decision_output,
        weights=weights,
        trust_source=trust_source,
        architecture=architecture,
        head=cast("Head | None", head),
        framework=framework,
        batch_size=batch_size,
        sample_axes=read_numbers(
            sample_axis or [], "--sample-axis", "names no axis", "write NAME=K, axes counted from 0"
        ),
        shared=tuple(dict.fromkeys(shared or [])),
        allow_nan=nan == "allow",
        threads=threads,
        layers=0 if no_layers else LayersSection().samples if layers is None else layers,
        timing=TimingSection(batch_sizes=sorted({1, batch_size or BATCH_SIZE})) if time else None,
    )
    with listener(quiet=as_json) as listening:
        result = compare_given(given, output=output, store=store, listener=listening, pdf=pdf)
    code = int(ExitCode.CELL_FAILED if result.accidents else exit_code(result.cells, Verdict(expect)))
    print_outcome(
        model.name,
        result.folder,
        result.cells,
        fresh=result.fresh,
        code=code,
        as_json=as_json,
        accidents=result.accidents,
        samples=result.samples_said,
        decision=result.decision,
        expected=result.expected,
    )
    raise typer.Exit(code)
