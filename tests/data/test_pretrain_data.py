import random

import numpy as np
import pytest

from src.tasks.pretrain.corpus.sentence_pairs import cut_documents, lay_out, make_pairs
from src.tasks.pretrain.corpus.text import read_corpus, split_sentences
from src.tasks.pretrain.corpus.token_store import TokenStore, TokenStoreWriter
from src.tasks.pretrain.corpus.tokens import CorpusTokenizer, cut_lines, load_segmenter
from src.tasks.pretrain.keyed_random import make_keys, permute
from src.tasks.pretrain.masks import Masking, draw_masks
from src.text.tokenization import Tokenizer, fingerprint

CLS, SEP, MASK = 2, 3, 4
MASKING = Masking(MASK, 1000, (0, CLS, SEP), 0.15, 20)


def make_rows(lengths, size, seed=0):
    """[CLS] a [SEP] b [SEP], ids from 10 on."""
    generator = np.random.default_rng(seed)
    rows = np.zeros((len(lengths), size), np.int32)
    for row, length in zip(rows, lengths):
        row[:length] = generator.integers(10, 1000, length)
        row[[0, length // 2, length - 1]] = CLS, SEP, SEP
    return rows


def test_masks_are_where_they_say():
    lengths = np.random.default_rng(1).integers(5, 65, 200)
    rows = make_rows(lengths, 64)
    masked, positions, true_ids, weights = draw_masks(rows, lengths, make_keys(7, 0, np.arange(200)), MASKING)
    assert (masked.dtype, positions.dtype, true_ids.dtype, weights.dtype) == (np.int32, np.int32, np.int32, np.float32)
    for row in range(200):
        count = int(weights[row].sum())
        assert count == min(20, max(1, round(lengths[row] * 0.15)))
        np.testing.assert_array_equal(weights[row], np.arange(20) < count)
        chosen = positions[row, :count]
        assert list(chosen) == sorted(set(chosen))
        assert not (positions[row, count:].any() or true_ids[row, count:].any())
        np.testing.assert_array_equal(true_ids[row, :count], rows[row, chosen])
        assert not set(true_ids[row, :count]) & {0, CLS, SEP}
        others = np.setdiff1d(np.arange(64), chosen)
        np.testing.assert_array_equal(masked[row, others], rows[row, others])


def test_rows_follow_from_their_keys_alone():
    lengths = np.full(50, 40)
    rows, keys = make_rows(lengths, 64), make_keys(1, 2, np.arange(50))
    continues = np.random.default_rng(0).random(rows.shape) < 0.3
    for flags in (None, continues):
        whole = draw_masks(rows, lengths, keys, MASKING, flags)
        some = np.array([31, 4, 4])
        part = draw_masks(rows[some], lengths[some], keys[some], MASKING, None if flags is None else flags[some])
        for a, b in zip(whole, part):
            np.testing.assert_array_equal(a[some], b)


def test_the_width_of_a_batch_does_not_change_its_masks():
    lengths = np.full(20, 30)
    rows, keys = make_rows(lengths, 64), make_keys(1, 2, np.arange(20))
    wide, narrow = draw_masks(rows, lengths, keys, MASKING), draw_masks(rows[:, :30].copy(), lengths, keys, MASKING)
    np.testing.assert_array_equal(wide[0][:, :30], narrow[0])
    for a, b in zip(wide[1:], narrow[1:]):
        np.testing.assert_array_equal(a, b)


def test_epochs_and_seeds_give_other_masks():
    lengths = np.full(100, 64)
    rows = make_rows(lengths, 64)
    found = [
        draw_masks(rows, lengths, make_keys(seed, epoch, np.arange(100)), MASKING)[1][:, :10] for seed, epoch in ((0, 0), (0, 1), (1, 0))
    ]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert (found[a] == found[b]).mean() < 0.2


def test_positions_and_replacements_have_their_shares():
    lengths = np.full(20_000, 64)
    rows = make_rows(lengths, 64)
    masked, positions, true_ids, weights = draw_masks(rows, lengths, make_keys(3, 0, np.arange(20_000)), MASKING)
    real = weights > 0
    found, true = np.take_along_axis(masked, positions.astype(np.int64), 1)[real], true_ids[real]
    count = len(found)
    assert count == 200_000
    # four standard errors of a binomial share are 0.0036 for 0.8 and 0.0027 for 0.1
    assert abs((found == MASK).mean() - 0.8) < 0.0036
    assert abs((found == true).mean() - 0.1) < 0.0028
    other = found[(found != MASK) & (found != true)]
    assert other.min() < 10 and other.max() > 990 and abs(other.mean() - 499.5) < 10
    per_position = np.bincount(positions[real], minlength=64)
    assert not per_position[[0, 32, 63]].any()
    inner = np.delete(per_position, [0, 32, 63])
    assert np.abs(inner / count - 1 / 61).max() < 5 * (1 / 61 / count) ** 0.5


@pytest.mark.parametrize(("length", "limit", "expected"), [(3, 20, 0), (4, 20, 1), (10, 20, 2), (30, 20, 4), (50, 20, 8), (64, 3, 3)])
def test_the_number_of_masks_is_googles(length, limit, expected):
    # 10 * 0.15 = 1.5 and 30 * 0.15 = 4.5 are rounded to the even neighbour, as Python does
    masking = Masking(MASK, 1000, (0, CLS, SEP), 0.15, limit)
    rows = make_rows([length], 64)
    assert draw_masks(rows, np.array([length]), make_keys(0, 0, [0]), masking)[3].sum() == expected


def test_more_predictions_than_positions_are_padded():
    masking = Masking(MASK, 1000, (0, CLS, SEP), 1.0, 12)
    rows = make_rows([8], 8)
    _, positions, _, weights = draw_masks(rows, np.array([8]), make_keys(0, 0, [0]), masking)
    assert positions.shape == (1, 12) and weights.sum() == 5


def words_of(row, length, continues):
    words = []
    for position in range(length):
        if row[position] in (0, CLS, SEP):
            words.append(None)
        elif continues[position] and words and words[-1]:
            words[-1].append(position)
        else:
            words.append([position])
    return [word for word in words if word]


def test_whole_words_are_masked_or_left():
    generator = np.random.default_rng(5)
    lengths = generator.integers(5, 65, 300)
    rows, continues = make_rows(lengths, 64), generator.random((300, 64)) < 0.5
    full = 0
    for limit in (20, 4):
        masking = Masking(MASK, 1000, (0, CLS, SEP), 0.15, limit)
        _, positions, _, weights = draw_masks(rows, lengths, make_keys(9, 0, np.arange(300)), masking, continues)
        for row in range(300):
            chosen = set(positions[row][weights[row] > 0])
            wanted = min(limit, max(1, round(lengths[row] * 0.15)))
            words = words_of(rows[row], lengths[row], continues[row])
            assert all(chosen.issuperset(word) or not chosen.intersection(word) for word in words)
            left = [len(word) for word in words if not chosen.issuperset(word)]
            assert len(chosen) <= wanted and all(len(chosen) + size > wanted for size in left)
            full += len(chosen) == wanted
    assert full > 400


def test_short_and_long_words_are_drawn_alike():
    # one word of two tokens among words of one; two tokens are wanted, so the order is as in Google's: the long word is taken
    # if it is drawn first (1 in 9); later it does not fit any more
    rows, continues = np.full((20_000, 12), 20, np.int32), np.zeros((20_000, 12), bool)
    rows[:, 0], rows[:, 11] = CLS, SEP
    continues[:, 5] = True
    lengths = np.full(20_000, 12)
    masking = Masking(MASK, 1000, (0, CLS, SEP), 0.15, 2)
    _, positions, _, _ = draw_masks(rows, lengths, make_keys(0, 0, np.arange(20_000)), masking, continues)
    share = (positions == 5).any(1).mean()
    assert abs(share - 1 / 9) < 4 * (8 / 81 / 20_000) ** 0.5


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 63, 64, 65, 1000])
def test_permutations_are_bijections(count):
    found = permute(np.arange(count), count, 5)
    np.testing.assert_array_equal(np.sort(found), np.arange(count))
    np.testing.assert_array_equal(permute(np.array([count - 1, 0]), count, 5), found[[-1, 0]])


