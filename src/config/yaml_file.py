"""YAML files of settings, without what makes a small file a large or endless tree; errors name file and line."""

from pathlib import Path
from typing import Any

import yaml

_MAX_BYTES = 1 << 20
_MAX_DEPTH = 20  # levels of nesting; settings have two


class _Refusal(yaml.MarkedYAMLError):
    """YAML that is valid, but not taken for settings."""


class _Loader(yaml.SafeLoader):
    """Refuses anchors and aliases, deep nesting, and a key that stands twice in one mapping."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise _Refusal(None, None, "anchors and aliases (&name, *name) are not taken", event.start_mark)
        if self._depth == _MAX_DEPTH:
            raise _Refusal(None, None, f"nested more than {_MAX_DEPTH} levels deep", event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _Refusal(None, None, f"the key {key.value[:40]} stands twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path | str) -> Any:
    """The content of a YAML file; None if it is empty.

    Of a file of the model zoo, whose second and third document give the help texts and the choices of the first one's values, the first.

    Raises:
        OSError: it cannot be read.
        ValueError: no YAML, or larger, deeper or with other parts than settings have; with file and line.
    """
    data = Path(path).read_bytes()
    if len(data) > _MAX_BYTES:
        raise ValueError(f"{path}: {len(data)} bytes; a YAML file of settings has {_MAX_BYTES} at most")
    try:
        loader = _Loader(data.decode("utf-8"))
        documents = []
        while loader.check_data():
            documents.append(loader.get_data())
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        reason = error.problem if isinstance(error, _Refusal) else f"not a YAML file: {error.problem}"
        raise ValueError(f"{path}{line}: {reason}") from None
    except (yaml.YAMLError, ValueError) as error:  # also of a number or a date that does not exist
        raise ValueError(f"{path}: not a YAML file: {error}") from None
    _check_others(path, documents)
    return documents[0] if documents else None


def find_lines(path: Path | str, entry: tuple[str, int] | None = None) -> dict[str, int]:
    """Dotted key -> its line, of every value in the first document of a file that `read_yaml` has read.

    Args:
        entry: the key of a list of mappings, and a number from 1: only what is in this one of them.
    """
    loader = _Loader(Path(path).read_bytes().decode("utf-8"))
    if not loader.check_node():
        return {}
    node: Any = loader.get_node()
    if entry:
        key, number = entry
        node = next(value for name, value in node.value if name.value == key).value[number - 1]
    return dict(_walk(node, ""))


def _walk(node, prefix):
    for key, value in node.value:
        if isinstance(value, yaml.MappingNode):
            yield from _walk(value, f"{prefix}{key.value}.")
        else:
            yield prefix + key.value, key.start_mark.line + 1


def _check_others(path, documents):
    """Raise a ValueError if documents follow the first that describe none of its values."""
    others = documents[1:]
    if len(others) > 2 or any(not isinstance(other, dict) for other in documents[:1] * bool(others) + others):
        raise ValueError(f"{path}: {len(documents)} YAML documents; one is expected, or the model zoo's three: values, help texts, choices")
