"""Sentence encoders: a plain encoder, pooled to one vector per text and normalised, as sentence-transformers keeps it.

Such a folder is what `transformers` loads as a bare encoder, with `modules.json` beside it, which says how its tokens
become one vector. Knows one model; knows nothing of teachers, students or losses.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from codir.errors import UserError
from codir.models.sentence_files import DENSE, SentenceShape, read_prompts, read_shape, write_modules
from codir.models.shape import check_one_stack
from codir.signals import masked_mean, token_at, token_mask
from codir.tasks import KINDS, NAMED_IN_CONFIG

SHAPE = "codir_sentence"
"""Where the configuration of such a model says how tokens become one vector."""
ENCODER = "encoder"


class SentenceEncoder(PreTrainedModel):
    """An encoder whose answer to a text is one vector of length 1.

    `logits` is that vector, `[batch, width]`: the tokens of the last layer are pooled, mapped by a dense layer where
    there is one, and normalised. Saved, it is a folder that `sentence_transformers` loads.

    Args:
        config: of the encoder, with a `SentenceShape` under `codir_sentence`; mean pooling by default.

    Attributes:
        prompts: what its folder has for `encode(..., prompt_name=...)`, by name. It reads texts without them.

    Example:
        >>> from transformers import BertConfig
        >>> sizes = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "vocab_size": 9}
        >>> model = SentenceEncoder(BertConfig(**sizes)).eval()
        >>> vectors = model(input_ids=torch.tensor([[1, 2, 3]])).logits
        >>> vectors.shape, bool(vectors.norm(dim=1).allclose(torch.ones(1)))
        (torch.Size([1, 8]), True)
    """

    prompts: Mapping[str, str] = MappingProxyType({})
    base_model_prefix = ENCODER
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True

    def __init__(self, config: PreTrainedConfig) -> None:
        shape = shape_in(config)
        note_shape(config, shape)
        own = copy.deepcopy(config)
        own._attn_implementation = "eager"  # what attends is the encoder, which chooses for itself
        super().__init__(own)
        self.encoder = AutoModel.from_config(config)
        self.config = self.encoder.config
        self.dense = nn.Linear(int(config.hidden_size), shape.dense) if shape.dense else None
        self._freeze_unread()
        self.post_init()

    @property
    def shape(self) -> SentenceShape:
        """How tokens become one vector."""
        return shape_in(self.config)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        output_hidden_states: bool | None = None,
        **inputs: Any,
    ) -> SequenceClassifierOutput:
        """The vector as `logits`, and hidden states where they are asked for."""
        given = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids, **inputs}
        read = {name: tensor for name, tensor in given.items() if tensor is not None}
        output = self.encoder(**read, output_hidden_states=bool(output_hidden_states))
        with torch.autocast(output.last_hidden_state.device.type, enabled=False):
            vectors = self.vectors_of(output.last_hidden_state, token_mask(read))
        return SequenceClassifierOutput(logits=vectors, hidden_states=output.hidden_states)

    def vectors_of(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """From the last layer's tokens to normalised vectors, in fp32."""
        pooling = self.shape.pooling
        pooled = masked_mean(hidden, mask) if pooling == "mean" else token_at(hidden, mask, pooling)
        return F.normalize(pooled if self.dense is None else self.dense(pooled), dim=1)

    def add_dense(self, width: int) -> None:
        """End in a dense map to this width, which stays; one that changes no width starts as the identity.

        A model that ends in one of this width already keeps it.
        """
        if self.shape.dense == width:
            return
        hidden = int(self.config.hidden_size)
        dense = nn.Linear(hidden, width)
        if hidden == width:
            nn.init.eye_(dense.weight)
            nn.init.zeros_(dense.bias)
        self.dense = dense.to(self.device, self.dtype)
        note_shape(self.config, replace(self.shape, dense=width))

    def _freeze_unread(self) -> None:
        """A pooler stays for whoever loads the encoder, but no vector comes through it."""
        pooler = getattr(self.encoder, "pooler", None)
        if isinstance(pooler, nn.Module):
            pooler.requires_grad_(False)

    def set_attn_implementation(self, *args: Any, **kwargs: Any) -> None:
        """The encoder's, which is what attends."""
        self.encoder.set_attn_implementation(*args, **kwargs)

    def get_input_embeddings(self) -> nn.Module:
        """The encoder's."""
        return self.encoder.get_input_embeddings()

    def get_output_embeddings(self) -> None:
        """None: it predicts no tokens."""
        return

    @classmethod
    def from_config(cls, config: PreTrainedConfig, *, dtype: torch.dtype = torch.float32) -> SentenceEncoder:
        """A model with random weights."""
        model: SentenceEncoder = cls._from_config(config, dtype=dtype)
        return model

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        config: PreTrainedConfig | None = None,
        dtype: torch.dtype | str = "float32",
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
    ) -> Any:
        """Load an encoder, and how its tokens become one vector.

        That is as `modules.json` says, or else `config`, or else by their mean. A dense map that only `config` asks for
        is new, with random weights.

        Args:
            path: a folder or a name on the hub.
            config: its configuration, changed or not.
            dtype: of the weights.
            ignore_mismatched_sizes: as in transformers.
            output_loading_info: also return what transformers says of the weights, under the names of this model.

        Raises:
            UserError: modules that codir does not know.
        """
        config = copy.deepcopy(AutoConfig.from_pretrained(path) if config is None else config)
        saved = read_shape(path)
        shape = saved or shape_in(config)
        note_shape(config, shape)
        how: dict[str, Any] = {"dtype": dtype, "ignore_mismatched_sizes": ignore_mismatched_sizes}
        encoder, found = AutoModel.from_pretrained(path, config=config, output_loading_info=True, **how)
        with torch.device("meta"):
            model = cls(config)
        model.encoder = encoder
        model.config = encoder.config
        is_new = saved is None and shape.dense is not None
        if is_new:
            model.dense = nn.Linear(int(config.hidden_size), int(shape.dense or 0)).to(encoder.dtype)
        elif model.dense is not None:
            model.dense = model.dense.to_empty(device="cpu").to(encoder.dtype)
            model.dense.load_state_dict(_dense_weights(load_file(_dense_file(path)), shape))
        model._freeze_unread()
        model.name_or_path, model.prompts = str(path), read_prompts(path)
        if not output_loading_info:
            return model.eval()
        renamed = _renamed(found)
        if is_new:
            renamed["missing_keys"] |= {"dense.weight", "dense.bias"}
        return model.eval(), {**found, **renamed}

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Write the encoder as transformers does, and the modules as sentence-transformers does."""
        folder = Path(save_directory)
        whole = self.encoder.config
        self.encoder.config = bare_config(whole)
        try:
            self.encoder.save_pretrained(folder, **kwargs)
        finally:
            self.encoder.config = whole
        write_modules(folder, self.shape, hidden=int(self.config.hidden_size))
        if self.dense is not None:
            weights = {f"linear.{name}": tensor.contiguous() for name, tensor in self.dense.state_dict().items()}
            save_file(weights, folder / DENSE / "model.safetensors", metadata={"format": "pt"})


def shape_in(config: PreTrainedConfig) -> SentenceShape:
    """How tokens become one vector, as a configuration says; by their mean where it says nothing."""
    return SentenceShape(**(getattr(config, SHAPE, None) or {}))


def note_shape(config: PreTrainedConfig, shape: SentenceShape) -> None:
    """Write into a configuration how tokens become one vector, and how wide that is.

    Raises:
        UserError: the model has tokens of two kinds, those of an encoder and those of a decoder.
    """
    check_one_stack(config, f"sentence encoder {config.name_or_path}".rstrip())
    setattr(config, SHAPE, asdict(shape))
    setattr(config, NAMED_IN_CONFIG, KINDS["embedding"].name)
    config.num_labels = shape.dense or int(config.hidden_size)


def shipped_config(config: PreTrainedConfig) -> PreTrainedConfig:
    """The configuration without a name for each dimension of a vector; others as they are."""
    if getattr(config, SHAPE, None) is None:
        return config
    shipped = copy.deepcopy(config)
    shipped.num_labels = 2  # transformers' own default, which it does not write
    return shipped


def bare_config(config: PreTrainedConfig) -> PreTrainedConfig:
    """The configuration of the plain encoder, without what codir notes in it."""
    bare = shipped_config(config)
    for name in (SHAPE, NAMED_IN_CONFIG):
        if hasattr(bare, name):
            delattr(bare, name)
    return bare


def _dense_file(path: str | Path) -> Path:
    file = Path(path) / DENSE / "model.safetensors"
    if file.is_file():
        return file
    raise UserError(
        f"model {path}",
        expected=f"the weights of its dense map in {DENSE}/model.safetensors",
        got="none",
        otherwise="its vectors would have been mapped by random numbers",
        do="save it again with a recent sentence-transformers",
    )


def _dense_weights(stored: Mapping[str, Tensor], shape: SentenceShape) -> dict[str, Tensor]:
    weight = stored["linear.weight"]
    return {"weight": weight, "bias": stored.get("linear.bias", weight.new_zeros(len(weight)))}


def _renamed(found: Mapping[str, Any]) -> dict[str, Any]:
    """What transformers says of the encoder's weights, under their names in the whole model."""
    names = {key: {f"{ENCODER}.{name}" for name in found[key]} for key in ("missing_keys", "unexpected_keys")}
    names["missing_keys"] = {name for name in names["missing_keys"] if "pooler" not in name}  # no vector is read off it
    mismatched = {(f"{ENCODER}.{name}", *sizes) for name, *sizes in found["mismatched_keys"]}
    return {**names, "mismatched_keys": mismatched}
