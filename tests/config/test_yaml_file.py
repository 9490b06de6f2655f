import time

import pytest

from src.config.yaml_file import read_yaml

LAUGHS = "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))])


@pytest.fixture
def read(tmp_path):
    def write_and_read(text):
        path = tmp_path / "a.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_yaml(path)

    return write_and_read


def test_settings_are_read(read):
    assert read("a: 1\nb:\n  c: [x, 2.5, true]\n  'd': null\n") == {"a": 1, "b": {"c": ["x", 2.5, True], "d": None}}
    assert read("") is read("# nothing\n") is None
    assert read("\ufeffa: é\n") == {"a": "é"}
    assert read("<<: {a: 1}\nb: 2\n") == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, r"a.yaml:1: anchors and aliases \(&name, \*name\) are not taken"),
        ("a: &a [*a]", "a.yaml:1: anchors and aliases"),
        ("a: 1\nb: *c\n", "a.yaml:2: anchors and aliases"),
        ("a: &b 1\n", "a.yaml:1: anchors and aliases"),
        ("a: " + "[" * 3000, "a.yaml:1: nested more than 20 levels deep"),
        ("".join(f"{' ' * n}a:\n" for n in range(500)), "a.yaml:20: nested more than 20 levels deep"),
        ("- " * 3000, "a.yaml:1: nested more than 20 levels deep"),
        ("a: 1\nb: 2\na: 3\n", "a.yaml:3: the key a stands twice"),
        ("o:\n  a: 1\n  'a': 1\n", "a.yaml:3: the key a stands twice"),
        ("{a: 1, a: 1}", "a.yaml:1: the key a stands twice"),
        ("a: 1\nb: [\n", "a.yaml:3: not a YAML file: while|a.yaml:3: not a YAML file: expected"),
        ("a: !!python/object:os.system x", "a.yaml:1: not a YAML file: could not determine a constructor"),
        ("? [a]\n: 1", "a.yaml:1: not a YAML file: found unhashable key"),
        ("a: 2026-13-45", "a.yaml: not a YAML file: month must be in 1..12"),
        ("a: " + "9" * 5000, "a.yaml: not a YAML file: Exceeds the limit"),
        ("a: \x07", "a.yaml: not a YAML file: unacceptable character"),
        (b"a: \xff", "a.yaml: not a YAML file: 'utf-8' codec"),
        ("# " + "x" * (1 << 20), "a.yaml: 1048578 bytes; a YAML file of settings has 1048576 at most"),
    ],
)
def test_what_makes_a_small_file_large_or_is_no_yaml_is_refused_at_once(read, text, message):
    started = time.process_time()
    with pytest.raises(ValueError, match=message):
        read(text)
    assert time.process_time() - started < 2
