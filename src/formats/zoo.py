"""The model zoo's parameters in our form."""

import numpy as np


def convert_crf(transitions):
    """The three parameters of our Crf from the zoo's one.

    Args:
        transitions: float [C + 2, C + 2], score of going [to, from]; the last two tags are <START> and <STOP>.

    Returns:
        dict of transitions [C, C] from -> to, start [C], end [C].

    Raises:
        ValueError: not square, or no tag beside the two.
    """
    transitions = np.asarray(transitions)
    if transitions.ndim != 2 or transitions.shape[0] != transitions.shape[1] or len(transitions) < 3:
        raise ValueError(f"transitions of shape {transitions.shape}: [C + 2, C + 2] is expected")
    first, last = len(transitions) - 2, len(transitions) - 1
    return {"transitions": transitions[:first, :first].T, "start": transitions[:first, first], "end": transitions[last, :first]}