def test_permutations_are_even():
    images = np.array([permute(np.arange(10), 10, seed) for seed in range(4000)])
    for index in range(10):  # five standard errors
        assert np.abs(np.bincount(images[:, index], minlength=10) - 400).max() < 5 * (4000 * 0.09) ** 0.5


def test_fingerprint_follows_the_order_of_ids():
    assert fingerprint({"a": 0, "b": 1}) == fingerprint({"b": 1, "a": 0}) != fingerprint({"a": 1, "b": 0})


def make_store(folder, documents, continues=None):
    """A store of documents given as lists of sentence lengths; the tokens are 10, 11, 12, ..."""
    from src.tasks.pretrain.corpus.tokens import TokenBlock

    folder.mkdir()
    with TokenStoreWriter(folder) as writer:
        first = 10
        for document in documents:
            size = sum(document)
            block = TokenBlock(
                np.arange(first, first + size, dtype=np.uint16), np.array(document, np.int64), np.array([len(document)]), continues
            )
            writer.append(block)
            first += size
    return TokenStore(folder, np.uint16)


def draw_as_google(documents, room, short_seq_prob, generator):
    """(length of A, length of B, random next) by a literal reading of Google's procedure, a token at a time."""
    for number, document in enumerate(documents):
        target = generator.randint(2, room) if generator.random() < short_seq_prob else room
        chunk, index = [], 0
        while index < len(document):
            chunk.append(document[index])
            if index == len(document) - 1 or sum(chunk) >= target:
                end = generator.randint(1, len(chunk) - 1) if len(chunk) > 1 else 1
                a, b = sum(chunk[:end]), sum(chunk[end:])
                is_random = len(chunk) == 1 or generator.random() < 0.5
                if is_random:
                    other = generator.choice([candidate for candidate in range(len(documents)) if candidate != number])
                    b, start = 0, generator.randint(0, len(documents[other]) - 1)
                    for length in documents[other][start:]:
                        b += length
                        if b >= target - a:
                            break
                    index -= len(chunk) - end
                while a + b > room:
                    if a > b:
                        a -= 1
                    else:
                        b -= 1
                yield a, b, is_random
                chunk = []
            index += 1


