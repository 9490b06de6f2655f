"""Measure the ONNX graph of an exported classifier on a file, as the model zoo's script of this name does.

    python run_eval_onnx.py --export_file_name bert_classifier --eval_data_file_path dev.tsv

Other flags are those of run_classifier.py: --config_path, --assessment_method, --task_name and so on. onnxruntime computes; labels,
vocabulary and columns are those of the bundle, which `python export.py` or `python -m src.export` has written.
"""

from src import cli, signals
from src.bundle import folder, graphs
from src.config import loader
from src.export.zoo_flags import find_folder
from src.tasks.task import TASKS


def main(argv=None):
    """Parse, open the bundle, compute, print the result."""
    task = TASKS["classifier"]
    with cli.bad_input_exits():
        parser = cli.Parser(prog="python run_eval_onnx.py", description=__doc__)
        names = ("--export_file_name", "-export_file_name")  # the second is a slip of the zoo's page
        parser.add_argument(*names, default=f"bert_{task.name}", metavar="FOLDER", help="folder of the bundle [%(default)s]")
        own, flags = parser.parse_known_args(argv)
        bundle = folder.read(find_folder(own.export_file_name))
        if bundle.task != task.name or "onnx" not in bundle.graphs:
            raise ValueError(
                f"{bundle.folder}: an ONNX graph of a classifier is expected, here is {bundle.task}: {', '.join(bundle.graphs)}"
            )
        of_bundle = {"load_finetune_checkpoint_path": str(bundle.folder), "do_eval": "true", "num_class": ""}  # not the file's num_class
        options = loader.load(task.options, flags, defaults=of_bundle)
        with signals.held:
            from src.records.plan import choose_buckets, plan_epoch

            training = task.training  # imports MindSpore, whose readers of records are used
        prepared = training.prepare(options)
        graph, records = graphs.OnnxGraph(bundle.graphs["onnx"]), prepared.records["eval"]
        buckets = choose_buckets(records.lengths, options.eval_batch_size, options.seed, False)
        plan = plan_epoch(records.lengths, buckets, options.eval_batch_size, options.seed, 0, False)
        logits = [None] * len(records.lengths)
        for batch in map(plan.__getitem__, range(len(plan))):
            (found,) = graph.run(*(records.column(name, batch) for name in graph.inputs))
            for number, row in zip(batch.row_ids[: batch.num_real], found):
                logits[number] = row
        training.report_evaluation(prepared, (logits,), None)


if __name__ == "__main__":
    signals.watch()
    main()
