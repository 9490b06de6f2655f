"""Settings that the fine-tuning tasks share, of their models and of their runs, and defaults that come from weights."""

import dataclasses
from pathlib import Path
from typing import Any

from easydict import EasyDict

from src import encodings
from src.config.coercion import coerce
from src.config.fields import setting
from src.config.model import ModelConfig, WeightsInfo, describe_weights, find_vocabulary_size, refuse_several_labels
from src.config.regularised import RegularisedOptions
from src.config.trainable import TrainingOptions
from src.config.training import ModelOptions
from src.formats import weights
from src.log import logger


@dataclasses.dataclass(frozen=True)
class FineTunedModel(ModelOptions):
    """What a fine-tuned model is and how its answers are read."""

    seq_length: int = setting(128, "maximum input length in tokens; longer inputs are cut (by run_ner.py in training only)", minimum=4)
    do_lower_case: bool | None = setting(
        None, "lower-case text and strip accents; default: from tokenizer_config.json, else from the vocabulary"
    )

    def __post_init__(self):
        super().__post_init__()
        self.check_length("seq_length", self.seq_length)

    @classmethod
    def complete_from(cls, tree: EasyDict, path: Path | str | None, is_trained: bool) -> None:
        """Fill in the network's shape and the vocabulary; for trained weights also the labels and the settings of their training."""
        config_file, given = tree.get("bert_config_file"), tree.get("model", {})
        if not path and not config_file:
            _fit_vocabulary(tree, given)
            return
        found = describe_weights(path, config_file)
        if not found.model and not tree.get("model"):
            if path:
                weights.find(path)  # raises if there are none
            raise ValueError(f"{path}: no config.json or bert_config.json beside it; give --bert_config_file")
        tree.model = {**found.model, **tree.get("model", {})}
        tree.setdefault("vocab_file_path", found.vocab_file)
        if not path:
            _fit_vocabulary(tree, given)
        if is_trained:
            cls.take_kind(tree, found, path or config_file)
            _add_training_settings(cls, tree, found)

    @classmethod
    def take_kind(cls, tree: EasyDict, found: WeightsInfo, where: Path | str) -> None:
        """Settings for the kind of answers that config.json tells in Hugging Face's words; a ValueError if there are none."""
        refuse_several_labels(found.problem_type, where)

    @classmethod
    def trained_elsewhere(cls, tree: EasyDict) -> dict[str, Any]:
        """Settings for weights whose config.json names labels but not how they were trained; `tree` has those of YAML and flags."""
        return {}


@dataclasses.dataclass(frozen=True)
class FineTuneOptions(FineTunedModel, RegularisedOptions, TrainingOptions):
    """Settings that all fine-tuning scripts share, under the model zoo's names if it has them."""

    do_train: bool = setting(False, "fine-tune on the training set")
    do_eval: bool = setting(False, "evaluate on the development set")
    do_predict: bool = setting(False, "predict the test set")
    save_for_serving: bool = setting(
        False, "export the trained weights to {output_dir}/serving: as ONNX, or as MINDIR if onnx or onnxruntime is not installed"
    )
    load_finetune_checkpoint_path: str | None = setting(
        None,
        "fine-tuned weights to evaluate, in any of the forms of load_pretrain_checkpoint_path; default: the best in the output folder if "
        "training kept it, else the newest",
    )
    output_dir: str = setting("./finetune", "folder of everything that is written")
    save_finetune_checkpoint_path: str | None = setting(None, "folder of checkpoints; default: {output_dir}/ckpt")
    train_data_file_path: str | None = setting(None, "training data")
    eval_data_file_path: str | None = setting(None, "development data")
    predict_data_file_path: str | None = setting(None, "data to predict; default: the test file in data_dir, else the development data")
    data_dir: str | None = setting(None, "folder with the task's usual file names")
    encoding: str | None = setting(None, encodings.HELP)
    schema_file_path: str | None = setting(None, "schema JSON of a TFRecord file")
    max_text_mb: int = setting(1024, "largest size in MB that a .gz file of texts may unpack to", minimum=1)
    seeds: tuple[int, ...] = setting(
        (), "one run for each seed, in {output_dir}/seed-N; mean and maximum are reported", minimum=0, maximum=2**32 - 1
    )
    folds: int | None = setting(
        None,
        "cross-validation: divide the training set into so many folds with equal shares of the classes; each is held out and scored in a "
        "run of its own, in {output_dir}/fold-N",
        minimum=2,
    )
    fold: int | None = setting(None, "one of the folds: this run holds it out; default: a run for each", minimum=1)
    skip_steps: int = setting(0, "first updates excluded from the reported throughput; compiling steps always are", minimum=0)

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "encoding", encodings.check_encoding(self.encoding))
        if self.bucket_list and max(self.bucket_list) != self.seq_length:
            raise ValueError(f"bucket_list={self.bucket_list}: the largest must equal seq_length={self.seq_length}")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds={','.join(map(str, self.seeds))}: a seed is given twice")
        if self.packing and self.r_drop:
            raise ValueError(f"packing=true and r_drop={self.r_drop}: give one of them")
        if self.folds and self.seeds:
            raise ValueError("folds and seeds: give one of them")
        if self.fold and self.fold > (self.folds or 0):
            raise ValueError(f"fold={self.fold}: the folds are those of --folds, {self.folds or 'which is not given'}")

    def check_run(self) -> None:
        super().check_run()
        if not (self.do_train or self.do_eval or self.do_predict):
            raise ValueError("nothing to do: give --do_train true, --do_eval true or --do_predict true")

    @property
    def fold_groups(self) -> str | None:
        """The column whose equal values mark rows that must be in one fold, a setting of classification."""
        return None

    @property
    def packs(self) -> bool:
        """As in RunOptions; by default unless a setting asks for batches of padded rows."""
        return not self.r_drop and len(self.bucket_list) <= 1 if self.packing is None else self.packing

    @classmethod
    def find_weights(cls, tree: EasyDict) -> tuple[Path | str | None, bool]:
        """Without training the trained weights, else those to start from."""
        if coerce(tree.get("do_train", False), bool, "do_train", {}):
            return super().find_weights(tree)
        own = _own_checkpoints(tree, cls.output_dir)
        start = own if Path(own).is_dir() else tree.get("load_pretrain_checkpoint_path")
        return tree.get("load_finetune_checkpoint_path") or start, True

    def for_runs(self) -> "list[FineTuneOptions]":
        """The options of each run, with folders of its own: one for each seed or fold, or one only."""
        if self.folds and not self.fold:
            does_eval = self.do_eval or self.do_train
            return [self._for_run(f"fold-{number}", fold=number, do_eval=does_eval) for number in range(1, self.folds + 1)]
        return [self._for_run(f"seed-{seed}", seed=seed, seeds=()) for seed in self.seeds] or [self]

    def _for_run(self, name, **changes):
        checkpoints = self.save_finetune_checkpoint_path and f"{self.save_finetune_checkpoint_path}/{name}"
        return dataclasses.replace(self, output_dir=f"{self.output_dir}/{name}", save_finetune_checkpoint_path=checkpoints, **changes)

    @property
    def evaluates(self) -> bool:
        return self.do_train and self.asks_for_evaluations

    @property
    def checkpoint_dir(self) -> str:
        """The folder where this run writes and looks for checkpoints."""
        return self.save_finetune_checkpoint_path or f"{self.output_dir}/ckpt"


