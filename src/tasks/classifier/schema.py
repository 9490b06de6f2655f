"""The form of a class, several labels, a score or a choice in the server's answers."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field


class Class(BaseModel):
    """The most probable class of a text."""

    label: str
    probability: float
    probabilities: dict[str, float] = Field(
        description="probability of every label, in the model's order; with top_k only the most probable ones, in descending order"
    )


class Labels(BaseModel):
    """The labels of a text, of which it may have several or none."""

    labels: list[str] = Field(description="labels whose probability reaches their threshold, in the model's order")
    probabilities: dict[str, float] = Field(
        description="probability of every label, in the model's order; with top_k only the most probable ones, in descending order"
    )


class Score(BaseModel):
    """The score of a text in a regression."""

    score: float


class Choice(BaseModel):
    """The most probable choice of a question."""

    choice: int = Field(description="its number, from 0")
    text: str
    probability: float
    probabilities: list[float] = Field(description="of every choice, in their order")


def result_model(settings: Mapping[str, Any]) -> type[BaseModel]:
    """The form of one prediction."""
    if settings.get("regression"):
        return Score
    if settings.get("choices"):
        return Choice
    return Labels if settings.get("multi_label") else Class
