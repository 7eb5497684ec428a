"""What a user may say of data whose files say nothing of themselves: title, unit, licence, citation and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

#: The description of files that come without one.
UNKNOWN: Mapping[str, Any] = {
    "title": None,
    "unit": "as stored",
    "licence": "not stated",
    "citation": "not stated",
    "doi": None,
    "url": None,
}


class Described(BaseModel):
    """Options by which a data source is described; a source adds its own, and the default of ``name``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="short name of the data set")
    title: str | None = Field(default=None, description="title of the data set")
    unit: str | None = Field(default=None, description="unit of the values")
    licence: str | None = Field(default=None, description="licence of the data")
    citation: str | None = Field(default=None, description="how to cite the data")
    doi: str | None = Field(default=None, description="DOI of the data")
    url: str | None = Field(default=None, description="where the data come from")

    def told(self, recognised: Mapping[str, Any] | None) -> dict[str, Any]:
        """By key of :data:`UNKNOWN`: what the user says, else what is known of files that were recognised."""
        said = {key: value for key in UNKNOWN if (value := getattr(self, key)) is not None}
        return {**(recognised or UNKNOWN), **said}
