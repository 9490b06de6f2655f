"""Settings that every fine-tuning script shares, and what they take from the weights that a run starts from."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

from easydict import EasyDict

from src.config.coercion import coerce
from src.config.fields import setting
from src.config.model import describe_weights, refuse_several_labels
from src.config.trainable import TrainingOptions
from src.formats import weights


def run_folder(folder: str, seed: int) -> str:
    """The folder of one of several runs."""
    return f"{folder}/seed-{seed}"


@dataclasses.dataclass(frozen=True)
class FineTuneOptions(TrainingOptions):
    """Flags that all fine-tuning scripts share, by the model zoo's names where it had them."""

    TRAINED: ClassVar[str] = "load_finetune_checkpoint_path"  # the setting that names weights of this task

    do_train: bool = setting(False, "fine-tune on the training set")
    do_eval: bool = setting(False, "evaluate on the development set")
    do_predict: bool = setting(False, "predict the test set")
    save_for_serving: bool = setting(
        False, "export the trained weights to {output_dir}/serving: ONNX, MINDIR where onnx and onnxruntime are not installed"
    )
    seq_length: int = setting(128, "longest input in tokens; longer ones are cut (run_ner.py: in training only)", minimum=4)
    do_lower_case: bool | None = setting(None, "lower-case, strip accents; default: as tokenizer_config.json says, else by the vocabulary")
    load_finetune_checkpoint_path: str | None = setting(
        None, "fine-tuned weights to evaluate, in any of these forms; default: the newest in the output folder"
    )
    output_dir: str = setting("./finetune", "folder of everything that is written")
    save_finetune_checkpoint_path: str | None = setting(None, "folder of checkpoints; default: {output_dir}/ckpt")
    train_data_file_path: str | None = setting(None, "training data")
    eval_data_file_path: str | None = setting(None, "development data")
    predict_data_file_path: str | None = setting(None, "rows to predict; default: the test file in data_dir, else the development data")
    data_dir: str | None = setting(None, "folder with the task's usual file names")
    schema_file_path: str | None = setting(None, "schema JSON of a TFRecord file")
    seeds: tuple[int, ...] = setting(
        (), "several runs, each in {output_dir}/seed-N; reports mean and maximum", minimum=0, maximum=2**32 - 1
    )
    skip_steps: int = setting(0, "first updates that do not count for the rates; those that compile never do", minimum=0)

    def __post_init__(self):
        super().__post_init__()
        self.check_length("seq_length", self.seq_length)
        if self.bucket_list and max(self.bucket_list) != self.seq_length:
            raise ValueError(f"bucket_list={self.bucket_list}: the largest must equal seq_length={self.seq_length}")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds={','.join(map(str, self.seeds))}: a seed stands there twice")

    def check_run(self) -> None:
        if not (self.do_train or self.do_eval or self.do_predict):
            raise ValueError("nothing to do: give --do_train true, --do_eval true or --do_predict true")

    @classmethod
    def complete(cls, tree: EasyDict) -> None:
        """Let what lies beside the weights stand in for what YAML and flags leave open in `tree`: shape, vocabulary, and without
        training also the labels and settings that the weights were trained with: results follow from them."""
        path, config_file = tree.get("load_pretrain_checkpoint_path"), tree.get("bert_config_file")
        is_training = coerce(tree.get("do_train", False), bool, "do_train", {})
        if not is_training:
            own = _own_checkpoints(tree, cls.output_dir)
            path = tree.get("load_finetune_checkpoint_path") or (own if Path(own).is_dir() else path)
        if not path and not config_file:
            return
        found = describe_weights(path, config_file)
        if not found.model and not tree.get("model"):
            if path:
                weights.find(path)  # raises where there are none
            raise ValueError(f"{path}: no config.json or bert_config.json beside it; give --bert_config_file")
        tree.model = {**found.model, **tree.get("model", {})}
        tree.setdefault("vocab_file_path", found.vocab_file)
        if not is_training:
            refuse_several_labels(found.problem_type, path)
            _add_training_settings(cls, tree, found)

    @classmethod
    def trained_elsewhere(cls, tree: EasyDict) -> dict[str, Any]:
        """Settings of weights whose config.json names labels, but not how they were trained: dict; `tree` is what YAML and flags give."""
        return {}

    def for_seed(self, seed: int) -> "FineTuneOptions":
        """The options of one of several runs: its own seed and its own folders."""
        checkpoints = self.save_finetune_checkpoint_path
        checkpoints = run_folder(checkpoints, seed) if checkpoints else checkpoints
        folder = run_folder(self.output_dir, seed)
        return dataclasses.replace(self, seed=seed, seeds=(), output_dir=folder, save_finetune_checkpoint_path=checkpoints)

    @property
    def checkpoint_dir(self) -> str:
        """Folder that this run's checkpoints are written to and looked for in."""
        return self.save_finetune_checkpoint_path or f"{self.output_dir}/ckpt"


def _own_checkpoints(tree, output_dir):
    """The folder that this run's checkpoints lie in, as FineTuneOptions has it; of several seeds that of the first."""
    saved, folder = tree.get("save_finetune_checkpoint_path"), tree.get("output_dir", output_dir)
    seeds = coerce(tree.get("seeds") or (), tuple[int, ...], "seeds", {})
    if seeds:
        saved, folder = saved and run_folder(saved, seeds[0]), run_folder(folder, seeds[0])
    return saved or f"{folder}/ckpt"


def _add_training_settings(cls, tree, found):
    labels = coerce(tree.get("labels") or (), tuple[str, ...], "labels", {})
    if labels and found.labels and labels != found.labels:
        raise ValueError(f"labels={','.join(labels)}: the weights were trained with {','.join(found.labels)}")
    if found.labels and hasattr(cls, "labels"):  # not those of another task
        tree.labels = list(found.labels)
    other_task = tree.get("task_name", found.trained_with.get("task_name")) != found.trained_with.get("task_name")
    for key, value in (found.trained_with or (cls.trained_elsewhere(tree) if found.labels else {})).items():
        if value is not None and not (other_task and key in ("columns", "language")):
            tree.setdefault(key, value)
