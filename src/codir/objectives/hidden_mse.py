"""Every token's hidden state matched by squared error, embeddings too: TinyBERT's and MobileBERT's feature transfer."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from codir.config.words import HIDDEN_MSE, Normalisation, WidthMap
from codir.objectives.parts.layer_by_layer import LayerByLayer
from codir.objectives.parts.layer_map import LayerMap, StudentLayers
from codir.objectives.parts.normalisation import normalise
from codir.objectives.parts.width_map import build_width_map
from codir.signals import ModelShape, Needs, TokenSignal, masked_mean


def hidden_mse_loss(
    student_hidden: Float[Tensor, "batch tokens hidden"],
    teacher_hidden: Float[Tensor, "batch tokens hidden"],
    mask: Bool[Tensor, "batch tokens"],
    *,
    normalisation: Normalisation = HIDDEN_MSE.normalisation,
) -> Float[Tensor, ""]:
    """`||n(h_S) - n(h_T)||^2 / hidden`, mean over the real tokens of an example, then over examples.

    With `n = none` and `h_S` mapped by `W`: TinyBERT (Jiao et al. 2020, arXiv 1909.10351), eq. 8, and eq. 9 on the
    embedding output. With `n = layer` and no map: MobileBERT's feature map transfer (Sun et al. 2020,
    arXiv 2004.02984, `L_FMT`) as its release trains it, on layer-normalised maps. Both releases count padding.

    Args:
        student_hidden: one layer's, mapped to the teacher's width.
        teacher_hidden: of the layer that answers to it.
        mask: true at real tokens.
        normalisation: `none`, `layer` or `l2`.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[[1.0, 0.0], [7.0, 7.0]]]), torch.tensor([[[3.0, 0.0], [0.0, 0.0]]])
        >>> hidden_mse_loss(student, teacher, torch.tensor([[True, False]]))
        tensor(2.)
    """
    errors = (normalise(student_hidden, normalisation) - normalise(teacher_hidden, normalisation)).square()
    return masked_mean(errors, mask).mean()


class HiddenMSE(LayerByLayer):
    """Each student layer's token vectors match those of the teacher layer which answers to it; see `hidden_mse_loss`.

    Args:
        normalisation: `none` as in TinyBERT, `layer` as in MobileBERT.
        embeddings: match the embedding outputs too, as one layer more.
        student_layers: which are matched.
        layer_map: `uniform` as in TinyBERT, `skip`, `last`, or pairs; see `match_layers`.
        width_map: `linear`, or `none` as in MobileBERT. One map serves all layers and the embeddings, as in TinyBERT's
            release; its equations give the embeddings one of their own.

    Raises:
        UserError: when built, for widths that differ without a map, or layers that cannot be matched.
    """

    needs = Needs(hidden_states=True)

    def __init__(
        self,
        *,
        normalisation: Normalisation = HIDDEN_MSE.normalisation,
        embeddings: bool = HIDDEN_MSE.embeddings,
        student_layers: StudentLayers = HIDDEN_MSE.student_layers,
        layer_map: LayerMap = HIDDEN_MSE.layer_map,
        width_map: WidthMap = HIDDEN_MSE.width_map,
    ) -> None:
        super().__init__(student_layers=student_layers, layer_map=layer_map)
        self.normalisation, self.embeddings, self.width_map = normalisation, embeddings, width_map

    def make_weights(self, *, teacher: ModelShape | None, student: ModelShape) -> None:
        """Match the layers, and make the map between widths."""
        super().make_weights(teacher=teacher, student=student)
        assert teacher is not None, "`needs` asks for one"
        self.pairs = ((0, 0), *self.pairs) if self.embeddings else self.pairs
        self.map = build_width_map(self.width_map, student_width=student.hidden, teacher_width=teacher.hidden)

    def compare(self, student: TokenSignal, teacher: TokenSignal, layer: int, answer: int) -> Float[Tensor, ""]:
        """`hidden_mse_loss` of the two layers' hidden states; layer 0 is the embedding output."""
        return hidden_mse_loss(
            self.map(student.hidden_states[layer]),
            teacher.hidden_states[answer],
            student.mask,
            normalisation=self.normalisation,
        )
