"""What a server accepts, and how it gathers batches; each limit is answered with its own status code."""

from dataclasses import dataclass, fields

BODY_SECONDS = 60  # for a body to arrive whole; a slower one is answered 408
LAST_BODY_SECONDS = 5  # the same, from when the server begins to stop; 503
_LONGEST_WAIT_MS = 60_000


@dataclass(frozen=True)
class Limits:
    """Flags of the server of the same names.

    Args:
        max_batch_tokens: padded tokens of a batch; a single longer row is a batch of its own.
        max_wait_ms: how long the first row of a batch waits for others that are on their way.
        max_body_bytes: 413 above.
        max_instances: of one request; 422 above.
        max_text_chars: of one text; 422 above.
        max_queue: rows that wait; 429 above. One request may make half as many, so that none fills the queue alone; 422 above.
        max_held_bytes: bodies of all requests that are being read or answered; 429 above.
    """

    max_batch_tokens: int = 1024
    max_wait_ms: float = 3.0
    max_body_bytes: int = 4 << 20
    max_instances: int = 1024
    max_text_chars: int = 20_000
    max_queue: int = 4096
    max_held_bytes: int = 64 << 20

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0 and not (field.name == "max_wait_ms" and value == 0):
                raise ValueError(f"{field.name}={value} must be above 0")
        if self.max_wait_ms > _LONGEST_WAIT_MS:
            raise ValueError(f"max_wait_ms={self.max_wait_ms} is above {_LONGEST_WAIT_MS}")
        if self.max_instances > self.max_rows:
            raise ValueError(f"max_instances={self.max_instances} is above {self.max_rows}, half of max_queue={self.max_queue}")
        if self.max_body_bytes > self.max_held_bytes:
            raise ValueError(f"max_body_bytes={self.max_body_bytes} is above max_held_bytes={self.max_held_bytes}")

    @property
    def max_rows(self):
        """Rows of one request: a long passage makes several."""
        return self.max_queue // 2
