"""What is lost when sentences become rows of tokens, in numbers and in words."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from src.tasks.ner.sentences import Sentence
from src.tasks.ner.tags import Entity

INSIDE, OVERLAP, NO_TOKENS, SHORTER = "inside a token", "overlaps another", "no tokens", "no tokens at an end"
NO_TAGS = "the labels have no tags that tell it"
_SHOWN = 5  # entities named in a report


@dataclass
class EncodingReport:
    """What encoding lost or could not express.

    Args:
        num_cut_sentences: sentences longer than a row.
        num_cut_entities: entities with at least one token after the cut.
        num_empty: sentences without a token, which are left out.
        num_long: sentences to train on that have several rows. num_windows: those rows.
        unaligned: (index of the sentence, Entity, reason). The entity is not labelled if it begins or ends inside a token (INSIDE),
            shares tokens with a longer or earlier one (OVERLAP), is white space (NO_TOKENS), or if the labels cannot express it, as
            when it touches another entity of its type, which has no B tag (NO_TAGS; an error in training). It is labelled without its outer
            characters if they have no tokens (SHORTER).
    """

    num_cut_sentences: int = 0
    num_cut_entities: int = 0
    num_empty: int = 0
    num_long: int = 0
    num_windows: int = 0
    unaligned: list[tuple[int, Entity, str]] = field(default_factory=list)

    def describe(self, path: Path | str, sentences: Sequence[Sentence]) -> list[str]:
        """Lines for the log: counts, and file, line, type and text of the first unaligned entities."""
        lines = []
        if self.num_cut_sentences:
            lines.append(f"{path}: {self.num_cut_sentences} of {len(sentences)} sentences cut, and {self.num_cut_entities} entities")
        if self.num_long:
            lines.append(
                f"{path}: {self.num_long} of {len(sentences)} sentences are longer than a row: {self.num_windows} windows, nothing cut"
            )
        if self.num_empty:
            lines.append(f"{path}: {self.num_empty} of {len(sentences)} sentences left out: they have no token")
        if self.unaligned:
            total = sum(len(sentence.entities) for sentence in sentences)
            reasons = Counter(reason for *_, reason in self.unaligned)
            counts = ", ".join(f"{reason} ({count})" for reason, count in sorted(reasons.items()))
            lines.append(f"{path}: {len(self.unaligned)} of {total} entities cannot be labelled exactly: {counts}")
        for number, entity, reason in self.unaligned[:_SHOWN]:
            text = sentences[number].text[entity.start : entity.end]
            lines.append(f"{path}:{sentences[number].line}: {entity.type} {text[:80]!r}: {reason}")
        return lines
