"""What the Hugging Face hub calls data sets and models that a recipe names, for what is published of a run.

Nothing is asked of the hub.
"""

from __future__ import annotations

from pathlib import Path

from codir.data.sources.demo import DEMO_CORPUS, DEMO_SOURCE, MINILM
from codir.data.sources.formats import is_table
from codir.data.sources.glue import GLUE_PREFIX, HUB_NAME

OF_DEMO = {DEMO_SOURCE: "cornell-movie-review-data/rotten_tomatoes", DEMO_CORPUS: "stanfordnlp/imdb"}
OF_MINILM = "sentence-transformers/all-MiniLM-L6-v2"


def data_on_hub(source: str) -> str | None:
    """The data set's name on the hub; `None` for files of the user's own.

    Example:
        >>> data_on_hub("glue:SST-2"), data_on_hub("org/reviews:small"), data_on_hub("reviews.csv")
        ('nyu-mll/glue', 'org/reviews', None)
    """
    if source in OF_DEMO:
        return OF_DEMO[source]
    if source.lower().startswith(GLUE_PREFIX):
        return HUB_NAME
    path = Path(source)
    is_own = path.is_absolute() or path.exists() or is_table(path) or source.startswith(("demo:", "."))
    return None if is_own else source.partition(":")[0]


def model_on_hub(model: str) -> str | None:
    """The model's name on the hub; `None` for a folder of the user's own.

    Example:
        >>> model_on_hub("org/encoder"), model_on_hub("/somewhere/encoder")
        ('org/encoder', None)
    """
    path = Path(model).expanduser()
    if path.parts[-2:] == (MINILM, "model"):
        return OF_MINILM
    return None if path.is_absolute() or path.exists() else model
