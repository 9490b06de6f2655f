"""Freezing of parts of a network, and the account of what each part is trained with."""

from collections import defaultdict
from collections.abc import Collection, Mapping

from mindspore import nn

from src.config.parts import find_part


def freeze(network: nn.Cell, parts: Collection[str]) -> None:
    """Exclude parts from training: their parameters get neither gradients nor moments.

    Raises:
        ValueError: the network has no such part.
    """
    found = {find_part(parameter.name) for parameter in network.get_parameters()}
    for part in parts:
        if part not in found:
            raise ValueError(f"freeze={part}: this network has none; its parts are {', '.join(sorted(found))}")
    for parameter in network.get_parameters():
        if find_part(parameter.name) in parts:
            parameter.requires_grad = False


def describe_parts(network: nn.Cell, learning_rate: float, factors: Mapping[str, float]) -> str:
    """What each part is trained with: peak learning rate, or frozen, and parameters; neighbouring layers of one kind in one line.

    Args:
        learning_rate: the peak of the schedule.
        factors: part -> its learning rate divided by the schedule's.
    """
    sizes: dict[str, int] = defaultdict(int)
    kinds: dict[str, str] = {}
    for parameter in network.get_parameters():
        part = find_part(parameter.name)
        sizes[part] += parameter.size
        if part not in kinds or parameter.requires_grad:  # running means of a batch normalisation are not trained in any case
            kinds[part] = f"learning_rate={learning_rate * factors[part]:.3g}" if parameter.requires_grad else "frozen"
    lines: list[tuple[str, str, str, int]] = []  # first part, last part, kind, parameters
    for part, kind in kinds.items():
        if lines and part.startswith("layers.") and lines[-1][1].startswith("layers.") and lines[-1][2] == kind:
            first, _, _, size = lines.pop()
            lines.append((first, part, kind, size + sizes[part]))
        else:
            lines.append((part, part, kind, sizes[part]))
    names = [first if first == last else f"{first}-{last.removeprefix('layers.')}" for first, last, _, _ in lines]
    return "parts of the network:" + "".join(f"\n  {name} {kind} parameters={size:,}" for name, (_, _, kind, size) in zip(names, lines))
