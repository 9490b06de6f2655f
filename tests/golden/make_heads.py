"""Golden numbers of the classification heads in PyTorch: tests/golden/heads.npz.

    .venv-torch/bin/python tests/golden/make_heads.py

Convolutions, batch norm and packed LSTMs are the library's own; padding is cut off row by row, so that no mask is needed.
The objective that is differentiated: sum(logits * a fixed wave).
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

HIDDEN, CLASSES, LENGTHS, LONGEST = 4, 3, (7, 1, 2, 4), 7


def waves(shape):
    return torch.sin(torch.arange(int(np.prod(shape)), dtype=torch.float64).reshape(shape)).float()


class Cnn(nn.Module):
    def __init__(self, batch_norm):
        super().__init__()
        self.filters = nn.ModuleList([nn.Conv1d(HIDDEN, 256, width) for width in (1, 2, 3, 4)])
        self.norms = nn.ModuleList([nn.BatchNorm1d(256) for _ in range(4)]) if batch_norm else None
        self.dense = nn.Linear(1024, CLASSES)

    def forward(self, x):
        strongest = []
        for number, conv in enumerate(self.filters):
            rows = [nn.functional.pad(row[:length].T, (0, number)) for row, length in zip(x, LENGTHS)]
            rows = [conv(row[None])[0].T for row in rows]  # [length, 256]
            if self.norms is not None:
                rows = self.norms[number](torch.cat(rows)).split(LENGTHS)
            strongest.append(torch.stack([row.relu().max(0).values for row in rows]))
        return self.dense(torch.cat(strongest, -1))


class Rcnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.contexts = nn.LSTM(HIDDEN, HIDDEN // 2, batch_first=True, bidirectional=True)
        self.joined = nn.Linear(2 * HIDDEN, HIDDEN)
        self.dense = nn.Linear(HIDDEN, CLASSES)

    def forward(self, x):
        packed = nn.utils.rnn.pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
        contexts = nn.utils.rnn.pad_packed_sequence(self.contexts(packed)[0], batch_first=True)[0]
        y = self.joined(torch.cat((x, contexts), -1)).tanh()
        return self.dense(torch.stack([row[:length].max(0).values for row, length in zip(y, LENGTHS)]))


def main():
    torch.manual_seed(1)
    x = torch.randn(len(LENGTHS), LONGEST, HIDDEN)
    saved = {"x": x.numpy(), "lengths": np.array(LENGTHS, np.int32)}
    for name, head in (("cnn", Cnn(False)), ("cnn_norm", Cnn(True)), ("rcnn", Rcnn())):
        given = x.clone().requires_grad_()
        logits = head(given)
        (logits * waves(logits.shape)).sum().backward()
        saved |= {f"{name}/logits": logits.detach().numpy(), f"{name}/gradient_x": given.grad.numpy()}
        for key, parameter in head.named_parameters():
            saved[f"{name}/weight/{key}"] = parameter.detach().numpy()
            saved[f"{name}/gradient/{key}"] = parameter.grad.numpy()
        if name == "cnn_norm":
            saved[f"{name}/evaluated"] = head.eval()(x).detach().numpy()
    np.savez_compressed(Path(__file__).parent / "heads.npz", **saved)


if __name__ == "__main__":
    main()
