"""The peer of run_ner.py on CLUENER: Hugging Face's BertModel in PyTorch eager, with torch's LSTM and torchcrf's CRF on request.

Weights random in the shape of a config file, or a folder's. AdamW (fused), linear decay with 10 % warm-up, clipping at 1, dynamic padding
of random batches of 32; BIO tags over word pieces; exact spans against the file's. Prints one JSON line. --initial FOLDER writes the
initial weights and the labels, with which run_ner.py can start. Run in .venv-torch (benchmarks/peers.sh).
"""

import argparse
import json
import time
from collections import Counter
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import BertConfig, BertModel, BertTokenizerFast, get_linear_schedule_with_warmup

BATCH, LONGEST, UNLABELLED = 32, 128, -100


def read_rows(path):
    """Texts and their entities: sets of (type, start, end), end exclusive."""
    with open(path, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    entities = []
    for row in rows:
        named = ((kind, place) for kind, names in row["label"].items() for places in names.values() for place in places)
        entities.append({(kind, start, last + 1) for kind, (start, last) in named})
    return [row["text"] for row in rows], entities


def make_tags(offsets, entities, types):
    """Tags of one row's word pieces: 0 is O, then B and I of each type. Of entities that overlap the longest counts."""
    tags = [UNLABELLED if end == 0 else 0 for _, end in offsets]
    for kind, first, last in sorted(entities, key=lambda entity: (entity[1] - entity[2], entity[1])):
        inside = [i for i, (start, end) in enumerate(offsets) if end and start >= first and end <= last]
        if inside and not any(tags[i] for i in inside):
            begin = 1 + 2 * types.index(kind)
            for i in inside:
                tags[i] = begin + (i > inside[0])
    return tags


def find_entities(offsets, tags, types):
    """Entities by conlleval's rule; offsets and tags of the word pieces alone."""
    found, kind, first = set(), None, 0
    for i, tag in enumerate([*tags, 0]):
        if kind is not None and tag != 2 + 2 * kind:
            found.add((types[kind], offsets[first][0], offsets[i - 1][1]))
            kind = None
        if tag and kind is None:
            kind, first = (tag - 1) // 2, i
    return found


def score(gold, predicted, types):
    """Precision, recall and F1 of exact spans (micro); the mean of the types' F1."""

    def rates(correct, proposed, there):
        precision, recall = correct / max(proposed, 1), correct / max(there, 1)
        return precision, recall, 2 * correct / max(proposed + there, 1)

    rows = [Counter(kind for kinds in rows for kind, _, _ in kinds) for rows in ([g & p for g, p in zip(gold, predicted)], predicted, gold)]
    precision, recall, f1 = rates(*(sum(row.values()) for row in rows))
    macro_f1 = sum(rates(*(row[kind] for row in rows))[2] for kind in types) / len(types)
    return {"precision": precision, "recall": recall, "f1": f1, "macro_f1": macro_f1}


class Tagger(nn.Module):
    def __init__(self, bert, num_tags, use_crf, with_lstm):
        super().__init__()
        hidden = bert.config.hidden_size
        self.bert = bert
        self.dropout = nn.Dropout(bert.config.hidden_dropout_prob)
        self.lstm = nn.LSTM(hidden, hidden // 2, batch_first=True, bidirectional=True) if with_lstm else None
        self.dense = nn.Linear(hidden, num_tags)
        nn.init.trunc_normal_(self.dense.weight, std=0.02, a=-0.04, b=0.04)  # BERT's, not Linear's own: that alone makes 2 points of F1
        nn.init.zeros_(self.dense.bias)
        self.crf = None
        if use_crf:
            from torchcrf import CRF

            self.crf = CRF(num_tags, batch_first=True)

    def forward(self, input_ids, attention_mask, token_type_ids):
        """Logits of the positions behind [CLS], up to the longest row's [SEP]."""
        x = self.dropout(self.bert(input_ids, attention_mask, token_type_ids).last_hidden_state)
        if self.lstm is not None:
            packed = nn.utils.rnn.pack_padded_sequence(x, attention_mask.sum(1), batch_first=True, enforce_sorted=False)
            x = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0]
        return self.dense(x)[:, 1:-1]

    def loss(self, logits, tags):
        if self.crf is None:
            return nn.functional.cross_entropy(logits.flatten(0, 1), tags.flatten(), ignore_index=UNLABELLED)
        mask = tags != UNLABELLED
        return -self.crf(logits, tags.where(mask, 0), mask, reduction="mean")

    def decode(self, logits, mask):
        if self.crf is not None:
            return self.crf.decode(logits, mask)
        return [row[:length].tolist() for row, length in zip(logits.argmax(-1), mask.sum(1))]


def batches(encoded, tags, order, tokenizer):
    """(inputs, tags between [CLS] and the longest row's [SEP]), padded to the longest row."""
    for start in range(0, len(order), BATCH):
        picked = order[start : start + BATCH]
        keys = ("input_ids", "attention_mask", "token_type_ids")
        batch = tokenizer.pad({key: [encoded[key][i] for i in picked] for key in keys}, return_tensors="pt")
        longest = batch["input_ids"].shape[1]
        yield dict(batch), torch.tensor([tags[i] + [UNLABELLED] * (longest - len(tags[i])) for i in picked])[:, 1:-1]


def train(model, data, options):
    """Samples per second, without the first 5 steps; and the loss of each step."""
    encoded, tags, tokenizer = data
    decayed = [p for n, p in model.named_parameters() if "bias" not in n and "LayerNorm" not in n]
    kept = [p for n, p in model.named_parameters() if "bias" in n or "LayerNorm" in n]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": kept, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=options.learning_rate, eps=1e-8, fused=True)
    total = -(-len(tags) // BATCH) * options.epochs
    schedule = get_linear_schedule_with_warmup(optimizer, int(total * 0.1), total)
    model.train()
    rows, step, seconds, last, losses = 0, 0, 0.0, options.max_steps or total, []
    while step < last:
        order = list(range(len(tags))) if options.in_order else torch.randperm(len(tags)).tolist()
        for batch, target in batches(encoded, tags, order, tokenizer):
            begun = time.perf_counter()
            loss = model.loss(model(**batch), target)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            step += 1
            losses.append(loss.item())
            if step > 5:
                seconds, rows = seconds + time.perf_counter() - begun, rows + len(target)
            if step == last:
                break
    return rows / max(seconds, 1e-9), losses


def write_initial(model, types, config, folder):
    """Weights under the names that run_ner.py loads, their configuration, and the labels in the order of their ids."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {"dense": "head.dense", "crf.transitions": "head.crf.transitions", "crf.start_transitions": "head.crf.start"}
    names["crf.end_transitions"] = "head.crf.end"
    arrays = {}
    for name, array in model.state_dict().items():
        ours = next((name.replace(theirs, ours, 1) for theirs, ours in names.items() if name.startswith(theirs)), name)
        arrays[ours] = array.clone()
    save_file(arrays, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({**json.loads(Path(config).read_text()), "model_type": "bert"}))
    (folder / "labels.txt").write_text("O\n" + "".join(f"B-{kind}\nI-{kind}\n" for kind in types))


def predict(model, data, types):
    """Entities of each row, in characters, and samples per second."""
    encoded, tags, tokenizer = data
    model.eval()
    found, begun = [], time.perf_counter()
    with torch.no_grad():
        for batch, target in batches(encoded, tags, list(range(len(tags))), tokenizer):
            for decoded in model.decode(model(**batch), target != UNLABELLED):
                found.append(find_entities(encoded["offset_mapping"][len(found)][1:-1], decoded, types))
    return found, len(found) / (time.perf_counter() - begun)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--bert_config_file")
    source.add_argument("--model")
    parser.add_argument("--vocab_file", required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--dev", required=True)
    parser.add_argument("--use_crf", action="store_true")
    parser.add_argument("--with_lstm", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--learning_rate", type=float, default=3e-4)
    parser.add_argument("--max_steps", type=int, default=0)
    parser.add_argument("--dropout", type=float, help="of every kind, instead of the configuration's")
    parser.add_argument("--in_order", action="store_true", help="batches in the order of the file")
    parser.add_argument("--initial", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    started = time.perf_counter()
    torch.manual_seed(options.seed)
    tokenizer = BertTokenizerFast(options.vocab_file)
    (texts, entities), (dev_texts, gold) = read_rows(options.train), read_rows(options.dev)
    types = sorted({kind for row in entities for kind, _, _ in row})

    def encode(texts, entities):
        encoded = tokenizer(texts, truncation=True, max_length=LONGEST, return_offsets_mapping=True)
        return encoded, [make_tags(offsets, row, types) for offsets, row in zip(encoded["offset_mapping"], entities)], tokenizer

    if options.model:
        bert = BertModel.from_pretrained(options.model, add_pooling_layer=False)
    else:
        config = BertConfig.from_json_file(options.bert_config_file)
        if options.dropout is not None:
            config.hidden_dropout_prob = config.attention_probs_dropout_prob = options.dropout
        bert = BertModel(config, add_pooling_layer=False)
    model = Tagger(bert, 1 + 2 * len(types), options.use_crf, options.with_lstm)
    if options.initial:
        write_initial(model, types, options.bert_config_file, options.initial)
    train_rate, losses = train(model, encode(texts, entities), options)
    predicted, eval_rate = predict(model, encode(dev_texts, gold), types)
    result = {"peer": "huggingface"} | {name: getattr(options, name) for name in ("use_crf", "with_lstm", "seed", "epochs")}
    result |= score(gold, predicted, types)
    result |= {"train_samples_per_s": train_rate, "eval_samples_per_s": eval_rate, "wall_s": time.perf_counter() - started}
    result["losses"] = losses
    print(json.dumps(result))


if __name__ == "__main__":
    main()
