import itertools
import time
from pathlib import Path

import mindspore
import numpy as np
import pytest
from mindspore import nn, ops
from reference import tensors

from src.config.model import MASK_BIAS
from src.formats.zoo import convert_crf
from src.models.crf import BestPath, Crf, CrfLikelihood
from src.tasks.ner.tags import list_labels, make_tag_set

GOLDEN = Path(__file__).parent.parent / "golden" / "crf.npz"
ARGUMENTS = {"emissions": 0, "transitions": 3, "start_transitions": 4, "end_transitions": 5}
FORMS = (False, True)
LIKELIHOOD = {form: CrfLikelihood(form) for form in FORMS}  # made once, so that each shape compiles once
BEST_PATH = {form: BestPath(form) for form in FORMS}
IN_BOTH_FORMS = pytest.mark.parametrize("unrolled", FORMS)


def path_score(path, emissions, transitions, start, end):
    steps = zip(path, path[1:])
    return start[path[0]] + emissions[range(len(path)), path].sum() + sum(transitions[step] for step in steps) + end[path[-1]]


def enumerate_paths(emissions, transitions, start, end):
    """All paths of one row with their scores."""
    paths = list(itertools.product(range(emissions.shape[1]), repeat=len(emissions)))
    return paths, np.array([path_score(path, emissions, transitions, start, end) for path in paths])


def brute_force(emissions, tags, mask, transitions, start, end):
    """-log p of each row's tags in float64, and the best path, from all paths."""
    losses, best = [], np.zeros_like(tags)
    for row, length in enumerate(mask.sum(1)):
        paths, scores = enumerate_paths(emissions[row, :length].astype(np.float64), transitions, start, end)
        own = path_score(tuple(tags[row, :length]), emissions[row].astype(np.float64)[:length], transitions, start, end)
        losses.append(np.logaddexp.reduce(scores) - own)
        best[row, :length] = paths[int(scores.argmax())]
    return np.array(losses), best


def draw(random, num_tags, seq_length, spread, labels=None):
    """Arguments of CrfLikelihood: random scores, ragged lengths from 1 to S; forbidden transitions if `labels` name a scheme."""
    lengths = np.append(random.integers(1, seq_length + 1, 3), seq_length)
    mask = np.arange(seq_length) < lengths[:, None]
    shapes = ((4, seq_length, num_tags), (num_tags, num_tags), (num_tags,), (num_tags,))
    emissions, transitions, start, end = (random.standard_normal(shape).astype(np.float32) for shape in shapes)
    emissions = (random.uniform(-1, 1, shapes[0]) * spread).astype(np.float32)
    if labels:
        first, pairs, last = make_tag_set(labels).allowed()
        start, transitions, end = (
            (scores + np.where(allowed, 0, MASK_BIAS)).astype(np.float32)
            for scores, allowed in ((start, first), (transitions, pairs), (end, last))
        )
    tags = random.integers(0, num_tags, mask.shape).astype(np.int32)
    if labels:  # the gold path is the legal one that encodes the entities of a random one
        tag_set = make_tag_set(labels)
        for row, length in zip(tags, lengths):
            row[:length] = tag_set.make_labels(length, tag_set.find_spans(row[:length].tolist()))
        tags[-1] = tag_set.make_labels(seq_length, [("X", 1, 3)])
    return emissions, tags * mask, mask, transitions, start, end


@IN_BOTH_FORMS
@pytest.mark.parametrize("spread", [1.0, 50.0])
@pytest.mark.parametrize("labels", [None, ("O", "S-X", "B-X", "E-X"), ("O", "B-X", "I-X", "B-Y")])
def test_likelihood_and_best_path_equal_brute_force(unrolled, spread, labels):
    random = np.random.default_rng([int(spread), unrolled])
    for _ in range(5):
        emissions, tags, mask, transitions, start, end = case = draw(random, 4, 5, spread, labels)
        losses, best = brute_force(*case)
        found = LIKELIHOOD[unrolled](*tensors(*case)).asnumpy()
        np.testing.assert_allclose(found, losses, rtol=2e-6, atol=2e-5 * spread)  # float32's last digits of scores up to 250
        assert np.array_equal(BEST_PATH[unrolled](*tensors(emissions, mask, transitions, start, end)).asnumpy(), best)


def test_paths_far_below_the_best_are_not_lost():
    """I may only follow B, which scores 100 below O; O B, O O and B I have equal scores: exp in float32 would lose the last."""
    start, pairs, end = (np.where(part, 0.0, MASK_BIAS).astype(np.float32) for part in make_tag_set(("O", "B-X", "I-X")).allowed())
    emissions = np.array([[[50, -50, -50], [-50, -50, 50]]], np.float32)
    tags, mask = np.array([[1, 2]], np.int32), np.ones((1, 2), bool)
    for unrolled in FORMS:
        loss = LIKELIHOOD[unrolled](*tensors(emissions, tags, mask, pairs, start, end)).asnumpy()
        np.testing.assert_allclose(loss, np.log(3.0), atol=1e-6)


class LossSum(nn.Cell):
    def __init__(self, unrolled):
        super().__init__()
        self.likelihood = CrfLikelihood(unrolled)

    def construct(self, emissions, tags, mask, transitions, start, end):
        return self.likelihood(emissions, tags, mask, transitions, start, end).sum()


