"""The form of entities in answers of the server."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field


class Entity(BaseModel):
    """A span of the text, counted in characters (code points)."""

    type: str
    start: int
    end: int = Field(description="exclusive")
    text: str


class Entities(BaseModel):
    """All entities of a text."""

    text: str
    entities: list[Entity]


def result_model(settings: Mapping[str, Any]) -> type[BaseModel]:
    """The model of one prediction."""
    return Entities
