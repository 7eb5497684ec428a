"""Builds a report from a results folder: tables, figures and pages, each written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.files.atomic import write_atomically
from harness.report import compose, facts, latex, pages
from harness.report.bibliography import bibliography
from harness.report.document import FigureBlock, Table
from harness.report.figures import (
    class_counts,
    confusion,
    culprit,
    differences,
    error_per_layer,
    error_per_step,
    f1_heatmap,
    f1_per_class,
    frames,
    hypotheses,
    node_counts,
    noise_floor,
    route_graphs,
    style,
    timing_by_batch_size,
    timing_by_version,
    training_curves,
)
from harness.report.figures import versions as versions_figure
from harness.report.methods import methods
from harness.report.read import Results, read_results
from harness.report.tables import (
    forecast,
    graphs,
    layers,
    outcomes,
    paired,
    parameters,
    port,
    printed,
    task,
    timing,
    tooling,
    training,
    versions,
)

#: Called with what is done, the total, and what comes next.
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class ReportFiles:
    """The files of a report."""

    markdown: Path
    html: Path
    tables: tuple[Path, ...]
    figures: tuple[Path, ...]
    #: What papers take over: LaTeX tables, the paragraph on methods, references.
    texts: tuple[Path, ...] = ()


def build_report(folder: Path, pdf: bool = False, progress: Progress | None = None) -> ReportFiles:
    """Make the report of one scenario from the result files in ``folder``, and write it there.

    Equal result files give equal bytes. ``pdf`` writes every figure as PDF too. Raises DataError, naming file, reason and
    remedy, where a result file is missing, cut short or does not belong to the others; StoreError where the folder cannot be
    written.
    """

    def tell(done: int, text: str) -> None:
        if progress is not None:
            progress(done, 4, text)

    tell(0, "reading result files")
    results = read_results(folder)
    tell(1, "writing tables")
    found = task.task_results(results)
    tables = make_tables(results, found)
    table_paths = _write_tables(folder / "tables", tables)
    texts = _write_texts(folder, results, tables, found)
    tell(2, "drawing figures")
    figures, svgs, figure_paths = _write_figures(folder / "figures", results, tables, found, pdf)
    tell(3, "writing pages")
    document = compose.compose(results, tables, figures)
    markdown, html = folder / "report.md", folder / "report.html"
    write_atomically(markdown, pages.markdown_page(document))
    write_atomically(html, pages.html_page(document, svgs))
    tell(4, "report written")
    return ReportFiles(markdown, html, table_paths, figure_paths, texts)


def make_tables(results: Results, found: task.TaskResults | None) -> dict[str, Table]:
    """The tables that become CSV files, by name; ``found`` are the predictions of the test samples."""
    tables = (
        outcomes.cells_table(results),
        outcomes.routes_table(results),
        outcomes.flips_table(results),
        parameters.parameters_table(results),
        graphs.structure_table(results),
        layers.layers_table(results),
        *(_of_frames(results) if results.forecasts is not None else _of_classes(results, found)),
        training.training_table(results),
        training.training_seconds_table(results),
        training.seconds_table(results),
        tooling.tooling_table(results),
        tooling.tooling_seconds_table(results),
        *timing.timing_tables(results),
        *(_of_port(results) if results.port is not None and not results.port.error else ()),
        *versions.versions_tables(results),
    )
    return {table.name: table for table in tables}


def _of_classes(results: Results, found: task.TaskResults | None) -> tuple[Table, ...]:
    return (
        outcomes.outputs_per_class_table(results),
        task.metrics_table(results, found),
        task.metrics_per_class_table(results, found),
        task.confusion_table(found),
        *task.disagreement_tables(results, found),
        paired.mcnemar_table(results, found),
        task.confidence_table(found),
    )


def _of_frames(results: Results) -> tuple[Table, ...]:
    return forecast.forecast_table(results), forecast.exceedance_table(results)


def _of_port(results: Results) -> tuple[Table, ...]:
    return (
        port.hypotheses_table(results),
        port.layer_gaps_table(results),
        port.conventions_table(results),
        port.reported_table(results),
    )


def _write_tables(folder: Path, tables: dict[str, Table]) -> tuple[Path, ...]:
    paths = []
    for name, table in sorted(tables.items()):
        path = folder / f"{name}.csv"
        write_atomically(path, table.to_csv())
        paths.append(path)
    for name in {*timing.NAMES, *versions.NAMES} - set(tables):
        _remove(folder, name, ("csv",))
    return tuple(paths)


def _write_texts(
    folder: Path, results: Results, tables: dict[str, Table], found: task.TaskResults | None
) -> tuple[Path, ...]:
    """LaTeX tables, and the paragraph on methods as plain text and as LaTeX with its references."""
    text = methods(results)
    contents = {
        "methods.txt": text.text(),
        "methods.tex": text.latex(),
        "references.bib": bibliography(text.references),
    }
    for table in printed.printed_tables(results, tables, found):
        samples = facts.test_samples(results) if table.name.startswith("metrics") else ""
        caption = facts.line(results, samples=samples, with_versions=True)
        reference = latex.label(results.manifest.scenario.name, table.name)
        contents[f"tables/{table.name}.tex"] = latex.table(table, caption=caption, reference=reference)
    for name, content in sorted(contents.items()):
        write_atomically(folder / name, content)
    return tuple(folder / name for name in sorted(contents))


_CAPTIONS = {
    "noise_floor": "Errors of float32 outputs over the probe as multiples of the noise floor, on a logarithmic scale; left of a "
    "line of its own colour an error passes its gate.",
    "differences": "Share of the probe's outputs that differ from the route oracle by no more than a multiple of the noise "
    "floor (RMS), by target and route. A curve starts at the share of outputs that are equal or differ by less than the axis "
    "shows, and stays under 1 where outputs are not finite; equal curves lie on each other. Dotted: the floor itself.",
    "layers": "Error of every node of each graph in multiples of that node's floor, on a logarithmic scale: marks for the node "
    "alone on the oracle's inputs, lines for the node within the whole graph. A mark "
    "above the dashed line is past its gate; what is under 0.01, or equal, is drawn at 0.01.",
    "culprit": "The first node whose error on the oracle's own inputs is past its floor's gate, with what it reads and what "
    "reads it.",
    "node_counts": "Nodes of the file that each route wrote, on a logarithmic scale: filled all of them, open those of the graph "
    "itself without what loops hold inside. Beside them what became of loops, and the size of the file.",
    "graphs": "The graph of every file that a route wrote, node by node in the order of the flow of data; nodes in one row do "
    "the same in each file. At the right of a box stands the shape of what it gives, under the operator the tensor that it "
    "holds. A bracket with × n tells a block of nodes once that comes n times in a row.",
    "error_per_step": "Errors of the forecasts by minutes ahead, pooled over all pixels with data of all test samples, persistence "
    "dashed. Runtimes whose errors are equal to four digits are drawn as one.",
    "frames": "Values in the physical unit; differences are forecast minus truth.",
    "hypotheses": "What remains between source and port, both in float64 with the same weights, when the port is made what a "
    "hypothesis says, and how far the layers are apart when it is left as it is; logarithmic. Left of the dotted line, in "
    "plain bars, the two are one function.",
    "f1_per_class": "F1 by class and runtime with bootstrap intervals of 95 %; † marks classes with fewer than 30 samples.",
    "f1_heatmap": "The same F1 in numbers; – where a class has neither samples nor predictions, † fewer than 30 samples.",
    "confusion": "Counts, under each its share of the true class, which is also the shade; fields without a sample are empty.",
    "class_counts": "Number of samples per class in truth and by each runtime's predictions.",
    "training_curves": "Loss on training and validation part, and metrics on the validation part, by epoch.",
    "timing_by_batch_size": "Median seconds per call by batch size, both axes logarithmic, with bootstrap intervals of 95 %. "
    "They differ from run to run.",
    "versions": "RMS error of float32 outputs over the probe as a multiple of the noise floor, by version; the blue line is its "
    "gate, the dotted one the floor itself. A hollow mark: drifted or divergent. Where nothing could be compared, the verdict "
    "stands in place of a mark.",
    "timing_by_version": "Median seconds per call by version, with bootstrap intervals of 95 %. They differ from run to run.",
}
#: Figures in which runtimes with equal predictions are drawn as one, which captions must then name.
_GROUPED = ("f1_per_class", "confusion", "class_counts")
#: Which samples a figure's numbers come from; the probe is named with every figure.
_SAMPLES: dict[str, Callable[[Results], str]] = {
    "noise_floor": lambda results: "",
    "differences": lambda results: "",
    "layers": lambda results: "",
    "culprit": lambda results: "",
    "graphs": lambda results: "",
    "node_counts": lambda results: "",
    "error_per_step": facts.test_samples,
    "frames": lambda results: "n = 1 test sample",
    "hypotheses": lambda results: "",
    "f1_per_class": facts.test_samples,
    "f1_heatmap": facts.test_samples,
    "confusion": facts.test_samples,
    "class_counts": facts.test_samples,
    "training_curves": facts.training_samples,
    "timing_by_batch_size": timing.conditions,
    "versions": lambda results: "",
    "timing_by_version": timing.conditions,
}


def _write_figures(
    folder: Path, results: Results, tables: dict[str, Table], found: task.TaskResults | None, pdf: bool
) -> tuple[dict[str, FigureBlock], dict[str, bytes], tuple[Path, ...]]:
    blocks: dict[str, FigureBlock] = {}
    svgs: dict[str, bytes] = {}
    paths = []
    with style.house_style():
        for name, draw in _figures(results, tables, found).items():
            drawing = draw()
            if drawing is None:
                _remove(folder, name, ("png", "svg", "pdf"))
                continue
            groups = f" {' '.join(task.group_notes(results, found))}" if found and name in _GROUPED else ""
            groups += confusion.left_out(found) if found and name == "confusion" else ""
            groups += f" {frames.caption(results)}" if name == "frames" else ""
            caption = (
                f"{_CAPTIONS[name]}{groups} {facts.line(results, samples=_SAMPLES[name](results), with_versions=True)}"
            )
            blocks[name] = FigureBlock(name, drawing.title, caption, drawing.alternative)
            for suffix in ("png", "svg", "pdf") if pdf else ("png", "svg"):
                content = style.render(drawing, suffix, caption)
                path = folder / f"{name}.{suffix}"
                write_atomically(path, content)
                paths.append(path)
                if suffix == "svg":
                    svgs[name] = content
            if not pdf:
                _remove(folder, name, ("pdf",))
        moving = frames.animation(results)
    if moving is None:
        _remove(folder, "frames", ("gif",))
    else:
        write_atomically(folder / "frames.gif", moving)
        paths.append(folder / "frames.gif")
    return blocks, svgs, tuple(paths)


def _figures(
    results: Results, tables: dict[str, Table], found: task.TaskResults | None
) -> dict[str, Callable[[], style.Drawing | None]]:
    return {
        "noise_floor": lambda: noise_floor.draw(results),
        "differences": lambda: differences.draw(results),
        "layers": lambda: error_per_layer.draw(results),
        "culprit": lambda: culprit.draw(results),
        "node_counts": lambda: node_counts.draw(results),
        "graphs": lambda: route_graphs.draw(results),
        "error_per_step": lambda: error_per_step.draw(results),
        "frames": lambda: frames.draw(results),
        "hypotheses": lambda: hypotheses.draw(results),
        "f1_per_class": lambda: f1_per_class.draw(results, tables["metrics_per_class"], found) if found else None,
        "f1_heatmap": lambda: f1_heatmap.draw(results, tables["metrics_per_class"]) if found else None,
        "confusion": lambda: confusion.draw(results, found),
        "class_counts": lambda: class_counts.draw(results, found),
        "training_curves": lambda: training_curves.draw(results),
        "timing_by_batch_size": lambda: timing_by_batch_size.draw(results),
        "versions": lambda: versions_figure.draw(results),
        "timing_by_version": lambda: timing_by_version.draw(results),
    }


def _remove(folder: Path, name: str, suffixes: tuple[str, ...]) -> None:
    """Take away what an earlier report left and this one does not make: it would show other numbers."""
    for suffix in suffixes:
        (folder / f"{name}.{suffix}").unlink(missing_ok=True)
