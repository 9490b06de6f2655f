"""Golden numbers of public optimisers: tests/golden/optimizers.npz.

    .venv-torch/bin/pip install --no-deps timm; .venv-torch/bin/python tests/golden/make_optimizers.py

LAMB is timm's (after NVIDIA's), AdamW is PyTorch's; 20 steps on three parameters, the last a bias without decay.
"""

import importlib.util
import sys
import types
from pathlib import Path

import numpy as np
import torch

SHAPES = {"dense.weight": (4, 6), "zero.weight": (3, 2), "dense.bias": (6,)}


def load_lamb():
    """timm's lamb.py alone: its package asks for torchvision."""
    folder = Path(importlib.util.find_spec("timm").submodule_search_locations[0]) / "optim"
    package = types.ModuleType("timm_optim")
    package.__path__ = [str(folder)]
    sys.modules["timm_optim"] = package
    return importlib.import_module("timm_optim.lamb").Lamb


def main():
    rng = np.random.default_rng(5)
    start = {name: rng.standard_normal(shape) * (name != "zero.weight") for name, shape in SHAPES.items()}
    gradients = {name: rng.standard_normal((20, *shape)) for name, shape in SHAPES.items()}
    saved = {f"start/{name}": value for name, value in start.items()} | {f"gradient/{name}": value for name, value in gradients.items()}
    for kind in ("Lamb", "AdamW"):
        parameters = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in start.items()}
        groups = [
            {"params": [value for name, value in parameters.items() if not name.endswith("bias")], "weight_decay": 0.01},
            {"params": [value for name, value in parameters.items() if name.endswith("bias")], "weight_decay": 0.0},
        ]
        if kind == "Lamb":
            optimizer = load_lamb()(groups, lr=0.02, betas=(0.9, 0.999), eps=1e-6, max_grad_norm=None)
        else:
            optimizer = torch.optim.AdamW(groups, lr=0.02, betas=(0.9, 0.999), eps=1e-6)
        for step in range(20):
            for name, parameter in parameters.items():
                parameter.grad = torch.tensor(gradients[name][step])
            optimizer.step()
        saved |= {f"{kind}/{name}": parameter.detach().numpy() for name, parameter in parameters.items()}
    np.savez_compressed(Path(__file__).parent / "optimizers.npz", **saved)


if __name__ == "__main__":
    main()
