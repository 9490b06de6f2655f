"""Classification of texts and pairs: data, network, loss, scores, and the files that a run leaves."""

import csv
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
from scipy.special import softmax

from src.data import records
from src.data.classifier import collect_labels, encode_examples, make_task, read_examples
from src.data.tokenization import Tokenizer
from src.files import make_folder, write_text
from src.log import logger
from src.metrics.classification import classification_metrics
from src.models.heads import Classifier
from src.models.losses import ClassificationLoss

NAME = "classifier"
INPUTS = ("input_ids", "input_mask", "token_type_ids")
TARGETS = ("label_ids", "weights")
_SPLITS = {"train": 0, "eval": 1, "predict": 2}
_EXAMPLES_SHOWN = 3
_RESULT_NAMES = {"mcc": "MCC", "spearman_correlation": "Spearman Correlation", "auc": "AUC"}


def prepare(config):
    """Settle what depends on the data: labels and casing; check that data, vocabulary and network fit each other.

    Returns:
        config with labels, num_class, vocab_file_path and do_lower_case filled in.

    Raises:
        ValueError, FileNotFoundError: naming what is missing or does not fit.
    """
    make_folder(config.output_dir)
    splits = [split for split, wanted in (("train", config.do_train), ("eval", config.do_eval), ("predict", config.do_predict)) if wanted]
    paths = {split: data_file(config, split) for split in splits}
    if not config.vocab_file_path:
        raise ValueError("no vocabulary: there is no vocab.txt beside the weights; give --vocab_file_path")
    tokenizer = Tokenizer(config.vocab_file_path, config.do_lower_case)
    casing = f"do_lower_case={str(tokenizer.do_lower_case).lower()}, {tokenizer.casing_reason}"
    logger.info(f"vocabulary {config.vocab_file_path} tokens={len(tokenizer.vocabulary)} {casing}")
    if len(tokenizer.vocabulary) > config.model.vocab_size:
        raise ValueError(
            f"{config.vocab_file_path}: {len(tokenizer.vocabulary)} tokens do not fit model.vocab_size={config.model.vocab_size}"
        )
    labels = config.labels or _find_labels(config, paths)
    if config.num_class not in (None, len(labels)):
        raise ValueError(f"num_class={config.num_class}, but the labels are {len(labels)}: {', '.join(labels[:20])}")
    if len(labels) < 2:
        raise ValueError(f"{next(iter(paths.values()))}: one label only, {labels}: nothing to tell apart")
    if config.eval_data_shuffle:
        logger.warning("eval_data_shuffle=true is ignored: results do not depend on the order")
    logger.info(f"task {config.task_name} labels={','.join(labels[:20])}{'…' if len(labels) > 20 else ''}")
    config = dataclasses.replace(config, labels=labels, num_class=len(labels), do_lower_case=tokenizer.do_lower_case)
    for split in splits:
        dataset(config, split)
    return config


def data_file(config, split):
    """The file of a split: as given by its flag, else the task's usual name in data_dir.

    Raises:
        ValueError: no flag says where it is. FileNotFoundError: it is not there.
    """
    given = getattr(config, f"{split}_data_file_path")
    if not given and config.data_dir:
        name = make_task(config.task_name, config.columns).files[_SPLITS[split]]
        candidates = [Path(config.data_dir) / name, Path(config.data_dir) / f"{name}.gz"]
        given = next((path for path in candidates if path.is_file()), None)
        if given is None and split != "predict":
            raise FileNotFoundError(f"{candidates[0]}: no such file; it should hold the {split} split of {config.task_name}")
    if not given and split == "predict":
        return data_file(config, "eval")
    if not given:
        raise ValueError(f"no data for the {split} split: give --{split}_data_file_path or --data_dir")
    if not Path(given).is_file():
        raise FileNotFoundError(f"{given}: {'a folder' if Path(given).is_dir() else 'no such file'} (the {split} split)")
    return Path(given)


def dataset(config, split):
    """The RecordSet of a split; tokenised once and kept in {output_dir}/cache."""
    path = data_file(config, split)
    settings = (config.do_lower_case, config.seq_length, config.task_name, config.columns, config.labels, split == "predict")
    key = records.make_key(path, Path(config.vocab_file_path), *settings)
    folder = Path(config.output_dir) / "cache" / f"{split}-{key}"
    return records.cached_records(folder, lambda: _make_rows(config, path, split))


def network(config):
    """Network from token ids to logits [B, C]."""
    return Classifier(config.model, config.device, config.num_class)


def loss(config):
    """Cross-entropy on those logits."""
    return ClassificationLoss()


def score(config, outputs, targets):
    """Measures of an evaluation.

    Args:
        outputs: float32 [rows, C] logits.
        targets: {"label_ids": int32 [rows]}.
    """
    return classification_metrics(outputs, targets["label_ids"])


