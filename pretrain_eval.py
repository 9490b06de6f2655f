"""Evaluate pretrained weights, one JSON line: `python pretrain_eval.py --help`."""

import json

from src import cli, signals
from src.config import loader
from src.files import write_text
from src.formats import weights
from src.tasks.pretrain.options import PretrainEvalOptions
from src.tasks.task import TASKS


def main(argv=None):
    """Parse, start the device, evaluate, print."""
    options = loader.load(PretrainEvalOptions, argv)
    with cli.bad_input_exits():
        with signals.held:
            from src.train import checkpoint, prediction, runtime  # imports MindSpore: after the options are known to be good

        task, path = TASKS["pretrain"], weights.find(options.load_pretrain_checkpoint_path, use_best=options.use_best)
        prepared = task.training.prepare(runtime.start(options))
        writes = prepared.config.device.writes
        scores = task.training.score(prepared, prediction.predict(task, prepared, "eval", path if writes else None))
        if writes:
            results = {"global_step": checkpoint.step_of(path), **scores}
            write_text(f"{prepared.config.output_dir}/eval_results.json", json.dumps(results, indent=2) + "\n")
            print(json.dumps(results), flush=True)


if __name__ == "__main__":
    signals.watch()
    main()
