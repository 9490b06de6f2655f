"""An export: the graph of trained weights, run beside the network on the same sentences, and the bundle around it."""

import dataclasses
from importlib.util import find_spec
from pathlib import Path

from src import signals
from src.bundle import folder as bundle_folder
from src.bundle.model import Bundle
from src.config import loader
from src.export import mindir
from src.export.comparison import compare, kind_of
from src.files import hidden_folder, move_whole
from src.formats import weights
from src.log import logger, shorten
from src.tasks import fine_tuning
from src.tasks.classifier.rows import make_task
from src.text.tokenization import Tokenizer
from src.train import checkpoint, runs

_FILES = {"onnx": "model.onnx", "int8": "model.int8.onnx", "mindir": "model.mindir"}
_SETTINGS = {
    "classifier": ("task_name", "seq_length", "head", "cnn_batch_norm"),
    "ner": ("seq_length", "use_crf", "with_lstm", "crf_constraints", "tagged_pieces"),
    "squad": (
        *("seq_length", "doc_stride", "max_query_length", "language", "version_2_with_negative"),
        *("null_score_diff_threshold", "n_best_size", "max_answer_length"),
    ),
    "pretrain": (),
}


def choose_format():
    """ONNX where its package is installed, else MINDIR."""
    return "ONNX" if find_spec("onnx") and find_spec("onnxruntime") else "MINDIR"


def export(task, config, path, output, file_format, name=None, quantised=False):
    """Write a bundle and compare its graphs with the network.

    Args:
        task: a task module. config: its options, the device started.
        path: weights, see `weights.find`.
        output: folder that is absent, empty or holds a bundle; graphs of the other format that a bundle there has are dropped.
        file_format: ONNX or MINDIR.
        name: of the model; default: that of the task.
        quantised: whether to add an int8 graph to the ONNX one.

    Raises:
        DifferentOutputs: by more than TOLERANCE; nothing is written then. ValueError, FileNotFoundError: of the input.
    """
    name = name or kind_of(task)
    bundle_folder.check_target(output)
    config = _settle(task, config, path)
    network = _make_network(task, config, path)
    output = Path(output)
    if output.resolve() in (weights.find(path).parent.resolve(), weights.find(path).resolve().parent):
        raise ValueError(f"--output {output}: the weights are there, and their config.json would be replaced; give another folder")
    with hidden_folder(output) as hidden:
        kinds = _write_graphs(task, config, path, network, hidden, file_format, quantised)
        settings, graphs = _find_settings(task, config), {kind: _FILES[kind] for kind in kinds}
        compare(task, config, network, hidden, {kind: hidden / file for kind, file in graphs.items()}, settings.get("pairs", False))
        labels = config.labels if kind_of(task) in ("classifier", "ner") and not _is_regression(config) else ()
        tokenizer = Tokenizer(config.vocab_file_path, getattr(config, "do_lower_case", None)).description
        trained_with = {key: getattr(config, key) for key in getattr(config, "TRAINED_WITH", ())}
        checkpoint.write_description(hidden, dataclasses.asdict(config.model), labels, config.vocab_file_path, tokenizer, trained_with)
        bundle_folder.write(hidden, name, kind_of(task), settings, labels, graphs)
        if kind_of(task) != "pretrain" and file_format == "ONNX":
            for kind in kinds:
                Bundle(hidden, kind)  # refuses parts that do not fit
        signals.leave_if_told()
        _move(hidden, output)
    logger.info(f"wrote {output}: {', '.join(_FILES[kind] for kind in kinds)} name={name}")


def save_for_serving(task, options):
    """Export what a fine-tuning script has trained, of several seeds each, to {output_dir}/serving.

    Args:
        task: a task module. options: FineTuneOptions whose device is started.
    """
    if not options.device.writes:
        return
    for part in [options.for_seed(seed) for seed in options.seeds] or [options]:
        path = runs.find_trained(task, part)
        flags = {"do_predict": "true", "load_finetune_checkpoint_path": path, "output_dir": part.output_dir}
        flags |= {key: getattr(part, key) for key in _SETTINGS[kind_of(task)] if key not in part.TRAINED_WITH}  # no checkpoint tells them
        trained = loader.load(type(options), [f"--{key}={value}" for key, value in flags.items()])
        vocab_file = trained.vocab_file_path or part.vocab_file_path
        trained = dataclasses.replace(trained, device=part.device, vocab_file_path=vocab_file)
        export(task, trained, path, f"{part.output_dir}/serving", choose_format())


