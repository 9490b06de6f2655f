"""Golden numbers of pretraining in PyTorch: tests/golden/pretraining.npz and pretraining_nezha.npz.

    .venv-torch/bin/python tests/golden/make_pretraining.py bert
    .venv-nezha/bin/python tests/golden/make_pretraining.py nezha    (transformers 4.40; both need pip install --no-deps timm)

Hugging Face's network; one forward and backward pass on batch 0, then 50 steps for each optimiser, the first with rate 0:
polynomial decay with warm-up, clipping by the global norm. The loss is the mean masked-LM cross-entropy over the batch's
real masked positions plus the mean next-sentence cross-entropy.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from make_optimizers import load_lamb

STEPS, WARMUP, CLIP_NORM = 50, 5, 1.0
B, S, P, V = 8, 16, 4, 60
PEAKS = {"AdamWeightDecay": 1e-3, "Lamb": 5e-3}
LOSSES = ("losses", "masked_lm_losses", "next_sentence_losses")
PADDING, CLS, SEP, MASK, FIRST = 0, 2, 3, 4, 5
HALF = (V - FIRST) // 2  # ordinary tokens of each half of the vocabulary
SIZES = {"vocab_size": V, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
OFF = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


class AdamWeightDecay(torch.optim.Optimizer):
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; p -= rate (m / (sqrt(v) + eps) + decay p), no bias correction."""

    def __init__(self, groups, lr, betas, eps):
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                m, v = self.state[p].setdefault("moments", (torch.zeros_like(p), torch.zeros_like(p)))
                m.mul_(beta1).add_((1 - beta1) * p.grad)
                v.mul_(beta2).add_((1 - beta2) * p.grad.square())
                p -= group["lr"] * (m / (v.sqrt() + group["eps"]) + group["weight_decay"] * p)


def make_optimizer(name, model, rate, decay=0.01):
    """AdamWeightDecay, timm's Lamb or fused AdamW; biases and LayerNorm neither decay nor get LAMB's ratio."""
    kept = [parameter for key, parameter in model.named_parameters() if "bias" in key or "LayerNorm" in key]
    decayed = [parameter for key, parameter in model.named_parameters() if not ("bias" in key or "LayerNorm" in key)]
    groups = [{"params": decayed, "weight_decay": decay}, {"params": kept, "weight_decay": 0.0}]
    settings = {"lr": rate, "betas": (0.9, 0.999), "eps": 1e-6}
    if name == "Lamb":
        return load_lamb()(groups, **settings, max_grad_norm=None)
    return AdamWeightDecay(groups, **settings) if name == "AdamWeightDecay" else torch.optim.AdamW(groups, **settings, fused=True)


def make_sentence(rng, half, length):
    """Mostly a walk of stride 3 round one half of the vocabulary, from few starts."""
    token, tokens = int(rng.integers(4)), []
    for _ in range(length):
        tokens.append(FIRST + half * HALF + token)
        token = (token + 3) % HALF if rng.random() < 0.9 else int(rng.integers(HALF))
    return tokens


