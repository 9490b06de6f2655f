import gzip
import json
from pathlib import Path

import pytest

from src.tasks.squad.segmentation import fold, segment, split_sentences, split_words

WORDS = json.loads(gzip.decompress((Path(__file__).parent.parent / "golden" / "squad_metrics.json.gz").read_bytes()))["cmrc"]["words"]


@pytest.mark.parametrize("text", WORDS)
def test_segments_are_those_of_the_official_script(text):
    assert segment(fold(text)) == WORDS[text]


def test_punctuation_that_does_not_count_joins_what_it_stood_between():
    assert fold(" 《A-B》：上，海 ") == "ab上海"
    assert segment(fold("5-6人")) == ["56", "人"]


def test_only_the_common_chinese_characters_stand_alone():
    assert segment("一龥㐀ab龦") == ["一", "龥", "㐀ab龦"]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("he left. she stayed.", ["he left.", "she stayed."]),
        ("mr. x of st. paul", ["mr. x of st. paul"]),  # abbreviations
        ("henry a. walsh, no. 3. part", ["henry a. walsh, no.", "3. part"]),  # initials and numbers, before a word
        ("in 1995. (2nd)", ["in 1995.", "(2nd)"]),
        ("(he left.) she stayed", ["(he left.)", "she stayed"]),  # the bracket goes with its sentence
        ("so... what? yes!", ["so... what?", "yes!"]),
        ("3.5 u.s. dollars", ["3.5 u.s. dollars"]),
        (" a  ", [" a"]),
        ("", []),
    ],
)
def test_sentences_end_where_punkt_says(text, sentences):
    assert split_sentences(text) == sentences


def test_last_period_of_a_sentence_is_a_word():
    assert split_words("dr. x left. he ran.") == ["dr.", "x", "left", ".", "he", "ran", "."]