def describe(pairs):
    """Count, mean lengths of A and B, share of random, share of full rows."""
    a, b, is_random = np.array(pairs).T
    return [len(pairs), a.mean(), b.mean(), is_random.mean(), (a + b == 29).mean()]


def test_pairs_have_googles_statistics(tmp_path):
    generator = random.Random(4)
    documents = [[generator.randint(1, 25) for _ in range(generator.choice([1, 2, 5, 30]))] for _ in range(30)]
    store = make_store(tmp_path / "store", documents)
    ours, google = [], []
    for seed in range(300):
        pairs = make_pairs(store, 0, 30, 32, 0.3, (seed,))
        ours.append(describe(np.stack([pairs["a_length"], pairs["b_length"], pairs["is_random_next"]], 1)))
        google.append(describe(list(draw_as_google(documents, 29, 0.3, random.Random(seed)))))
    ours, google = np.array(ours), np.array(google)
    error = ((ours.var(0) + google.var(0)) / 300) ** 0.5
    assert (np.abs(ours.mean(0) - google.mean(0)) < 4 * error).all(), (ours.mean(0), google.mean(0), error)


def test_pairs_are_runs_of_sentences(tmp_path):
    generator = random.Random(1)
    documents = [[generator.randint(1, 12) for _ in range(generator.randint(1, 12))] for _ in range(20)]
    store = make_store(tmp_path / "store", documents)
    starts = [int(store.sentences[number]) for number in store.documents]
    covered = np.zeros(starts[-1], bool)
    for seed in range(20):
        for document in range(20):
            for pair in make_pairs(store, document, document + 1, 64, 0.1, (seed,)):
                a, b = ((pair[f"{name}_start"], pair[f"{name}_start"] + pair[f"{name}_length"]) for name in "ab")
                assert starts[document] <= a[0] < a[1] <= starts[document + 1] and a[1] - a[0] + b[1] - b[0] <= 61
                other = np.searchsorted(starts, b[0], "right") - 1
                assert starts[other] <= b[0] < b[1] <= starts[other + 1]
                assert (other != document) if pair["is_random_next"] else b[0] >= a[1]
                covered[slice(*a)] = True
                if not pair["is_random_next"]:
                    covered[slice(*b)] = True
    assert covered.all()


