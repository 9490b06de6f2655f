from src.tasks.instances import take_texts

PER_TOKEN = (False,)
EXAMPLE = {"text": "a kind word"}
NOT_BLANK = ()


def describe(settings):
    return ("text",), "text"


def takes_top_k(settings):
    return False


def check(settings):
    pass


def shapes(settings, num_labels, rows, length):
    return {"logits": (rows, 2)}


def encode(description, tokenizer, instances):
    texts = tokenizer.encode([each["text"] for each in take_texts(instances, *describe({}))])
    return [tokenizer.join(text, None, description.settings["seq_length"]) for text in texts], None


def decode(description, memory, outputs, top_k):
    return [{"kind": bool(logits[1] > logits[0])} for (logits,) in outputs]
