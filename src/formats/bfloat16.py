"""bfloat16, which NumPy lacks."""

import numpy as np


def widen(bits: np.ndarray) -> np.ndarray:
    """bfloat16 numbers as float32: uint16 [...], the upper half of each number, -> float32 [...]."""
    return np.left_shift(bits, 16, dtype=np.uint32).view(np.float32)
