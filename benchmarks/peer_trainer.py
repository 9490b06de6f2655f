"""The peer: Hugging Face's Trainer on MRPC or the STS benchmark, scored after each epoch, with load_best_model_at_end.

The recipe of peer_huggingface.py: AdamW, linear decay with 10 % warm-up, clipping at 1, dynamic padding; prints one JSON line.
Run in .venv-torch (benchmarks/peers.sh) with accelerate.
"""

import argparse
import json
import tempfile

import numpy as np
import torch
from peer_huggingface import TASKS, measure, read_table
from transformers import AutoModelForSequenceClassification, BertTokenizerFast, DataCollatorWithPadding, Trainer, TrainingArguments


class Rows(torch.utils.data.Dataset):
    def __init__(self, tokenizer, path, task):
        columns, self.labels = read_table(path, task)
        self.encoded = tokenizer(*columns, truncation=True, max_length=128)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return {key: values[index] for key, values in self.encoded.items()} | {"labels": self.labels[index]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="mrpc", choices=("mrpc", "stsb"))
    parser.add_argument("--model", required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--dev", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=float, default=3)
    options = parser.parse_args()
    best = TASKS[options.task][3]
    tokenizer = BertTokenizerFast.from_pretrained(options.model)
    num_labels = 1 if options.task == "stsb" else 2

    def score(found):
        predictions = found.predictions[:, 0] if num_labels == 1 else np.argmax(found.predictions, 1)
        return measure(options.task, found.label_ids, predictions)

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, per_device_train_batch_size=32, per_device_eval_batch_size=32, num_train_epochs=options.epochs, learning_rate=5e-5,
            weight_decay=0.01, warmup_steps=0.1, lr_scheduler_type="linear", seed=options.seed, use_cpu=True, report_to="none",
            eval_strategy="epoch", save_strategy="epoch", load_best_model_at_end=True, metric_for_best_model=best, disable_tqdm=True,
        )  # fmt: skip
        trainer = Trainer(
            AutoModelForSequenceClassification.from_pretrained(options.model, num_labels=num_labels),
            arguments,
            train_dataset=Rows(tokenizer, options.train, options.task),
            eval_dataset=Rows(tokenizer, options.dev, options.task),
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=score,
        )
        trainer.train()
        found = trainer.evaluate()
    print(json.dumps({best: found[f"eval_{best}"]}))


if __name__ == "__main__":
    main()
