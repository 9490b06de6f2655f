import json

import pytest
import yaml
from conftest import ROOT, SHAPE

from src.config import loader, stages
from src.tasks.pretrain.options import OPTIMIZER_DEFAULTS, PretrainEvalOptions, PretrainOptions


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the default output folder must not exist


def load(*flags):
    return loader.load(PretrainOptions, ["--data_dir=/data", *flags])


def test_the_published_command_is_understood():
    """run_standalone_pretrain_ascend.sh of the model zoo."""
    options = load(
        "--device_target=Ascend", "--distribute=false", "--epoch_size=40", "--device_id=3", "--device_num=1", "--enable_save_ckpt=true",
        "--enable_lossscale=true", "--do_shuffle=true", "--enable_data_sink=true", "--data_sink_steps=100", "--accumulation_steps=1",
        "--allreduce_post_accumulation=true", "--load_checkpoint_path=", "--save_checkpoint_path=", "--save_checkpoint_steps=10000",
        "--save_checkpoint_num=1", "--train_steps=-1", "--schema_dir=",
    )  # fmt: skip
    assert (options.epoch_num, options.device_id, options.data_sink_steps, options.save_checkpoint_steps) == (40, 3, 100, 10000)
    assert (options.load_pretrain_checkpoint_path, options.schema_file_path, options.output_dir) == (None, None, "./ckpt_0")


def test_defaults_are_the_model_zoos():
    options = load()
    assert (options.train_batch_size, options.epoch_num, options.train_steps) == (16, 1, -1)
    assert (options.save_checkpoint_steps, options.save_checkpoint_num) == (1000, 1)
    assert (options.optimizer.name, options.optimizer.clip, options.precision.loss_scale_value) == ("Lamb", "per_parameter", 65536)
    assert (options.precision.scale_factor, options.precision.scale_window) == (2, 1000)
    assert options.model.vocab_size == 21128


@pytest.mark.parametrize("name", OPTIMIZER_DEFAULTS)
@pytest.mark.parametrize("flag", ["optimizer", "optimizer.name"])
def test_each_optimizer_has_its_own_values_and_flags_win(name, flag):
    options = load(f"--{flag}={name}", "--optimizer.warmup_steps=7").optimizer
    for key, value in {**OPTIMIZER_DEFAULTS[name], "warmup_steps": 7}.items():
        assert getattr(options, key) == value


def test_a_share_of_warm_up_takes_the_place_of_the_default_steps():
    assert load("--warmup_proportion=0.2").optimizer.warmup_steps is None
    assert load("--warmup_proportion=0.2", "--num_warmup_steps=3").optimizer.warmup_steps == 3


def test_the_optimizers_older_name_is_known():
    options = load("--optimizer=AdamWeightDecayDynamicLR").optimizer
    assert (options.name, options.power, options.weight_decay) == ("AdamWeightDecay", 5, 1e-5)


@pytest.mark.parametrize(
    ("network", "hidden_size", "layers", "positions"),
    [("base", 768, 12, "absolute"), ("nezha", 1024, 24, "learned"), ("large", 1024, 24, "absolute"), ("tiny", 128, 2, "absolute")],
)
def test_networks_by_name(network, hidden_size, layers, positions):
    model = load(f"--bert_network={network}").model
    assert (model.hidden_size, model.num_hidden_layers, model.position_embedding_type) == (hidden_size, layers, positions)


def test_a_new_network_has_the_words_of_its_vocabulary(tmp_path):
    (tmp_path / "vocab.txt").write_text("a\nb\nc\n")
    assert load("--vocab_file_path=vocab.txt").model.vocab_size == 3
    assert load("--vocab_file_path=vocab.txt", "--model.vocab_size=8").model.vocab_size == 8


def test_weights_bring_their_shape_and_vocabulary(tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/config.json").write_text(json.dumps(SHAPE | {"hidden_size": 24, "num_attention_heads": 2, "vocab_size": 9}))
    (tmp_path / "weights/vocab.txt").write_text("a\nb\n")
    for options in (
        load("--load_checkpoint_path=weights"),
        loader.load(PretrainEvalOptions, ["--eval_data_dir=/data", "--eval_ckpt=weights"]),
    ):
        assert (options.model.hidden_size, options.model.vocab_size, options.vocab_file_path) == (24, 9, "weights/vocab.txt")


def test_the_two_switches_of_the_model_zoo():
    options = load("--enable_lossscale=false", "--enable_global_norm=true")
    assert (options.precision.loss_scale, options.optimizer.clip) == ("none", "global_norm")


def test_a_switch_in_a_file_counts_unless_the_flag_says_otherwise(tmp_path):
    (tmp_path / "old.yaml").write_text("enable_lossscale: false\nenable_global_norm: true\nschema_dir: schema.json\n")
    options = load("--config_path=old.yaml")
    assert (options.precision.loss_scale, options.optimizer.clip, options.schema_file_path) == ("none", "global_norm", "schema.json")
    options = load("--config_path=old.yaml", "--enable_lossscale=true", "--optimizer.clip=none")
    assert (options.precision.loss_scale, options.optimizer.clip) == ("dynamic", "none")


def test_a_training_has_no_weights_to_evaluate(capsys):
    with pytest.raises(SystemExit, match="2"):
        load("--eval_ckpt=weights")
    assert "--eval_ckpt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--enable_global_norm=true", "--optimizer.clip=none"), "enable_global_norm=true and optimizer.clip=none contradict"),
        (("--enable_lossscale=false", "--loss_scale=128"), "enable_lossscale=false and precision.loss_scale=static contradict"),
    ],
)
def test_a_switch_and_a_setting_that_contradict_are_refused(flags, told, capsys):
    with pytest.raises(SystemExit, match="2"):
        load(*flags)
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "updates", "evaluate_every"),
    [
        ([], None, None),
        (["--train_steps=9", "--train_with_eval=true", "--eval_data_dir=/d"], 9, 18750),
        (["--train_with_eval=true", "--eval_data_dir=/d", "--eval_samples=320", "--accumulation_steps=2"], None, 10),
    ],
)
def test_lengths_of_training_and_between_evaluations(flags, updates, evaluate_every):
    options = load(*flags)
    assert (options.train_updates, options.evaluate_every) == (updates, evaluate_every)


def test_settings_are_read_back_from_their_file(tmp_path):
    options = load("--optimizer=Momentum", "--bert_network=tiny", "--train_steps=5", "--masking=dynamic")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(loader.to_dict(options)))
    assert loader.load(PretrainOptions, ["--config_path=config.yaml"]) == options


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*pretrain*.yaml")), ids=lambda path: path.stem)
def test_recipes_are_good_settings(path, monkeypatch):
    monkeypatch.chdir(ROOT)  # some name a file of configs/networks
    for options in stages.load(PretrainOptions, ["--data_dir=/data", f"--config_path={path}", "--eval_data_dir=/data"]):
        assert options.optimizer.learning_rate >= 3e-5
