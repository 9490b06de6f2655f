import mindspore
import numpy as np
from mindspore import nn

from src.models.bert import Bert
from src.models.layers import Linear
from src.models.losses import ClassificationLoss
from src.records.record_set import join_rows
from src.tasks import fine_tuning
from src.tasks.defaults import head_flops as head_flops
from src.tasks.defaults import tune as tune
from src.tasks.fine_tuning import describe as describe
from src.tasks.results import write_results
from src.tasks.splits import find_file, wanted_splits
from src.tasks.task import Prepared

PREFIX = "toy"
INPUTS = ("input_ids", "input_mask", "token_type_ids")
TARGETS = ("label_ids", "weights")
LOSS_PARTS = ()


class Toy(nn.Cell):
    """[CLS] of the last layer to two logits."""

    def __init__(self, config, device):
        super().__init__()
        self.bert = Bert(config, device)
        self.head = nn.CellDict({"toy": Linear(config.hidden_size, 2, config.initializer_range, device)})

    def construct(self, input_ids, input_mask, token_type_ids, key=None, packing=None):
        x, _ = self.bert(input_ids, input_mask, token_type_ids, key, packing)
        return self.head["toy"](x[:, 0].astype(mindspore.float32))


def prepare(options):
    paths = {split: find_file(options, split, (("train.txt",), ("dev.txt",), ("test.txt",))) for split in wanted_splits(options)}
    config, tokenizer = fine_tuning.check_inputs(PREFIX, options, paths.values())

    def make_chunks(path):
        labels, texts = zip(*(line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()))
        rows = [tokenizer.join(text, None, config.seq_length) for text in tokenizer.encode(list(texts))]
        yield join_rows([{"input_ids": ids, "token_type_ids": types, "label_ids": int(label)} for (ids, types), label in zip(rows, labels)])

    records = {
        split: fine_tuning.cached_rows(config, tokenizer, split, [path], lambda path=path: make_chunks(path))
        for split, path in paths.items()
    }
    return Prepared(config, records, tokenizer)


def network(config):
    return Toy(config.model, config.device)


def loss(config):
    return ClassificationLoss()


def for_evaluation(config, network):
    return network, INPUTS


def score(prepared, outputs):
    right = np.argmax(outputs[0], 1) == prepared.records["eval"].rows["label_ids"]
    return {"accuracy": float(right.mean()), "num_examples": len(right)}


def report_evaluation(prepared, outputs, global_step):
    results = {"task": PREFIX, "global_step": global_step, **score(prepared, outputs)}
    write_results(prepared.config, results)
    return results
