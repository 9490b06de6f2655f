"""Golden numbers of Hugging Face's heads for several labels a text and for multiple choice: tests/golden/label_heads.npz.

    .venv-torch/bin/python tests/golden/make_label_heads.py

`labels`: BertForSequenceClassification with problem_type multi_label_classification. `choices`: BertForMultipleChoice. Of both the logits,
the loss and its gradients. `weighted`: torch's BCEWithLogitsLoss with pos_weight on the first one's logits, and its gradient by them.
"""

from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertForMultipleChoice, BertForSequenceClassification

LABELS, CHOICES = 4, 3
SIZES = {"vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
OFF = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def run(name, model, targets, inputs):
    """Outputs of a network in evaluation mode, its weights and the gradients of its loss."""
    for parameter in model.parameters():
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter, 0.5, 0.5)
    found = model.eval()(*inputs, labels=targets)
    found.loss.backward()
    saved = {f"{name}/targets": targets.numpy(), f"{name}/logits": found.logits.detach().numpy(), f"{name}/loss": found.loss.item()}
    for key, parameter in model.named_parameters():
        saved |= {f"{name}/weight/{key}": parameter.detach().numpy(), f"{name}/gradient/{key}": parameter.grad.numpy()}
    return saved


def main():
    torch.manual_seed(1)
    rng = np.random.default_rng(0)
    rows = 2 * CHOICES
    ids = rng.integers(1, 30, (rows, 7)).astype(np.int32)
    mask = (np.arange(7)[None, :] < np.array([7, 4, 2, 5, 7, 3])[:, None]).astype(np.int32)
    types = (np.arange(7)[None, :] >= np.array([3, 2, 7, 1, 4, 2])[:, None]).astype(np.int32) * mask
    saved = {"ids": ids, "mask": mask, "types": types}
    inputs = [torch.tensor(array).long() for array in (ids, mask, types)]

    config = BertConfig(**SIZES, **OFF, max_position_embeddings=12, initializer_range=0.5)
    config.num_labels, config.problem_type = LABELS, "multi_label_classification"
    targets = torch.tensor(rng.integers(0, 2, (rows, LABELS)), dtype=torch.float32)
    saved |= run("labels", BertForSequenceClassification(config), targets, inputs)
    logits = torch.tensor(saved["labels/logits"], requires_grad=True)
    pos_weight = torch.tensor([0.5, 1.0, 3.0, 7.0])
    loss = torch.nn.BCEWithLogitsLoss(pos_weight=pos_weight)(logits, targets)
    loss.backward()
    saved |= {"weighted/weights": pos_weight.numpy(), "weighted/loss": loss.item(), "weighted/gradient": logits.grad.numpy()}

    model = BertForMultipleChoice(BertConfig(**SIZES, **OFF, max_position_embeddings=12, initializer_range=0.5))
    saved |= run("choices", model, torch.tensor([2, 0]), [array.reshape(2, CHOICES, 7) for array in inputs])
    np.savez_compressed(Path(__file__).parent / "label_heads.npz", **saved)


if __name__ == "__main__":
    main()
