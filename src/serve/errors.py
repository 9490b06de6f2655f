"""Answers other than predictions, as exceptions."""


class Refusal(Exception):
    """A request that is answered with an error the client can act on.

    Args:
        status: HTTP status code.
        message: goes to the client as {"error": message}.
        headers: further headers of the answer.
    """

    def __init__(self, status, message, headers=None):
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


class ClientGone(Exception):
    """The client closed its connection before the answer was ready; nobody reads one."""
