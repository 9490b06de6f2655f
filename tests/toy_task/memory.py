from src.tasks.defaults import check as check


def record_head(tape, options, x, words):
    tape.part = "head"
    tape.cross_entropy(tape.cast(tape.linear("toy", x, 2), "float32"))
