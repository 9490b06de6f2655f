"""Learning rates by part and regularisers: what is refused, before MindSpore is imported."""

import pytest

from src.config import loader
from src.config.model import ModelConfig
from src.config.parts import expand_parts, find_part
from src.config.training import OptimizerConfig
from src.tasks.classifier.options import ClassifierOptions
from src.tasks.ner.options import NerOptions
from src.tasks.squad.options import SquadOptions

REFUSED = [
    (ClassifierOptions, "--freeze=layers.12", "freeze=layers.12: no layer 12; the network has layers.0 to layers.11"),
    (ClassifierOptions, "--freeze=layers.3-15", "freeze=layers.3-15: no layer 15; the network has layers.0 to layers.11"),
    (ClassifierOptions, "--freeze=layers.5-2", "freeze=layers.5-2: the first layer comes after the last one"),
    (SquadOptions, "--freeze=embeddings,head", "freeze=head: no such part; expected embeddings, layers.N, layers.M-N or pooler"),
    (NerOptions, "--ema=1", "ema=1.0 is not allowed: it must be above 0 and at most 0.999999"),
    (NerOptions, "--ema=1.5", "ema=1.5 is not allowed"),
    (NerOptions, "--crf_learning_rate=0.01", "crf_learning_rate=0.01: there is no CRF; --head crf has one"),
    (ClassifierOptions, "--crf_learning_rate=0.01", "--crf_learning_rate"),
    (NerOptions, "--use_crf=true --label_smoothing=0.1", "only for the softmax"),
    (ClassifierOptions, "--num_class=1 --focal_gamma=2", "a regression has no classes"),
    (ClassifierOptions, "--label_smoothing=0.1 --focal_gamma=2", "label_smoothing and focal_gamma: give one of them"),
    (ClassifierOptions, "--layerwise_decay=1.1", "layerwise_decay=1.1 is not allowed: it must be above 0 and at most 1"),
    (ClassifierOptions, "--adversarial=fgsm", "adversarial=fgsm is not allowed: it must be one of fgm, pgd"),
    (ClassifierOptions, "--adversarial=fgm --freeze=embeddings", "adversarial=fgm: moves the word embeddings"),
    (ClassifierOptions, "--adversarial=fgm --adversarial_steps=5", "adversarial_steps=5: only for --adversarial pgd"),
    (ClassifierOptions, "--adversarial_epsilon=0.5", "adversarial_epsilon=0.5: only for --adversarial fgm or pgd"),
    (ClassifierOptions, "--r_drop=1 --multi_sample_dropout=4", "multi_sample_dropout=4 and r_drop=1.0: give one of them"),
    (
        ClassifierOptions,
        "--r_drop=1 --model.hidden_dropout_prob=0 --model.attention_probs_dropout_prob=0",
        "r_drop=1.0: the network has no dropout",
    ),
    (NerOptions, "--multi_sample_dropout=4 --model.hidden_dropout_prob=0", "all predictions are alike where model.hidden_dropout_prob=0"),
]


@pytest.mark.parametrize(("options", "flags", "message"), REFUSED, ids=[flags for _, flags, _ in REFUSED])
def test_bad_settings_end_in_one_line(options, flags, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        loader.load(options, ["--do_train=true", *flags.split()])
    err = capsys.readouterr().err
    assert stopped.value.code == 2
    assert err.startswith("error: ") and err.count("\n") == 1 and message in err, err


def test_every_parameter_has_a_part():
    names = {
        "bert.embeddings.word.weight": "embeddings",
        "bert.encoder.layers.10.attention.query.weight": "layers.10",
        "bert.encoder.layers.0.attention.positions.table": "layers.0",
        "bert.pooler.weight": "pooler",
        "head.dense.bias": "head",
        "head.crf.transitions": "crf",
        "masked_lm.bias": "head",
    }
    assert {name: find_part(name) for name in names} == names


def test_ranges_of_layers_are_written_out_once():
    assert expand_parts(("embeddings", "layers.0-2", "layers.1"), 3) == ("embeddings", "layers.0", "layers.1", "layers.2")


def test_rates_fall_from_the_top_layer_down_and_parts_may_have_their_own():
    shape, optimizer = ModelConfig(num_hidden_layers=3), OptimizerConfig(learning_rate=2e-5)
    options = NerOptions(
        model=shape, optimizer=optimizer, layerwise_decay=0.5, head_learning_rate=4e-5, crf_learning_rate=2e-3, use_crf=True
    )
    expected = {"embeddings": 0.125, "layers.0": 0.25, "layers.1": 0.5, "layers.2": 1, "pooler": 1, "head": 2, "crf": 100}
    assert options.rate_factors == pytest.approx(expected)
    assert set(ClassifierOptions(model=shape).rate_factors.values()) == {1.0}
