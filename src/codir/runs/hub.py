"""`--push-to-hub`: a finished model goes to the Hugging Face hub, once, with its card.

Whether it can go is checked before a run begins. The token is the hub's own: the environment variable `HF_TOKEN`, or
what `hf auth login` keeps. It is never written anywhere.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from codir.errors import UserError
from codir.report import REPORT_NAME
from codir.system.progress import phase

logger = logging.getLogger(__name__)

FLAG = "--push-to-hub"
KEPT_HERE = ("recipe.yaml", "report.html", REPORT_NAME, "report.md")
"""Files of a run that are not pushed: they name files and folders of the user's machine."""


def check_push(name: str) -> None:
    """Refuse before any work what would fail after all of it: a bad name, no login, no connection, a read-only token.

    Args:
        name: of the repository, such as `me/student`.

    Raises:
        UserError: says which.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        raise UserError(
            FLAG,
            expected="the name of a repository on the hub, such as `me/student`",
            got=repr(name),
            do="use letters, digits, `-`, `_` and `.`, with one `/` at most",
        ) from None
    with _refused(do="log in with `hf auth login`, or set `HF_TOKEN`; without `--push-to-hub` the model stays here"):
        if get_token() is None:
            raise UserError(
                FLAG, expected="a login at the hub", got="none", do="log in with `hf auth login`, or set `HF_TOKEN`"
            )
        access = HfApi().whoami().get("auth", {}).get("accessToken", {})
    if access.get("role") == "read":
        raise UserError(
            FLAG,
            expected="a token that may write",
            got="one that may only read",
            otherwise="the push would have failed after the training",
            do="make one that may write at the hub's settings, and log in with it",
        )


def push(folder: Path, names: Collection[str], name: str) -> str:
    """Push a finished model; a repository that is not there yet is made as a private one.

    Args:
        folder: of the run.
        names: of the files that the run wrote there; no other file is pushed, and none of a folder inside.
        name: of the repository.

    Returns:
        Where it can be looked at.

    Raises:
        UserError: what the hub or the connection refused.
    """
    from huggingface_hub import HfApi

    pushed = sorted(file for file in names if "/" not in file and file not in KEPT_HERE and (folder / file).is_file())
    do = f"the finished model is in {folder}; to push it again, pass `--resume` and `{FLAG} {name}`"
    with _refused(do=do), phase(f"pushing to {name}"):
        there = HfApi().create_repo(name, private=True, exist_ok=True)
        HfApi().upload_folder(
            repo_id=there.repo_id,
            folder_path=folder,
            allow_patterns=pushed,
            commit_message="Upload of a model by codir",
        )
    logger.warning("Pushed to %s", there)
    return str(there)


@contextmanager
def _refused(do: str) -> Iterator[None]:
    """What the hub or the connection refuses within the block, as an error for people."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # of huggingface_hub, its HTTP library or the system
        raise UserError(FLAG, expected="a hub that takes the model", got=_in_words(error), do=do) from error


def _in_words(error: BaseException) -> str:
    """What was refused, and why where another error says it."""
    first = error
    while first.__cause__ is not None:
        first = first.__cause__
    lines = [str(one).strip().partition("\n")[0].rstrip(".") or type(one).__name__ for one in (error, first)]
    return ": ".join(dict.fromkeys(lines))
