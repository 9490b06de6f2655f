"""Fine-tune, evaluate and predict answers to questions (SQuAD, CMRC): `python run_squad.py --help`."""

from src import fine_tune, signals


def main(argv=None):
    """Run by the flags."""
    fine_tune.main("squad", argv)


if __name__ == "__main__":
    signals.watch()
    main()
