"""Pretrain BERT or NEZHA: `python run_pretrain.py --help`."""

from src import cli, signals
from src.config import stages
from src.log import start_up
from src.tasks.task import TASKS


def main(argv=None):
    """Parse, start the device, train, draw."""
    start_up.begin()
    task = TASKS["pretrain"]
    options = stages.load(task.options, argv)
    with cli.bad_input_exits():
        with signals.held:
            from src.report import plots
            from src.train import staged  # imports MindSpore: after the options are known to be good
        start_up.end("imports")

        config = staged.run(task, options)
        if config.device.writes:
            plots.draw(config.output_dir)


if __name__ == "__main__":
    signals.watch()
    main()