def make_row(rng):
    """One row of each column; the second sentence is of the other half of the vocabulary if it is a random one (label 1)."""
    length, label = int(rng.integers(5, S + 1)), int(rng.integers(2))
    num_first = int(rng.integers(1, length - 3))
    first, second = make_sentence(rng, 0, num_first), make_sentence(rng, label, length - 3 - num_first)
    ids = np.array([CLS, *first, SEP, *second, SEP])
    ordinary = np.flatnonzero(ids >= FIRST)
    positions = np.sort(rng.choice(ordinary, min(len(ordinary), P, max(1, length // 4)), replace=False))
    row = {"token_type_ids": np.arange(length) > num_first + 1, "input_mask": np.ones(length), "next_sentence_labels": label}
    row |= {"masked_lm_positions": positions, "masked_lm_ids": ids[positions], "masked_lm_weights": np.ones(len(positions))}
    chance = rng.random(len(positions))
    replaced = np.where(chance < 0.9, rng.integers(FIRST, V, len(positions)), ids[positions])
    ids[positions] = np.where(chance < 0.8, MASK, replaced)
    widths = {"input_ids": S, "token_type_ids": S, "input_mask": S, "next_sentence_labels": 0}
    row = {key: np.asarray(value) for key, value in (row | {"input_ids": ids}).items()}
    return {key: np.pad(value, (0, widths.get(key, P) - len(value))) if value.ndim else value for key, value in row.items()}


def make_batches():
    """Columns int8 (masked_lm_weights float32) [STEPS, B, ...]."""
    rng = np.random.default_rng(3)
    rows = [make_row(rng) for _ in range(STEPS * B)]
    columns = {key: np.stack([row[key] for row in rows]).reshape(STEPS, B, *rows[0][key].shape) for key in rows[0]}
    return {key: value.astype(np.float32 if key == "masked_lm_weights" else np.int8) for key, value in columns.items()}


def compute_losses(model, batch):
    """Total, masked-LM and next-sentence loss, masked-LM logits [B, P, V], next-sentence logits [B, 2]."""
    batch = {key: torch.as_tensor(value).long() for key, value in batch.items()}
    out = model(batch["input_ids"], attention_mask=batch["input_mask"], token_type_ids=batch["token_type_ids"])
    rows = torch.arange(len(batch["input_ids"]))[:, None]
    logits = out.prediction_logits[rows, batch["masked_lm_positions"]]  # [B, P, V]
    each = torch.nn.functional.cross_entropy(logits.transpose(1, 2), batch["masked_lm_ids"], reduction="none")  # [B, P]
    masked_lm = (each * batch["masked_lm_weights"]).sum() / batch["masked_lm_weights"].sum()
    next_sentence = torch.nn.functional.cross_entropy(out.seq_relationship_logits, batch["next_sentence_labels"])
    return masked_lm + next_sentence, masked_lm, next_sentence, logits, out.seq_relationship_logits


def clip_gradients(parameters, clip_norm=CLIP_NORM):
    """g *= clip_norm / max(norm, clip_norm), as Google's; PyTorch's own adds 1e-6 to the norm."""
    parameters = [parameter for parameter in parameters if parameter.grad is not None]
    norm = torch.stack([parameter.grad.norm() for parameter in parameters]).norm()
    for parameter in parameters:
        parameter.grad *= clip_norm / norm.clamp(min=clip_norm)


def train(model, batches, name, peak, warmup, total):
    """The three losses [steps] of training on `batches` (an iterable of dicts), before each update."""
    optimizer, losses = make_optimizer(name, model, peak), []
    for step, batch in enumerate(batches):
        rate = peak * step / warmup if step < warmup else peak * (1 - min(step, total) / total)
        for group in optimizer.param_groups:
            group["lr"] = rate
        found = compute_losses(model, batch)[:3]
        optimizer.zero_grad()
        found[0].backward()
        clip_gradients(model.parameters())
        optimizer.step()
        losses.append([float(loss.detach()) for loss in found])
    return dict(zip(LOSSES, np.array(losses).T))


def make_model(kind, dtype):
    """A network whose every parameter is random; biases too, and LayerNorm's weights around 1."""
    if kind == "bert":
        config = transformers.BertConfig(**SIZES, **OFF, hidden_act="gelu", max_position_embeddings=32, layer_norm_eps=1e-12)
        model = transformers.BertForPreTraining(config)
    else:
        config = transformers.NezhaConfig(**SIZES, **OFF, hidden_act="gelu", max_position_embeddings=32, layer_norm_eps=1e-12)
        config.max_relative_position = 4  # most rows are longer: distances are clipped
        model = transformers.NezhaForPreTraining(config)
    rng = np.random.default_rng(1)
    for name, parameter in model.named_parameters():
        value = (rng.standard_normal(tuple(parameter.shape)) * 0.1 + name.endswith("LayerNorm.weight")).astype(np.float32)
        parameter.data.copy_(torch.tensor(value))
    return model.to(dtype).eval()


def main(kind):
    torch.set_num_threads(1)
    columns = make_batches()
    batches = [{key: value[step] for key, value in columns.items()} for step in range(STEPS)]
    saved = {f"batch/{key}": value for key, value in columns.items()}
    model = make_model(kind, torch.float32)
    found = compute_losses(model, batches[0])
    found[0].backward()
    names = ("loss", "masked_lm_loss", "next_sentence_loss", "masked_lm_logits", "next_sentence_logits")
    saved |= {name: value.detach().numpy() for name, value in zip(names, found)}
    for name, parameter in model.named_parameters():
        saved |= {f"weight/{name}": parameter.detach().numpy(), f"gradient/{name}": parameter.grad.numpy()}
    for name, peak in PEAKS.items():
        model, exact_model = make_model(kind, torch.float32), make_model(kind, torch.float64)
        losses = train(model, batches, name, peak, WARMUP, STEPS)
        exact = train(exact_model, batches, name, peak, WARMUP, STEPS)
        error = max(np.abs(losses[key] - exact[key]).max() for key in LOSSES)
        print(f"{kind} {name}: float32 and float64 differ by {error:.1e}")
        assert error < 1e-4
        for key in LOSSES:
            print(key, np.round(losses[key][::7], 4))
            saved[f"{key}/{name}"] = losses[key].astype(np.float32)
        exact_norms = {key: float(value.detach().norm()) for key, value in exact_model.named_parameters()}
        norms = {key: float(value.detach().norm()) for key, value in model.named_parameters()}
        worst = max(norms, key=lambda key: abs(norms[key] - exact_norms[key]))
        print(f"norms differ by {abs(norms[worst] - exact_norms[worst]):.1e}, most in {worst}")
        saved |= {f"norm/{name}/{key}": np.float32(norm) for key, norm in norms.items()}
    np.savez_compressed(Path(__file__).parent / f"pretraining{'_nezha' * (kind == 'nezha')}.npz", **saved)


if __name__ == "__main__":
    main(sys.argv[1])
