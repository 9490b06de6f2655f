"""Fine-tune, evaluate and predict with a classifier: `python run_classifier.py --help`."""

from src import signals
from src.config import loader
from src.config.classifier import ClassifierOptions


def main(argv=None):
    """Parse, start the device, run, draw."""
    options = loader.load(ClassifierOptions, argv)
    with loader.bad_input_exits():
        with signals.held:
            from src.report import plots
            from src.tasks import classifier  # imports MindSpore: after the options are known to be good
            from src.train import runs, runtime

        for folder in runs.run(classifier, runtime.start(options)):
            plots.draw(folder)


if __name__ == "__main__":
    signals.watch()
    main()
