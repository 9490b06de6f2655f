"""The form of a class, or of a score, in answers of the server."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field


class Class(BaseModel):
    """What a text is, most probably."""

    label: str
    probability: float
    probabilities: dict[str, float] = Field(description="of every label, in the model's order; with top_k, the most probable first")


class Score(BaseModel):
    """A number, from a regression."""

    score: float


def result_model(settings: Mapping[str, Any]) -> type[BaseModel]:
    """The model of one prediction."""
    return Score if settings.get("regression") else Class
