"""The model zoo's settings files as they are, by --config_path."""

import json

import pytest
from conftest import SHAPE, TINY

from src.config import loader
from src.export import zoo_flags
from src.tasks.classifier.options import ClassifierOptions
from src.tasks.ner.options import NerOptions
from src.tasks.pretrain.options import PretrainEvalOptions, PretrainOptions
from src.tasks.squad.options import SquadOptions
from tests.published_commands import zoo_files


@pytest.fixture
def load(tmp_path, monkeypatch):
    """`load(options class, file name, *flags, **changes)`: the options by a file of the zoo, with some of its values changed."""
    monkeypatch.chdir(tmp_path)

    def run(options_class, name, *flags, **changes):
        return loader.load(options_class, [f"--config_path={zoo_files.write(tmp_path, name, **changes)}", *flags])

    return run


def test_fine_tuning_has_the_files_values(load, capsys):
    options = load(NerOptions, "task_ner_config.yaml", "--do_train=true")
    assert (options.assessment_method, options.epoch_num, options.train_batch_size, options.eval_batch_size) == ("bf1", 5, 32, 1)
    assert (options.checkpoint_dir, options.vocab_file_path, options.label2id_file_path) == ("./ner_finetune/ckpt/", None, None)
    optimizer = options.optimizer
    assert (optimizer.name, optimizer.learning_rate, optimizer.end_learning_rate) == ("Lamb", 2e-5, 1e-10)
    assert (options.seq_length, options.model.vocab_size, options.model.position_embedding_type) == (128, 21128, "absolute")
    assert (options.device_target, options.precision.compute_type) == ("auto", "auto")
    said = capsys.readouterr().out.splitlines()
    assert said[0] == (
        "device_target=Ascend and compute_type=mstype.float16 of the file: auto here, as the device has it; a flag decides otherwise"
    )
    ignored = "data_path, dataset_format, enable_profiling, eval_data_shuffle, load_path, output_path"
    assert said[1] == f"without effect here: {ignored} (docs/from_model_zoo.md)"
    assert len(said) == 2


def test_each_script_takes_its_own_file(load, capsys):
    assert load(ClassifierOptions, "task_classifier_config.yaml", "--do_eval=true", "--num_class=15").num_class == 15
    squad = load(SquadOptions, "task_squad_config.yaml", "--do_train=true")
    assert (squad.optimizer.name, squad.optimizer.weight_decay, squad.optimizer.power) == ("AdamWeightDecay", 1e-3, 5.0)
    assert (squad.seq_length, squad.model.vocab_size) == (384, 30522)
    assert load(NerOptions, "task_ner_cpu_config.yaml", "--do_train=true").device_target == "CPU"
    with pytest.raises(SystemExit, match="2"):
        load(NerOptions, "task_squad_config.yaml", "--do_train=true")
    assert "task_squad_config.yaml: description=run_squad: the file belongs to run_squad.py" in capsys.readouterr().err


def test_another_optimiser_brings_the_files_own_values(load):
    adam = load(NerOptions, "task_ner_config.yaml", "--do_train=true", "--optimizer=AdamWerigtDecayDynamicLR").optimizer
    assert (adam.name, adam.weight_decay, adam.eps) == ("AdamWeightDecay", 1e-5, 1e-6)
    momentum = load(SquadOptions, "task_squad_config.yaml", "--do_train=true", "--optimizer.name=momentum").optimizer
    assert (momentum.schedule, momentum.learning_rate, momentum.weight_decay, momentum.warmup_steps) == ("constant", 1e-4, 0, 0)
    pretrain = load(PretrainOptions, "pretrain_config.yaml", "--data_dir=x", "--optimizer=AdamWeightDecay").optimizer
    assert (pretrain.learning_rate, pretrain.power, pretrain.beta1) == (3e-5, 5.0, 0.9)


def test_pretraining_has_the_values_of_its_network(load, capsys):
    base = load(PretrainOptions, "pretrain_config.yaml", "--data_dir=x")
    assert (base.train_batch_size, base.epoch_num, base.seq_length, base.num_samples) == (256, 40, 128, None)
    lamb = base.optimizer
    assert (lamb.learning_rate, lamb.power, lamb.eps, lamb.beta1, lamb.warmup_steps, lamb.clip) == (
        3e-4,
        2.0,
        1e-8,
        0.99,
        10000,
        "per_parameter",
    )
    nezha = load(PretrainOptions, "pretrain_config.yaml", "--data_dir=x", "--bert_network=NEZHA")
    assert (nezha.train_batch_size, nezha.model.hidden_size, nezha.model.position_embedding_type) == (96, 1024, "learned")
    changed = load(PretrainOptions, "pretrain_config.yaml", "--data_dir=x", base_net_cfg={**zoo_files.NETWORK, "hidden_size": 312})
    assert changed.model.hidden_size == 312
    capsys.readouterr()
    boost = load(PretrainOptions, "pretrain_config_Ascend_Boost.yaml", "--data_dir=x")
    assert (boost.train_steps, boost.bucket_list, boost.seq_length) == (17000, (128, 256, 384, 512), 512)
    assert (boost.model.hidden_size, boost.model.hidden_act, boost.model.hidden_dropout_prob) == (1024, "gelu", 0.0)
    assert "bert_network=large_boost: the network of large" in capsys.readouterr().out