def test_a_following_sentence_begins_where_the_first_ends(tmp_path):
    store = make_store(tmp_path / "store", [[3, 4, 5], [2]])
    pairs = np.concatenate([make_pairs(store, 0, 1, 64, 0, (seed,)) for seed in range(20)])  # nothing is cut
    following = pairs[pairs["is_random_next"] == 0]
    assert len(following) and (following["a_start"] + following["a_length"] == following["b_start"]).all()


def test_documents_of_one_sentence_are_paired(tmp_path):
    store = make_store(tmp_path / "store", [[1], [500]])
    for size in (5, 6, 64):
        pairs = make_pairs(store, 0, 2, size, 0.5, (1,))
        assert len(pairs) == 2 and pairs["is_random_next"].all() and pairs["a_length"][0] == 1
        assert (pairs["a_length"] + pairs["b_length"] == size - 3).all()


def test_long_sentences_are_cut_at_both_ends_alike(tmp_path):
    store = make_store(tmp_path / "store", [[1000], [1000]])
    pairs = np.concatenate([make_pairs(store, 0, 1, 128, 0, (seed,)) for seed in range(400)])
    assert set(pairs["a_length"]) == {63} and set(pairs["b_length"]) == {62}
    assert abs(pairs["a_start"].mean() - 937 / 2) < 4 * (937 / 4 / 400) ** 0.5


def test_rows_hold_their_pairs(tmp_path):
    store = make_store(tmp_path / "store", [[3, 2], [4]], None)
    pairs = make_pairs(store, 0, 2, 10, 0, (3,))
    found = lay_out(store, pairs, 10, CLS, SEP)
    for row, pair in enumerate(pairs):
        a, b = (list(range(10 + pair[f"{name}_start"], 10 + pair[f"{name}_start"] + pair[f"{name}_length"])) for name in "ab")
        tokens = [CLS, *a, SEP, *b, SEP]
        assert found["lengths"][row] == len(tokens)
        np.testing.assert_array_equal(found["input_ids"][row], tokens + [0] * (10 - len(tokens)))
        segments = [0] * (len(a) + 2) + [1] * (len(b) + 1)
        np.testing.assert_array_equal(found["segment_ids"][row], segments + [0] * (10 - len(tokens)))
    assert found["word_continues"] is None


def test_blocks_cover_all_documents(tmp_path):
    store = make_store(tmp_path / "store", [[1] * 3000, [1] * 9000, [1], [1] * 2000])
    borders = cut_documents(store)
    assert borders[0] == 0 and borders[-1] == 4 and (np.diff(borders) > 0).all() and len(borders) > 2


def tokenize(lines, tokenizer, num_chars, folder):
    folder.mkdir()
    with TokenStoreWriter(folder) as writer:
        for block in cut_lines(lines, num_chars):
            writer.append(tokenizer.tokenize(block))
    return writer, TokenStore(folder, np.uint16)


