"""Fine-tune, evaluate and predict answers to questions (SQuAD, CMRC): `python run_squad.py --help`."""

from src import cli, signals
from src.config import loader
from src.tasks.squad.options import SquadOptions


def main(argv=None):
    """Parse, start the device, run, draw."""
    options = loader.load(SquadOptions, argv)
    with cli.bad_input_exits():
        with signals.held:
            from src.export import exporting
            from src.report import plots
            from src.tasks.squad import task as squad  # imports MindSpore: after the options are known to be good
            from src.train import runs, runtime

        options = runtime.start(options)
        for folder in runs.run(squad, options):
            plots.draw(folder)
        if options.save_for_serving:
            exporting.save_for_serving(squad, options)


if __name__ == "__main__":
    signals.watch()
    main()
