"""The form of entities in the server's answers."""

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
    """The form of one prediction."""
    return Entities