DIFFERENTIATE = {form: ops.grad(LossSum(form), tuple(ARGUMENTS.values())) for form in FORMS}


def differentiate(unrolled, case):
    """Gradients of the sum of losses by the golden file's names."""
    gradients = DIFFERENTIATE[unrolled](*tensors(*case))
    return {name: gradient.asnumpy() for name, gradient in zip(ARGUMENTS, gradients)}


@IN_BOTH_FORMS
@pytest.mark.parametrize("case", ["normal", pytest.param("large", marks=pytest.mark.slow)])
def test_numbers_equal_pytorch_crf(unrolled, case):
    golden = {name.removeprefix(f"{case}/"): array for name, array in np.load(GOLDEN).items() if name.startswith(case)}
    scores = [golden[name] for name in ("transitions", "start_transitions", "end_transitions")]
    given = (golden["emissions"], np.maximum(golden["tags"], 0), golden["mask"], *scores)
    losses = LIKELIHOOD[unrolled](*tensors(*given)).asnumpy()
    np.testing.assert_allclose(losses, -golden["log_likelihood"], rtol=1e-6, atol=1e-4 if case == "large" else 1e-5)
    for name, gradient in differentiate(unrolled, given).items():
        np.testing.assert_allclose(gradient, golden[f"gradient/{name}"], atol=1e-5, err_msg=name)
    paths = BEST_PATH[unrolled](*tensors(given[0], given[2], *scores)).asnumpy()
    assert np.array_equal(np.where(golden["mask"], paths, -1), golden["paths"])


@IN_BOTH_FORMS
@pytest.mark.parametrize("scheme", [None, "BIO"])
def test_gradients_equal_finite_differences(unrolled, scheme):
    labels = scheme and list_labels(("X",), scheme)
    case = draw(np.random.default_rng(3), 3, 4, 1.0, labels)
    gradients = differentiate(unrolled, case)
    step = 1e-4
    for name, argument in ARGUMENTS.items():
        expected = np.zeros(case[argument].shape)
        for index in np.ndindex(*expected.shape):
            sums = []
            for sign in (1, -1):
                moved = [part.astype(np.float64) if part.dtype == np.float32 else part for part in case]
                moved[argument][index] += sign * step
                sums.append(brute_force(*moved)[0].sum())
            expected[index] = (sums[0] - sums[1]) / (2 * step)
        np.testing.assert_allclose(gradients[name], expected, atol=1e-5, err_msg=name)


@IN_BOTH_FORMS
def test_what_a_scheme_forbids_is_never_decoded(unrolled):
    tag_set = make_tag_set(list_labels(("X", "Y"), "BMES"))
    crf = Crf(len(tag_set.labels), tag_set.allowed())
    emissions = np.random.default_rng(1).uniform(-50, 50, (8, 12, len(tag_set.labels))).astype(np.float32)
    mask = np.arange(12) < np.arange(5, 13)[:, None]
    paths = BEST_PATH[unrolled](*tensors(emissions, mask), *crf()).asnumpy()
    for path, real in zip(paths, mask):
        labels = path[real].tolist()
        assert tag_set.make_labels(len(labels), tag_set.find_spans(labels)) == labels


@pytest.mark.slow
def test_compilation_does_not_grow_with_the_length():
    random, seconds = np.random.default_rng(1), {}
    for seq_length in (8, 64, 256):  # the first one warms up
        case = draw(random, 3, seq_length, 1.0)
        started = time.process_time()
        differentiate(False, case)
        seconds[seq_length] = time.process_time() - started
    assert seconds[256] < 2 * seconds[64]  # unrolled it would be four times as long; both include the run, which takes longer


def test_the_model_zoos_transitions_score_the_same_paths():
    random = np.random.default_rng(2)
    theirs = random.standard_normal((5, 5)).astype(np.float32)  # [to, from] of O and two other tags, <START>, <STOP>
    ours = convert_crf(theirs)
    paths = [list(path) for path in itertools.product(range(3), repeat=4)]
    expected = []
    for path in paths:
        whole = [0, *path, 0, 0]  # [CLS], the tokens, [SEP], padding: the model zoo trains them to be O
        expected.append(sum(theirs[to, origin] for origin, to in zip([3, *whole], [*whole, 4])))
    found = [path_score(tuple(path), np.zeros((4, 3)), ours["transitions"], ours["start"], ours["end"]) for path in paths]
    same_for_all = theirs[0, 3] + theirs[0, 0] + theirs[4, 0]
    np.testing.assert_allclose(np.array(found) + same_for_all, expected, rtol=1e-5, atol=1e-5)
    assert {name: part.shape for name, part in ours.items()} == {name: tuple(p.shape) for name, p in crf_shapes(3).items()}
    with pytest.raises(ValueError, match=r"\[C \+ 2, C \+ 2\]"):
        convert_crf(theirs[:4])


def crf_shapes(num_tags):
    return {parameter.name: parameter for parameter in Crf(num_tags).trainable_params()}


def test_scores_are_float32_whatever_computes_them():
    case = draw(np.random.default_rng(1), 3, 3, 1.0)
    assert LIKELIHOOD[False](*tensors(*case)).dtype == mindspore.float32
