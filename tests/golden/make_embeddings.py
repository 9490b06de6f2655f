"""Golden vectors of sentence-transformers: tests/golden/embeddings.npz.

    .venv-torch/bin/python tests/golden/make_embeddings.py ENCODER_FOLDER

Texts of mixed lengths in one batch, one of them longer than the encoder's maximum length.
"""

import sys
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules

TEXTS = [
    "Hi.",
    "The cat sat on the mat.",
    "Naïve café owners in Zürich paid 1,299.50 francs; nobody knows why (not even the owners themselves).",
    "今天天气很好，我们去公园散步吧。",
    "A man is playing a large flute, and a woman in the first row is writing down every note that she hears. " * 20,
    "Prices rose by 2.4 % in March!",
]


def main(folder):
    encoder = SentenceTransformer(folder, device="cpu")
    saved = {"texts": np.array(TEXTS), "mean": encoder.encode(TEXTS, batch_size=len(TEXTS))}
    transformer = modules.Transformer(folder, max_seq_length=64)
    pooling = modules.Pooling(transformer.get_embedding_dimension(), pooling_mode="cls")
    plain = SentenceTransformer(modules=[transformer, pooling], device="cpu")
    saved["cls_64_not_normalised"] = plain.encode(TEXTS, batch_size=len(TEXTS))
    np.savez_compressed(Path(__file__).parent / "embeddings.npz", **saved)


if __name__ == "__main__":
    main(sys.argv[1])
