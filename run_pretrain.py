"""Pretrain BERT or NEZHA: `python run_pretrain.py --help`."""

from src import cli, signals
from src.config import loader
from src.tasks.task import TASKS


def main(argv=None):
    """Parse, start the device, train, draw."""
    task = TASKS["pretrain"]
    options = loader.load(task.options, argv)
    with cli.bad_input_exits():
        with signals.held:
            from src.report import plots
            from src.train import loop, resume, runtime  # imports MindSpore: after the options are known to be good

        prepared = task.training.prepare(runtime.start(options))
        with resume.folder_taken(prepared.config):
            loop.fit(task, prepared)
        if prepared.config.device.writes:
            plots.draw(prepared.config.output_dir)


if __name__ == "__main__":
    signals.watch()
    main()
