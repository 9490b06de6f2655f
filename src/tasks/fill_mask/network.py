"""The masked language model at chosen positions, with its scores reduced on the device.

Shapes: B batch, S sequence, P positions per row, M = B * P, H hidden, V vocabulary, K candidates.
"""

import mindspore
from mindspore import Tensor, nn, ops

from src.config.model import ModelConfig
from src.config.training import DeviceSettings
from src.models.bert import Bert
from src.models.masked_lm import MaskedLmHead


class WordPredictor(nn.Cell):
    """BERT with the head of the masked language model.

    Args:
        config: ModelConfig. device: DeviceSettings.
        num_candidates: K.
    """

    def __init__(self, config: ModelConfig, device: DeviceSettings, num_candidates: int) -> None:
        super().__init__()
        self.bert = Bert(config, device, pooled=False)
        self.masked_lm = MaskedLmHead(config, device)
        self.num_candidates = num_candidates

    def construct(
        self,
        input_ids: Tensor,
        input_mask: Tensor,
        token_type_ids: Tensor,
        masked_lm_positions: Tensor,
        masked_lm_ids: Tensor,
        dropout_key: Tensor | None = None,
        packing: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Predict the tokens at some positions.

        Args:
            input_ids, input_mask, token_type_ids: int32 [B, S]. masked_lm_positions: int32 [B, P].
            masked_lm_ids: int32 [B, P], tokens whose probability is asked for.
            dropout_key: see Dropout. packing: see Bert.

        Returns:
            float32 [B, P, K] log-probabilities of the most probable tokens, in descending order; float32 [B, P, K] their ids; float32
            [B, P] log-probabilities of `masked_lm_ids`.
        """
        batch_size, _ = input_ids.shape
        x = self.bert(input_ids, input_mask, token_type_ids, dropout_key, packing)  # [B, S, H]
        logits = self.masked_lm(x, masked_lm_positions, self.bert.embeddings.word.weight)  # [M, V]
        log_probs = ops.log_softmax(logits, -1)
        best, ids = ops.topk(log_probs, self.num_candidates)  # [M, K]
        asked = ops.gather_elements(log_probs, 1, masked_lm_ids.reshape((-1, 1)))  # [M, 1]
        shape = (batch_size, -1, self.num_candidates)
        return best.reshape(shape), ids.astype(mindspore.float32).reshape(shape), asked.reshape((batch_size, -1))
