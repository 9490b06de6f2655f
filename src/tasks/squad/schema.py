"""The form of answers to questions in replies of the server."""

from pydantic import BaseModel, Field


class Span(BaseModel):
    """A candidate answer; the empty one, with neither start nor end, says that the context holds none."""

    text: str
    start: int | None
    end: int | None = Field(description="exclusive")
    probability: float


class Answer(BaseModel):
    """The most probable answer and the next best."""

    answer: str
    start: int | None
    end: int | None = Field(description="exclusive")
    probability: float
    n_best: list[Span]


def result_model(settings):
    """The model of one prediction."""
    return Answer
