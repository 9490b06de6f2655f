"""The form of masked words and of likelihoods in the server's answers."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field


class Candidate(BaseModel):
    """A token for a [MASK]."""

    token: str
    probability: float


class Word(BaseModel):
    """Tokens for neighbouring [MASK]s, as one text."""

    word: str
    probability: float = Field(description="product of the tokens' probabilities")


class Words(BaseModel):
    """Candidates for neighbouring [MASK]s."""

    first: int = Field(description="number of the first of them, from 0")
    masks: int = Field(description="how many they are")
    candidates: list[Word]


class Filling(BaseModel):
    """Candidates for each [MASK] of a text."""

    filled: str = Field(description="the text with the most probable tokens")
    masks: list[list[Candidate]] = Field(description="for each [MASK], the most probable tokens in descending order")
    words: list[Words] = Field(description="for each group of two or more [MASK]s without anything between them")


class Likelihood(BaseModel):
    """The pseudo-log-likelihood of a sentence."""

    log_likelihood: float = Field(description="sum over the tokens of log p(token | the other tokens)")
    perplexity: float = Field(description="exp of the mean of -log p")
    tokens: list[Candidate]


def result_model(settings: Mapping[str, Any]) -> type[BaseModel]:
    """The form of one prediction."""
    return Likelihood if settings.get("score_sentences") else Filling
