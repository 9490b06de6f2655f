"""JSON files of unknown quality: values are taken out by kind, and whatever is wrong becomes a line in a list of faults.

A place is the path of an object in the file, such as server_list[0].device[3]; "" is the file's own object.
"""

import json
import re
from collections import Counter

_LARGEST = 4 << 20  # bytes: a rank table of 25,000 devices
_DEEPEST = 8  # lists and objects in each other: below is nothing that a rank table could mean
_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}")


class _Object(dict):
    """An object of a file, with the keys that stand there more than once."""

    repeated = ()


def load(path):
    """A parsed file.

    Raises:
        OSError: it cannot be read. ValueError: it holds no JSON, or too much.
    """
    with open(path, "rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError(f"{path}: more than {_LARGEST >> 20} MiB; that is no rank table")
    try:
        return json.loads(data, object_pairs_hook=_make_object)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: no JSON: {error}") from None


def _make_object(pairs):
    made = _Object(pairs)
    if len(made) < len(pairs):
        made.repeated = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    return made


def find_repeated_keys(node, place="", depth=_DEEPEST):
    """A fault of each key that an object of the file holds more than once, in the depth to which tables are nested."""
    faults = [f"{join(place, key)} stands there more than once" for key in getattr(node, "repeated", ())]
    if depth and isinstance(node, (dict, list)):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            if isinstance(value, (dict, list)):
                at = join(place, key) if isinstance(node, dict) else f"{place}[{key}]"
                faults += find_repeated_keys(value, at, depth - 1)
    return faults


def take_text(owner, key, place, faults, allowed=None):
    """The string under a key, one of the allowed; None, and a fault, where there is none."""
    value = _take(owner, key, place, str, "a string", faults)
    if value is not None and allowed and value not in allowed:
        faults.append(describe(place, key, value, " or ".join(map(shorten, allowed))))
        return None
    return value


def take_number(owner, key, place, faults, largest=999_999_999):
    """The whole number under a key, written as a string; None, and a fault, where there is none up to the largest."""
    text = take_text(owner, key, place, faults)
    if text is not None and not (_NUMBER.fullmatch(text) and int(text) <= largest):
        faults.append(describe(place, key, text, f'a whole number from "0" to "{largest}", without leading zeros,'))
        return None
    return None if text is None else int(text)


def take_list(owner, key, place, faults):
    """The list under a key, which must hold something; None, and a fault, where there is none."""
    value = _take(owner, key, place, list, "a list", faults)
    if value == []:
        faults.append(describe(place, key, value, "a list with something in it"))
    return value or None


def check_other_values(owner, known, place, faults):
    """A fault of each number, boolean and null among the other keys, for formats whose values are all strings."""
    for key in owner if isinstance(owner, dict) else ():
        if key not in known and not isinstance(owner[key], (str, dict, list)):
            faults.append(describe(place, key, owner[key], "a string"))


def find_repeats(named):
    """A fault of each that has the key of an earlier one; named: (key, place, value), without key nothing is said."""
    first, faults = {}, []
    for key, place, value in named:
        if key is not None and first.setdefault(key, place) != place:
            faults.append(f'{place}="{value}": {first[key]} has it already')
    return faults


def _take(owner, key, place, kind, kind_name, faults):
    if not isinstance(owner, dict):
        fault = f"{place or 'the file'}={shorten(owner)}: an object is expected"
        if fault not in faults[-1:]:  # told once, not for each of its keys
            faults.append(fault)
    elif key not in owner:
        faults.append(f"{join(place, key)} is missing")
    elif isinstance(owner[key], kind):
        return owner[key]
    else:
        faults.append(describe(place, key, owner[key], kind_name))
    return None


def describe(place, key, value, expected):
    """The fault of a value that is not what is expected."""
    return f"{join(place, key)}={shorten(value)}: {expected} is expected"


def join(place, key):
    """The place of a key's value; the key without what would break the line."""
    key = shorten(key)[1:-1]
    return f"{place}.{key}" if place else key


def shorten(value):
    """A value as the file has it, on one short line."""
    if isinstance(value, (dict, list)):  # it may be large, and nested too deeply to be written
        return ("{...}" if isinstance(value, dict) else "[...]") if value else json.dumps(value)
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:56]}...{text[-1]}"
