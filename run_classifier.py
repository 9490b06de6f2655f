"""Fine-tune, evaluate and predict with a classifier: `python run_classifier.py --help`."""

from src import fine_tune, signals


def main(argv=None):
    """Run by the flags."""
    fine_tune.main("classifier", argv)


if __name__ == "__main__":
    signals.watch()
    main()
