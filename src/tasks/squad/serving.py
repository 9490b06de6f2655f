"""Questions on texts: windows for the graph, and answers of their logits."""

from src.tasks.instances import BadInstance, take_texts
from src.tasks.squad.answers import find_answers
from src.tasks.squad.file import Question
from src.tasks.squad.windows import encode_questions

PER_TOKEN = (True, True)
_ANSWERS_SHOWN = 3
EXAMPLE = {"question": "Who visited Paris?", "context": "In May, Angela Merkel visited Paris."}  # on the served page


def describe(settings):
    """The keys of an instance, and what a bare text stands for."""
    return ("question", "context"), None


def takes_top_k(settings):
    """Whether results are a choice among several."""
    return True


def check(settings):
    """Raises: ValueError: a setting that no answer can be found with."""
    for name in ("doc_stride", "max_query_length", "n_best_size", "max_answer_length"):
        if type(settings.get(name)) is not int or settings[name] < 1:
            raise ValueError(f"{name}={settings.get(name)}: a whole number from 1 is expected")
    if type(settings.get("version_2_with_negative")) is not bool:
        raise ValueError("version_2_with_negative must be true or false")
    if type(settings.get("null_score_diff_threshold")) not in (int, float):
        raise ValueError(f"null_score_diff_threshold={settings.get('null_score_diff_threshold')}: a number is expected")


def shapes(settings, num_labels, rows, length):
    """The graph's outputs for so many rows of one length: name -> shape."""
    return {"start_logits": (rows, length), "end_logits": (rows, length)}


def encode(description, tokenizer, instances):
    """(rows, what `decode` needs): rows are (input_ids, token_type_ids); a long context has several."""
    settings, texts = description.settings, take_texts(instances, *describe(description.settings))
    for number, each in enumerate(texts):
        if not each["question"].strip():
            raise BadInstance(number, "is empty", "question")
    questions = [Question(str(number), each["question"], each["context"], None) for number, each in enumerate(texts)]
    lengths = (settings[name] for name in ("seq_length", "doc_stride", "max_query_length"))
    chunk, _ = encode_questions(questions, tokenizer, *lengths, training=False)
    ends = chunk.lengths.cumsum()
    columns = [chunk.tokens[name] for name in ("input_ids", "token_type_ids")]
    rows = [tuple(column[end - length : end].tolist() for column in columns) for length, end in zip(chunk.lengths, ends)]
    return rows, (questions, chunk)


def decode(description, memory, outputs, top_k):
    """A dict for each question: answer, start, end, probability, n_best; "" without a place where there is none."""
    (questions, chunk), settings = memory, description.settings
    threshold = settings["null_score_diff_threshold"] if settings["version_2_with_negative"] else None
    logits = zip(*outputs)
    count = settings["n_best_size"] if threshold is None else max(settings["n_best_size"], 2)  # no answer, and the best one
    found = find_answers(questions, chunk, *map(list, logits), count, settings["max_answer_length"], threshold)
    results = []
    for question in questions:
        best = [
            {"text": entry["text"], **_place(place), "probability": entry["probability"]}
            for entry, place in zip(found.nbest[question.id], found.places[question.id])
        ]
        chosen = next(entry for entry in best if entry["text"] == found.predictions[question.id])
        answer = {"answer": chosen["text"], "start": chosen["start"], "end": chosen["end"], "probability": chosen["probability"]}
        results.append(answer | {"n_best": best[: top_k or _ANSWERS_SHOWN]})
    return results


def _place(place):
    start, end = place or (None, None)
    return {"start": start, "end": end}
