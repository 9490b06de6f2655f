"""Export of trained weights: the graph, its comparison with the network, and the bundle around it."""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mindspore import nn

from src import signals
from src.bundle import folder as bundle_folder
from src.bundle.model import Bundle, is_example
from src.config.training import DeviceSettings
from src.export import mindir
from src.export.comparison import compare, make_examples
from src.files import move_whole
from src.formats import weights
from src.locks import hidden_folder
from src.log import logger
from src.tasks.task import Description, Task
from src.text.tokenization import Tokenizer
from src.train import model_card, model_files

_FILES = {"onnx": "model.onnx", "int8": "model.int8.onnx", "mindir": "model.mindir"}


def choose_format() -> str:
    """ONNX if its packages are installed, else MINDIR."""
    return "ONNX" if find_spec("onnx") and find_spec("onnxruntime") else "MINDIR"


def export(
    task: Task,
    config: Any,
    path: Path | str,
    output: Path | str,
    file_format: str,
    name: str | None = None,
    quantised: bool = False,
    static_shapes: Sequence[tuple[int, int]] = (),
    example: str | None = None,
) -> None:
    """Write a bundle and compare its graphs with the network.

    Args:
        config: the task's settings of a model, or options of a run; the device has been started.
        path: weights, see `weights.find`.
        output: a folder that is absent, empty or has a bundle, whose graphs of the other format are removed.
        file_format: ONNX or MINDIR.
        name: name of the model; default: the task's.
        quantised: whether to add an int8 graph to the ONNX one.
        static_shapes: batch size and length of copies of the ONNX graph; see `static_shapes.write`.
        example: the instance that the served page shows first; see `read_example`.

    Raises:
        DifferentOutputs: the outputs differ by more than TOLERANCE; nothing is written.
        ValueError, FileNotFoundError: the input is wrong.
    """
    name = name or task.name
    bundle_folder.check_target(output)
    config = task.export.settle(config, path)
    if not config.vocab_file_path:
        raise ValueError("no vocab.txt or tokenizer.json beside the weights: give --vocab_file_path")
    for _, length in static_shapes:
        config.check_length("static_shapes", length)
    settings, labels = task.export.make_settings(config), config.labels
    if example is not None:
        settings["example"] = read_example(task, settings, example)
    tokenizer = Tokenizer(config.vocab_file_path, config.do_lower_case)
    network = make_network(task, config, weights.find(path, use_best=config.use_best))
    output = Path(output)
    if output.resolve() in (Path(path).resolve(), weights.find(path).parent.resolve(), weights.find(path).resolve().parent):
        raise ValueError(f"--output {output}: the weights are there, and their config.json would be replaced; give another folder")
    with hidden_folder(output) as hidden:
        kinds = _write_graphs(task, config, path, network, hidden, file_format, quantised)
        graphs = {kind: _FILES[kind] for kind in kinds}
        compare(task, config, tokenizer, network, hidden, {kind: hidden / file for kind, file in graphs.items()}, settings)
        if static_shapes and not config.device.simulated:
            from src.export import static_shapes as copies  # imports packages that only serving needs

            copies.write(hidden / _FILES["onnx"], static_shapes, *make_examples(task, config, tokenizer, settings))
        described = Description(labels, tokenizer.tokens, tokenizer.description, config.trained_settings())
        model_files.write_description(hidden, config.model, described)
        _write_card(task, config, weights.find(path, use_best=config.use_best).parent, hidden)
        bundle_folder.write(hidden, name, task.name, settings, labels, graphs)
        if task.answers and file_format == "ONNX":
            for kind in kinds:
                Bundle(hidden, kind)  # raises if the parts do not fit each other
        signals.leave_if_told()
        move_bundle(hidden, output)
    logger.info(f"wrote {output}: {', '.join(_FILES[kind] for kind in kinds)} name={name}")


def read_example(task: Task, settings: dict[str, Any], text: str) -> dict[str, str]:
    """An instance of the task from a text, or from a JSON object where the task takes several texts.

    Raises:
        ValueError: it is none, or the task answers no texts.
    """
    if not task.answers:
        raise ValueError(f"--example: task={task.name} answers no texts")
    keys, _ = task.serving.describe(settings)
    try:
        instance: Any = {keys[0]: text} if len(keys) == 1 else json.loads(text)
    except json.JSONDecodeError:
        instance = None
    if not is_example(instance, keys):
        expected = "a text" if len(keys) == 1 else f"a JSON object with the texts {', '.join(keys)}"
        raise ValueError(f"--example {text[:80]}: {expected} is expected")
    return instance


def make_network(task: Task, config: Any, path: Path | str) -> nn.Cell:
    """The network with its weights, built from ops that every device has (the defaults of DeviceSettings): bundles run it on the CPU."""
    network = task.training.network(dataclasses.replace(config, device=DeviceSettings()))
    model_files.load_weights(network, path, whole=True)
    return network.set_train(False)


def _write_card(task, config, source, folder):
    """The card of the weights, if this program has trained them, else one that names them."""
    card = source / model_card.NAME
    if card.is_file():
        shutil.copyfile(card, folder / model_card.NAME)
    else:
        model_card.write_card(folder, task.name, config, source)


def _write_graphs(task, config, path, network, folder, file_format, quantised):
    """Write the graph files; returns their kinds."""
    if file_format == "MINDIR":
        mindir.write(network, task.training.INPUTS, folder / _FILES["mindir"])
        return ["mindir"]
    try:
        import onnxruntime  # noqa: F401 (needed to run the graph)

        from src.export import int8, onnx_graph  # import packages that only serving needs
    except ImportError as error:
        raise ValueError(f"file_format=ONNX: {error}: pip install -r requirements-serve.txt") from None
    arrays = {name: parameter.asnumpy() for name, parameter in network.parameters_dict().items()}
    settings = task.export.make_settings(config) | {"labels": list(config.labels)}
    onnx_graph.save(onnx_graph.build(config.model, arrays, task, settings), folder / _FILES["onnx"])
    if not quantised:
        return ["onnx"]
    int8.quantize(folder / _FILES["onnx"], folder / _FILES["int8"])
    return ["onnx", "int8"]


def move_bundle(hidden: Path, output: Path) -> None:
    """Move the files into the output folder, bundle.json last, as its digests refuse a mixture; remove an older bundle's other graphs."""
    names = {file.name for file in hidden.iterdir()}
    for name in sorted({*names, *_FILES.values()}):
        if (output / name).is_dir():
            raise ValueError(f"--output {output}: {name} is a folder there; the bundle has a file of this name")
    move_whole([hidden / name for name in sorted(names, key=lambda name: name == bundle_folder.NAME)], output)
    for stale in {*_FILES.values(), *(path.name for path in output.glob("model.*x*.onnx"))} - names:
        (output / stale).unlink(missing_ok=True)
