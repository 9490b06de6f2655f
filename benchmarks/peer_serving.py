"""The peer of benchmarks/serving.py: the same paths on FastAPI, one PyTorch eager call for each request.

    .venv-torch/bin/python benchmarks/peer_serving.py FOLDER PORT

OMP_NUM_THREADS tells the threads of a call. FOLDER has a classifier in Hugging Face's form, as
python -m src.convert --to huggingface makes it.
"""

import sys

import torch
import uvicorn
from fastapi import FastAPI
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def make_app(folder):
    """Load, and answer instances that are texts; the endpoint is no coroutine, so that FastAPI runs it in its threads."""
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    app = FastAPI()

    @app.post("/v1/models/peer:predict")
    def predict(body: dict):
        inputs = tokenizer(body["instances"], padding=True, truncation=True, max_length=128, return_tensors="pt")
        with torch.inference_mode():
            shares = model(**inputs).logits.softmax(-1)
        return {"predictions": [{"probabilities": row} for row in shares.tolist()]}

    @app.get("/healthz")
    def healthz():
        return {}

    return app


if __name__ == "__main__":
    uvicorn.run(make_app(sys.argv[1]), port=int(sys.argv[2]), log_level="error")
