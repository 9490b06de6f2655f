"""The tape: the ops of a forward pass in order, the tensors that each makes, and those that its gradient needs. Nothing is run.

The ops are those of src/models/layers.py in three forms: the kernels of src/kernels on the CPU, the framework's on a GPU, and those of
src/models/ascend.py. Shapes are those of one sequence, without the batch; a reshape makes no tensor.
"""

import dataclasses
import math
from collections.abc import Collection, Iterable, Sequence

from src.config.model import ModelConfig
from src.config.training import DeviceSettings

BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "bit": 1 / 8}


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor. `shape` is for one sequence, or for the whole tensor if it does not grow with the batch (`per_row` False)."""

    name: str
    shape: tuple[int, ...]
    type: str = "float32"
    per_row: bool = True
    learned: bool = True  # whether it has a gradient

    @property
    def bytes(self) -> int:
        return int(math.prod(self.shape) * BYTES[self.type])


_DROPOUT_KEY = Tensor("dropout key", (), learned=False)


@dataclasses.dataclass(frozen=True)
class Op:
    """One op.

    Args:
        part: the part of the network it belongs to: embeddings, layer.0 and so on, pooler, head, loss.
        saved: tensors that are made only for the gradient, besides the result.
        needs: tensors that the gradient reads. A product has two gradients, each of which reads the other factor: that of its first
            input, and that of the second with those of all others.
        passes: inputs whose gradient is the result's, in the same memory.
        scratch: bytes per sequence that are used only while the op runs.
    """

    name: str
    part: str
    inputs: tuple[Tensor, ...]
    result: Tensor
    saved: tuple[Tensor, ...]
    needs: tuple[Tensor, ...]
    passes: tuple[Tensor, ...]
    scratch: int
    is_product: bool


class Tape:
    """Ops in the order in which they run, and the parameters that they read. New ones belong to the part named in `part`.

    Args:
        frozen: parts whose parameters are not trained.
    """

    def __init__(self, form: DeviceSettings, frozen: Collection[str] = ()):
        self.form, self.frozen = form, frozen
        self.native = form.composed_ops  # the kernels of src/kernels: a compiler is assumed
        self.ops: list[Op] = []
        self.parameters: list[Tensor] = []
        self.part = ""
        self.masks: list[Tensor] = []  # dropout masks that are made but not used yet
        self._casts: dict[tuple[Tensor, str], Tensor] = {}

    def parameter(self, name: str, *shape: int) -> Tensor:
        """Add a float32 parameter."""
        self.parameters.append(Tensor(f"{self.part}.{name}", shape, per_row=False, learned=self.part not in self.frozen))
        return self.parameters[-1]

    def add(
        self,
        name: str,
        inputs: Sequence[Tensor],
        shape: Iterable[int],
        type: str | None = None,
        needs: Iterable[Tensor] = (),
        needs_result: bool = False,
        saved: Iterable[tuple[str, Iterable[int], str]] = (),
        passes: Iterable[Tensor] = (),
        scratch: int = 0,
        is_product: bool = False,
    ) -> Tensor:
        """Append an op: see Op.

        Args:
            type: type of the result; default: the first input's. needs_result: whether the gradient reads the result.
            saved: (name, shape, type) of each tensor.

        Returns:
            its result.
        """
        number = len(self.ops)
        per_row = any(x.per_row for x in inputs)
        learned = any(x.learned for x in inputs)
        result = Tensor(f"{number} {name}", tuple(shape), type or inputs[0].type, per_row, learned)
        kept = tuple(Tensor(f"{number} {name}, {what}", tuple(size), kind, per_row, False) for what, size, kind in saved)
        read = (*needs, *kept, *((result,) if needs_result else ())) if learned else ()
        self.ops.append(Op(name, self.part, tuple(inputs), result, kept, read, tuple(passes), scratch, is_product))
        return result

    def cast(self, x: Tensor, type: str) -> Tensor:
        """x in another type; x itself if it has the type already. Equal casts are made once, as in the framework."""
        if x.type == type:
            return x
        if (x, type) not in self._casts:
            self._casts[x, type] = self.add(f"cast {'of a weight' if x in self.parameters else ''}".strip(), [x], x.shape, type)
        return self._casts[x, type]

    def product(self, name: str, left: Tensor, right: Tensor, shape: Iterable[int], bias: Tensor | None = None) -> Tensor:
        """A matrix product; `bias`: one that the same kernel adds."""
        needs = [x for x, other in ((left, right), (right, left)) if other.learned]
        return self.add(name, [left, right, *([] if bias is None else [bias])], shape, needs=needs, is_product=True)

    def linear(self, name: str, x: Tensor, size_out: int) -> Tensor:
        """Linear of layers.py, one kernel on the CPU. Elsewhere the product takes x and the weight in the compute type, and adding the
        bias passes the gradient on."""
        kind = self.form.compute_type
        weight = self.parameter(f"{name}.weight", size_out, x.shape[-1])
        bias = self.parameter(f"{name}.bias", size_out)
        shape = (*x.shape[:-1], size_out)
        if self.native:
            return self.product(f"{name} + bias", x, weight, shape, bias)
        y = self.product(name, self.cast(x, kind), self.cast(weight, kind), shape)
        return self.add(f"{name} + bias", [y, bias], shape, passes=[y])

    def sum(self, name: str, x: Tensor, y: Tensor) -> Tensor:
        """x + y of the same shape. If their types differ, as those of residual and dropout, the framework casts both to float32."""
        kind = x.type if x.type == y.type else "float32"
        x = self.cast(x, kind)
        y = self.cast(y, kind)
        return self.add(name, [x, y], x.shape, passes=[x, y])

    def scale(self, name: str, x: Tensor) -> Tensor:
        """x times a number."""
        return self.add(name, [x], x.shape)

    def norm(self, name: str, x: Tensor) -> Tensor:
        """LayerNorm of layers.py, in float32. The native kernel's gradient needs only x, the framework's also mean and variance."""
        x = self.cast(x, "float32")
        weight = self.parameter(f"{name}.weight", x.shape[-1])
        bias = self.parameter(f"{name}.bias", x.shape[-1])
        rows = x.shape[:-1]
        saved = [] if self.native else [("mean", rows, "float32"), ("variance", rows, "float32")]
        return self.add(name, [x, weight, bias], x.shape, needs=[x], saved=saved)

    def activation(self, kind: str, x: Tensor) -> Tensor:
        """Activation of activations.py: relu keeps its result, all others x. On a GPU the erf form of GELU is several ops."""
        if kind == "relu":
            return self.add("relu", [x], x.shape, needs_result=True)
        scratch = 0 if self.native or self.form.aclnn or kind != "gelu" else 2 * x.bytes
        return self.add(kind, [x], x.shape, needs=[x], scratch=scratch)

    def softmax(self, scores: Tensor, mask_bias: Tensor) -> Tensor:
        """MaskedSoftmax of layers.py, in float32; keeps its result. The native kernel adds the mask itself."""
        scores = self.cast(scores, "float32")
        if not self.native:
            scores = self.add("scores + mask", [scores, mask_bias], scores.shape, passes=[scores])
        return self.add("softmax", [scores], scores.shape, needs_result=True)

    def swap(self, name: str, x: Tensor, shape: Iterable[int]) -> Tensor:
        """SwapMiddle of layers.py: a copy."""
        return self.add(name, [x], shape)

    def dropout(self, x: Tensor, rate: float) -> Tensor:
        """Dropout of dropout.py. The native form keeps nothing and recomputes its mask. On a GPU both forms keep a mask of x's
        type; the hashed one holds three int32 arrays before mask and result exist. On Ascend the mask is packed bits: the next one
        of `draw_masks`, or after the encoder one of its own."""
        if rate == 0:
            return x
        if self.native:
            return self.add("dropout", [x], x.shape)
        if self.form.aclnn:
            mask = self.masks.pop(0) if self.masks else self.add("mask", [_DROPOUT_KEY], x.shape, "bit")
            return self.add("dropout", [x, mask], x.shape, needs=[mask])
        scratch = int(max(3 * 4 - 2 * BYTES[x.type], 0) * math.prod(x.shape)) if self.form.hashed_dropout else 0
        return self.add("dropout", [x], x.shape, saved=[("mask", x.shape, x.type)], scratch=scratch)

    def draw_masks(self, model: ModelConfig, seq_length: int) -> None:
        """EncoderMasks of ascend.py: all masks of the encoder are drawn before it, in the order in which its Dropouts use them."""
        hidden = (seq_length, model.hidden_size), model.hidden_dropout_prob
        probs = (model.num_attention_heads, seq_length, seq_length), model.attention_probs_dropout_prob
        shapes: list[tuple[tuple[int, ...], float]] = [hidden]
        for _ in range(model.num_hidden_layers):
            shapes += [probs, hidden, hidden]
        self.masks = [self.add("mask", [_DROPOUT_KEY], shape, "bit") for shape, rate in shapes if rate > 0]

    def flash_attention(self, query: Tensor, key: Tensor, value: Tensor, model: ModelConfig) -> Tensor:
        """FlashAttention of ascend.py: keeps its result, and maximum and sum of each row of scores, stored 8 times each."""
        rows = (model.num_attention_heads, query.shape[0], 8)
        saved = [("largest scores", rows, "float32"), ("sums", rows, "float32")]
        masks = [self.masks.pop(0)] if model.attention_probs_dropout_prob > 0 else []
        needs = [query, key, value, *masks]
        return self.add("flash attention", [query, key, value, *masks], query.shape, needs=needs, needs_result=True, saved=saved)

    def native_attention(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """NativeAttention of native_layers.py, which computes the scores again in the backward pass."""
        needs = [query, key, value]
        return self.add("attention", needs, query.shape, needs=needs)

    def tanh(self, x: Tensor) -> Tensor:
        """tanh, which keeps its result."""
        return self.add("tanh", [x], x.shape, needs_result=True)

    def pooler(self, model: ModelConfig, x: Tensor) -> Tensor:
        """The pooler of Bert in bert.py: [S, H] -> float32 [H]. The part becomes "pooler"."""
        self.part = "pooler"
        cls = self.add("[CLS]", [x], (model.hidden_size,))
        return self.tanh(self.cast(self.linear("pooler", cls, model.hidden_size), "float32"))

    def cross_entropy(self, logits: Tensor) -> None:
        """ops.logsumexp, with the framework's ops, minus the label's logit; on Ascend the log of softmax at the label. The part becomes
        "loss"."""
        self.part = "loss"
        rows = logits.shape[:-1]
        if self.form.aclnn:
            picked = self.add("logit of the label", [self.add("log softmax", [logits], logits.shape, needs_result=True)], rows)
            self.add("loss", [picked], ())
            return
        largest = self.add("max", [logits], rows, needs=[logits])
        shifted = self.add("logits - max", [logits, largest], logits.shape, passes=[logits])
        total = self.add("sum", [self.add("exp", [shifted], logits.shape, needs_result=True)], rows)
        picked = self.add("logit of the label", [logits], rows)
        self.add("loss", [total, largest, picked], ())
