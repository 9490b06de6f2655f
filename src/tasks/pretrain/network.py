"""The heads on the encoder in pretraining, masked language model and the relation of two parts of a row, and both losses.

That relation is whether the second part follows (next sentence), or whether the two were swapped (sentence order): only the rows differ.

Source: Devlin et al. 2018, section 3.1; Liu et al. 2019 (RoBERTa), section 4.2, for masked tokens alone; Lan et al. 2019 (ALBERT), section
3.1, for the sentence order. Logits are computed only at the masked positions.

Shapes: B batch, S sequence, P masked positions per row, M = B * P, H hidden, V vocabulary.
"""

import mindspore
from mindspore import Tensor, nn, ops

from src.config.model import ModelConfig
from src.config.training import DeviceSettings
from src.models.bert import Bert
from src.models.layers import Linear
from src.models.losses import cross_entropy
from src.models.masked_lm import MaskedLmHead


class Pretraining(nn.Cell):
    """BERT with both heads of pretraining.

    Args:
        config: ModelConfig. device: DeviceSettings.
    """

    def __init__(self, config: ModelConfig, device: DeviceSettings) -> None:
        super().__init__()
        self.bert = Bert(config, device)
        self.masked_lm = MaskedLmHead(config, device)
        self.next_sentence = Linear(config.hidden_size, 2, config.initializer_range, device)

    def construct(
        self,
        input_ids: Tensor,
        input_mask: Tensor,
        token_type_ids: Tensor,
        masked_lm_positions: Tensor,
        dropout_key: Tensor | None = None,
        packing: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Encode a batch and predict.

        Args:
            input_ids, input_mask, token_type_ids: int32 [B, S]. masked_lm_positions: int32 [B, P].
            dropout_key: see Dropout. packing: see Bert.

        Returns:
            float32 [B * P, V] logits of the masked tokens, float32 [B, 2] of the next sentence (1: it is random, or swapped).
        """
        sequence_output, pooled_output = self.bert(input_ids, input_mask, token_type_ids, dropout_key, packing)
        masked_lm_logits = self.masked_lm(sequence_output, masked_lm_positions, self.bert.embeddings.word.weight)
        return masked_lm_logits, self.next_sentence(pooled_output).astype(mindspore.float32)


class MaskedLanguageModel(nn.Cell):
    """BERT with the head of masked tokens alone, without a pooler.

    Args:
        config: ModelConfig. device: DeviceSettings.
    """

    def __init__(self, config: ModelConfig, device: DeviceSettings) -> None:
        super().__init__()
        self.bert = Bert(config, device, pooled=False)
        self.masked_lm = MaskedLmHead(config, device)

    def construct(
        self,
        input_ids: Tensor,
        input_mask: Tensor,
        token_type_ids: Tensor,
        masked_lm_positions: Tensor,
        dropout_key: Tensor | None = None,
        packing: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Encode a batch and predict; arguments as of Pretraining.

        Returns:
            float32 [B * P, V] logits of the masked tokens.
        """
        sequence_output = self.bert(input_ids, input_mask, token_type_ids, dropout_key, packing)
        return self.masked_lm(sequence_output, masked_lm_positions, self.bert.embeddings.word.weight)


def sum_token_losses(
    logits: Tensor, masked_lm_ids: Tensor, masked_lm_weights: Tensor, rows_per_token: Tensor, weights: Tensor, aclnn: bool
) -> Tensor:
    """The loss of the masked tokens, times the rows of the update per masked token; see PretrainingLoss."""
    token_weights = (masked_lm_weights * weights.reshape((-1, 1))).reshape((-1,))  # [M]
    token_losses = cross_entropy(logits, masked_lm_ids.reshape((-1,)), aclnn)  # [M]
    return (token_losses * token_weights).sum() * rows_per_token


class MaskedLmLoss(nn.Cell):
    """Mean loss of the masked tokens over a whole update: PretrainingLoss without a next sentence.

    Returns:
        float32 scalars: loss sum, sum of weights (rows), and the loss sum again, under the name that it has in the other objectives.
    """

    def __init__(self, aclnn: bool = False) -> None:
        super().__init__()
        self.aclnn = aclnn

    def construct(
        self, logits: Tensor, masked_lm_ids: Tensor, masked_lm_weights: Tensor, rows_per_token: Tensor, weights: Tensor
    ) -> tuple[Tensor, ...]:
        masked_lm = sum_token_losses(logits, masked_lm_ids, masked_lm_weights, rows_per_token, weights, self.aclnn)
        return masked_lm, weights.sum(), masked_lm


class PretrainingLoss(nn.Cell):
    """Mean loss of the masked tokens plus mean loss of the next sentences, both over a whole update.

    An update may be made of several micro-batches and ranks, whose rows have different numbers of masked tokens.
    `rows_per_token` is the update's rows divided by its masked tokens: with that factor on the tokens, both means are
    sums over rows divided by the number of rows, and parts of an update add up exactly.

    Args:
        aclnn: whether the device is an Ascend.

    Args of construct:
        logits: pair of float32 [B * P, V] and [B, 2].
        masked_lm_ids: int32 [B, P]. masked_lm_weights: float32 [B, P], 1 for real masked positions.
        next_sentence_labels: int32 [B], 1 for a random sentence.
        rows_per_token: float32 scalar.
        weights: float32 [B], 0 for filler rows.

    Returns:
        float32 scalars: loss sum, sum of weights (rows), and the two parts of the loss sum.
    """

    def __init__(self, aclnn: bool = False) -> None:
        super().__init__()
        self.aclnn = aclnn

    def construct(
        self,
        logits: tuple[Tensor, Tensor],
        masked_lm_ids: Tensor,
        masked_lm_weights: Tensor,
        next_sentence_labels: Tensor,
        rows_per_token: Tensor,
        weights: Tensor,
    ) -> tuple[Tensor, ...]:
        masked_lm_logits, next_sentence_logits = logits
        masked_lm = sum_token_losses(masked_lm_logits, masked_lm_ids, masked_lm_weights, rows_per_token, weights, self.aclnn)
        next_sentence = (cross_entropy(next_sentence_logits, next_sentence_labels, self.aclnn) * weights).sum()
        return masked_lm + next_sentence, weights.sum(), masked_lm, next_sentence


def score_tokens(logits: Tensor, masked_lm_ids: Tensor, masked_lm_weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Loss sum, number correct and number of each row's masked tokens: float32 [B] each."""
    ids = masked_lm_ids.reshape((-1,))
    losses = cross_entropy(logits, ids, from_log_softmax=True).reshape(masked_lm_ids.shape)  # [B, P]
    correct = (logits.argmax(-1) == ids).astype(mindspore.float32).reshape(masked_lm_ids.shape)
    return (losses * masked_lm_weights).sum(1), (correct * masked_lm_weights).sum(1), masked_lm_weights.sum(1)


class MaskedLmScores(nn.Cell):
    """What evaluation needs of each row: float32 [B, 3], loss sum, number correct and number of masked tokens."""

    def __init__(self, network: MaskedLanguageModel) -> None:
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(
        self,
        input_ids: Tensor,
        input_mask: Tensor,
        token_type_ids: Tensor,
        masked_lm_positions: Tensor,
        masked_lm_ids: Tensor,
        masked_lm_weights: Tensor,
        packing: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        logits = self.network(input_ids, input_mask, token_type_ids, masked_lm_positions, packing=packing)
        return ops.stack(score_tokens(logits, masked_lm_ids, masked_lm_weights), 1)


class PretrainingScores(nn.Cell):
    """What evaluation needs of each row, so that no logits leave the device.

    Returns:
        float32 [B, 5]: loss sum, number correct and number of masked tokens; loss and correctness of the next sentence.
    """

    def __init__(self, network: Pretraining) -> None:
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(
        self,
        input_ids: Tensor,
        input_mask: Tensor,
        token_type_ids: Tensor,
        masked_lm_positions: Tensor,
        masked_lm_ids: Tensor,
        masked_lm_weights: Tensor,
        next_sentence_labels: Tensor,
        packing: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        logits = self.network(input_ids, input_mask, token_type_ids, masked_lm_positions, packing=packing)
        masked_lm_logits, next_sentence_logits = logits
        columns = (
            *score_tokens(masked_lm_logits, masked_lm_ids, masked_lm_weights),
            cross_entropy(next_sentence_logits, next_sentence_labels, from_log_softmax=True),
            (next_sentence_logits.argmax(-1) == next_sentence_labels).astype(mindspore.float32),
        )
        return ops.stack(columns, 1)
