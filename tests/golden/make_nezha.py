"""Golden numbers of Hugging Face's NezhaModel: tests/golden/nezha.npz, published positions and learned ones.

    .venv-nezha/bin/python tests/golden/make_nezha.py        (torch, transformers 4.40: the last versions with NEZHA)

The objective that is differentiated: sum(pooled * p) + sum(sequence * s * mask), p and s fixed waves. `learned` puts a
trainable table in place of each layer's sinusoids, as the model zoo's network has it.
"""

from pathlib import Path

import numpy as np
import torch
from transformers import NezhaConfig, NezhaModel

SIZES = {"vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
OFF = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
DISTANCE = 3  # the sequences are longer: distances are clipped


def waves(shape):
    return np.sin(np.arange(int(np.prod(shape)), dtype=np.float64).reshape(shape)).astype(np.float32)


def use_tables(model, length):
    """Trainable tables for the distances -DISTANCE to DISTANCE in every layer."""
    tables = {}
    rows = (torch.arange(length)[None, :] - torch.arange(length)[:, None]).clamp(-DISTANCE, DISTANCE) + DISTANCE
    for number, layer in enumerate(model.encoder.layer):
        table = torch.nn.Parameter(torch.randn(2 * DISTANCE + 1, 4) * 0.5)
        encoding = layer.attention.self.relative_positions_encoding
        encoding.register_buffer("positions_encoding", table[rows], persistent=False)
        tables[f"encoder.layer.{number}.attention.self.relative_positions_encoding.table"] = table
    return tables


def main():
    rng = np.random.default_rng(0)
    ids = rng.integers(1, 30, (3, 9)).astype(np.int32)  # their table gives row 0 (padding) no gradient
    mask = (np.arange(9)[None, :] < np.array([[9], [5], [1]])).astype(np.int32)
    types = (np.arange(9)[None, :] >= np.array([[4], [2], [9]])).astype(np.int32)
    saved = {"ids": ids, "mask": mask, "types": types}
    for kind in ("sinusoidal", "learned"):
        torch.manual_seed(1)
        config = NezhaConfig(**SIZES, **OFF, max_position_embeddings=12, max_relative_position=DISTANCE, initializer_range=0.5)
        model = NezhaModel(config).eval()
        for parameter in model.parameters():
            if parameter.dim() == 1:
                torch.nn.init.normal_(parameter, 0.5, 0.5)
        weights = dict(model.named_parameters()) | (use_tables(model, 9) if kind == "learned" else {})
        out = model(torch.tensor(ids).long(), torch.tensor(mask).long(), torch.tensor(types).long())
        sequence, pooled = out.last_hidden_state, out.pooler_output
        objective = (pooled * torch.tensor(waves(pooled.shape))).sum()
        (objective + (sequence * torch.tensor(waves(sequence.shape)) * torch.tensor(mask)[:, :, None]).sum()).backward()
        saved |= {f"{kind}/sequence": sequence.detach().numpy(), f"{kind}/pooled": pooled.detach().numpy()}
        for name, parameter in weights.items():
            saved[f"{kind}/weight/{name}"] = parameter.detach().numpy()
            saved[f"{kind}/gradient/{name}"] = parameter.grad.numpy()
    np.savez_compressed(Path(__file__).parent / "nezha.npz", **saved)


if __name__ == "__main__":
    main()