def report_evaluation(config, outputs, targets, global_step):
    """Print the result as the model zoo does; write eval_results.json and .txt, and evaluation.csv for the figures."""
    metrics = score(config, outputs, targets)
    num_examples = metrics["num_examples"]
    probabilities = softmax(np.asarray(outputs, np.float64), axis=1)
    rows = [
        [config.labels[label], config.labels[int(row.argmax())], *(f"{value:.9g}" for value in row)]
        for label, row in zip(targets["label_ids"], probabilities)
    ]
    _write_csv(f"{config.output_dir}/evaluation.csv", ["label", "predicted_label", *config.labels], rows)
    if config.assessment_method == "f1":
        print(f"Precision {metrics['precision']:.6f}\nRecall {metrics['recall']:.6f}\nF1 {metrics['f1']:.6f}")
    elif config.assessment_method != "accuracy":
        value = metrics.get(config.assessment_method)
        print(f"{_RESULT_NAMES[config.assessment_method]} {'undefined for these labels' if value is None else f'{value:.6f}'}")
    correct = round(metrics["accuracy"] * num_examples)
    print(f"acc_num {correct}, total_num {num_examples}, accuracy {metrics['accuracy']:.6f}", flush=True)
    results = {
        "task": config.task_name,
        "global_step": global_step,
        "loss": metrics["eval_loss"],
        "eval_accuracy": metrics["accuracy"],
        **metrics,
    }
    write_text(f"{config.output_dir}/eval_results.json", json.dumps(results, indent=2) + "\n")
    write_text(f"{config.output_dir}/eval_results.txt", "".join(f"{key} = {value}\n" for key, value in results.items()))


def report_predictions(config, outputs):
    """Write test_results.tsv (probabilities) and predictions.csv (texts, labels, margins), rows in input order."""
    probabilities = softmax(np.asarray(outputs, np.float64), axis=1)
    table = "".join("\t".join(f"{value:.9g}" for value in row) + "\n" for row in probabilities)
    write_text(f"{config.output_dir}/test_results.tsv", table)
    path = data_file(config, "predict")
    if records.is_record_file(path):
        logger.warning(f"{path}: holds no texts; predictions.csv is not written, test_results.tsv is")
        return
    examples = read_examples(path, make_task(config.task_name, config.columns), with_labels=False)
    rows = []
    for example, row in zip(examples, probabilities):
        second, first = np.sort(row)[-2:]
        predicted = config.labels[int(row.argmax())]
        rows.append([example.text_a, example.text_b or "", example.label or "", f"{first:.6f}", predicted, f"{first - second:.6f}"])
    header = ["text_a", "text_b", "label", "probability", "predicted_label", "margin"]
    _write_csv(f"{config.output_dir}/predictions.csv", header, rows)
    logger.info(f"wrote {config.output_dir}/test_results.tsv and predictions.csv, {len(examples)} rows")


def _write_csv(path, header, rows):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_text(path, text.getvalue())


def _find_labels(config, paths):
    """Label names of the task, else of the training file (of the evaluation file where nothing is trained)."""
    if not config.do_train:
        logger.warning("the checkpoint names no labels; taking them from the task or the data")
    path = paths.get("train") or next(iter(paths.values()))
    if not records.is_record_file(path):
        task = make_task(config.task_name, config.columns)
        return task.labels or collect_labels(read_examples(path, task, with_labels=True))
    if config.task_name != "custom":
        return make_task(config.task_name, config.columns).labels
    if config.num_class is None:
        raise ValueError(f"{path}: holds label numbers only: give --num_class")
    return tuple(str(number) for number in range(config.num_class))


def _make_rows(config, path, split):
    if records.is_record_file(path):
        rows = records.read_record_file(path, NAME, config.schema_file_path)
        _check_rows(config, path, rows)
        return rows
    examples = read_examples(path, make_task(config.task_name, config.columns), with_labels=split != "predict")
    if split == "predict":
        examples = [dataclasses.replace(example, label=None) for example in examples]
    tokenizer = Tokenizer(config.vocab_file_path, config.do_lower_case)
    rows = encode_examples(path, examples, tokenizer, config.labels, config.seq_length)
    if examples[0].text_b is not None and config.model.type_vocab_size < 2:
        raise ValueError(f"{path}: holds pairs of texts, which need two segments, but model.type_vocab_size=1")
    for example, row in list(zip(examples, rows))[:_EXAMPLES_SHOWN]:
        _show_example(split, example, row, tokenizer)
    return rows


def _show_example(split, example, row, tokenizer):
    """Log a row as text, tokens, ids, mask and label: the first look that finds most mistakes."""
    fields = {
        "text": example.text_a if example.text_b is None else f"{example.text_a} ||| {example.text_b}",
        "tokens": " ".join(tokenizer.tokens[number] for number in row["input_ids"]),
        "ids": " ".join(map(str, row["input_ids"])),
        "mask": " ".join("1" for _ in row["input_ids"]),
        "label": f"{example.label} (id {row['label_ids']})",
    }
    logger.info(f"{split} example line={example.line}" + "".join(f"\n  {name}: {value}" for name, value in fields.items()))


def _check_rows(config, path, rows):
    """Ready-made records must fit the network: ids, lengths, labels."""
    largest = max(int(np.max(row["input_ids"])) for row in rows)
    segments = max(int(np.max(row["token_type_ids"])) for row in rows)
    longest = max(len(row["input_ids"]) for row in rows)
    labels = {int(row["label_ids"][0]) for row in rows}
    if largest >= config.model.vocab_size:
        raise ValueError(f"{path}: token id {largest} does not fit model.vocab_size={config.model.vocab_size}")
    if segments >= config.model.type_vocab_size:
        raise ValueError(f"{path}: segment {segments} does not fit model.type_vocab_size={config.model.type_vocab_size}")
    if longest > config.seq_length:
        raise ValueError(f"{path}: a row has {longest} tokens, seq_length={config.seq_length}")
    if min(labels) < 0 or max(labels) >= len(config.labels):
        raise ValueError(f"{path}: label ids {min(labels)} to {max(labels)}, num_class={len(config.labels)}")
