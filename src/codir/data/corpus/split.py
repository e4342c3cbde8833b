"""Some documents of a corpus are held out, to be judged by. Knows documents by their numbers alone."""

from __future__ import annotations

import numpy as np
from datasets import Dataset

from codir.data.encode import column_of
from codir.data.sources.split import draw_rows
from codir.errors import UserError


def split_documents(corpus: Dataset, *, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    """Set whole documents aside: no document has sequences on both sides.

    Short documents that share a sequence go together. Nothing is copied; both sides keep the order of the corpus, and
    each sequence its `example_index`.

    Args:
        corpus: from `load_corpus`.
        fraction: of the documents that are held out, at least one and never all.
        seed: the same seed holds out the same documents.

    Returns:
        The sequences that stay, and those held out.

    Raises:
        UserError: a fraction that is none, or a single document.
    """
    if not 0 < fraction < 1:
        raise UserError("heldout_fraction", expected="a part between 0 and 1", got=str(fraction), do="0.05 is usual")
    document_ids = column_of(corpus, "document_id")
    documents = np.unique(document_ids)
    if len(documents) < 2:
        raise UserError(
            "corpus",
            expected="at least two documents, so that one can be held out",
            got="one",
            otherwise="the model would have been judged by the text that it trained on",
            do="give more text, or say what a document is (`documents: line` or `blank-line`)",
        )
    count = min(max(1, round(fraction * len(documents))), len(documents) - 1)
    is_heldout = np.isin(document_ids, documents[draw_rows(len(documents), count, seed=seed)])
    return corpus.select(np.flatnonzero(~is_heldout)), corpus.select(np.flatnonzero(is_heldout))
