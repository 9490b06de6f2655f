"""Efficient GlobalPointer: BERT that scores spans, one score for each first token, type and last token; spans may overlap and nest.

    s(i, c, j) = (R_i q_i) . (R_j k_j) / sqrt D + a_c . [q_i; k_i] + b_c . [q_j; k_j] + bias_c,   i <= j

where q and k are dense layers of the hidden states and R_p rotates by position; all types share the first term. A span is an entity if its
score is above 0. [CLS], [SEP] and padding are in no span.

Shapes: B batch, S sequence, T = B * S tokens, H hidden, D = QUERY_SIZE of queries and keys, C types, M labelled spans.
Source: Su et al. 2022, "Global Pointer: Novel Efficient Span-based Approach for Named Entity Recognition"; the division by sqrt D is in the
authors' code.
"""

import mindspore
from mindspore import Tensor, nn, ops

from src.config.model import MASK_BIAS, ModelConfig
from src.config.training import DeviceSettings
from src.models.bert import HEAD_STREAM, Bert
from src.models.dropout import MultiSampleDropout
from src.models.layers import Linear
from src.models.losses import halve
from src.models.positions import RotaryPositions
from src.tasks.ner.network import RowLoss
from src.tasks.ner.options import QUERY_SIZE, SPANS_PER_TOKEN


def mark_spans(input_mask: Tensor) -> Tensor:
    """1 where first and last token, in this order, are between [CLS] and [SEP]: int32 [B, S] -> float32 [B, S, S]."""
    length = input_mask.shape[1]
    mask = input_mask.astype(mindspore.float32)
    edge = ops.zeros_like(mask[:, :1])
    inner = ops.concat((edge, mask[:, 2:], edge), 1)  # the next position is real too
    positions = ops.arange(length)
    ordered = (positions.reshape((-1, 1)) <= positions.reshape((1, -1))).astype(mindspore.float32)  # [S, S]
    return inner.expand_dims(2) * inner.expand_dims(1) * ordered


class PointerHead(nn.Cell):
    """The scores of all spans: float32 [B, S, H] -> float32 [B, S, C, S]; about -10000 for what is no span.

    Weights begin with a variance of 1 / inputs (LeCun 1998), as in the authors' code, and scores with a deviation of about 1.
    With the 0.02 of the encoder, scores and gradients begin so small that a head learns the share of entities and little else.

    Args:
        num_types: C. num_positions: at least S. samples: predictions of each row in training, see MultiSampleDropout.
    """

    def __init__(self, config: ModelConfig, device: DeviceSettings, num_types: int, num_positions: int, samples: int) -> None:
        super().__init__()
        size, compute_type = config.hidden_size, getattr(mindspore, device.compute_type)
        self.dropout = MultiSampleDropout(config.hidden_dropout_prob, HEAD_STREAM, device, samples)
        self.query, self.key = [Linear(size, QUERY_SIZE, size**-0.5, device) for _ in range(2)]
        both = 2 * QUERY_SIZE
        self.dense = Linear(both, num_types, both**-0.5, device)  # a_c, by the first token
        self.last = Linear(both, num_types, both**-0.5, device)  # b_c
        self.rotate = RotaryPositions(num_positions, QUERY_SIZE)
        self.product = ops.BatchMatMul(transpose_b=True)
        self.compute_type, self.scale = compute_type, QUERY_SIZE**-0.5

    def construct(self, x: Tensor, input_mask: Tensor, dropout_key: Tensor | None = None) -> Tensor:
        x = self.dropout(x, dropout_key)
        is_span = mark_spans(self.dropout.repeat(input_mask, dropout_key))  # [B, S, S]
        batch_size, seq_length, _ = x.shape
        x = x.reshape((batch_size * seq_length, -1))  # [T, H]
        query, key = self.query(x).astype(mindspore.float32), self.key(x).astype(mindspore.float32)
        both = ops.concat((query, key), 1)  # [T, 2D]
        first = self.dense(both).astype(mindspore.float32).reshape((batch_size, seq_length, -1, 1))
        last = self.last(both).astype(mindspore.float32).reshape((batch_size, seq_length, -1))
        query = self.rotate(query.reshape((batch_size, seq_length, -1))) * self.scale
        key = self.rotate(key.reshape((batch_size, seq_length, -1)))
        scores = self.product(query.astype(self.compute_type), key.astype(self.compute_type)).astype(mindspore.float32)  # [B, S, S]
        scores = scores + (1.0 - is_span) * MASK_BIAS
        return scores.expand_dims(2) + first + last.transpose((0, 2, 1)).expand_dims(1)  # [B, S, C, S]


