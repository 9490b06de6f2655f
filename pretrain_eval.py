"""Evaluate pretrained weights, one JSON line: `python pretrain_eval.py --help`."""

import json

from src import cli, signals
from src.config import loader
from src.config.pretrain import PretrainEvalOptions
from src.files import write_text
from src.formats import weights


def main(argv=None):
    """Parse, start the device, evaluate, print."""
    options = loader.load(PretrainEvalOptions, argv)
    with cli.bad_input_exits():
        with signals.held:
            from src.tasks import pretrain  # imports MindSpore: after the options are known to be good
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
