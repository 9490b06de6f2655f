"""What is masked together, n-grams and spans, and what replaces it, against the numbers of the papers."""

import numpy as np
import pytest

from src.tasks.pretrain.keyed_random import make_keys
from src.tasks.pretrain.mask_runs import NGRAM_SHARES, SHARES, SPAN_SHARES, draw_runs
from src.tasks.pretrain.masks import Masking, check_runs, draw_masks
from src.tasks.pretrain.similar_words import read_similar_words
from src.text.tokenization import Tokenizer

CLS, SEP, MASK, FIRST = 2, 3, 4, 10
ROWS, LENGTH = 600, 256
UNITS = ("token", "word", "ngram", "span")


def make_masking(unit, similar=None, probability=0.15, max_predictions=80):
    return Masking(MASK, 1000, (0, CLS, SEP), probability, max_predictions, unit, similar)


@pytest.fixture(scope="module")
def rows():
    """Rows [CLS] text [SEP] text [SEP] of words of one to three tokens: ids, lengths, marks of tokens that continue a word, keys."""
    random = np.random.default_rng(2)
    lengths = random.integers(LENGTH // 2, LENGTH + 1, ROWS)
    ids = random.integers(FIRST, 1000, (ROWS, LENGTH)).astype(np.int32)
    ids[np.arange(LENGTH) >= lengths[:, None]] = 0
    ids[:, 0] = CLS
    ids[np.arange(ROWS), lengths // 3] = SEP
    ids[np.arange(ROWS), lengths - 1] = SEP
    continues = random.random((ROWS, LENGTH)) < 0.3
    continues[:, 3:] &= ~(continues[:, 1:-2] & continues[:, 2:-1])
    return ids, lengths, continues, make_keys(5, 0, np.arange(ROWS))


def find_begins(ids, continues):
    """The definition, token by token: a word begins with a token that does not continue, or follows a special token."""
    ordinary = ids >= FIRST
    begins = ordinary.copy()
    begins[:, 1:] = ordinary[:, 1:] & ~(continues[:, 1:] & ordinary[:, :-1])
    return ordinary, begins


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(("probability", "limit"), [(0.15, 80), (0.3, 80), (0.15, 12)])
def test_rows_are_masked_as_much_as_asked_for_and_restored_by_their_targets(unit, probability, limit, rows):
    ids, lengths, continues, keys = rows
    masked, positions, true_ids, weights = draw_masks(ids, lengths, keys, make_masking(unit, None, probability, limit), continues)
    wanted = np.minimum(limit, np.rint(lengths * probability))
    counts = weights.sum(1)
    assert (counts <= wanted).all() and counts.sum() > 0.995 * wanted.sum()
    row, slot = np.nonzero(weights)
    assert (np.diff(positions, axis=1)[weights[:, 1:] > 0] > 0).all()
    restored = masked.copy()
    restored[row, positions[row, slot]] = true_ids[row, slot]
    np.testing.assert_array_equal(restored, ids)
    assert (true_ids[weights > 0] >= FIRST).all() and not true_ids[weights == 0].any()


@pytest.mark.parametrize("unit", UNITS[1:])
def test_words_are_masked_whole(unit, rows):
    ids, lengths, continues, keys = rows
    _, positions, _, weights = draw_masks(ids, lengths, keys, make_masking(unit), continues)
    chosen = np.zeros(ids.shape, bool)
    row, slot = np.nonzero(weights)
    chosen[row, positions[row, slot]] = True
    ordinary, begins = find_begins(ids, continues)
    inner = np.argwhere(ordinary & ~begins)
    np.testing.assert_array_equal(chosen[tuple(inner.T)], chosen[inner[:, 0], inner[:, 1] - 1])


@pytest.mark.parametrize("unit", UNITS[2:])
def test_masks_of_runs_follow_from_the_key_of_the_row_alone(unit, rows):
    ids, lengths, continues, keys = rows
    whole = draw_masks(ids, lengths, keys, make_masking(unit), continues)
    some = np.array([31, 4, 4, 599])
    part = draw_masks(ids[some], lengths[some], keys[some], make_masking(unit), continues[some])
    for a, b in zip(whole, part):
        np.testing.assert_array_equal(a[some], b)


@pytest.fixture(scope="module", params=UNITS[2:])
def runs(request):
    """The unit; and of long rows, in which the last run, cut to the room that is left, weighs little: begins of words, chosen, leads."""
    random = np.random.default_rng(3)
    ordinary = np.ones((30, 4000), bool)
    ordinary[:, ::500] = False  # special tokens
    begins = find_begins(np.where(ordinary, FIRST, SEP), random.random(ordinary.shape) < 0.2)[1]
    return request.param, begins, *draw_runs(ordinary, begins, make_keys(1, 0, np.arange(30)), np.full(30, 600), SHARES[request.param])


def count_words(begins, chosen, leads):
    """The number of words of each run."""
    numbers = np.cumsum(leads.reshape(-1))
    return np.bincount(numbers[(chosen & begins).reshape(-1)], minlength=numbers[-1] + 1)[1:]


def test_runs_have_the_lengths_of_the_papers(runs):
    unit, begins, chosen, leads = runs
    words = count_words(begins, chosen, leads)
    shares = np.bincount(words, minlength=len(SHARES[unit]) + 1)[1:] / len(words)
    error = (np.array(SHARES[unit]) * (1 - np.array(SHARES[unit])) / len(words)) ** 0.5
    assert len(words) > 3500 and (np.abs(shares - SHARES[unit]) < 4 * error + 30 / len(words)).all(), shares
    if unit == "span":
        assert words.mean() == pytest.approx(3.8, abs=0.15)  # of SpanBERT, section 3.1
    else:
        np.testing.assert_allclose(SHARES[unit], (0.4, 0.3, 0.2, 0.1))  # of MacBERT, section 3.1


def test_runs_begin_anywhere_alike_and_keep_apart(runs):
    _, begins, chosen, leads = runs
    assert not (leads & ~(chosen & begins)).any()
    columns = np.argwhere(chosen)
    after_gap = columns[1:][(np.diff(columns, axis=0) != [0, 1]).any(1)]
    assert leads[tuple(after_gap.T)].all()  # no run goes over a token that is not chosen, such as a special one
    assert (chosen.sum(1) == 600).all()
    thirds = chosen.reshape(30, 4, 1000).sum((0, 2)) / chosen.sum()
    np.testing.assert_allclose(thirds, 0.25, atol=0.02)


def test_lengths_of_spans_are_geometric():
    assert sum(SPAN_SHARES) == pytest.approx(1) and sum(NGRAM_SHARES) == pytest.approx(1)
    assert len(SPAN_SHARES) == 10
    np.testing.assert_allclose(np.divide(SPAN_SHARES[1:], SPAN_SHARES[:-1]), 0.8)
    assert np.dot(SPAN_SHARES, np.arange(1, 11)) == pytest.approx(3.8, abs=0.005)


def find_actions(rows, masking):
    """Of each masked token: whether it is hidden (by [MASK] or a similar word's token, both below FIRST here), kept, or random."""
    ids, lengths, continues, keys = rows
    masked, positions, true_ids, weights = draw_masks(ids, lengths, keys, masking, continues)
    row, slot = np.nonzero(weights)
    found, true = masked[row, positions[row, slot]], true_ids[row, slot]
    return row, positions[row, slot], np.where(found < FIRST, 0, np.where(found == true, 1, 2))


@pytest.mark.parametrize("unit", UNITS)
def test_of_the_masked_tokens_80_10_and_10_percent_are_hidden_kept_and_random(unit, rows):
    _, _, actions = find_actions(rows, make_masking(unit, None, 0.3))
    shares = np.bincount(actions, minlength=3) / len(actions)
    together = 5 if unit == "span" else 1  # tokens that share a fate: 3.8 words of 1.3
    error = (np.array([0.8, 0.1, 0.1]) * [0.2, 0.9, 0.9] * together / len(actions)) ** 0.5
    assert (np.abs(shares - [0.8, 0.1, 0.1]) < 4 * error + 1e-3).all(), shares  # one random token in a thousand is the true one


@pytest.mark.parametrize(("unit", "expected"), [("ngram", 0.66), ("span", 1.0)])
def test_a_span_is_replaced_as_a_whole_and_other_tokens_each_by_itself(unit, expected, rows):
    ids, lengths, continues, keys = rows
    row, position, actions = find_actions(rows, make_masking(unit))
    ordinary, begins = find_begins(ids, continues)
    wanted = np.minimum(80, np.rint(lengths * 0.15)).astype(np.int64)
    _, leads = draw_runs(ordinary, begins, keys, wanted, SHARES[unit])
    same_run = (np.diff(row) == 0) & ~leads[row[1:], position[1:]]
    alike = (actions[1:] == actions[:-1])[same_run].mean()
    assert alike == pytest.approx(expected, abs=0.02)  # by themselves 0.8^2 + 2 * 0.1^2; a random token may be the true one


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    """A vocabulary of single words and pieces: the ids of a to j are 5 to 14, those of ##a to ##j follow."""
    letters = "abcdefghij"
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    path.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    return Tokenizer(path)


def write_table(tmp_path, text):
    path = tmp_path / "similar.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_similar_words_replace_words_of_the_table_and_random_ones_the_others(tmp_path, vocabulary):
    table = read_similar_words(write_table(tmp_path, "a b c\nde\tfg hi\n"), vocabulary)
    assert "words=2 similar_words=4 left_out=0" in table.tell()
    ids = vocabulary.vocabulary
    word = [ids["a"], ids["d"], ids["##e"], ids["j"]]
    rows = np.array([[2, *word * 5, 3]] * 8000, np.int32)
    continues = rows == ids["##e"]
    lengths, keys = np.full(8000, 22), make_keys(3, 0, np.arange(8000))
    masking = Masking(MASK, 10_000, (0, 2, 3), 0.3, 10, "word", table)
    masked, positions, true_ids, weights = draw_masks(rows, lengths, keys, masking, continues)
    row, slot = np.nonzero(weights)
    position, true = positions[row, slot], true_ids[row, slot]
    found = masked[row, position]
    assert share(masked, MASK) < 1e-4  # a random token may be any
    of_a = found[true == ids["a"]]
    assert share(of_a, ids["b"]) == pytest.approx(0.4, abs=0.02) == share(of_a, ids["c"])  # half of 80 % each
    assert share(of_a, ids["a"]) == pytest.approx(0.1, abs=0.01)
    first, second = found[true == ids["d"]], masked[row, np.minimum(position + 1, 21)][true == ids["d"]]
    pairs = [("f", "##g", 0.4), ("h", "##i", 0.4), ("d", "##e", 0.1)]
    for one, other, expected in pairs:  # a word is replaced as a whole
        assert ((first == ids[one]) & (second == ids[other])).mean() == pytest.approx(expected, abs=0.02)
    rest = ~np.isin(first, [ids[one] for one, *_ in pairs])
    assert rest.mean() == pytest.approx(0.1, abs=0.01) and (second[rest] > 100).mean() > 0.95
    of_j = found[true == ids["j"]]
    assert share(of_j, ids["j"]) == pytest.approx(0.1, abs=0.01) and (of_j > 100).mean() == pytest.approx(0.9, abs=0.02)


def share(values, number):
    return (values == number).mean()


def test_similar_words_of_n_grams_are_found_word_by_word(tmp_path, vocabulary):
    table = read_similar_words(write_table(tmp_path, "a b\n"), vocabulary)
    rows = np.full((500, 42), vocabulary.vocabulary["a"], np.int32)
    rows[:, [0, -1]] = 2, 3
    masking = Masking(MASK, 10_000, (0, 2, 3), 0.3, 12, "ngram", table)
    arguments = np.full(500, 42), make_keys(0, 0, np.arange(500)), masking, np.zeros(rows.shape, bool)
    masked, positions, _, weights = draw_masks(rows, *arguments)
    row, slot = np.nonzero(weights)
    assert len(row) == 6000 and share(masked[row, positions[row, slot]], vocabulary.vocabulary["b"]) == pytest.approx(0.8, abs=0.02)


def test_a_word_longer_than_all_of_the_table_is_replaced_by_random_tokens(tmp_path, vocabulary):
    table = read_similar_words(write_table(tmp_path, "a b\n"), vocabulary)
    ids = vocabulary.vocabulary
    rows = np.array([[2, ids["a"], ids["##a"], 3]] * 400, np.int32)
    masking = Masking(MASK, 10_000, (0, 2, 3), 0.5, 2, "word", table)
    masked, *_ = draw_masks(rows, np.full(400, 4), make_keys(0, 0, np.arange(400)), masking, rows == ids["##a"])
    kept = masked[:, 1] == ids["a"]
    assert kept.mean() == pytest.approx(0.1, abs=0.06) and (masked[~kept, 1:3] > 100).mean() > 0.95


def test_similar_words_with_another_number_of_tokens_are_left_out(tmp_path, vocabulary):
    table = read_similar_words(write_table(tmp_path, "a bc d\n\nef a\n"), vocabulary)
    assert "words=1 similar_words=1 left_out=2" in table.tell()
    again = read_similar_words(write_table(tmp_path, "a d\n"), vocabulary)
    assert table.digest == again.digest != read_similar_words(write_table(tmp_path, "a e\n"), vocabulary).digest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b\nc d z\n", r"similar.txt:2: z is not in the vocabulary .*vocab.txt"),
        ("a b\n\nc\n", r"similar.txt:3: c stands alone: a word and its similar words are expected"),
        ("a b\nc d\na d\n", r"similar.txt:3: a has similar words in line 1 already"),
        ("a bc\n", r"similar.txt: no word has a similar one of as many tokens"),
        ("", r"similar.txt: no word has a similar one of as many tokens"),
    ],
)
def test_bad_tables_are_refused_with_their_line(text, message, tmp_path, vocabulary):
    with pytest.raises(ValueError, match=message):
        read_similar_words(write_table(tmp_path, text), vocabulary)


