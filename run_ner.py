"""Fine-tune, evaluate and predict named entities: `python run_ner.py --help`."""

from src import cli, signals
from src.config import loader
from src.tasks.ner.options import NerOptions


def main(argv=None):
    """Parse, start the device, run, draw."""
    options = loader.load(NerOptions, argv)
    with cli.bad_input_exits():
        with signals.held:
            from src.export import exporting
            from src.report import plots
            from src.tasks.ner import task as ner  # imports MindSpore: after the options are known to be good
            from src.train import runs, runtime

        options = runtime.start(options)
        for folder in runs.run(ner, options):
            plots.draw(folder)
        if options.save_for_serving:
            exporting.save_for_serving(ner, options)


if __name__ == "__main__":
    signals.watch()
    main()
