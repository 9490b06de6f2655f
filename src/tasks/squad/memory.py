"""The planner's tape of the head and loss for questions."""


def check(options, form):
    """Every head is planned."""


def record_head(tape, options, x, words):
    """SpanFinder of network.py with SpanLoss: two logits a token."""
    tape.part = "head"
    logits = tape.cast(tape.linear("span", x, 2), "float32")
    for end in ("first", "last"):
        tape.part = "head"
        tape.cross_entropy(tape.add(f"logits of the {end} token", [logits], logits.shape[:1]))
