import re

from conftest import ROOT

from tests.docs import pages

PAGE = pages.read("docs/faq.md")


def test_each_complaint_names_a_test_that_exists():
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE)
    assert len(named) > 30
    assert [f"{path}::{test}" for path, test in named if f"def {test}(" not in (ROOT / path).read_text(encoding="utf-8")] == []
    complaints = re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]
    assert len(complaints) >= 20
    assert [text.splitlines()[0] for text in complaints if "::test_" not in text and not text.startswith("Which systems?")] == []
