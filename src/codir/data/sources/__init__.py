"""From wherever the user keeps them to examples: files, folders, the hub, `datasets` objects, GLUE, the demo's reviews.

Every source becomes named columns (`tables`), whose texts and labels are told apart (`columns`, `labels`) and put
together in one place (`assemble`). Knows nothing of tokenizers or models.
"""

from codir.data.sources.columns import ColumnNames
from codir.data.sources.demo import DEMO_CORPUS, DEMO_SOURCE, find_minilm, load_movie_reviews
from codir.data.sources.load import from_datasets, load_data
from codir.data.sources.submission import Submission, read_submissions

__all__ = [
    "DEMO_CORPUS",
    "DEMO_SOURCE",
    "ColumnNames",
    "Submission",
    "find_minilm",
    "from_datasets",
    "load_data",
    "load_movie_reviews",
    "read_submissions",
]
