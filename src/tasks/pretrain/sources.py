"""Sources of pretraining rows: `--data_dir wiki:0.7,news:0.3`."""

import math
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A folder or file of records, and its weight; None if no source has one."""

    path: str
    weight: float | None = None


def parse_sources(text: str) -> list[Source]:
    """The sources that `data_dir` names: one, or several separated by commas, all with a weight after a colon, or none.

    What exists under the whole text, or under a part with its colon, is a path. Sources of weight 0 are left out.

    Raises:
        ValueError: a path is empty or occurs twice; a weight is no number from 0 on, only some sources have one, or their sum is 0.
    """
    if Path(text).exists():
        return [Source(text)]
    sources = [_parse(part.strip(), text) for part in text.split(",")]
    if not all(source.path for source in sources):
        raise ValueError(f"data_dir={text}: a name is empty; folders or files are expected, as in wiki,news or wiki:0.7,news:0.3")
    files = [Path(source.path).resolve() for source in sources]
    if twice := [source.path for source, file in zip(sources, files) if files.count(file) > 1]:
        raise ValueError(f"data_dir={text}: {twice[-1]} is named twice; its weight may be larger instead")
    weights = [source.weight for source in sources if source.weight is not None]
    if weights and len(weights) < len(sources):
        bare = next(source.path for source in sources if source.weight is None)
        raise ValueError(f"data_dir={text}: {bare} has no weight; give every source one, as in wiki:0.7,news:0.3, or none")
    if weights and not 0 < sum(weights) < math.inf:
        raise ValueError(f"data_dir={text}: the weights sum to {sum(weights):g}; a finite sum above 0 is expected")
    return [source for source in sources if source.weight != 0]


def _parse(part: str, text: str) -> Source:
    path, colon, weight = part.rpartition(":")
    if not colon or Path(part).exists():
        return Source(part)
    try:
        value = float(weight)
    except ValueError:
        if not Path(path).exists():
            return Source(part)  # which is reported as absent
        raise ValueError(f"data_dir={text}: {path}: the weight {weight!r} is not a number") from None
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"data_dir={text}: {path}: the weight is {weight}, but must be 0 or above, and finite")
    return Source(path, value)
