"""Entities of transformers' token-classification pipeline with aggregation_strategy="first": tests/golden/first_pieces.json.

    .venv-torch/bin/python tests/golden/make_first_pieces.py

The tagger is a table of scores, one row for each token, so that the file holds all there is: vocabulary, labels, scores [V, C], texts of
random words, and the [type, start, end) that the pipeline finds in each.
"""

import json
import random
import tempfile
from pathlib import Path

import torch
from transformers import BertConfig, BertPreTrainedModel, BertTokenizerFast, pipeline
from transformers.modeling_outputs import TokenClassifierOutput

LETTERS = "abcdwst"
WORDS = ["wash", "was", "cat", "dad", *LETTERS, "中", "国", ".", ",", "-"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *(f"##{piece}" for piece in (*LETTERS, "cat", "wad", "st"))]
LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
TEXTS = 200


class Table(BertPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.scores = torch.nn.Embedding(config.vocab_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids, **_):
        return TokenClassifierOutput(logits=self.scores(input_ids))


def make_text(rng):
    words = ["".join(rng.choices(LETTERS, k=rng.randint(1, 7))) for _ in range(rng.randint(1, 12))]
    words += rng.choices(["washcats", "Washwad", "catq", "中国", "q", "cat-dad.", "wash, was", "CATS"], k=rng.randint(0, 4))
    rng.shuffle(words)
    return " ".join(words)


def main():
    rng = random.Random(1)
    scores = [[round(rng.gauss(0, 1), 3) for _ in LABELS] for _ in VOCABULARY]
    texts = [make_text(rng) for _ in range(TEXTS)]
    names = dict(enumerate(LABELS))
    config = BertConfig(vocab_size=len(VOCABULARY), id2label=names, label2id={name: number for number, name in names.items()})
    model = Table(config)
    model.scores.weight.data = torch.tensor(scores)
    with tempfile.TemporaryDirectory() as folder:
        vocab_file = Path(folder, "vocab.txt")
        vocab_file.write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
        tokenizer = BertTokenizerFast.from_pretrained(folder, do_lower_case=True)
    found = pipeline("token-classification", model=model.eval(), tokenizer=tokenizer, aggregation_strategy="first", device="cpu")(texts)
    entities = [[[each["entity_group"], each["start"], each["end"]] for each in row] for row in found]
    saved = {"vocabulary": VOCABULARY, "labels": LABELS, "scores": scores, "texts": texts, "entities": entities}
    (Path(__file__).parent / "first_pieces.json").write_text(
        json.dumps(saved, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
