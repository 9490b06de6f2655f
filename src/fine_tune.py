"""The run scripts of fine-tuning: parse flags, start the device, run, plot, export."""

from collections.abc import Sequence

from src import cli, signals
from src.config import loader
from src.log import start_up
from src.tasks.task import TASKS


def main(name: str, argv: Sequence[str] | None = None) -> None:
    """Run one of TASKS with its script's flags."""
    start_up.begin()
    task = TASKS[name]
    options = loader.load(task.options, argv)
    with cli.bad_input_exits():
        with signals.held:
            from src.export import exporting
            from src.report import plots
            from src.train import runs, runtime  # imports MindSpore: after the options are known to be good
        start_up.end("imports")

        for done in runs.run(task, runtime.start(options)):
            config = done.config
            if config.do_train or config.do_eval:
                plots.draw(config.output_dir)
            if config.save_for_serving:
                path = runs.find_trained(task, config)
                exporting.export(task, config, path, f"{config.output_dir}/serving", exporting.choose_format())