@pytest.mark.parametrize("num_chars", [1, 3000, 1 << 30])
def test_the_store_holds_each_sentences_tokens(shared_file, tmp_path, num_chars):
    names = {"text_en/wikitext-2.test.txt": "bert-base-uncased-vocab.txt", "text_zh/zhwiki_wiki_00.doc.txt": "bert-base-chinese-vocab.txt"}
    for name, vocabulary in names.items():
        lines = [*list(read_corpus([shared_file(name)]))[:300], ""]
        tokenizer = Tokenizer(shared_file(f"vocab/{vocabulary}"))
        writer, store = tokenize(lines, CorpusTokenizer(tokenizer), num_chars, tmp_path / vocabulary)
        ids = [numbers for numbers in tokenizer.encode([part for line in lines for part in split_sentences(line)]) if numbers]
        assert np.concatenate(ids).tolist() == store.tokens.values.tolist()
        assert np.diff(store.sentences).tolist() == [len(numbers) for numbers in ids]
        assert writer.num_documents == store.num_documents == lines.count("")


@pytest.mark.parametrize("lower_case", [True, False])
def test_words_by_themselves_are_tokenised_as_in_their_sentence(vocab_file, lower_case):
    letters = [
        *" \t\u00a0\u3000\u2028aBzσΣéİﬁ中9.-'#",
        "  ",
        "##",
        "e\u0301",
        "\u0301",
        "\u0327",
        "\u200b",
        "\u0378",
        "\x00",
        "the",
        "\U0001f600",
    ]
    generator = random.Random(0)
    texts = ["".join(generator.choices(letters, k=generator.randint(1, 25))) for _ in range(3000)]
    vocab_file.write_text(vocab_file.read_text() + "σ\nΣ\nς\n##σ\n##ς\n中\n9\n-\n'\n#\n", encoding="utf-8")
    tokenizer = Tokenizer(vocab_file, lower_case)
    lines = [part for text in texts for part in split_sentences(text)]
    block = CorpusTokenizer(tokenizer).tokenize([*texts, ""])
    assert block.tokens.tolist() == [number for numbers in tokenizer.encode(lines) for number in numbers]


def test_empty_documents_are_counted_and_left_out(vocab_file, tmp_path):
    lines = ["", "the cat", "", "", "\u200b", "", "a dog. The mat", ""]
    writer, store = tokenize(lines, CorpusTokenizer(Tokenizer(vocab_file)), 4, tmp_path / "store")
    assert (writer.num_documents, writer.num_empty) == (2, 3)
    assert store.documents.tolist() == [0, 1, 3] and store.sentences.tolist() == [0, 2, 5, 7]


def test_pieces_continue_words(vocab_file, tmp_path):
    tokenizer = Tokenizer(vocab_file)
    block = CorpusTokenizer(tokenizer, whole_words=True).tokenize(["the xyz cat", ""])
    tokens = [tokenizer.tokens[number] for number in block.tokens]
    assert tokens == ["the", "x", "##y", "##z", "cat"]
    assert block.continues.tolist() == [False, False, True, True, False]


def split_pairs(text):
    """A segmenter for tests: Chinese words of two characters; leaves spaces out as some segmenters do."""
    return [text[start : start + 2].strip() for start in range(0, len(text), 2)]


def test_later_characters_of_chinese_words_continue_them(shared_file):
    tokenizer = Tokenizer(shared_file("vocab/bert-base-chinese-vocab.txt"))
    block = CorpusTokenizer(tokenizer, True, split_pairs).tokenize(["使用语言 python1模型。", ""])
    tokens = [tokenizer.tokens[number] for number in block.tokens]
    assert "".join(tokens).replace("##", "") == "使用语言python1模型。"
    marked = "".join("-" if flag else "w" for flag in block.continues)
    assert marked == "w-w-" + "w" + "-" * (len(tokens) - 8) + "w-w"


def test_a_segmenter_that_invents_text_is_refused(vocab_file):
    with pytest.raises(ValueError, match="the segmenter gives 'x'"):
        CorpusTokenizer(Tokenizer(vocab_file), True, lambda text: ["x"]).tokenize(["the cat", ""])


@pytest.mark.parametrize("name", ["nothing_of_this_name:cut", "random:nothing", "random", "random:__doc__"])
def test_a_segmenter_that_cannot_be_loaded_is_named(name):
    with pytest.raises(ValueError, match=f"segmenter={name}"):
        load_segmenter(name)
