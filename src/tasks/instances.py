"""Texts from the JSON of a client's request; errors give the JSON path."""

from collections.abc import Sequence
from typing import Any


class BadInstance(ValueError):
    """An instance that cannot become rows; the message begins with its JSON path, such as instances[3].text_a."""

    def __init__(self, number: int, told: str, key: str | None = None) -> None:
        super().__init__(f"instances[{number}]{f'.{key}' if key else ''}: {told}")


def take_texts(instances: Any, keys: Sequence[str], bare: str | None) -> list[dict[str, str]]:
    """The texts of some instances.

    Args:
        instances: list of dicts; also of str if `bare` is given.
        keys: the texts that every instance has.
        bare: the key that a bare text, or the key `text`, stands for.

    Returns:
        For each instance key -> text.

    Raises:
        BadInstance: an instance is wrong.
        ValueError: no list, or an empty one.
    """
    if not isinstance(instances, list) or not instances:
        raise ValueError("instances: a list with one instance at least is expected")
    return [_take(number, instance, keys, bare) for number, instance in enumerate(instances)]


def _take(number, instance, keys, bare):
    if isinstance(instance, str) and bare:
        instance = {bare: instance}
    if not isinstance(instance, dict):
        raise BadInstance(number, f"an object with {', '.join(keys)} is expected{', or a text' if bare else ''}")
    if bare and "text" in instance and bare not in instance:
        instance = {bare: instance["text"], **{key: value for key, value in instance.items() if key != "text"}}
    for key in instance:
        if key not in keys:
            raise BadInstance(number, f"unknown key {str(key)[:40]!r}; expected {', '.join(keys)}")
    for key in keys:
        if key not in instance:
            raise BadInstance(number, "is missing", key)
        _check(number, key, instance[key])
    return {key: instance[key] for key in keys}


def _check(number, key, text):
    if not isinstance(text, str):
        raise BadInstance(number, f"a text is expected, not {'null' if text is None else type(text).__name__}", key)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadInstance(number, f"half a surrogate pair at character {error.start}", key) from None
