"""Evaluate pretrained weights, one JSON line: `python pretrain_eval.py --help`."""

import json

from src import cli, signals
from src.config import loader
from src.files import write_text
from src.formats import weights
from src.tasks.pretrain.options import PretrainEvalOptions


def main(argv=None):
    """Parse, start the device, evaluate, print."""
    options = loader.load(PretrainEvalOptions, argv)
    with cli.bad_input_exits():
        with signals.held:
            from src.tasks.pretrain import task as pretrain  # imports MindSpore: after the options are known to be good
            from src.train import checkpoint, prediction, runtime

        path = weights.find(options.eval_ckpt)
        config = pretrain.prepare(runtime.start(options), ("eval",))
        scores = pretrain.score(config, *prediction.predict(pretrain, config, "eval", path if config.device.writes else None))
        if config.device.writes:
            results = {"global_step": checkpoint.step_of(path), **scores}
            write_text(f"{config.output_dir}/eval_results.json", json.dumps(results, indent=2) + "\n")
            print(json.dumps(results), flush=True)


if __name__ == "__main__":
    signals.watch()
    main()
