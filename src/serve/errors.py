"""Exceptions for requests that get no prediction."""


class Refusal(Exception):
    """A request answered with an error that the client can act on.

    Args:
        status: HTTP status code.
        message: sent to the client as {"error": message}.
        headers: additional headers of the answer.
    """

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


class ClientGone(Exception):
    """The client closed its connection before the answer was ready."""