def _is_regression(config):
    return getattr(config, "is_regression", False)


def _settle(task, config, path):
    """The options with labels, where neither weights nor flags name them one for each output of the head; what contradicts is refused."""
    if kind_of(task) == "classifier" and not _is_regression(config) and not config.labels:
        known = () if config.task_name == "custom" else make_task(config.task_name, None, config.language).labels
        count = len(weights.read(path).arrays.get("head.dense.bias", (0, 0)))  # load_weights tells what to do where there is none
        labels = known if len(known) == count else tuple(f"LABEL_{number}" for number in range(count))
        if labels == known:
            fine_tuning.warn_of_order(labels)
        config = dataclasses.replace(config, labels=labels)
    if kind_of(task) == "classifier" and config.task_name == "custom" and not config.columns:
        logger.warning("nothing tells whether the texts were pairs: single ones are taken; --columns text_a=0,text_b=1 says otherwise")
    if kind_of(task) == "ner" and not config.labels:
        raise ValueError("the weights name no tags: give --label2id_file_path")
    if not config.vocab_file_path:
        raise ValueError("no vocab.txt or tokenizer.json beside the weights: give --vocab_file_path")
    if kind_of(task) == "classifier":
        count = 1 if _is_regression(config) else len(config.labels)
        if config.num_class not in (None, count):
            raise ValueError(f"num_class={config.num_class}: the weights have {count} classes: {shorten(config.labels)}")
        config = dataclasses.replace(config, num_class=count)
    return config


def _find_settings(task, config):
    settings = {key: getattr(config, key) for key in _SETTINGS[kind_of(task)]}
    if kind_of(task) == "classifier":
        known = make_task(config.task_name, config.columns or "text_a=0", config.language)
        columns = known.indexed or known.named[0]
        settings |= {"regression": _is_regression(config), "pairs": columns.text_b is not None}
    return settings


def _make_network(task, config, path):
    """The network with its weights, made of ops that every device has."""
    plain = dataclasses.replace(config.device, compute_type="float32", native_library=None)
    network = task.network(dataclasses.replace(config, device=plain))
    checkpoint.load_weights(network, path, whole=True)
    return network.set_train(False)


def _write_graphs(task, config, path, network, folder, file_format, quantised):
    """Graph files; gives their kinds."""
    if file_format == "MINDIR":
        mindir.write(network, task.INPUTS, folder / _FILES["mindir"])
        return ["mindir"]
    try:
        import onnxruntime  # noqa: F401 (which runs what is written)

        from src.export import int8, onnx_graph  # of packages that only serving needs
    except ImportError as error:
        raise ValueError(f"file_format=ONNX: {error}: pip install -r requirements-serve.txt") from None
    arrays = {name: parameter.asnumpy() for name, parameter in network.parameters_dict().items()}
    settings = _find_settings(task, config) | {"labels": list(getattr(config, "labels", ()))}
    onnx_graph.save(onnx_graph.build(config.model, arrays, kind_of(task), settings), folder / _FILES["onnx"])
    if not quantised:
        return ["onnx"]
    int8.quantize(folder / _FILES["onnx"], folder / _FILES["int8"])
    return ["onnx", "int8"]


def _move(hidden, output):
    """Put the files in place, bundle.json last, whose digests refuse a mixture; other graphs of an older bundle go."""
    names = {file.name for file in hidden.iterdir()}
    for name in sorted({*names, *_FILES.values()}):
        if (output / name).is_dir():
            raise ValueError(f"--output {output}: {name} is a folder there; the bundle has a file of this name")
    move_whole([hidden / name for name in sorted(names, key=lambda name: name == bundle_folder.NAME)], output)
    for stale in set(_FILES.values()) - names:
        (output / stale).unlink(missing_ok=True)
