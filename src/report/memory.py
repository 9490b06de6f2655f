"""Estimate a training run's memory and largest batch: `python -m src.report.memory --config_path RECIPE --device_memory 32GB`.

Prints, for the network and length of a recipe: parameters, gradients and moments; the activations of one layer, op by op; the largest
batch without and with recompute, in float32 and in mixed precision. Plots the estimated memory against the op into memory_plan/, as .png
and .svg. Of a recipe with stages it prints all this for each, and plots the last. Nothing is run; docs/memory.md compares estimates with
measurements. A GB is 1024^3 bytes, an MB 1024^2.
"""

import dataclasses
import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src import cli
from src.config import devices, stages
from src.config.fields import setting
from src.config.training import DeviceSettings, ModelOptions, RunOptions
from src.files import written_whole
from src.log import logger
from src.report.memory_ops import record
from src.report.memory_schedule import Plan
from src.report.memory_tape import Tape
from src.tasks.task import TASKS, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MB, GB = 1024**2, 1024**3
_UNITS = {"MB": MB, "MIB": MB, "GB": GB, "GIB": GB}
_SEQ_LENGTH = 128  # default; in pretraining the records determine the length
_PHASES = ("forward", "backward", "update")


def parse_memory(text: str) -> int:
    """The number of bytes in a text such as `32GB` or `512 MB`.

    Raises:
        ValueError: not a number with one of these units, or below 1 MB.
    """
    match = re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+)\s*([A-Za-z]*)", text.strip())
    size = float(match[1]) * _UNITS.get(match[2].upper(), 0) if match else 0
    if size < MB:
        raise ValueError(f"--device_memory {text}: a number and MB or GB are expected, 1MB at least, such as 32GB")
    return int(size)


def find_types(options: Any, target: str) -> tuple[tuple[str, ...], str]:
    """The compute types to compare (float32 and, except on the CPU, a mixed one), and the recipe's choice among them.

    Raises:
        ValueError: the planner does not support the type.
    """
    asked = options.precision.compute_type
    if devices.DEVICES[target].native_kernels:
        if asked not in ("auto", "float32"):
            raise ValueError(f"precision.compute_type={asked}: on the {target}, float32 alone is planned")
        return ("float32",), "float32"
    mixed = "bfloat16" if asked == "bfloat16" else "float16"
    return ("float32", mixed), "float32" if asked == "float32" else mixed


@dataclasses.dataclass(frozen=True)
class PackedRows:
    """The one setting of runs on which memory depends."""

    packing: bool | None = setting(None, "let several rows stand in one row of the network: not planned")


def options_class(task: Task) -> type[Any]:
    """The settings of a task's model and of its updates: those of its run script, except for the settings of runs."""
    kinds = [kind for kind in task.options.__mro__ if issubclass(kind, ModelOptions) and not issubclass(kind, RunOptions)]
    settings = {"__doc__": "Settings on which memory depends."}
    return dataclasses.dataclass(frozen=True)(type("PlannedOptions", (*kinds, PackedRows), settings))


def make_plan(options: Any, form: DeviceSettings, task: Task, seq_length: int) -> Plan:
    """The Plan of a training run.

    Args:
        options: of `options_class`.
        seq_length: tokens of a row.
    """
    return Plan(record(options, form, task, seq_length), options.optimizer.name, options.accumulation_steps, options.ema is not None)


