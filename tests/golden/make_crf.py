"""Golden numbers of torchcrf's linear-chain CRF (pytorch-crf 0.7.2): tests/golden/crf.npz.

    .venv-torch/bin/python tests/golden/make_crf.py

Keys begin with `normal/` (emissions of ±1) or `large/` (of ±50); computed in float64 from float32 inputs. `transitions` is [from, to].
The objective that is differentiated: the sum over rows of the negative log-likelihood. Behind a row's end emissions are noise, tags and
paths -1.
"""

from pathlib import Path

import numpy as np
import torch
from torchcrf import CRF

ROWS, LONGEST, TAGS, LENGTHS = 5, 9, 7, (9, 1, 4, 7, 2)
PARAMETERS = ("transitions", "start_transitions", "end_transitions")


def run(scale, seed):
    torch.manual_seed(seed)
    crf = CRF(TAGS, batch_first=True)
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter)
    saved = {name: getattr(crf, name).detach().numpy().copy() for name in PARAMETERS}
    given = torch.randn(ROWS, LONGEST, TAGS) * scale
    tags = torch.randint(TAGS, (ROWS, LONGEST))
    mask = torch.arange(LONGEST)[None, :] < torch.tensor(LENGTHS)[:, None]
    crf, emissions = crf.double(), given.double().requires_grad_()
    likelihood = crf(emissions, tags, mask, reduction="none")
    (-likelihood.sum()).backward()
    # torchcrf keeps these two to itself, with time first
    partition = crf._compute_normalizer(emissions.transpose(0, 1), mask.T)
    score = crf._compute_score(emissions.transpose(0, 1), tags.T, mask.T)
    torch.testing.assert_close(score - partition, likelihood)
    paths = np.full((ROWS, LONGEST), -1, np.int32)
    for row, path in zip(paths, crf.decode(emissions, mask)):
        row[: len(path)] = path
    tags = torch.where(mask, tags, -1).numpy().astype(np.int32)
    saved |= {"emissions": given.numpy(), "mask": mask.numpy(), "tags": tags, "paths": paths}
    saved |= {"log_likelihood": likelihood.detach().numpy(), "log_partition": partition.detach().numpy()}
    saved["gradient/emissions"] = emissions.grad.numpy()
    return saved | {f"gradient/{name}": getattr(crf, name).grad.numpy() for name in PARAMETERS}


def main():
    saved = {}
    for name, scale, seed in (("normal", 1.0, 1), ("large", 50.0, 2)):
        saved |= {f"{name}/{key}": value for key, value in run(scale, seed).items()}
    np.savez_compressed(Path(__file__).parent / "crf.npz", **saved)


if __name__ == "__main__":
    main()
