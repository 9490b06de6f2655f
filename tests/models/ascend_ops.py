"""Stand-ins, from plain ops, for the ops of src/models/ascend.py, which have no kernels on the CPU; they follow the documentation."""

import math

import mindspore
from mindspore import nn, ops


class Dense(nn.Cell):
    """[T, I], [O, I], [O] -> [T, O]."""

    def construct(self, x, weight, bias):
        return ops.matmul(x, weight.swapaxes(0, 1)) + bias


class LayerNormExt(nn.Cell):
    """Output, mean and 1 / deviation."""

    def construct(self, x, shape, weight, bias, eps):
        mean = x.mean(-1, keep_dims=True)
        rstd = ops.rsqrt(((x - mean) * (x - mean)).mean(-1, keep_dims=True) + eps)
        return (x - mean) * rstd * weight + bias, mean, rstd


class GeluExt(nn.Cell):
    """With erf for `none`, with its approximation for `tanh`."""

    def construct(self, x, approximate):
        if approximate == "none":
            return x * 0.5 * (1.0 + ops.erf(x * math.sqrt(0.5)))
        return x * ops.sigmoid(2.0 * math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x))


class Embedding(nn.Cell):
    """Rows of a table."""

    def construct(self, ids, table, padding_idx, max_norm, norm_type, scale_grad):
        return ops.gather(table, ids, 0)


class SumExt(nn.Cell):
    """A sum over an axis in another type."""

    def construct(self, x, axis, keepdim, dtype):
        return x.astype(dtype).sum(axis)


class FlashAttentionScore(nn.Cell):
    """Softmax attention in BSH layout; the packed mask of dropout must keep all."""

    def __init__(self, head_num, keep_prob=1.0, scale_value=1.0):
        super().__init__()
        self.head_num, self.scale_value = head_num, scale_value
        self.masked = mindspore.Tensor(-1e30, mindspore.float32)

    def split(self, x):
        batch_size, seq_length, size = x.shape
        return x.reshape((batch_size, seq_length, self.head_num, size // self.head_num)).transpose((0, 2, 1, 3))

    def construct(self, query, key, value, real_shift, drop_mask, padding_mask, attn_mask):
        scores = ops.matmul(self.split(query), self.split(key).swapaxes(2, 3)) * self.scale_value
        probs = ops.softmax(ops.where(attn_mask, self.masked, scores), -1)
        return None, None, None, ops.matmul(probs, self.split(value)).transpose((0, 2, 1, 3)).reshape(query.shape)


class DropoutGenMaskExt(nn.Cell):
    """Bytes whose value is their index divided by 16."""

    def construct(self, shape, p, seed, offset, dtype):
        return (ops.arange(shape[0] // 8) // 16).astype(mindspore.uint8)


class DropoutDoMaskExt(nn.Cell):
    """Drops all or nothing, by the first bit of the mask."""

    def construct(self, x, mask, p):
        return x * (mask[:1].astype(x.dtype) / 255.0 / (1.0 - p))


class SplitWithSize(nn.Cell):
    """Parts of the given sizes."""

    def construct(self, x, sizes, axis):
        return ops.split(x, sizes, axis)