def describe_fixed(plan: Plan, options: Any) -> list[str]:
    """Lines on the memory that does not grow with the batch."""
    tape = plan.tape
    number = plan.parameters // 4
    copies = sum(op.result.bytes for op in tape.ops if op.name == "cast of a weight")
    rows = [
        (f"parameters: {number:,} of float32", plan.parameters),
        ("gradients, all of them when the update begins: float32", plan.trained),
        (f"moments of {options.optimizer.name}: float32", plan.moments),
    ]
    if plan.trained < plan.parameters:
        rows[0] = (f"{rows[0][0]}, {plan.trained // 4:,} of them trained", plan.parameters)
    if plan.averages:
        rows.append(("moving average of the trained parameters: float32", plan.averages))
    if plan.buffers:
        rows.append(("gradients summed over micro-batches: float32", plan.buffers))
    if copies:
        rows.append((f"copies of weights for the matrix products: {tape.form.compute_type}", copies))
    lines = _table(("what", "MB"), [(text, f"{size / MB:,.1f}") for text, size in rows], 1)
    if tape.native and options.optimizer.name == "Momentum":
        lines += ["", f"{options.optimizer.name} takes more than this on the CPU: docs/memory.md."]
    if copies:
        lines += ["", "float32 stay: parameters, gradients, moments; sums of the residual path, layer normalisation, softmax, losses."]
    return lines


def describe_activations(tape: Tape) -> list[str]:
    """Lines on the tensors of the embeddings, of one layer, and of the parts after the encoder."""
    layers = sorted({op.part for op in tape.ops if op.part.startswith("layer.")})
    needed = {tensor for op in tape.ops for tensor in op.needs}
    rows = []
    kept: dict[str, int] = {}
    for op in tape.ops:
        if op.part in layers and op.part != "layer.0":
            continue
        for tensor in (op.result, *op.saved):
            is_kept = tensor in needed
            size = f"{tensor.bytes:,}{'' if tensor.per_row else ' once'}"
            rows.append((op.part, tensor.name.split(" ", 1)[1], list(tensor.shape), tensor.type, "yes" if is_kept else "no", size))
            kept[op.part] = kept.get(op.part, 0) + tensor.bytes * (is_kept and tensor.per_row)
    lines = _table(("part", "op", "shape of one sequence", "type", "kept for backward", "bytes"), rows, 1)
    sums = [f"{part} {size / MB:.2f}{f' x {len(layers)}' if part == 'layer.0' else ''}" for part, size in kept.items()]
    return [*lines, "", f"kept for the backward pass, MB a sequence: {', '.join(sums)}"]


def describe_batches(plans: dict[tuple[str, bool], Plan], memory: int) -> list[str]:
    """Lines as in PaddleFleetX's tables: the largest batch without and with recompute, and the memory of one sequence.

    Args:
        plans: (compute type, recompute) -> Plan.
        memory: of the device, in bytes.
    """
    rows = []
    for kind in dict.fromkeys(kind for kind, _ in plans):
        both = [plans[kind, recompute] for recompute in (False, True)]
        largest = [plan.largest_batch(memory) for plan in both]
        sizes = [plan.bytes_per_row for plan in both]
        name = kind if kind == "float32" else f"mixed ({kind})"
        shown = [f"{batch:,}" if batch else "0: not one sequence fits" for batch in largest]
        rows.append((f"{name}: largest batch", *shown, _change(*largest)))
        rows.append((f"{name}: MB a sequence", *(f"{size / MB:,.2f}" for size in sizes), _change(*sizes)))
    return _table(("", "Baseline", "Recompute", "change"), rows, 3)


def _change(before, after):
    return f"{(after / before - 1) * 100:+.0f} %" if before else "–"


def _table(heading, rows, numbers):
    """Lines of a Markdown table; the last `numbers` columns are right-aligned."""
    columns = ["---"] * (len(heading) - numbers) + ["---:"] * numbers
    return [f"| {' | '.join(map(str, row))} |" for row in (heading, columns, *rows)]


def plot(baseline: Plan, recompute: Plan, batch_size: int, memory: int, title: str) -> "Figure":
    """A figure of the estimated memory against the op number, for two Plans."""
    from matplotlib.figure import Figure  # slow to import

    figure = Figure(figsize=(9, 5))
    axes = figure.subplots()
    for plan, name, colour in ((baseline, "Baseline", "tab:blue"), (recompute, "Recompute", "tab:orange")):
        axes.plot(plan.live(batch_size) / GB, color=colour, label=f"{name}, peak {plan.peak(batch_size) / GB:.2f} GB")
        phases = [step.phase for step in plan.steps]
        for phase in _PHASES[1:]:
            axes.axvline(phases.index(phase), color=colour, linestyle=":", linewidth=1)
    axes.axhline(memory / GB, color="grey", linestyle="--", linewidth=1, label=f"device, {memory / GB:g} GB")
    axes.set(xlabel="op: forward | backward | update, dotted lines between them", ylabel="estimated memory (GB)", title=title)
    axes.set_ylim(0, 1.15 * max(memory, baseline.peak(batch_size)) / GB)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper right", ncols=3)
    return figure


