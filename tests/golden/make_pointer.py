"""Golden numbers of Efficient GlobalPointer, written in PyTorch from the published formulas: tests/golden/pointer.npz.

    .venv-torch/bin/python tests/golden/make_pointer.py

Inputs: hidden states of 3 rows of up to 11 positions, of which the last are padding; every parameter of the head; spans (row, type, first,
last), some within others, some with the same tokens and another type. Outputs, computed in float64: logits [B, C, S, S], the loss of each
row, and the gradients of the sum of losses by the hidden states and every parameter. Rotations are complex products, and the loss is taken
span by span, so that nothing is computed as in src/tasks/ner/pointer.py.

Source: Su et al. 2022, "Global Pointer: Novel Efficient Span-based Approach for Named Entity Recognition"; Su et al. 2021, "RoFormer"; Su
et al. 2022, "ZLPR: A Novel Loss for Multi-label Classification".
"""

from pathlib import Path

import numpy as np
import torch

LENGTHS, LONGEST, HIDDEN, SIZE, TYPES = (11, 7, 5), 11, 24, 64, 3
SPANS = [(0, 0, 1, 6), (0, 0, 2, 3), (0, 1, 2, 3), (0, 2, 4, 9), (0, 2, 9, 9), (1, 1, 1, 5), (1, 1, 1, 1), (1, 0, 3, 5)]  # row 2 has none
PARAMETERS = {"query": (SIZE, HIDDEN), "key": (SIZE, HIDDEN), "dense": (TYPES, 2 * SIZE), "last": (TYPES, 2 * SIZE)}


def rotate(vector, position):
    """R_p v: each pair of values as a complex number, times e^(i p theta)."""
    pairs = torch.view_as_complex(vector.reshape(-1, 2))
    angles = position * 10000.0 ** (-2.0 * torch.arange(len(pairs), dtype=torch.float64) / len(vector))
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).reshape(-1)


def score_row(hidden, weights):
    """s(i, j, c) for all pairs of positions: [C, S, S]."""
    query = [weights["query.weight"] @ h + weights["query.bias"] for h in hidden]
    key = [weights["key.weight"] @ h + weights["key.bias"] for h in hidden]
    first = [weights["dense.weight"] @ torch.cat([q, k]) + weights["dense.bias"] for q, k in zip(query, key)]
    last = [weights["last.weight"] @ torch.cat([q, k]) + weights["last.bias"] for q, k in zip(query, key)]
    turned = [(rotate(q, place), rotate(k, place)) for place, (q, k) in enumerate(zip(query, key))]
    rows = []
    for i in range(len(hidden)):
        rows.append(torch.stack([turned[i][0] @ turned[j][1] / SIZE**0.5 + first[i] + last[j] for j in range(len(hidden))]))
    return torch.stack(rows).permute(2, 0, 1)


def lose(scores, length, spans):
    """The mean over types of log(1 + sum over other spans of e^s) + log(1 + sum over entities of e^-s), between [CLS] and [SEP]."""
    losses = []
    for kind in range(TYPES):
        others, entities = torch.tensor(1.0, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64)
        for i in range(1, length - 1):
            for j in range(i, length - 1):
                if (kind, i, j) in spans:
                    entities = entities + torch.exp(-scores[kind, i, j])
                else:
                    others = others + torch.exp(scores[kind, i, j])
        losses.append(torch.log(others) + torch.log(entities))
    return torch.stack(losses).mean()


def main():
    torch.manual_seed(1)
    hidden = torch.randn(len(LENGTHS), LONGEST, HIDDEN)
    weights = {f"{name}.weight": torch.randn(shape) * 0.3 for name, shape in PARAMETERS.items()}
    weights |= {f"{name}.bias": torch.randn(shape[0]) * 0.3 for name, shape in PARAMETERS.items()}
    saved = {"hidden": hidden.numpy(), "lengths": np.array(LENGTHS), "spans": np.array(SPANS)}
    saved |= {f"weight/{name}": value.numpy() for name, value in weights.items()}
    hidden = hidden.double().requires_grad_()
    weights = {name: value.double().requires_grad_() for name, value in weights.items()}
    logits = torch.stack([score_row(row, weights) for row in hidden])
    spans = [{tuple(span) for number, *span in SPANS if number == row} for row in range(len(LENGTHS))]
    losses = torch.stack([lose(*each) for each in zip(logits, LENGTHS, spans)])
    losses.sum().backward()
    saved |= {"logits": logits.detach().numpy(), "losses": losses.detach().numpy(), "gradient/hidden": hidden.grad.numpy()}
    saved |= {f"gradient/{name}": value.grad.numpy() for name, value in weights.items()}
    saved = {name: array.astype(np.float32) if array.dtype == np.float64 else array for name, array in saved.items()}
    np.savez_compressed(Path(__file__).parent / "pointer.npz", **saved)


if __name__ == "__main__":
    main()
