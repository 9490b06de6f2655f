"""Fixed tables of positions, which no weights file contains: NEZHA's relative ones (Wei et al. 2019), and rotary ones (Su et al. 2021)."""

import numpy as np


def make_sinusoids(max_relative_position: int, head_size: int) -> np.ndarray:
    """NEZHA's fixed table: sin(p / 10000^(2i / D)) in column 2i, its cosine in column 2i + 1, with p = distance + M.

    Returns:
        float32 [2M + 1, D].
    """
    rows = np.arange(2 * max_relative_position + 1)[:, None]
    angles = rows / 10000.0 ** (np.arange(0, head_size, 2) / head_size)
    table = np.zeros((2 * max_relative_position + 1, head_size), np.float32)
    table[:, 0::2] = np.sin(angles)
    table[:, 1::2] = np.cos(angles[:, : head_size // 2])
    return table


def make_rotations(num_positions: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tables by which x * cos + (x turned) * sin rotates the values 2i and 2i + 1 of x by the angle p / 10000^(2i / D) at position p.

    Returns:
        cos, sin: float32 [P, D]. turned: float32 [D, D], the matrix that takes (x_2i, x_2i+1) to (-x_2i+1, x_2i).

    Source: Su et al. 2021, "RoFormer: Enhanced Transformer with Rotary Position Embedding", section 3.4.2.
    """
    angles = np.arange(num_positions)[:, None] / 10000.0 ** (np.arange(0, size, 2) / size)
    angles = angles.repeat(2, 1)
    turned = np.zeros((size, size), np.float32)
    even = np.arange(0, size, 2)
    turned[even + 1, even] = -1
    turned[even, even + 1] = 1
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32), turned
