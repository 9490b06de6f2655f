"""Limits on requests and batches; a request beyond a limit is answered with that limit's status code."""

from dataclasses import dataclass, fields

HEAD_SECONDS = 30  # time for the head of a request to arrive; 408 beyond
BODY_SECONDS = 60  # time for a body to arrive; 408 beyond
LAST_BODY_SECONDS = 5  # the same once the server begins to stop; 503 beyond
_LONGEST_WAIT_MS = 60_000


@dataclass(frozen=True)
class Limits:
    """The server's flags of the same names.

    Attributes:
        max_batch_tokens: padded tokens of a batch; a longer row is a batch of its own.
        max_wait_ms: how long the first row of a batch waits for others on their way.
        max_body_bytes: size of one body; 413 above.
        max_instances: instances of one request; 422 above.
        max_text_chars: characters of one text; 422 above.
        max_queue: waiting rows; 429 above. One request may make at most half as many, so that it cannot fill the queue; 422 above.
        max_held_bytes: size of the bodies of all requests being read or answered; 429 above.
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
    def max_rows(self) -> int:
        """Maximum number of rows of one request; a long passage makes several."""
        return self.max_queue // 2
