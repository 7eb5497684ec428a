"""References of a report as BibTeX: published works that the harness knows by heart, and what result files tell of the rest.

An entry holds what is known and no field more; what a data source says of itself is quoted in ``note``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness import AUTHORS
from harness.report.latex import escape
from harness.report.read import Results


@dataclass(frozen=True)
class Reference:
    """One entry.

    ``words``: how plain text cites it, empty where the text names it anyway. ``fields``: plain text by BibTeX field;
    addresses and DOIs as they are.
    """

    key: str
    kind: str
    words: str
    fields: tuple[tuple[str, str], ...]

    def bibtex(self) -> str:
        """The entry as BibTeX, in ASCII."""
        lines = [f"  {name} = {{{_field(name, value)}}}," for name, value in self.fields]
        return "\n".join([f"@{self.kind}{{{self.key},", *lines, "}", ""])

    @property
    def address(self) -> str:
        """Where it is found: its DOI as an address, or its address; empty where none is known."""
        fields = dict(self.fields)
        return f"https://doi.org/{fields['doi']}" if "doi" in fields else fields.get("url", "")


PELLETIER = Reference(
    "pelletier2019temporal",
    "article",
    "Pelletier et al. 2019",
    (
        ("author", "Pelletier, Charlotte and Webb, Geoffrey I. and Petitjean, François"),
        ("title", "Temporal Convolutional Neural Network for the Classification of Satellite Image Time Series"),
        ("journal", "Remote Sensing"),
        ("volume", "11"),
        ("number", "5"),
        ("pages", "523"),
        ("year", "2019"),
        ("doi", "10.3390/rs11050523"),
    ),
)
BREIZHCROPS = Reference(
    "russwurm2020breizhcrops",
    "inproceedings",
    "Rußwurm et al. 2020",
    (
        (
            "author",
            "Rußwurm, Marc and Pelletier, Charlotte and Zollner, Maximilian and Lefèvre, Sébastien and Körner, Marco",
        ),
        ("title", "BreizhCrops: A Time Series Dataset for Crop Type Mapping"),
        (
            "booktitle",
            "The International Archives of the Photogrammetry, Remote Sensing and Spatial Information Sciences",
        ),
        ("volume", "XLIII-B2-2020"),
        ("pages", "1545-1551"),
        ("year", "2020"),
        ("doi", "10.5194/isprs-archives-XLIII-B2-2020-1545-2020"),
    ),
)
SITS = Reference(
    "simoes2021satellite",
    "article",
    "Simoes et al. 2021",
    (
        (
            "author",
            "Simoes, Rolf and Camara, Gilberto and Queiroz, Gilberto and Souza, Felipe and Andrade, Pedro R. and "
            "Santos, Lorena and Carvalho, Alexandre and Ferreira, Karine",
        ),
        ("title", "Satellite Image Time Series Analysis for Big Earth Observation Data"),
        ("journal", "Remote Sensing"),
        ("volume", "13"),
        ("number", "13"),
        ("pages", "2428"),
        ("year", "2021"),
        ("doi", "10.3390/rs13132428"),
    ),
)
MCNEMAR = Reference(
    "mcnemar1947note",
    "article",
    "McNemar 1947",
    (
        ("author", "McNemar, Quinn"),
        (
            "title",
            "Note on the sampling error of the difference between correlated proportions or percentages",
        ),
        ("journal", "Psychometrika"),
        ("volume", "12"),
        ("number", "2"),
        ("pages", "153-157"),
        ("year", "1947"),
        ("doi", "10.1007/BF02295996"),
    ),
)
BOOTSTRAP = Reference(
    "efron1993introduction",
    "book",
    "Efron and Tibshirani 1993",
    (
        ("author", "Efron, Bradley and Tibshirani, Robert J."),
        ("title", "An Introduction to the Bootstrap"),
        ("publisher", "Chapman & Hall"),
        ("year", "1993"),
    ),
)
_JULIA = Reference(
    "bezanson2017julia",
    "article",
    "Bezanson et al. 2017",
    (
        ("author", "Bezanson, Jeff and Edelman, Alan and Karpinski, Stefan and Shah, Viral B."),
        ("title", "Julia: A Fresh Approach to Numerical Computing"),
        ("journal", "SIAM Review"),
        ("volume", "59"),
        ("number", "1"),
        ("pages", "65-98"),
        ("year", "2017"),
        ("doi", "10.1137/141000671"),
    ),
)

#: Published works by DOI, in lower case.
_PUBLISHED = {dict(entry.fields)["doi"].lower(): entry for entry in (PELLETIER, BREIZHCROPS, SITS)}
_DOI = re.compile(r"10\.\d{4,9}/[^\s\"<>{}]*[^\s\"<>{}.,;]")


def model_reference(results: Results) -> Reference | None:
    """The paper of the model, or None where none is known."""
    model = results.manifest.model
    return _by_doi(model.paper, f"model-{model.model}", model.model) if model is not None and model.paper else None


def data_reference(results: Results) -> Reference | None:
    """The data: the publication of their DOI, or what their source says of them. None for a user's own probe."""
    data = results.manifest.data
    if data.doi and (known := _PUBLISHED.get(data.doi.lower())):
        return known
    citation = "" if data.citation == "not stated" else data.citation
    if not (data.doi or data.url or citation):
        return None
    fields = [("title", data.title or data.name)]
    fields += [(name, value) for name, value in (("doi", data.doi), ("url", data.url)) if value]
    note = " ".join(part for part in (citation, "Synthetic data." if data.synthetic else "") if part)
    fields += [("note", note)] if note else []
    return Reference(_key("data", data.name), "misc", "", tuple(fields))


