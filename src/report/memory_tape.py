"""A tape: the ops of a forward pass in order, what each makes, and what its gradient needs. No framework is asked.

The ops here are those of src/models/layers.py, in its three forms: the kernels of native.cpp on the CPU, the framework's on a GPU,
and those of src/models/ascend.py. A tensor has the shape that one sequence takes of it; reshapes make none.
"""

import dataclasses
import math

BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "bit": 1 / 8}


@dataclasses.dataclass(frozen=True)
class Form:
    """What the device's form of the ops follows from: see `settings` of src/train/runtime.py.

    Args:
        target: CPU, GPU or Ascend. compute_type: of the matrix products. recompute: of whole layers.
    """

    target: str
    compute_type: str
    recompute: bool

    @property
    def native(self):
        """The kernels of native.cpp."""
        return self.target == "CPU"

    @property
    def aclnn(self):
        """The forms of src/models/ascend.py."""
        return self.target == "Ascend"

    @property
    def hashed_dropout(self):
        """Dropout from plain ops, which a layer that is computed twice needs on a GPU."""
        return self.recompute and self.target == "GPU"

    def takes_flash(self, model, seq_length):
        """FlashAttention of src/models/ascend.py, which multiples of 16 alone suit."""
        suits = seq_length % 16 == 0 and model.hidden_size // model.num_attention_heads % 16 == 0
        return self.aclnn and self.compute_type != "float32" and model.position_embedding_type == "absolute" and suits


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor; `shape` is what one sequence takes, or all of it where it does not grow with the batch (`per_row` False)."""

    name: str
    shape: tuple
    type: str = "float32"
    per_row: bool = True
    learned: bool = True  # whether it has a gradient

    @property
    def bytes(self):
        return int(math.prod(self.shape) * BYTES[self.type])


@dataclasses.dataclass(frozen=True)
class Op:
    """One op.

    Args:
        name: of what it does.
        part: embeddings, layer.0 and so on, pooler, head, loss.
        inputs: Tensors.
        result: Tensor.
        saved: Tensors beside the result that exist for the gradient alone.
        needs: Tensors that the gradient reads; of a product, whose two gradients are two ops, each reads the other factor.
        passes: the inputs whose gradient is that of the result, the same memory.
        scratch: bytes a sequence that it takes while it runs.
    """

    name: str
    part: str
    inputs: tuple
    result: Tensor
    saved: tuple
    needs: tuple
    passes: tuple
    scratch: int
    is_product: bool


class Tape:
    """Ops in the order in which they run, and the parameters that they read.

    Args:
        form: Form.
    """

    def __init__(self, form):
        self.form = form
        self.ops, self.parameters = [], []
        self.part = ""
        self._casts = {}
        self.masks = []

    def parameter(self, name, *shape):
        """A float32 parameter of the present part."""
        self.parameters.append(Tensor(f"{self.part}.{name}", shape, per_row=False))
        return self.parameters[-1]

    def add(self, name, inputs, shape, type=None, needs=(), needs_result=False, saved=(), passes=(), scratch=0, is_product=False):
        """Append an op; returns its result, of the type of the first input unless another is given."""
        number = len(self.ops)
        per_row, learned = any(x.per_row for x in inputs), any(x.learned for x in inputs)
        result = Tensor(f"{number} {name}", tuple(shape), type or inputs[0].type, per_row, learned)
        saved = tuple(Tensor(f"{number} {name}, {what}", tuple(size), kind, per_row, False) for what, size, kind in saved)
        needs = (*needs, *saved, *((result,) if needs_result else ()))
        self.ops.append(Op(name, self.part, tuple(inputs), result, saved, needs if learned else (), tuple(passes), scratch, is_product))
        return result

    def cast(self, x, type):
        """x itself where it is of this type; the framework makes one of several equal casts."""
        if x.type == type:
            return x
        if (x, type) not in self._casts:
            self._casts[x, type] = self.add(f"cast {'of a weight' if x in self.parameters else ''}".strip(), [x], x.shape, type)
        return self._casts[x, type]

    def product(self, name, left, right, shape):
        """A matrix product."""
        needs = [x for x, other in ((left, right), (right, left)) if other.learned]
        return self.add(name, [left, right], shape, needs=needs, is_product=True)

    def linear(self, name, x, size_out):
        """Linear of layers.py: x and the weight in the compute type; _AddBias passes the gradient on."""
        kind = self.form.compute_type
        weight, bias = self.parameter(f"{name}.weight", size_out, x.shape[-1]), self.parameter(f"{name}.bias", size_out)
        shape = (*x.shape[:-1], size_out)
        y = self.product(name, self.cast(x, kind), self.cast(weight, kind), shape)
        return self.add(f"{name} + bias", [y, bias], shape, passes=[y])

    def sum(self, name, x, y):
        """x + y of one shape; of two types the framework casts to float32, as between residual and dropout."""
        kind = x.type if x.type == y.type else "float32"
        x, y = self.cast(x, kind), self.cast(y, kind)
        return self.add(name, [x, y], x.shape, passes=[x, y])

    def scale(self, name, x):
        """x times a number."""
        return self.add(name, [x], x.shape)

    def norm(self, name, x):
        """LayerNorm of layers.py, in float32: the kernel's gradient starts from x, the framework's takes mean and variance too."""
        x = self.cast(x, "float32")
        weight, bias = self.parameter(f"{name}.weight", x.shape[-1]), self.parameter(f"{name}.bias", x.shape[-1])
        rows = x.shape[:-1]
        saved = [] if self.form.native else [("mean", rows, "float32"), ("variance", rows, "float32")]
        return self.add(name, [x, weight, bias], x.shape, needs=[x], saved=saved)

    def activation(self, kind, x):
        """Activation of layers.py: relu keeps its result, all others x. On a GPU erf's GELU is several ops."""
        if kind == "relu":
            return self.add("relu", [x], x.shape, needs_result=True)
        scratch = 0 if self.form.target != "GPU" or kind != "gelu" else 2 * x.bytes
        return self.add(kind, [x], x.shape, needs=[x], scratch=scratch)

    def softmax(self, scores, mask_bias):
        """MaskedSoftmax of layers.py, in float32: keeps its result. The kernel adds the mask itself."""
        scores = self.cast(scores, "float32")
        if not self.form.native:
            scores = self.add("scores + mask", [scores, mask_bias], scores.shape, passes=[scores])
        return self.add("softmax", [scores], scores.shape, needs_result=True)

    def swap(self, name, x, shape):
        """SwapMiddle of layers.py: a copy."""
        return self.add(name, [x], shape)

    def dropout(self, x, rate):
        """Dropout of dropout.py. _NativeDropout draws again. _HashedDropout keeps a mask of x's type, and has three int32 arrays in
        hand while it draws, before mask and result are there. The framework's own keeps a mask of x's type on GPU. On Ascend bits, of
        the encoder those that `draw_masks` made."""
        if rate == 0:
            return x
        if self.form.native:
            return self.add("dropout", [x], x.shape)
        if self.form.aclnn:
            mask = self.masks.pop(0) if self.masks else self.add("mask", [Tensor("draw", (), learned=False)], x.shape, "bit")
            return self.add("dropout", [x, mask], x.shape, needs=[mask])
        scratch = max(3 * 4 - 2 * BYTES[x.type], 0) * math.prod(x.shape) if self.form.hashed_dropout else 0
        return self.add("dropout", [x], x.shape, saved=[("mask", x.shape, x.type)], scratch=scratch)

    def draw_masks(self, model, seq_length):
        """DropoutMasks of ascend.py: those of the whole encoder are drawn before it, in the order in which its Dropouts take them."""
        hidden, probs = (seq_length, model.hidden_size), (model.num_attention_heads, seq_length, seq_length)
        shapes = [(hidden, model.hidden_dropout_prob)]
        for _ in range(model.num_hidden_layers):
            shapes += [(probs, model.attention_probs_dropout_prob), *[(hidden, model.hidden_dropout_prob)] * 2]
        draw = Tensor("draw", (1,), learned=False)
        self.masks = [self.add("mask", [draw], shape, "bit") for shape, rate in shapes if rate > 0]

    def flash_attention(self, query, key, value, model):
        """FlashAttention of ascend.py: keeps its result, and of each row of scores the largest and the sum, 8 times each."""
        rows = (model.num_attention_heads, query.shape[0], 8)
        saved = [("largest scores", rows, "float32"), ("sums", rows, "float32")]
        masks = [self.masks.pop(0)] if model.attention_probs_dropout_prob > 0 else []
        needs = [query, key, value, *masks]
        return self.add("flash attention", [query, key, value, *masks], query.shape, needs=needs, needs_result=True, saved=saved)

    def tanh(self, x):
        return self.add("tanh", [x], x.shape, needs_result=True)

    def pooler(self, model, x):
        """The end of Bert in bert.py: [S, H] -> float32 [H]."""
        self.part = "pooler"
        cls = self.add("[CLS]", [x], (model.hidden_size,))
        return self.tanh(self.cast(self.linear("pooler", cls, model.hidden_size), "float32"))

    def cross_entropy(self, logits):
        """ops.logsumexp, op by op as the framework writes it, minus the logit of the label; on Ascend the log of softmax there."""
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
