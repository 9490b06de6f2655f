"""What stands on the encoder for a task: logits out, no labels in.

Shapes: B batch, S sequence, H hidden, C classes.
"""

import mindspore
from mindspore import nn

from src.models.bert import Bert
from src.models.layers import Linear


class LinearHead(nn.Cell):
    """Dropout and one dense layer on the pooled [CLS]: float32 [B, H] -> float32 [B, C]."""

    def __init__(self, config, device, num_class):
        super().__init__()
        self.dropout = nn.Dropout(p=config.hidden_dropout_prob)
        self.dense = Linear(config.hidden_size, num_class, config.initializer_range, getattr(mindspore, device.compute_type))

    def construct(self, pooled_output):
        return self.dense(self.dropout(pooled_output)).astype(mindspore.float32)


class Classifier(nn.Cell):
    """BERT with a classification head: a batch of token ids -> logits float32 [B, C]."""

    def __init__(self, config, device, num_class):
        super().__init__()
        self.bert = Bert(config, device)
        self.head = LinearHead(config, device, num_class)

    def construct(self, input_ids, input_mask, token_type_ids):
        _, pooled_output = self.bert(input_ids, input_mask, token_type_ids)
        return self.head(pooled_output)
