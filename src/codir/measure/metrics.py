"""How far two models agree; metrics are in `codir.tasks.metrics`.

Knows nothing of models or data sets.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from codir.tasks import Kind, kind_of_logits
from codir.tasks.metrics import check_same_rows, find_metric, predictions


def agreement(
    logits: Float[np.ndarray, "rows ..."],
    teacher_logits: Float[np.ndarray, "teacher_rows ..."],
    kind: Kind | None = None,
) -> float:
    """How far a student answers as its teacher does, whatever the labels say.

    For classes, the share of rows with the same prediction; for scores, the Pearson correlation of the two. Other kinds
    of task say for themselves: `Kind.agreement`.

    Args:
        logits: of the student, `[rows, classes]` or as its kind of task has them.
        teacher_logits: of the teacher, on the same rows.
        kind: of the task; what the logits say by default.

    Raises:
        UserError: rows that do not match, or a logit that is NaN or infinite.

    Example:
        >>> agreement(np.array([[0.0, 1.0], [2.0, 1.0]]), np.array([[0.3, 0.4], [0.1, 0.9]]))
        0.5
    """
    check_same_rows("teacher logits", len(teacher_logits), len(logits))
    kind = kind or kind_of_logits(logits)
    metric = find_metric(kind.agreement[0], kind)
    return metric(predictions(logits, kind), predictions(teacher_logits, kind))
