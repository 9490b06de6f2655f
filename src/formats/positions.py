"""The fixed table of NEZHA's relative positions (Wei et al. 2019), which no weights file contains."""

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
