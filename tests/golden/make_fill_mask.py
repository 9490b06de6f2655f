"""Golden results of transformers' fill-mask pipeline, and pseudo-log-likelihoods: the folder tests/golden/fill_mask.

    .venv-torch/bin/python tests/golden/make_fill_mask.py

The folder is a random BertForMaskedLM as Hugging Face saves it, with a vocabulary of English and Chinese; results.json has the results.
"""

import json
from pathlib import Path

import torch
from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast, pipeline

FOLDER = Path(__file__).parent / "fill_mask"
WORDS = "the cat sat on a mat dog ran fast slow good bad very not it was new york ##s ##ing . , ! 今 天 气 很 好 我 们 北 京 上 海 大 学"
MASKED = [
    "The [MASK] sat on the mat.",
    "[MASK]",
    "It was very [MASK], not [MASK] !",
    "[MASK] [MASK] was good.",
    "我们[MASK][MASK]大学很好",
    "cats[MASK]running",
]
SENTENCES = ["The cat sat on the mat.", "我们很好", "Good!"]
TOP_K = 7


def score(model, tokenizer, text):
    """The sum over the tokens of log p(token | the others), each masked by itself."""
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    found = []
    for place in range(1, ids.shape[1] - 1):
        masked = ids.clone()
        masked[0, place] = tokenizer.mask_token_id
        found.append(model(masked).logits[0, place].log_softmax(-1)[ids[0, place]].item())
    return found


def main():
    FOLDER.mkdir(exist_ok=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split()]
    (FOLDER / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    torch.manual_seed(1)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 32}
    model = BertForMaskedLM(BertConfig(vocab_size=len(vocabulary), **sizes, initializer_range=0.5)).eval()
    torch.nn.init.normal_(model.cls.predictions.bias, 0.0, 0.5)
    model.save_pretrained(FOLDER)
    tokenizer = BertTokenizerFast(str(FOLDER / "vocab.txt"))
    fill = pipeline("fill-mask", model=model, tokenizer=tokenizer, top_k=TOP_K, device="cpu")
    results = {"masked": {}, "sentences": {}}
    for text in MASKED:
        found = fill(text)
        found = found if isinstance(found[0], list) else [found]
        results["masked"][text] = [[[vocabulary[each["token"]], each["score"]] for each in some] for some in found]
    with torch.no_grad():
        results["sentences"] = {text: score(model, tokenizer, text) for text in SENTENCES}
    (FOLDER / "results.json").write_text(json.dumps(results, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
