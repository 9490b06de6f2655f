"""What a client asks about: texts taken out of JSON, and refused by their place in it."""


def take_texts(instances, keys, bare):
    """The texts of some instances.

    Args:
        instances: list of dicts, or of str where `bare` names the key that a bare text stands for.
        keys: names of texts that each has.
        bare: see above, or None; the key `text` means the same.

    Returns:
        list of dicts of key -> str.

    Raises:
        ValueError: naming the place, such as instances[3].text_a.
    """
    if not isinstance(instances, list) or not instances:
        raise ValueError("instances: a list with one instance at least is expected")
    return [_take(instance, f"instances[{number}]", keys, bare) for number, instance in enumerate(instances)]


def _take(instance, place, keys, bare):
    if isinstance(instance, str) and bare:
        instance = {bare: instance}
    if not isinstance(instance, dict):
        raise ValueError(f"{place}: an object with {', '.join(keys)} is expected{', or a text' if bare else ''}")
    if bare and "text" in instance and bare not in instance:
        instance = {bare: instance["text"], **{key: value for key, value in instance.items() if key != "text"}}
    for key in instance:
        if key not in keys:
            raise ValueError(f"{place}: unknown key {str(key)[:40]!r}; {', '.join(keys)} are known")
    for key in keys:
        if key not in instance:
            raise ValueError(f"{place}.{key}: is missing")
    return {key: _check(instance[key], f"{place}.{key}") for key in keys}


def _check(text, place):
    if not isinstance(text, str):
        raise ValueError(f"{place}: a text is expected, not {'null' if text is None else type(text).__name__}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"{place}: half a surrogate pair at character {error.start}") from None
    return text
