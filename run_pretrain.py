"""Pretrain BERT or NEZHA: `python run_pretrain.py --help`."""

from src import cli, signals
from src.config import loader
from src.tasks.pretrain.options import PretrainOptions


def main(argv=None):
    """Parse, start the device, train, draw."""
    options = loader.load(PretrainOptions, argv)
    with cli.bad_input_exits():
        with signals.held:
            from src.report import plots
            from src.tasks.pretrain import task as pretrain  # imports MindSpore: after the options are known to be good
            from src.train import loop, resume, runtime

        splits = ("train", "eval") if options.train_with_eval else ("train",)
        config = pretrain.prepare(runtime.start(options), splits)
        with resume.folder_taken(config):
            loop.fit(pretrain, config)
        if config.device.writes:
            plots.draw(config.output_dir)


if __name__ == "__main__":
    signals.watch()
    main()
