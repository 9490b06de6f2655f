"""Train, evaluate and use sentence embeddings: `python run_embedding.py --help`."""

from src import fine_tune, signals


def main(argv=None):
    """Run by the flags."""
    fine_tune.main("embed", argv)


if __name__ == "__main__":
    signals.watch()
    main()
