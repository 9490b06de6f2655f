"""Fine-tune, evaluate and predict named entities: `python run_ner.py --help`."""

from src import fine_tune, signals


def main(argv=None):
    """Run by the flags."""
    fine_tune.main("ner", argv)


if __name__ == "__main__":
    signals.watch()
    main()
