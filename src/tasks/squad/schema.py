"""The form of answers in the server's responses."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field


class Span(BaseModel):
    """A candidate answer; the empty text, without start and end, means that the context has no answer."""

    text: str
    start: int | None
    end: int | None = Field(description="exclusive")
    probability: float


class Answer(BaseModel):
    """The most probable answer, and the list of the best."""

    answer: str
    start: int | None
    end: int | None = Field(description="exclusive")
    probability: float
    n_best: list[Span]


def result_model(settings: Mapping[str, Any]) -> type[BaseModel]:
    """The Pydantic model of one prediction."""
    return Answer
