"""Logits of Hugging Face's BertForTokenClassification: tests/golden/ner_bert.npz.

.venv-torch/bin/python tests/golden/make_ner_bert.py FOLDER      # camphr's tiny tagger: vocabulary 402, 16 positions, 9 labels
"""

import sys
from pathlib import Path

import numpy as np
import torch
from transformers import BertForTokenClassification

LENGTHS, LONGEST = (16, 1, 9, 13), 16


def main(folder):
    model, loading = BertForTokenClassification.from_pretrained(folder, output_loading_info=True)
    assert not loading["missing_keys"], loading
    rng = np.random.default_rng(1)
    mask = (np.arange(LONGEST)[None, :] < np.array(LENGTHS)[:, None]).astype(np.int32)
    ids = (rng.integers(1, model.config.vocab_size, mask.shape) * mask).astype(np.int32)
    types = ((np.arange(LONGEST)[None, :] >= 8) * mask).astype(np.int32)
    with torch.no_grad():
        logits = model.eval()(*(torch.tensor(each).long() for each in (ids, mask, types))).logits.numpy()
    labels = np.array([model.config.id2label[number] for number in range(model.config.num_labels)])
    np.savez_compressed(Path(__file__).parent / "ner_bert.npz", ids=ids, mask=mask, types=types, logits=logits, labels=labels)


if __name__ == "__main__":
    main(sys.argv[1])