def test_the_evaluation_of_pretraining_takes_the_same_file(load, tmp_path, capsys):
    (tmp_path / "ckpt_0").mkdir()
    (tmp_path / "ckpt_0/config.json").write_text(json.dumps(SHAPE))
    options = load(PretrainEvalOptions, "pretrain_config.yaml", "--eval_data_dir=x")
    assert (options.eval_batch_size, options.load_pretrain_checkpoint_path, options.model.hidden_size) == (256, "./ckpt_0", 16)
    said = capsys.readouterr().out
    assert "epoch_size" not in said
    assert "without effect, as flags, weights or vocabulary say otherwise: vocab_size=21128 (90), hidden_size=768 (16), " in said


def test_the_weights_know_their_shape_and_the_file_the_dropout(load, tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    flags = ["--do_train=true", f"--bert_config_file={tmp_path / 'config.json'}"]
    network = {**zoo_files.NETWORK, "seq_length": 32, "hidden_dropout_prob": 0.3}
    model = load(NerOptions, "task_ner_config.yaml", *flags, "--num_hidden_layers=2", bert_net_cfg=network).model
    assert (model.hidden_size, model.hidden_dropout_prob, model.num_hidden_layers) == (16, 0.3, 2)
    assert "num_hidden_layers=12 (2), num_attention_heads=12 (2)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"enable_modelarts": True}, "enable_modelarts=True: copy data and weights from the object storage"),
        ({"epochs": 3}, "unknown setting epochs; did you mean"),
        ({"optimizer_cfg": {"optimizer": "Thor"}}, "task_ner_config.yaml: optimizer.name=Thor is not allowed: it must be one of Lamb"),
        ({"optimizer_cfg": {"optimizer": "Lamb", "Lamb": {"decay_filter": ["norm"]}}}, "decay_filter=['norm']: biases and layer"),
        ({"bert_net_cfg": {"dtype": "mstype.float16"}}, "dtype=float16: mstype.float32 only"),
        ({"bert_net_cfg": 3}, "bert_net_cfg=3: a group of settings is expected"),
        ({"train_batch_size": 0}, "task_ner_config.yaml: train_batch_size=0 is not allowed"),
    ],
)
def test_what_is_not_here_is_refused_with_the_file(changes, message, load, capsys):
    with pytest.raises(SystemExit, match="2"):
        load(NerOptions, "task_ner_config.yaml", "--do_train=true", **changes)
    error = capsys.readouterr().err
    assert message in error and "task_ner_config.yaml: " in error


def test_the_optimiser_thor_is_refused(load, capsys):
    with pytest.raises(SystemExit, match="2"):
        load(PretrainOptions, "pretrain_config_Ascend_Thor.yaml", "--data_dir=x")
    assert "pretrain_config_Ascend_Thor.yaml: optimizer.name=Thor is not allowed" in capsys.readouterr().err
    assert load(PretrainOptions, "pretrain_config_Ascend_Thor.yaml", "--data_dir=x", "--optimizer=Lamb").optimizer.beta1 == 0.99


def test_a_path_from_the_zoos_own_folder_is_found_beside_the_scripts(load, tmp_path, monkeypatch):
    from src.config import zoo_yaml

    monkeypatch.setattr(zoo_yaml, "_ROOT", tmp_path)
    zoo_files.write(tmp_path, "task_ner_config.yaml")
    (tmp_path / "a/b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a")
    options = loader.load(NerOptions, ["--config_path=../../task_ner_config.yaml", "--do_train=true", "--label_file_path="])
    assert (options.epoch_num, options.label2id_file_path) == (5, None)


def test_settings_by_our_names_in_a_zoo_file_outweigh_its_own(load):
    added = {"optimizer": {"learning_rate": 1e-3, "clip": "per_parameter"}, "precision": {"compute_type": "float32"}}
    options = load(NerOptions, "task_ner_config.yaml", "--do_train=true", **added)
    assert (options.optimizer.learning_rate, options.optimizer.clip, options.optimizer.power) == (1e-3, "per_parameter", 1.0)
    assert options.precision.compute_type == "float32"
    assert load(PretrainOptions, "pretrain_config.yaml", "--data_dir=x", train_batch_size=8).train_batch_size == 8


@pytest.mark.parametrize("main", [zoo_flags.translate, lambda flags: loader.load(NerOptions, [*flags[:1], "--do_train=true"])])
def test_a_file_that_is_not_here_is_said_to_be_the_zoos(main, capsys):
    with pytest.raises((SystemExit, FileNotFoundError)) as raised:
        main(["--config_path=../../task_ner_cpu_config.yaml", "--export_ckpt_file=x"])
    told = capsys.readouterr().err or str(raised.value)
    assert "../../task_ner_cpu_config.yaml: no such file; copy the model zoo's here, or leave --config_path out" in told


def test_a_description_of_ones_own_makes_no_file_of_the_zoo(tmp_path):
    (tmp_path / "a.yaml").write_text("description: run_3 with dropout\nepoch_num: 2\n")
    assert loader.load(NerOptions, [f"--config_path={tmp_path / 'a.yaml'}", "--do_train=true"]).epoch_num == 2


def test_documents_that_describe_nothing_are_refused(tmp_path, capsys):
    path = tmp_path / "a.yaml"
    for text in ("epoch_num: 1\n---\n- a\n", "a: 1\n---\nb: 1\n---\nc: 1\n---\nd: 1\n"):
        path.write_text(text)
        with pytest.raises(SystemExit, match="2"):
            loader.load(NerOptions, ["--do_train=true", f"--config_path={path}"])
        assert "YAML documents; one is expected, or the model zoo's three" in capsys.readouterr().err
