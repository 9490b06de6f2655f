"""PyTorch files in every form that src/formats/torch_pickle.py reads, and their arrays: tests/golden/torch/.

.venv-torch/bin/python tests/golden/make_torch_files.py
"""

import os
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).parent / "torch"


def make_state():
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 7
    return {
        "plain": base.clone(),
        "transposed": base.clone().t(),
        "strided": base.clone()[1::2, ::3],
        "shared": base,
        "shared_part": base[2],
        "parameter": torch.nn.Parameter(torch.tensor([1.5, -2.25])),
        "half": (base / 3).half(),
        "bfloat16": (base / 3).bfloat16(),
        "double": base.double() / 3,
        "long": torch.tensor([[2**40, -1]]),
        "byte": torch.tensor([0, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(3.25),
        "empty": torch.zeros(0, 3),
    }


class Payload:
    """Unpickled by Python's own unpickler, this would create a file."""

    def __reduce__(self):
        return os.system, ("touch payload_ran",)


def main():
    FOLDER.mkdir(exist_ok=True)
    state = make_state()
    torch.save(state, FOLDER / "zip.pt")
    torch.save(state, FOLDER / "legacy.bin", _use_new_zipfile_serialization=False)
    torch.save({"model": state, "step": 3, "args": {"lr": 0.1}}, FOLDER / "under_model.pt")
    torch.save({"state_dict": torch.nn.Linear(2, 3).state_dict()}, FOLDER / "under_state_dict.pt")
    hostile = {"weight": torch.ones(2), "payload": Payload()}
    torch.save(hostile, FOLDER / "payload_zip.pt")
    torch.save(hostile, FOLDER / "payload_legacy.bin", _use_new_zipfile_serialization=False)
    arrays = {name: tensor.detach().float().numpy() if name == "bfloat16" else tensor.detach().numpy() for name, tensor in state.items()}
    np.savez_compressed(FOLDER / "expected.npz", **arrays)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
