"""Leave the scaffolding behind: a folder that plain `transformers` loads, whole or not there.

Knows a finished student; knows nothing of how it was trained.
"""

from __future__ import annotations

from pathlib import Path

from safetensors import safe_open
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from codir.errors import IncompleteArtifactError
from codir.store import files_added_whole, writing_to

MODULE_WEIGHTS = "[0-9]_*/*.safetensors"
"""Weights behind an encoder, as sentence-transformers keeps them: a folder for each module."""


def export_student(student: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Save model and tokenizer; files appear in `folder` only when all of them are written, `config.json` last.

    Raises:
        IncompleteArtifactError: the weights on disk are not exactly the student's: something of the training came
            along, or something is missing.
    """
    room = writing_to(folder, "student", do="free some space, or choose another `--output-dir`, and resume")
    with room, files_added_whole(folder, last="config.json") as staging:
        student.save_pretrained(staging)
        tokenizer.save_pretrained(staging)
        check_bare(staging, student)


def check_bare(folder: Path, student: PreTrainedModel) -> None:
    """Compare what a folder holds with what the student is made of: no head, no bank, nothing lost.

    Sizes are compared and not names, since `save_pretrained` may rename weights and leaves tied ones out.
    """
    stored = 0
    for path in [*folder.glob("*.safetensors"), *folder.glob(MODULE_WEIGHTS)]:
        with safe_open(path, framework="pt") as weights:
            names = list(weights.keys())
            stored += sum(weights.get_tensor(name).numel() for name in names)
    expected = sum(parameter.numel() for parameter in student.parameters())  # tied weights are counted once
    expected += sum(buffer.numel() for name, buffer in _persistent_buffers(student))
    if stored != expected:
        raise IncompleteArtifactError(
            f"{folder}: expected the student's {expected} numbers, found {stored}. Otherwise heads or bank of the "
            "training would have travelled with the student. What to do: report this as a bug, with the model's type."
        )


def _persistent_buffers(student: PreTrainedModel) -> list[tuple[str, Tensor]]:
    saved = student.state_dict().keys()
    return [(name, buffer) for name, buffer in student.named_buffers() if name in saved]
