"""Results of a run on named entities: result lines, eval_results, CLUE's files, predictions."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from src.files import write_text
from src.log import logger
from src.tasks.ner import measures
from src.tasks.ner.rows import find_entities, merge_windows
from src.tasks.ner.span_rows import find_span_entities
from src.tasks.ner.tags import make_tag_set
from src.tasks.results import write_results
from src.tasks.task import Prepared


def score(prepared: Prepared, outputs: Sequence[Any]) -> dict[str, Any]:
    """Measures of an evaluation against all entities of the file, including those that its tokens cannot represent exactly.

    Args:
        prepared: has the rows of the eval split and the sentences that they were made from.
        outputs: for each row tags int32 [S], or of a pointer spans int32 [K, 3], loss and count, as three lists; see TaggerScores and
            PointerScores.

    Returns:
        eval_loss, num_examples, of tags accuracy (of tokens) and num_tokens, and the result of `entity_metrics`; `legacy` if it is asked
        for.
    """
    config, records, sentences = prepared.config, prepared.records["eval"], prepared.sources["eval"]
    found, losses, counts = outputs
    predicted = _find_entities(config, records, found)
    gold = _find_entities(config, records, _take_labels(config, records)) if sentences is None else [each.entities for each in sentences]
    metrics = {
        "eval_loss": float(np.sum(losses, dtype=np.float64) / max(np.sum(counts, dtype=np.float64), 1)),
        "num_examples": len(gold),
        **({} if config.is_pointer else _score_tokens(records, found)),
        **measures.entity_metrics(gold, predicted),
    }
    if config.legacy_metrics:
        metrics["legacy"] = _score_as_the_zoo(config, _keep_tagged(records, found), records, sentences, gold, predicted)
    return metrics


def _score_tokens(records, tags):
    """The share of labelled tokens with the right tag, and their number."""
    labels, found = [_merge(records, values) for values in (_split(records, "label_ids"), _keep_tagged(records, tags))]
    correct, total = measures.token_accuracy(*(np.concatenate([values for *_, values in each]) for each in (labels, found)))
    return {"accuracy": correct / max(total, 1), "num_tokens": total}


def report_evaluation(prepared: Prepared, outputs: Sequence[Any], global_step: int | None) -> dict[str, Any]:
    """Print the result that --assessment_method names; write eval_results.json and .txt, and ner_predict.json for clue_benchmark.

    Returns:
        The content of eval_results.json.
    """
    config, records, metrics = prepared.config, prepared.records["eval"], score(prepared, outputs)
    if config.assessment_method == "clue_benchmark":
        path = f"{config.output_dir}/ner_predict.json"
        _write_clue(path, prepared.sources["eval"], _find_entities(config, records, outputs[0]))
    _print_result(config.assessment_method, metrics)
    results = {"task": config.task_name, "global_step": global_step, "loss": metrics["eval_loss"], **metrics}
    write_results(config, results)
    return results


def tabulate(prepared: Prepared, outputs: Sequence[Any]) -> tuple[list[str], list[list[str]]]:
    """Text, true and predicted entities of each sentence of an evaluation: header and rows. Entities are JSON as in predictions.jsonl."""
    config, records, sentences = prepared.config, prepared.records["eval"], prepared.sources["eval"]
    predicted = _find_entities(config, records, outputs[0])
    rows = []
    for sentence, found in zip(sentences, predicted, strict=True):
        columns = [_describe_entities(sentence.text, entities) for entities in (sentence.entities, found)]
        rows.append([sentence.text, *(json.dumps(entities, ensure_ascii=False) for entities in columns)])
    return ["text", "entities", "predicted_entities"], rows


def report_predictions(prepared: Prepared, outputs: Sequence[Any]) -> None:
    """Write predictions.jsonl: text and entities of every sentence, in input order; and cluener_predict.json for clue_benchmark."""
    config, records, sentences = prepared.config, prepared.records["predict"], prepared.sources["predict"]
    predicted = _find_entities(config, records, outputs[0])
    lines = []
    for sentence, entities in zip(sentences, predicted, strict=True):
        found = _describe_entities(sentence.text, entities)
        lines.append(json.dumps({"text": sentence.text, "entities": found}, ensure_ascii=False) + "\n")
    write_text(f"{config.output_dir}/predictions.jsonl", "".join(lines))
    if config.assessment_method == "clue_benchmark":
        _write_clue(f"{config.output_dir}/cluener_predict.json", sentences, predicted)
    count = sum(map(len, predicted))
    logger.info(f"wrote {config.output_dir}/predictions.jsonl, {len(sentences)} sentences, {count} entities")


def _describe_entities(text, entities):
    return [{"type": kind, "start": start, "end": end, "text": text[start:end]} for kind, start, end in entities]


def _keep_tagged(records, tags):
    """The tags of each row without its padding; -1 at tokens without a label, where predictions have no meaning."""
    return [np.where(label_ids < 0, -1, row[: len(label_ids)]) for label_ids, row in zip(_split(records, "label_ids"), tags)]


def _merge(records, values):
    """(starts, ends, values) over the tokens of each sentence, merged from the values of its rows."""
    starts, ends = _split(records, "starts"), _split(records, "ends")
    return merge_windows(records.rows["sentence"].tolist(), records.lengths.tolist(), starts, ends, values)


def _find_entities(config, records, found):
    """Entities of each sentence in characters, or in tokens for records without text, from the tags or the spans of each row."""
    if config.is_pointer:
        starts, ends = _split(records, "starts"), _split(records, "ends")
        return find_span_entities(config.labels, records.rows["sentence"].tolist(), records.lengths.tolist(), starts, ends, found)
    tag_set = make_tag_set(config.labels)
    return [find_entities(tag_set, starts, ends, tags.tolist()) for starts, ends, tags in _merge(records, _keep_tagged(records, found))]


def _take_labels(config, records):
    """The labels of each row in the form of a network's output."""
    return records.rows["label_ids"] if config.is_pointer else _split(records, "label_ids")


