"""Fine-tune, evaluate and predict with a classifier: `python run_classifier.py --help`."""

from src import cli, signals
from src.config import loader
from src.tasks.classifier.options import ClassifierOptions


def main(argv=None):
    """Parse, start the device, run, draw."""
    options = loader.load(ClassifierOptions, argv)
    with cli.bad_input_exits():
        with signals.held:
            from src.export import exporting
            from src.report import plots
            from src.tasks.classifier import task as classifier  # imports MindSpore: after the options are known to be good
            from src.train import runs, runtime

        options = runtime.start(options)
        for folder in runs.run(classifier, options):
            plots.draw(folder)
        if options.save_for_serving:
            exporting.save_for_serving(classifier, options)


if __name__ == "__main__":
    signals.watch()
    main()
