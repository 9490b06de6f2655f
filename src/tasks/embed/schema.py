"""The form of a vector in the server's answers."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field


class Embedding(BaseModel):
    """The vector of a text."""

    embedding: list[float] = Field(description="as many numbers as the model's `dimensions`; of length 1 if `normalize`")


def result_model(settings: Mapping[str, Any]) -> type[BaseModel]:
    """The form of one prediction."""
    return Embedding
