"""A line of the doctor's report."""

from typing import NamedTuple

OK, NOTE, TO_DO = "ok", "note", "to do"


class Finding(NamedTuple):
    """What a check has found.

    Attributes:
        kind: OK; NOTE where something works less well than it could; TO_DO where something will not work.
        subject: what was checked.
        text: what is there, and where it is not well what to do.
    """

    kind: str
    subject: str
    text: str