def save(figure: "Figure", folder: Path) -> None:
    """Write memory.png and memory.svg."""
    import matplotlib  # slow to import

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bert"}):
        for suffix, metadata in (("png", None), ("svg", {"Date": None})):
            with written_whole(folder / f"memory.{suffix}") as temporary:
                figure.savefig(temporary, dpi=120, bbox_inches="tight", metadata=metadata)
    logger.info(f"wrote {folder / 'memory'}.png and .svg")


def _parse(argv):
    parser = cli.Parser(prog="python -m src.report.memory", description=__doc__)
    parser.add_argument(
        "--task",
        default="pretrain",
        choices=[name for name, task in TASKS.items() if task.trains],
        help="whose network and flags [%(default)s]",
    )
    parser.add_argument("--device_memory", default="32GB", metavar="SIZE", help="memory for the training run, in MB or GB [%(default)s]")
    parser.add_argument("--batch_size", type=int, metavar="ROWS", help="batch size in the figure; default: the largest without recompute")
    parser.add_argument("--output", type=Path, default="memory_plan", metavar="FOLDER", help="where the figure is written [%(default)s]")
    parser.epilog = (
        "All other flags are those of the run script that say what the network is and what an update computes, such as --config_path, "
        "--seq_length, --optimizer.name, --device_target (default: GPU)."
    )
    plan, rest = parser.parse_known_args(argv)
    plan.memory = parse_memory(plan.device_memory)
    if plan.batch_size is not None and plan.batch_size < 1:
        raise ValueError(f"--batch_size {plan.batch_size}: at least 1 row is expected")
    return plan, rest


def _report(flags, task, options, stage=""):
    """Print the sections on one network and length; returns the figure."""
    target = "GPU" if options.device_target == "auto" else options.device_target
    seq_length = options.seq_length or _SEQ_LENGTH
    types, asked = find_types(options, target)
    chosen = {"flash_attention": options.use_flash_attention, "chip": options.ascend_chip}
    plans = {}
    for kind, recompute in itertools.product(types, (False, True)):
        form = devices.settings(target, kind, recompute=recompute, **chosen)
        plans[kind, recompute] = make_plan(options, form, task, seq_length)
    baseline, recomputed = plans[asked, False], plans[asked, True]
    layers, size = options.model.num_hidden_layers, options.model.hidden_size
    title = f"{flags.task}{stage}, {layers} layers of {size}, seq_length {seq_length}, {target}"
    sections = (
        (f"Without activations: {title}, {asked}", describe_fixed(baseline, options)),
        (f"Activations, {asked}", describe_activations(baseline.tape)),
        (f"Largest batch in {flags.memory / GB:g} GB: {title}", describe_batches(plans, flags.memory)),
    )
    for heading, lines in sections:
        print(f"## {heading}", "", *lines, "", sep="\n")
    batch_size = flags.batch_size or max(baseline.largest_batch(flags.memory), 1)
    return plot(baseline, recomputed, batch_size, flags.memory, f"{title}, {asked}, batch {batch_size}")


def main(argv: list[str] | None = None) -> None:
    with cli.bad_input_exits():
        flags, rest = _parse(argv)
        task = TASKS[flags.task]
        each = stages.load(options_class(task), rest, recipe_class=task.options)
        names = [f", stage {number}" if len(each) > 1 else "" for number in range(1, len(each) + 1)]
        figures = [_report(flags, task, options, name) for options, name in zip(each, names)]
        save(figures[-1], flags.output)  # of stages that with the longest rows


if __name__ == "__main__":
    main()