def harness_reference(results: Results) -> Reference:
    """This software, with the version that made the results."""
    version = results.manifest.harness.get("version")
    return Reference(
        "eo-interop-harness",
        "misc",
        "",
        (
            ("author", f"{{{AUTHORS}}}"),
            ("title", "EO Interop Harness"),
            *((("note", f"Version {version}, licence MIT"),) if version else ()),
        ),
    )


def _r_reference(versions: Mapping[str, str]) -> Reference:
    version = versions.get("R")
    return Reference(
        "r-core",
        "manual",
        "R Core Team",
        (
            ("author", "{R Core Team}"),
            ("title", "R: A Language and Environment for Statistical Computing"),
            ("organization", "R Foundation for Statistical Computing"),
            ("address", "Vienna, Austria"),
            ("url", "https://www.R-project.org/"),
            *((("note", f"Version {version}"),) if version else ()),
        ),
    )


#: How languages ask to be cited; one that is not here does not.
_LANGUAGES: dict[str, Callable[[Mapping[str, str]], Reference]] = {"julia": lambda versions: _JULIA, "r": _r_reference}


def language_reference(language: str, versions: Mapping[str, str]) -> Reference | None:
    """How a language, in the ``versions`` that a cell records, asks to be cited; None where it does not."""
    make = _LANGUAGES.get(language)
    return None if make is None else make(versions)


def bibliography(references: tuple[Reference, ...]) -> str:
    """A BibTeX file: every reference once, in order of its key."""
    return "\n".join(entry.bibtex() for _, entry in sorted({entry.key: entry for entry in references}.items()))


def _by_doi(text: str, key: str, title: str) -> Reference:
    """The work of a DOI in a text; of one that the harness does not know, its address alone."""
    found = _DOI.search(text)
    if found and (known := _PUBLISHED.get(found.group().lower())):
        return known
    place = ("doi", found.group()) if found else ("note", text)
    return Reference(_key(key), "misc", "", (("title", title), place))


def _key(*parts: str) -> str:
    return "-".join(re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-").lower() for part in parts)


def _field(name: str, value: str) -> str:
    if name in ("doi", "url"):
        # Printed as they are by the styles that know them; braces would end the field.
        ascii_only = "".join(
            one if one.isascii() else "".join(f"%{byte:02X}" for byte in one.encode()) for one in value
        )
        return ascii_only.replace("{", "%7B").replace("}", "%7D")
    if name == "pages":
        return value.replace("-", "--")
    if name == "author" and value.startswith("{"):
        # A corporate author is one name.
        return f"{{{escape(value[1:-1])}}}"
    # Braces keep the capitals of a title.
    return f"{{{escape(value)}}}" if name in ("title", "booktitle") else escape(value)
