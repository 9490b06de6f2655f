"""A bundle of src.bundle.model's interface that knows nothing: lengths are words, results are counted letters."""

import threading
import time
from dataclasses import dataclass

from src.tasks.instances import BadInstance
from src.tasks.task import TASKS

FIELDS = {
    "classifier": ("text_a",),
    "pairs": ("text_a", "text_b"),
    "regression": ("text_a",),
    "labels": ("text_a",),
    "choices": ("text_a", "text_b", "choices"),
    "ner": ("text",),
    "squad": ("question", "context"),
    "embed": ("text",),
    "fill_mask": ("text",),
}
_OWN = ("ner", "squad", "embed", "fill_mask")  # tasks of their own; the others are kinds of classifiers


@dataclass
class Row:
    text: str
    input_ids: list
    token_type_ids: list


@dataclass
class Work:
    instances: list
    rows: list


class FakeBundle:
    """Results tell which text they belong to; `batches` lists the texts of every computed batch.

    Args:
        kind: a key of FIELDS.
        seconds: that a batch takes.
    """

    def __init__(self, kind="classifier", seconds=0.0):
        self.name, self.graph, self.max_length = "fake", "onnx", 128
        self.task = kind if kind in _OWN else "classifier"
        self.labels = {"ner": ("LONG", "MIDDLE"), **dict.fromkeys(_OWN[1:], ())}.get(kind, ("good", "bad", "odd"))
        self.settings = {"pairs": kind == "pairs", "regression": kind == "regression"}
        self.settings |= {"multi_label": kind == "labels", "choices": kind == "choices"}
        self.fields, self.takes_top_k = FIELDS[kind], kind not in ("ner", "regression", "choices", "embed")
        self.example = {name: TASKS[self.task].serving.EXAMPLE[name] for name in self.fields}
        self.seconds = seconds
        self.batches = []
        self.may_compute = threading.Event()
        self.may_compute.set()

    @classmethod
    def open(cls, folder, graph=None, threads=0):
        """`kind` or `kind-seconds` instead of a folder."""
        kind, _, seconds = folder.partition("-")
        if kind not in FIELDS:
            raise ValueError(f"bundle={folder}: no such bundle")
        return cls(kind, float(seconds or 0))

    def describe(self):
        instance = {"required": list(self.fields), "text_stands_for": None if len(self.fields) > 1 else self.fields[0]}
        return {
            "name": self.name,
            "task": self.task,
            "graph": self.graph,
            "labels": list(self.labels),
            "instance": instance,
        } | self.settings

    def encode(self, instances):
        rows, known = [], []
        for number, instance in enumerate(instances):
            texts = {self.fields[0]: instance} if isinstance(instance, str) else instance
            text = " ".join(texts.values())
            if "unencodable" in text:
                raise BadInstance(number, "cannot be encoded", self.fields[0])
            if "broken encoder" in text:
                raise ValueError("secret of the encoder")
            known.append(texts)
            for _ in range(1000 if "thousandfold" in text else 1):
                rows.append(Row(text, list(range(2 + len(text.split()))), []))
        return Work(known, rows)

    def compute(self, rows):
        assert self.may_compute.wait(30)
        time.sleep(self.seconds)
        self.batches.append([row.text for row in rows])
        if any("broken network" in row.text for row in rows):
            raise RuntimeError("secret of the network")
        return [(row.text,) for row in rows]

    def decode(self, work, outputs, top_k=None):
        if any("broken decoder" in text for (text,) in outputs):
            raise KeyError("secret of the decoder")
        kinds = {"regression": self._score, "multi_label": self._labels, "choices": self._choice}
        of_classifier = next((result for name, result in kinds.items() if self.settings[name]), self._class)
        results = {"ner": self._entities, "squad": self._answer, "classifier": of_classifier}
        results |= {"embed": self._vector, "fill_mask": self._fill}
        return [results[self.task](texts, " ".join(texts.values()), top_k) for texts in work.instances]

    def predict(self, instances, batch_size=32):
        work = self.encode(instances)
        return self.decode(work, self.compute(work.rows))

    def _class(self, texts, text, top_k):
        scores = {label: text.count(label) + 0.5 for label in self.labels}
        total = sum(scores.values())
        ordered = sorted(((score / total, label) for label, score in scores.items()), reverse=True)
        return {"label": ordered[0][1], "probability": ordered[0][0], "probabilities": {label: p for p, label in ordered[:top_k]}}

    def _labels(self, texts, text, top_k):
        found = [label for label in self.labels if label in text]
        return {"labels": found, "probabilities": {label: 0.9 if label in found else 0.1 for label in self.labels}}

    def _choice(self, texts, text, top_k):
        choices = [line.strip() for line in texts["choices"].split("\n") if line.strip()]
        return {
            "choice": 0,
            "text": choices[0],
            "probability": 0.75,
            "probabilities": [0.75] + [0.25 / (len(choices) - 1)] * (len(choices) - 1),
        }

    def _score(self, texts, text, top_k):
        return {"score": float(len(text))}

    def _vector(self, texts, text, top_k):
        return {"embedding": [float(text.count(letter)) for letter in "abc"]}

    def _fill(self, texts, text, top_k):
        candidates = [{"token": token, "probability": 0.5**number} for number, token in enumerate(("cat", "##s", "猫"), 1)][:top_k]
        words = [{"first": 0, "masks": 2, "candidates": [{"word": "cats", "probability": 0.125}]}] if "[MASK][MASK]" in text else []
        return {"filled": text.replace("[MASK]", "cat"), "masks": [candidates] * text.count("[MASK]"), "words": words}

    def _entities(self, texts, text, top_k):
        entities, start = [], 0
        for word in text.split(" "):
            if len(word) > 5:
                entities.append({"type": "LONG" if len(word) > 8 else "MIDDLE", "start": start, "end": start + len(word), "text": word})
            start += len(word) + 1
        return {"text": text, "entities": entities}

    def _answer(self, texts, text, top_k):
        words, start, spans = texts["context"].split(" "), 0, []
        for word in words:
            if word and word not in texts["question"]:
                spans.append({"text": word, "start": start, "end": start + len(word), "probability": 0.5 ** (1 + len(spans))})
            start += len(word) + 1
        spans = (spans or [{"text": "", "start": None, "end": None, "probability": 1.0}])[: top_k or 5]
        first = spans[0]
        return {"answer": first["text"], "start": first["start"], "end": first["end"], "probability": first["probability"], "n_best": spans}
