"""Fine-tune, evaluate and predict with a classifier: `python run_classifier.py --help`."""

from src import signals
from src.config import loader
from src.config.classifier import ClassifierOptions


def main(argv=None):
    """Parse, start the device, train, evaluate, predict."""
    options = loader.load(ClassifierOptions, argv)
    with loader.bad_input_exits():
        from src.tasks import classifier  # imports MindSpore: after the options are known to be good
        from src.train import loop, runtime

        config = classifier.prepare(runtime.start(options))
        if config.do_train:
            loop.fit(classifier, config)
        if config.do_eval:
            outputs, targets, global_step = loop.predict(classifier, config, "eval")
            classifier.report_evaluation(config, outputs, targets, global_step)
        if config.do_predict:
            outputs, _, _ = loop.predict(classifier, config, "predict")
            classifier.report_predictions(config, outputs)


if __name__ == "__main__":
    signals.watch()
    main()
