import dataclasses
from pathlib import Path

import pytest
from conftest import make_job

from src.config import loader, stages
from src.tasks.classifier.options import ClassifierOptions
from src.tasks.pretrain.options import PretrainOptions
from src.train import model_card


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("---\nlanguage: en\nlicense: apache-2.0\ntags:\n- x\n---\n# Model\n", "apache-2.0"),
        ("# Model\nlicense: mit\n", None),
        ("---\nlanguage: en\n---\nlicense: mit\n---\n", None),
        ("", None),
    ],
)
def test_a_licence_is_that_of_the_head(text, licence, tmp_path):
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    (tmp_path / "model.safetensors").touch()
    assert model_card.find_licence(tmp_path) == licence
    assert model_card.find_licence(tmp_path / "model.safetensors") == licence


def test_the_encoder_of_the_quickstart_states_its_licence(encoder):
    assert model_card.find_licence(encoder) == "apache-2.0"


def test_a_card_names_data_settings_scores_and_hands_the_licence_on(tmp_path):
    config = loader.load(ClassifierOptions, make_job(tmp_path)())
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/README.md").write_text("---\nlicense: mit\n---\n", encoding="utf-8")
    model_card.write_card(tmp_path, "classifier", config, tmp_path / "weights", {"accuracy": 0.5, "task": "x", "per_type": {}})
    text = Path(tmp_path, model_card.NAME).read_text(encoding="utf-8")
    assert f"| train_data_file_path | {tmp_path}/train.tsv |" in text
    assert "| optimizer.learning_rate | 0.01 |" in text and "| licence of those | mit |" in text
    assert "## Scores on the evaluation file" in text and "| accuracy | 0.5 |" in text
    assert model_card.find_licence(tmp_path) == "mit"
    assert "multi_label" not in text  # of texts with one label
    config = dataclasses.replace(config, multi_label=True, thresholds=("0.4",))
    model_card.write_card(tmp_path, "classifier", config, None)
    assert "| multi_label | True |\n| thresholds | ['0.4'] |" in Path(tmp_path, model_card.NAME).read_text(encoding="utf-8")
    assert "| made from | random weights |" in Path(tmp_path, model_card.NAME).read_text(encoding="utf-8")
    assert model_card.find_licence(tmp_path) is None


def test_a_card_names_what_each_stage_was_trained_with(tmp_path):
    recipe = "bert_network: tiny\ntrain_batch_size: 8\nstages:\n- {data_dir: short, seq_length: 128, train_steps: 9}\n"
    (tmp_path / "recipe.yaml").write_text(f"{recipe}- {{data_dir: long, seq_length: 512, train_steps: 1}}\n", encoding="utf-8")
    cards = []
    for config in stages.load(PretrainOptions, [f"--config_path={tmp_path}/recipe.yaml"]):
        model_card.write_card(tmp_path, "pretrain", config, None)
        cards.append(Path(tmp_path, model_card.NAME).read_text(encoding="utf-8"))
    assert "| stages | 1 of 2 |" in cards[0] and "| data_dir | short |" in cards[0] and "long" not in cards[0]
    assert "| stages | 2 of 2 |" in cards[1] and "| data_dir | short, then long |" in cards[1]
    assert "| seq_length | 128, then 512 |" in cards[1] and "| train_batch_size | 8 |" in cards[1]
