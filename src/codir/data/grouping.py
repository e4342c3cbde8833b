"""Labels that say to which group a row belongs, from the columns of a `datasets` object.

Knows data sets and kinds of tasks; knows nothing of files or models.
"""

from __future__ import annotations

import datasets
import numpy as np

from codir.data.encode import check_texts, label_feature
from codir.errors import UserError
from codir.tasks import Kind


def with_groups(dataset: datasets.Dataset, kind: Kind) -> datasets.Dataset:
    """Join the group of each row to its label, where the kind of task has groups; otherwise the data set as it is.

    Rows of one value in column `group`, a number or a name, are a group. Without that column, rows with the same `text`
    are. Groups are numbered anew, since numbers above 2^24 would not be told apart in fp32. Without a column `label`,
    rows have none.

    Args:
        dataset: texts, or token ids.
        kind: of the task.

    Raises:
        UserError: token ids that say no group, or a row without its group or text.

    Example:
        >>> from codir.tasks import KINDS
        >>> rows = {"text": ["a", "a", "b"], "text_pair": ["c", "d", "e"], "label": [1.0, 0.0, 2.0]}
        >>> with_groups(datasets.Dataset.from_dict(rows), KINDS["reranking"])["label"][:]
        [[1.0, 0.0], [0.0, 0.0], [2.0, 1.0]]
    """
    name = "labels" if "labels" in dataset.column_names else "label"
    has_labels = name in dataset.column_names
    if not kind.has_groups or (has_labels and isinstance(dataset.features[name], datasets.Sequence | datasets.List)):
        return dataset
    of = next((of for of in ("group", "text") if of in dataset.column_names), None)
    if of is None:
        raise UserError(
            "data set",
            expected="a column `group` with the number of the query",
            got=f"columns {', '.join(dataset.column_names)}",
            do="add it, or give the texts: rows with the same `text` are of one query",
        )
    if of == "text":
        check_texts(dataset, of)
    values = dataset[of][:]
    if None in values:
        raise UserError(
            "data set, column 'group'",
            expected="the number or name of a query in every row",
            got="rows without one",
            do="fill them in, or remove the column: rows with the same `text` are of one query then",
        )
    _, groups = np.unique(np.asarray(values), return_inverse=True)
    own = np.asarray(dataset[name]) if has_labels else np.full(len(dataset), kind.no_label)
    dataset = dataset.remove_columns([one for one in (name, "group") if one in dataset.column_names])
    column = np.stack([own.astype(float), groups.astype(float)], axis=1).tolist()
    return dataset.add_column(name, column, feature=label_feature(kind, 1))