def _fit_vocabulary(tree, given):
    """Make random weights as large as the vocabulary if it does not fit; `given` are the settings of the network by YAML and flags."""
    size = find_vocabulary_size(tree.get("vocab_file_path"))
    if size and "vocab_size" not in given and size > (before := tree.get("model", {}).get("vocab_size", ModelConfig.vocab_size)):
        logger.info(f"model.vocab_size={size}, as {tree.vocab_file_path} has more tokens than the network's {before}")
        tree.model = {**tree.get("model", {}), "vocab_size": size}


@dataclasses.dataclass(frozen=True)
class LabelledOptions(RegularisedOptions):
    """Settings of the tasks that give labels to texts or tokens."""

    label_smoothing: float = setting(0.0, "share of each label that the training loss spreads over all classes", minimum=0, maximum=0.999)
    focal_gamma: float = setting(
        0.0, "focal loss: in training a row counts (1 - p)^focal_gamma times, where p is the probability of its label", minimum=0
    )
    multi_sample_dropout: int = setting(
        1, "predictions of each row in training, by different dropout in the head; their mean loss counts", minimum=1
    )

    def __post_init__(self):
        super().__post_init__()
        samples = self.multi_sample_dropout
        if self.label_smoothing and self.focal_gamma:
            raise ValueError("label_smoothing and focal_gamma: give one of them")
        if samples > 1 and not self.model.hidden_dropout_prob:
            raise ValueError(f"multi_sample_dropout={samples}: all predictions are alike where model.hidden_dropout_prob=0")
        if samples > 1 and self.r_drop:
            raise ValueError(f"multi_sample_dropout={samples} and r_drop={self.r_drop}: give one of them")


def _own_checkpoints(tree, output_dir):
    """The folder of this run's checkpoints, as in FineTuneOptions; with several seeds or folds, the first one's."""
    saved, folder = tree.get("save_finetune_checkpoint_path"), tree.get("output_dir", output_dir)
    seeds = coerce(tree.get("seeds") or (), tuple[int, ...], "seeds", {})
    if seeds or tree.get("folds") and not tree.get("fold"):
        name = f"seed-{seeds[0]}" if seeds else "fold-1"
        saved, folder = saved and f"{saved}/{name}", f"{folder}/{name}"
    return saved or f"{folder}/ckpt"


def _add_training_settings(cls, tree, found):
    labels = coerce(tree.get("labels") or (), tuple[str, ...], "labels", {})
    if labels and found.labels and labels != found.labels:
        raise ValueError(f"labels={','.join(labels)}: the weights were trained with {','.join(found.labels)}")
    if found.labels and "labels" in cls.__dataclass_fields__:  # not another task's labels
        tree.labels = list(found.labels)
    other_task = tree.get("task_name", found.trained_with.get("task_name")) != found.trained_with.get("task_name")
    for key, value in (found.trained_with or (cls.trained_elsewhere(tree) if found.labels else {})).items():
        if value is not None and not (other_task and key in ("columns", "language")):
            tree.setdefault(key, value)