def test_an_absent_table_is_refused(vocabulary):
    with pytest.raises(FileNotFoundError, match=r"/nowhere: no such file; --similar_words takes lines"):
        read_similar_words("/nowhere", vocabulary)


@pytest.mark.parametrize(("unit", "longest"), [("ngram", 4), ("span", 10)])
def test_runs_longer_than_all_masks_of_a_row_are_refused(unit, longest):
    check_runs(unit, longest, "max_predictions_per_seq")
    message = f"max_predictions_per_seq={longest - 1}: mask_unit={unit} masks up to {longest} words together"
    with pytest.raises(ValueError, match=message):
        check_runs(unit, longest - 1, "max_predictions_per_seq")


def test_keys_of_trainings_from_before_stay():
    plain = Masking(MASK, 1000, (0, CLS, SEP), 0.15, 20)
    assert repr(plain) == "Masking(mask_id=4, vocab_size=1000, special_ids=(0, 2, 3), probability=0.15, max_predictions=20)"
    natural = {True: "word", False: "token"}
    for has_words, unit in natural.items():
        assert plain.list_departures(has_words) == make_masking(unit).list_departures(has_words) == ()
        assert make_masking(natural[not has_words]).list_departures(has_words) == (natural[not has_words],)
    assert make_masking("span").list_departures(True) == ("span",)
