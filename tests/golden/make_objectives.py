"""Golden numbers of pretraining without next sentences in PyTorch: tests/golden/objectives.npz.

    .venv-torch/bin/python tests/golden/make_objectives.py      (after make_pretraining.py bert)

Masked tokens alone: Hugging Face's BertForMaskedLM on full rows, which are cut from one stream of documents with separators between
them; the logits of batch 0, then 50 steps as in make_pretraining.py. The order of two parts: the logits and the loss that ALBERT's head
and its AlbertForPreTraining give for BERT's pooled output of pretraining.npz, whose labels then are those of swapped parts.
"""

from pathlib import Path

import numpy as np
import torch
import transformers
from make_pretraining import (
    CLS,
    FIRST,
    MASK,
    OFF,
    PEAKS,
    SEP,
    SIZES,
    STEPS,
    WARMUP,
    B,
    P,
    S,
    V,
    clip_gradients,
    make_optimizer,
    make_sentence,
)

FOLDER = Path(__file__).parent
OPTIMIZER = "AdamWeightDecay"


def make_batches():
    """Columns int8 (masked_lm_weights float32) [STEPS, B, ...] of full rows."""
    rng = np.random.default_rng(5)
    stream = []
    while len(stream) < STEPS * B * (S - 2):
        for _ in range(int(rng.integers(1, 5))):  # sentences of a document
            stream += make_sentence(rng, int(rng.integers(2)), int(rng.integers(3, 20)))
        stream.append(SEP)
    columns = {name: [] for name in ("input_ids", "masked_lm_positions", "masked_lm_ids", "masked_lm_weights")}
    for start in range(0, STEPS * B * (S - 2), S - 2):
        ids = np.array([CLS, *stream[start : start + S - 2], SEP])
        ordinary = np.flatnonzero(ids >= FIRST)
        positions = np.sort(rng.choice(ordinary, min(len(ordinary), int(rng.integers(2, P + 1))), replace=False))
        true, chance = ids[positions], rng.random(len(positions))
        ids[positions] = np.where(chance < 0.8, MASK, np.where(chance < 0.9, rng.integers(FIRST, V, len(positions)), true))
        for name, values in zip(columns, (ids, positions, true, np.ones(len(positions)))):
            columns[name].append(np.pad(values, (0, (S if name == "input_ids" else P) - len(values))))
    columns = {name: np.stack(values).reshape(STEPS, B, -1) for name, values in columns.items()}
    columns |= {"input_mask": np.ones((STEPS, B, S)), "token_type_ids": np.zeros((STEPS, B, S))}
    return {name: values.astype(np.float32 if name == "masked_lm_weights" else np.int8) for name, values in columns.items()}


def compute_loss(model, batch):
    """Mean cross-entropy over the real masked positions of a batch, and their logits [B, P, V]."""
    batch = {name: torch.tensor(values) if values.dtype == np.float32 else torch.tensor(values).long() for name, values in batch.items()}
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["input_mask"], "token_type_ids": batch["token_type_ids"]}
    found = model(**inputs).logits
    logits = found.gather(1, batch["masked_lm_positions"][:, :, None].expand(-1, -1, V))
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["masked_lm_ids"].flatten(), reduction="none")
    weights = batch["masked_lm_weights"].flatten()
    return (losses * weights).sum() / weights.sum(), logits


def train(model, batches):
    """The losses [steps], each before its update."""
    optimizer, losses = make_optimizer(OPTIMIZER, model, PEAKS[OPTIMIZER]), []
    for step, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = PEAKS[OPTIMIZER] * (step / WARMUP if step < WARMUP else 1 - step / STEPS)
        loss, _ = compute_loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        clip_gradients(model.parameters())
        optimizer.step()
        losses.append(float(loss.detach()))
    return np.array(losses)


def make_model(dtype):
    """A network whose every parameter is random; biases too, and LayerNorm's weights around 1."""
    config = transformers.BertConfig(**SIZES, **OFF, hidden_act="gelu", max_position_embeddings=32, layer_norm_eps=1e-12)
    model = transformers.BertForMaskedLM(config)
    rng = np.random.default_rng(2)
    for name, parameter in model.named_parameters():
        value = (rng.standard_normal(tuple(parameter.shape)) * 0.1 + name.endswith("LayerNorm.weight")).astype(np.float32)
        parameter.data.copy_(torch.tensor(value))
    return model.to(dtype).eval()


def order_sentences():
    """What ALBERT's head and loss give for batch 0 of pretraining.npz."""
    golden = np.load(FOLDER / "pretraining.npz")
    config = transformers.BertConfig(**SIZES, **OFF, hidden_act="gelu", max_position_embeddings=32, layer_norm_eps=1e-12)
    model = transformers.BertForPreTraining(config).eval()
    weights = {key[len("weight/") :]: torch.tensor(golden[key]) for key in golden.files if key.startswith("weight/")}
    missing = model.load_state_dict(weights, strict=False)
    assert not missing.unexpected_keys and all("decoder" in key or "position_ids" in key for key in missing.missing_keys)
    head = transformers.models.albert.modeling_albert.AlbertSOPHead(transformers.AlbertConfig(hidden_size=32, classifier_dropout_prob=0.0))
    head.classifier.load_state_dict(model.cls.seq_relationship.state_dict())
    batch = {name: torch.tensor(golden[f"batch/{name}"][0]).long() for name in ("input_ids", "input_mask", "token_type_ids")}
    labels = torch.tensor(golden["batch/next_sentence_labels"][0]).long()
    with torch.no_grad():
        pooled = model.bert(batch["input_ids"], batch["input_mask"], batch["token_type_ids"]).pooler_output
        logits = head(pooled)
        loss = torch.nn.functional.cross_entropy(logits.view(-1, 2), labels.view(-1))
    return {"sentence_order_logits": logits.numpy(), "sentence_order_loss": np.float32(loss)}


def main():
    torch.set_num_threads(1)
    columns = make_batches()
    batches = [{name: values[step] for name, values in columns.items()} for step in range(STEPS)]
    model, exact = make_model(torch.float32), make_model(torch.float64)
    saved = {f"batch/{name}": values for name, values in columns.items()} | order_sentences()
    saved |= {f"weight/{name}": parameter.detach().numpy().copy() for name, parameter in model.named_parameters()}
    saved["masked_lm_logits"] = compute_loss(model, batches[0])[1].detach().numpy()
    losses, exact_losses = train(model, batches), train(exact, batches)
    print(f"float32 and float64 differ by {np.abs(losses - exact_losses).max():.1e}; losses {np.round(losses[::7], 4)}")
    assert np.abs(losses - exact_losses).max() < 1e-4
    saved["losses"] = losses.astype(np.float32)
    saved |= {f"norm/{name}": np.float32(parameter.detach().norm()) for name, parameter in model.named_parameters()}
    np.savez_compressed(FOLDER / "objectives.npz", **saved)


if __name__ == "__main__":
    main()
