"""The configuration of codir's recurrent model; the model itself is in `codir.bilstm.model`.

Stands outside the rooms because transformers has to know it as soon as `AutoConfig` is there, which is before anything
that the rooms import. Knows transformers' configurations, and no torch.
"""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, PreTrainedConfig

MODEL_TYPE = "codir-bilstm"


class BiLSTMConfig(PreTrainedConfig):
    """Sizes of `codir.bilstm.model.BiLSTMForSequenceClassification`.

    Args:
        vocab_size: rows of the embedding table.
        embedding_size: width of the table; `hidden_size` by default.
        hidden_size: width of a layer's output, half of it for each direction.
        num_hidden_layers: bidirectional layers, one on top of the other.
        classifier_size: units between the pooled text and the classes.
        hidden_dropout_prob: of what enters a layer or the classifier.
        initializer_range: standard deviation of new embeddings and linear maps.
        pad_token_id: whose embedding stays 0.

    Raises:
        ValueError: a width that two directions cannot share.

    Example:
        >>> config = BiLSTMConfig(hidden_size=64)
        >>> config.model_type, config.embedding_size, config.num_hidden_layers
        ('codir-bilstm', 64, 1)
    """

    model_type = MODEL_TYPE

    def __init__(
        self,
        vocab_size: int = 30522,
        embedding_size: int | None = None,
        hidden_size: int = 300,
        num_hidden_layers: int = 1,
        classifier_size: int = 400,
        hidden_dropout_prob: float = 0.1,
        initializer_range: float = 0.1,
        pad_token_id: int | None = 0,
        **kwargs: Any,
    ) -> None:
        if hidden_size < 2 or hidden_size % 2:
            raise ValueError(f"`hidden_size` is shared by two directions and must be even, not {hidden_size}")
        self.vocab_size, self.embedding_size = vocab_size, embedding_size or hidden_size
        self.hidden_size, self.num_hidden_layers, self.classifier_size = hidden_size, num_hidden_layers, classifier_size
        self.hidden_dropout_prob, self.initializer_range = hidden_dropout_prob, initializer_range
        super().__init__(pad_token_id=pad_token_id, **kwargs)


AutoConfig.register(MODEL_TYPE, BiLSTMConfig, exist_ok=True)
