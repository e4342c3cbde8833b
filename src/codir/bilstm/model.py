"""A recurrent student: bidirectional LSTMs as an ordinary `transformers` model.

Tang et al. 2019 (arXiv 1903.12136), §3.1: embeddings, a BiLSTM, the last state of either direction, one hidden layer
with ReLU, the classes. It has no attention, so objectives that compare attention refuse it; its layers pool like any
other's.
Knows nothing of teachers, data or losses.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import AutoModel, AutoModelForSequenceClassification, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling, SequenceClassifierOutput

from codir.bilstm.config import BiLSTMConfig

logger = logging.getLogger(__name__)


class BiLSTMLayer(nn.Module):
    """One bidirectional LSTM that never sees padding, on whichever side of the text it stands.

    Real tokens are moved to the front and packed, so that the backward direction too begins at a text's last token. The
    output is 0 at padding.

    Example:
        >>> layer, text = BiLSTMLayer(4, 6), torch.randn(1, 3, 4)
        >>> padded = torch.cat([torch.randn(1, 2, 4), text], dim=1)
        >>> alone, _ = layer(text, torch.ones(1, 3, dtype=torch.bool))
        >>> beside, _ = layer(padded, torch.tensor([[False, False, True, True, True]]))
        >>> torch.allclose(alone, beside[:, 2:])
        True
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(input_size, hidden_size // 2, batch_first=True, bidirectional=True)

    def forward(self, hidden: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Read `[batch, tokens, input]` where `mask` is true.

        Returns:
            The output at every token, `[batch, tokens, hidden]`, and the last state of both directions,
            `[batch, hidden]`.
        """
        if _must_run_in_fp32(hidden.device):
            with torch.autocast(hidden.device.type, enabled=False):
                return self._read(hidden.float(), mask)
        return self._read(hidden, mask)

    def _read(self, hidden: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        real_first = mask.long().argsort(dim=1, descending=True, stable=True).unsqueeze(2)
        packed = pack_padded_sequence(
            hidden.gather(1, real_first.expand_as(hidden)),
            mask.sum(dim=1).clamp(min=1).cpu(),  # an empty row would stop training; the mask hides what it reads
            batch_first=True,
            enforce_sorted=False,
        )
        output, (last, _) = self.lstm(packed)
        front, _ = pad_packed_sequence(output, batch_first=True, total_length=hidden.shape[1])
        back_in_place = torch.zeros_like(front).scatter(1, real_first.expand_as(front), front)
        return back_in_place * mask.unsqueeze(2), torch.cat([last[0], last[1]], dim=1)


def _must_run_in_fp32(device: torch.device) -> bool:
    """Whether autocast asks for a number format that this processor has no LSTM for."""
    if device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return False
    return not _has_lstm_in(torch.get_autocast_dtype("cpu"))


@cache
def _has_lstm_in(dtype: torch.dtype) -> bool:
    """Try a tiny LSTM, forward and backward: only oneDNN knows what it has for a processor.

    It has none in bf16 for processors with AVX2 alone, although it multiplies bf16 matrices there.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), torch.autocast("cpu", dtype=dtype):
        try:
            nn.LSTM(8, 8)(torch.ones(1, 1, 8))[0].sum().backward()
        except RuntimeError:
            logger.warning("This processor has no LSTM in %s: the recurrent layers run in fp32.", dtype)
            return False
    return True


class BiLSTMPreTrainedModel(PreTrainedModel):
    """What both models share: where configuration and embeddings are."""

    config_class = BiLSTMConfig
    base_model_prefix = "bilstm"

    def get_input_embeddings(self) -> nn.Module:
        """The embedding table."""
        return self.base_model.embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the embedding table."""
        self.base_model.embeddings = value


class BiLSTMModel(BiLSTMPreTrainedModel):
    """Embeddings and the layers above them.

    Where `embedding_size` is not `hidden_size`, a linear map stands between them (as in ELECTRA), so that all hidden
    states are of one width.
    """

    def __init__(self, config: BiLSTMConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.embeddings = nn.Embedding(config.vocab_size, config.embedding_size, padding_idx=config.pad_token_id)
        is_other_width = config.embedding_size != width
        self.project = nn.Linear(config.embedding_size, width) if is_other_width else nn.Identity()
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.layers = nn.ModuleList([BiLSTMLayer(width, width) for _ in range(config.num_hidden_layers)])
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        output_hidden_states: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling:
        """Read token ids; `token_type_ids` are taken and not read, since the separator tells a pair apart.

        Returns:
            `hidden_states` with the embedding output first, then one entry per layer; `pooler_output` is the last state
            of both directions of the last layer.
        """
        mask = torch.ones_like(input_ids).bool() if attention_mask is None else attention_mask.bool()
        hidden = self.project(self.embeddings(input_ids))
        states = [hidden]
        for layer in self.layers:
            hidden, last = layer(self.dropout(hidden), mask)
            states.append(hidden)
        return BaseModelOutputWithPooling(
            last_hidden_state=hidden,
            pooler_output=last,
            hidden_states=tuple(states) if output_hidden_states else None,
        )


class BiLSTMForSequenceClassification(BiLSTMPreTrainedModel):
    """A recurrent classifier (or regressor, with one label): `logits = V dropout(ReLU(U [h_forward; h_backward]))`.

    Where it departs from Tang et al. 2019: tokens and vocabulary are the teacher's, not words with word2vec vectors; a
    pair is one text with a separator, not two encoders side by side.

    Example:
        >>> config = BiLSTMConfig(vocab_size=20, hidden_size=8, num_hidden_layers=2, num_labels=3)
        >>> model = BiLSTMForSequenceClassification(config).eval()
        >>> output = model(torch.tensor([[5, 6, 7]]), output_hidden_states=True)
        >>> output.logits.shape, [tuple(states.shape) for states in output.hidden_states]
        (torch.Size([1, 3]), [(1, 3, 8), (1, 3, 8), (1, 3, 8)])
    """

    def __init__(self, config: BiLSTMConfig) -> None:
        super().__init__(config)
        self.bilstm = BiLSTMModel(config)
        self.dense = nn.Linear(config.hidden_size, config.classifier_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.classifier_size, config.num_labels)
        self.post_init()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None, **kwargs: Any
    ) -> SequenceClassifierOutput:
        """Classify; with labels, the loss too. Other arguments are those of `BiLSTMModel`."""
        read = self.bilstm(input_ids, attention_mask, **kwargs)
        logits = self.classifier(self.dropout(torch.relu(self.dense(read.pooler_output))))
        loss = None if labels is None else self.loss_function(labels=labels, pooled_logits=logits, config=self.config)
        return SequenceClassifierOutput(loss=loss, logits=logits, hidden_states=read.hidden_states)


AutoModel.register(BiLSTMConfig, BiLSTMModel, exist_ok=True)
AutoModelForSequenceClassification.register(BiLSTMConfig, BiLSTMForSequenceClassification, exist_ok=True)