def _split(records, name):
    """A token column, split into one array per row."""
    return np.split(np.asarray(records.tokens[name]), records.starts[1:])


def _score_as_the_zoo(config, tags, records, sentences, gold, predicted):
    """The model zoo's measures over all positions of the padded rows, and over the entities' texts if there are texts.

    The zoo trains the network to tag [CLS], [SEP] and padding as O; here they have no tags, and count as O.
    """
    labels, guesses = np.zeros((2, len(tags), config.seq_length), np.int32)
    for number, (label_ids, row) in enumerate(zip(_split(records, "label_ids"), tags)):
        tagged = slice(1, len(label_ids) - 1)
        labels[number, tagged], guesses[number, tagged] = label_ids[tagged], np.maximum(row[tagged], 0)
    found = measures.legacy_metrics(labels, guesses)
    if sentences is not None:
        pairs = ([_with_texts(*pair) for pair in zip(sentences, entities)] for entities in (gold, predicted))
        found["clue_benchmark"] = measures.legacy_entity_metrics(*pairs)
    return found


def _with_texts(sentence, entities):
    return [(kind, sentence.text[start:end]) for kind, start, end in entities]


def _print_result(method, metrics):
    """Result lines in the form of the model zoo's."""
    legacy = metrics.get("legacy")
    if method == "accuracy":
        correct = round(metrics["accuracy"] * metrics["num_tokens"])
        total, accuracy = metrics["num_tokens"], metrics["accuracy"]
        if legacy:
            correct, total, accuracy = legacy["num_correct"], legacy["num_places"], legacy["accuracy"]
        print(f"acc_num {correct}, total_num {total}, accuracy {accuracy:.6f}", flush=True)
    elif method == "mf1":
        print(f"F1 {legacy['mf1'] if legacy else metrics['macro_f1']:.6f}", flush=True)
    elif method == "clue_benchmark":
        found = legacy["clue_benchmark"] if legacy else metrics
        _print_types(found["per_type"])
        print(f"F1 {found['macro_f1']:.6f}", flush=True)
    else:
        found = legacy if legacy else metrics
        print(f"Precision {found['precision']:.6f}\nRecall {found['recall']:.6f}\nF1 {found['f1']:.6f}", flush=True)
        if method == "entity":
            print(f"Macro F1 {metrics['macro_f1']:.6f}", flush=True)
            _print_types(metrics["per_type"])


def _print_types(per_type):
    """Print a table with a line for each type."""
    width = max([len("type"), *map(len, per_type)])
    print(f"{'type':{width}}  precision  recall      f1  support")
    for name, rates in per_type.items():
        print(f"{name:{width}}     {rates['precision']:.4f}  {rates['recall']:.4f}  {rates['f1']:.4f}  {rates['support']:7d}", flush=True)


def _write_clue(path, sentences, predicted):
    """CLUE's submission: for each sentence {"id", "label": {type: {text: [[start, last], …]}}}."""
    lines = []
    for number, (sentence, entities) in enumerate(zip(sentences, predicted, strict=True)):
        label: dict[str, dict[str, list[list[int]]]] = {}
        for kind, start, end in entities:
            label.setdefault(kind, {}).setdefault(sentence.text[start:end], []).append([start, end - 1])
        lines.append(json.dumps({"id": number if sentence.id is None else sentence.id, "label": label}, ensure_ascii=False) + "\n")
    write_text(path, "".join(lines))
    logger.info(f"wrote {path}")
