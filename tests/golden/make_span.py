"""Golden numbers of question answering in Hugging Face's BertForQuestionAnswering: tests/golden/span.npz; and its encoder as
NVIDIA's pretraining saves it, in both of PyTorch's forms: tests/golden/torch/nvidia_zip.pt, nvidia_legacy.pt.

    .venv-torch/bin/python tests/golden/make_span.py

The rows have one length: Hugging Face's loss counts padding. No token is 0, whose row of the table it does not train.
"""

from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertForQuestionAnswering

SHAPE = {
    "vocab_size": 30,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 12,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.5,
}


def save_as_nvidia(model):
    """float16 under "model", by NVIDIA's names, with a vocabulary of a multiple of 8, pretraining heads, and an optimiser's state."""
    state = {}
    for name, tensor in model.bert.state_dict(prefix="bert.").items():
        state[name.replace("intermediate.dense", "intermediate.dense_act")] = tensor.half()
    table = state["bert.embeddings.word_embeddings.weight"]
    state["bert.embeddings.word_embeddings.weight"] = torch.nn.functional.pad(table, (0, 0, 0, -len(table) % 8))
    size, words = SHAPE["hidden_size"], len(table) + -len(table) % 8
    shapes = {"bert.pooler.dense_act.weight": (size, size), "bert.pooler.dense_act.bias": (size,), "cls.predictions.bias": (words,)}
    shapes |= {"cls.predictions.transform.dense_act.weight": (size, size), "cls.predictions.decoder.weight": (words, size)}
    state |= {name: torch.randn(shape).half() for name, shape in shapes.items()}
    saved = {"model": state, "optimizer": {"state": {0: {"exp_avg": torch.randn(5)}}}, "epoch": 3, "files": ["a.hdf5"]}
    folder = Path(__file__).parent / "torch"
    torch.save(saved, folder / "nvidia_zip.pt")
    torch.save(saved, folder / "nvidia_legacy.pt", _use_new_zipfile_serialization=False)


def main():
    torch.manual_seed(1)
    model = BertForQuestionAnswering(BertConfig(**SHAPE))
    torch.nn.init.normal_(model.qa_outputs.bias)
    ids, types = torch.randint(1, 30, (3, 9)), torch.tensor([[0] * 4 + [1] * 5] * 3)
    starts, ends = torch.tensor([5, 0, 8]), torch.tensor([7, 0, 8])
    output = model(ids, torch.ones_like(ids), types, start_positions=starts, end_positions=ends)
    output.loss.backward()
    arrays = {"ids": ids, "types": types, "start_positions": starts, "end_positions": ends}
    saved = {name: values.numpy().astype(np.int32) for name, values in arrays.items()}
    saved |= {"start_logits": output.start_logits.detach().numpy(), "end_logits": output.end_logits.detach().numpy()}
    saved["loss"] = output.loss.detach().numpy()
    for name, parameter in model.named_parameters():
        saved[f"weight/{name}"] = parameter.detach().numpy()
        saved[f"gradient/{name}"] = parameter.grad.numpy()
    np.savez_compressed(Path(__file__).parent / "span.npz", **saved)
    save_as_nvidia(model)


if __name__ == "__main__":
    main()
