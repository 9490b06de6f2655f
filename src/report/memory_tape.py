"""A tape: the ops of a forward pass in order, each with its result and the tensors that its gradient needs; without MindSpore.

The ops are those of src/models/layers.py in its three forms: the kernels of native.cpp on the CPU, the framework's on a GPU, and
those of src/models/ascend.py. A tensor's shape is that of one sequence; a reshape makes no new tensor.
"""

import dataclasses
import math
from collections.abc import Sequence

from src.config.model import ModelConfig

BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "bit": 1 / 8}


@dataclasses.dataclass(frozen=True)
class Form:
    """The settings that determine a device's form of the ops: see `settings` of src/train/runtime.py.

    Attributes:
        target: CPU, GPU or Ascend.
        compute_type: type of the matrix products.
        recompute: whether layers are recomputed in the backward pass.
    """

    target: str
    compute_type: str
    recompute: bool

    @property
    def native(self) -> bool:
        """Whether the kernels of native.cpp are used."""
        return self.target == "CPU"

    @property
    def aclnn(self) -> bool:
        """Whether the forms of src/models/ascend.py are used."""
        return self.target == "Ascend"

    @property
    def hashed_dropout(self) -> bool:
        """Whether dropout is made of plain ops, which recomputed layers need on a GPU."""
        return self.recompute and self.target == "GPU"

    def takes_flash(self, model: ModelConfig, seq_length: int) -> bool:
        """Whether FlashAttention of src/models/ascend.py is used; it needs multiples of 16."""
        suits = seq_length % 16 == 0 and model.hidden_size // model.num_attention_heads % 16 == 0
        return self.aclnn and self.compute_type != "float32" and model.position_embedding_type == "absolute" and suits


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor.

    Attributes:
        shape: for one sequence, or of the whole tensor if it does not grow with the batch (`per_row` is False).
        learned: whether it has a gradient.
    """

    name: str
    shape: tuple[int, ...]
    type: str = "float32"
    per_row: bool = True
    learned: bool = True

    @property
    def bytes(self) -> int:
        return int(math.prod(self.shape) * BYTES[self.type])


@dataclasses.dataclass(frozen=True)
class Op:
    """One op.

    Attributes:
        part: embeddings, layer.0 and so on, pooler, head, loss.
        saved: tensors made beside the result for the gradient alone.
        needs: tensors that the gradient reads; each of a product's two gradients reads the other factor.
        passes: inputs whose gradient is the result's gradient, in the same memory.
        scratch: temporary bytes per sequence while it runs.
    """

    name: str
    part: str
    inputs: tuple[Tensor, ...]
    result: Tensor
    saved: tuple[Tensor, ...]
    needs: tuple[Tensor, ...]
    passes: tuple[Tensor, ...]
    scratch: float
    is_product: bool


class Tape:
    """Ops in the order in which they run, and the parameters that they read.

    Attributes:
        part: the part of the network whose ops are being added.
        masks: dropout masks made in advance, in the order of their use.
    """

    def __init__(self, form: Form):
        self.form = form
        self.ops: list[Op] = []
        self.parameters: list[Tensor] = []
        self.part = ""
        self.masks: list[Tensor] = []
        self._casts: dict[tuple[Tensor, str], Tensor] = {}

    def parameter(self, name: str, *shape: int) -> Tensor:
        """Add a float32 parameter to the current part."""
        self.parameters.append(Tensor(f"{self.part}.{name}", shape, per_row=False))
        return self.parameters[-1]

    def add(
        self,
        name: str,
        inputs: Sequence[Tensor],
        shape: tuple[int, ...],
        type: str | None = None,
        needs: Sequence[Tensor] = (),
        needs_result: bool = False,
        saved: Sequence[tuple[str, tuple[int, ...], str]] = (),
        passes: Sequence[Tensor] = (),
        scratch: float = 0,
        is_product: bool = False,
    ) -> Tensor:
        """Append an op; returns its result, by default of the first input's type.

        Args:
            saved: (name, shape, type) of each tensor made for the gradient alone.
            needs_result: whether the gradient reads the result.
            needs, passes, scratch, is_product: see Op.
        """
        number = len(self.ops)
        per_row = any(x.per_row for x in inputs)
        learned = any(x.learned for x in inputs)
        result = Tensor(f"{number} {name}", shape, type or inputs[0].type, per_row, learned)
        kept = tuple(Tensor(f"{number} {name}, {part}", size, kind, per_row, False) for part, size, kind in saved)
        read = (*needs, *kept, *((result,) if needs_result else ())) if learned else ()
        self.ops.append(Op(name, self.part, tuple(inputs), result, kept, read, tuple(passes), scratch, is_product))
        return result

    def cast(self, x: Tensor, type: str) -> Tensor:
        """x in a type; equal casts are one op, as in the framework."""
        if x.type == type:
            return x
        if (x, type) not in self._casts:
            self._casts[x, type] = self.add(f"cast {'of a weight' if x in self.parameters else ''}".strip(), [x], x.shape, type)
        return self._casts[x, type]

    def product(self, name: str, left: Tensor, right: Tensor, shape: tuple[int, ...]) -> Tensor:
        """A matrix product."""
        needs = [x for x, other in ((left, right), (right, left)) if other.learned]
        return self.add(name, [left, right], shape, needs=needs, is_product=True)

    def linear(self, name: str, x: Tensor, size_out: int) -> Tensor:
        """Linear of layers.py: x and the weight in the compute type; _AddBias passes the gradient on."""
        kind = self.form.compute_type
        weight = self.parameter(f"{name}.weight", size_out, x.shape[-1])
        bias = self.parameter(f"{name}.bias", size_out)
        shape = (*x.shape[:-1], size_out)
        y = self.product(name, self.cast(x, kind), self.cast(weight, kind), shape)
        return self.add(f"{name} + bias", [y, bias], shape, passes=[y])

    def sum(self, name: str, x: Tensor, y: Tensor) -> Tensor:
        """x + y of one shape; different types are cast to float32, as at the residual connections."""
        kind = x.type if x.type == y.type else "float32"
        x = self.cast(x, kind)
        y = self.cast(y, kind)
        return self.add(name, [x, y], x.shape, passes=[x, y])

    def scale(self, name: str, x: Tensor) -> Tensor:
        """x times a number."""
        return self.add(name, [x], x.shape)

    def norm(self, name: str, x: Tensor) -> Tensor:
        """LayerNorm of layers.py, in float32: the native gradient needs x, the framework's also mean and variance."""
        x = self.cast(x, "float32")
        weight = self.parameter(f"{name}.weight", x.shape[-1])
        bias = self.parameter(f"{name}.bias", x.shape[-1])
        rows = x.shape[:-1]
        saved = [] if self.form.native else [("mean", rows, "float32"), ("variance", rows, "float32")]
        return self.add(name, [x, weight, bias], x.shape, needs=[x], saved=saved)

    def activation(self, kind: str, x: Tensor) -> Tensor:
        """Activation of layers.py: relu keeps its result, all others x. On a GPU the erf form of GELU is several ops."""
        if kind == "relu":
            return self.add("relu", [x], x.shape, needs_result=True)
        scratch = 0 if self.form.target != "GPU" or kind != "gelu" else 2 * x.bytes
        return self.add(kind, [x], x.shape, needs=[x], scratch=scratch)

    def softmax(self, scores: Tensor, mask_bias: Tensor) -> Tensor:
        """MaskedSoftmax of layers.py, in float32: keeps its result. The native kernel adds the mask itself."""
        scores = self.cast(scores, "float32")
        if not self.form.native:
            scores = self.add("scores + mask", [scores, mask_bias], scores.shape, passes=[scores])
        return self.add("softmax", [scores], scores.shape, needs_result=True)

    def swap(self, name: str, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        """SwapMiddle of layers.py: a copy."""
        return self.add(name, [x], shape)

    def dropout(self, x: Tensor, rate: float) -> Tensor:
        """Dropout of dropout.py.

        _NativeDropout draws its mask again in the backward pass. _HashedDropout keeps a mask of x's type and uses three int32 arrays
        while it draws, before mask and result exist. The framework's dropout on a GPU keeps a mask of x's type. On Ascend the mask is
        of bits; in the encoder it comes from `draw_masks`.
        """
        if rate == 0:
            return x
        if self.form.native:
            return self.add("dropout", [x], x.shape)
        if self.form.aclnn:
            mask = self.masks.pop(0) if self.masks else self.add("mask", [Tensor("draw", (), learned=False)], x.shape, "bit")
            return self.add("dropout", [x, mask], x.shape, needs=[mask])
        scratch = max(3 * 4 - 2 * BYTES[x.type], 0) * math.prod(x.shape) if self.form.hashed_dropout else 0
        return self.add("dropout", [x], x.shape, saved=[("mask", x.shape, x.type)], scratch=scratch)

    def draw_masks(self, model: ModelConfig, seq_length: int) -> None:
        """DropoutMasks of ascend.py: all masks of the encoder, drawn before it in the order of their use."""
        hidden = (seq_length, model.hidden_size)
        probs = (model.num_attention_heads, seq_length, seq_length)
        shapes: list[tuple[tuple[int, ...], float]]
        shapes = [(hidden, model.hidden_dropout_prob)]
        for _ in range(model.num_hidden_layers):
            shapes += [(probs, model.attention_probs_dropout_prob), *[(hidden, model.hidden_dropout_prob)] * 2]
        draw = Tensor("draw", (1,), learned=False)
        self.masks = [self.add("mask", [draw], shape, "bit") for shape, rate in shapes if rate > 0]

    def flash_attention(self, query: Tensor, key: Tensor, value: Tensor, model: ModelConfig) -> Tensor:
        """FlashAttention of ascend.py: keeps its result, and 8 copies of the maximum and the sum of each row of scores."""
        rows = (model.num_attention_heads, query.shape[0], 8)
        saved = [("largest scores", rows, "float32"), ("sums", rows, "float32")]
        masks = [self.masks.pop(0)] if model.attention_probs_dropout_prob > 0 else []
        needs = [query, key, value, *masks]
        return self.add("flash attention", [query, key, value, *masks], query.shape, needs=needs, needs_result=True, saved=saved)

    def tanh(self, x: Tensor) -> Tensor:
        return self.add("tanh", [x], x.shape, needs_result=True)

    def pooler(self, model: ModelConfig, x: Tensor) -> Tensor:
        """The end of Bert in bert.py: [S, H] -> float32 [H]."""
        self.part = "pooler"
        cls = self.add("[CLS]", [x], (model.hidden_size,))
        return self.tanh(self.cast(self.linear("pooler", cls, model.hidden_size), "float32"))

    def cross_entropy(self, logits: Tensor) -> None:
        """The loss of each label: ops.logsumexp, op by op as in the framework, minus the label's logit; on Ascend by log_softmax."""
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
