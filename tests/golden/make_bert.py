"""Golden numbers of Hugging Face's BertModel: tests/golden/bert.npz and minilm.npz.

    .venv-torch/bin/python tests/golden/make_bert.py ENCODER_FOLDER

The objective that is differentiated: sum(pooled * p) + sum(sequence * s * mask), p and s fixed waves.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

FOLDER = Path(__file__).parent
TEXTS = [
    "Hi.",
    "The cat sat on the mat.",
    "Attention is computed for every pair of positions, and padding must not take part in it.",
    "Naïve café owners in Zürich paid 1,299.50 francs; nobody knows why (not even the owners themselves).",
]


def waves(shape):
    return np.sin(np.arange(int(np.prod(shape)), dtype=np.float64).reshape(shape)).astype(np.float32)


def run(model, ids, mask, types):
    out = model(torch.tensor(ids).long(), torch.tensor(mask).long(), torch.tensor(types).long())
    sequence, pooled = out.last_hidden_state, out.pooler_output
    objective = (pooled * torch.tensor(waves(pooled.shape))).sum()
    objective = objective + (sequence * torch.tensor(waves(sequence.shape)) * torch.tensor(mask)[:, :, None]).sum()
    objective.backward()
    return sequence.detach().numpy(), pooled.detach().numpy()


def make_tiny():
    rng = np.random.default_rng(0)
    ids = rng.integers(1, 30, (3, 7)).astype(np.int32)  # their table gives row 0 (padding) no gradient
    mask = (np.arange(7)[None, :] < np.array([[7], [4], [1]])).astype(np.int32)
    types = (np.arange(7)[None, :] >= np.array([[3], [2], [7]])).astype(np.int32)
    saved = {"ids": ids, "mask": mask, "types": types}
    for act in ("gelu", "gelu_new", "relu"):
        torch.manual_seed(1)
        sizes = {"vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
        off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        config = BertConfig(**sizes, **off, hidden_act=act, max_position_embeddings=12, initializer_range=0.5)
        model = BertModel(config).eval()
        for parameter in model.parameters():
            if parameter.dim() == 1:
                torch.nn.init.normal_(parameter, 0.5, 0.5)
        sequence, pooled = run(model, ids, mask, types)
        saved |= {f"{act}/sequence": sequence, f"{act}/pooled": pooled}
        for name, parameter in model.named_parameters():
            saved[f"{act}/weight/{name}"] = parameter.detach().numpy()
            saved[f"{act}/gradient/{name}"] = parameter.grad.numpy()
    np.savez_compressed(FOLDER / "bert.npz", **saved)


def make_minilm(folder):
    batch = BertTokenizerFast.from_pretrained(folder)(TEXTS, padding=True, return_tensors="np")
    ids, mask = (batch[key].astype(np.int32) for key in ("input_ids", "attention_mask"))
    sequence, pooled = run(BertModel.from_pretrained(folder).eval(), ids, mask, np.zeros_like(ids))
    np.savez_compressed(FOLDER / "minilm.npz", ids=ids, mask=mask, sequence=sequence[:, :, ::16], pooled=pooled[:, ::4])


if __name__ == "__main__":
    make_tiny()
    make_minilm(sys.argv[1])