class Pointer(nn.Cell):
    """BERT and a PointerHead: a batch of token ids -> float32 [B, S, C, S]; see PointerHead for the arguments.

    Args:
        max_length: length of the longest row, before it is padded to a multiple of the device's.
    """

    def __init__(self, config: ModelConfig, device: DeviceSettings, num_types: int, max_length: int, samples: int = 1) -> None:
        super().__init__()
        self.bert = Bert(config, device, pooled=False)
        num_positions = -(-max_length // device.length_multiple) * device.length_multiple
        self.head = PointerHead(config, device, num_types, num_positions, samples)

    def construct(
        self,
        input_ids: Tensor,
        input_mask: Tensor,
        token_type_ids: Tensor,
        dropout_key: Tensor | None = None,
        packing: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        return self.head(self.bert(input_ids, input_mask, token_type_ids, dropout_key, packing), input_mask, dropout_key)


def _equals(ids: Tensor, count: int) -> Tensor:
    """One-hot vectors; all 0 for -1: int32 [B, M] -> float32 [B, M, count]."""
    return (ids.expand_dims(2) == ops.arange(count).reshape((1, 1, -1))).astype(mindspore.float32)


def _log_one_plus(x: Tensor) -> Tensor:
    """log(1 + exp x), by element: float32 [B, C] -> [B, C]."""
    return ops.logsumexp(ops.stack((ops.zeros_like(x), x), -1), -1)


class PointerLoss(RowLoss):
    """Multi-label categorical cross-entropy of each row's spans, the mean over types; counts are rows that have tokens.

        log(1 + sum_n exp s_n) + log(1 + sum_p exp -s_p)

    where p runs over a row's entities of a type, and n over its other spans. It is small where every s_p is above 0 and every s_n below.

    Source: Su et al. 2022, "ZLPR: A Novel Loss for Multi-label Classification"; of spans in the paper on Global Pointer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.product = ops.BatchMatMul(transpose_a=True)

    def rows(self, logits: Tensor, label_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each row, and 1 where the row has a token: two of float32 [B].

        Args:
            logits: float32 [B, S, C, S]. label_ids: int32 [B, M, 3], type, first and last position of different spans, or -1 three times.
        """
        batch_size, seq_length, num_types, _ = logits.shape
        types, first, last = label_ids[:, :, 0], label_ids[:, :, 1], label_ids[:, :, 2]
        is_type, is_first, is_last = _equals(types, num_types), _equals(first, seq_length), _equals(last, seq_length)
        starts = (is_first.expand_dims(3) * is_type.expand_dims(2)).reshape((batch_size, -1, seq_length * num_types))
        is_entity = self.product(starts, is_last).reshape(logits.shape)
        others = ops.logsumexp(logits + is_entity * MASK_BIAS, (1, 3))  # [B, C]
        places = ops.maximum((first * num_types + types) * seq_length + last, 0)
        scores = ops.gather_elements(logits.reshape((batch_size, -1)), 1, places)  # [B, M]
        entities = ops.logsumexp((1.0 - is_type) * MASK_BIAS - scores.expand_dims(2) * is_type, 1)  # [B, C]
        has_token = (logits[:, 1, 0, 1] > MASK_BIAS / 2).astype(mindspore.float32)
        return (_log_one_plus(others) + _log_one_plus(entities)).mean(1) * has_token, has_token

    def compare(self, logits: Tensor, label_ids: Tensor, weights: Tensor) -> Tensor:
        """The weighted sum of divergences, for RDrop: of each span's two probabilities, the sum over spans and the mean over types.

        (KL(p || q) + KL(q || p)) / 2 = (p - q) (s - t) / 2, where p and q are the sigmoid of the scores s and t.
        """
        one, other = halve(logits)
        differences = (ops.sigmoid(one) - ops.sigmoid(other)) * (one - other)
        return (differences.sum((1, 3)).mean(1) * weights).sum() * 0.5


class PointerScores(nn.Cell):
    """The best spans and the loss of each row, so that no scores leave the device.

    Args:
        network: Pointer. loss: PointerLoss.

    Returns:
        int32 [B, K, 3] type, first and last position of the spans whose score is above 0, best first, then -1; the K best if there are
        more, where K = SPANS_PER_TOKEN * S. float32 [B] loss and count, see PointerLoss.
    """

    def __init__(self, network: Pointer, loss: PointerLoss) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.loss = loss

    def construct(
        self,
        input_ids: Tensor,
        input_mask: Tensor,
        token_type_ids: Tensor,
        label_ids: Tensor,
        packing: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        logits = self.network(input_ids, input_mask, token_type_ids, packing=packing)
        losses, counts = self.loss.rows(logits, label_ids)
        return self.find(logits), losses, counts

    def find(self, logits: Tensor) -> Tensor:
        """The best spans of each row: float32 [B, S, C, S] -> int32 [B, K, 3]."""
        batch_size, seq_length, num_types, _ = logits.shape
        best, places = ops.topk(logits.reshape((batch_size, -1)), SPANS_PER_TOKEN * seq_length)  # [B, K]
        places = places.astype(mindspore.int32)
        rows = ops.floor_div(places, seq_length)  # of the matrix [S * C, S]
        first = ops.floor_div(rows, num_types)
        spans = ops.stack((rows - first * num_types, first, places - rows * seq_length), 2)
        return ops.select((best > 0).expand_dims(2).broadcast_to(spans.shape), spans, ops.zeros_like(spans) - 1)
