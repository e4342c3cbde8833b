"""`student.selection: best`: which layers a student keeps is decided by what a linear head reads out of candidates."""

from __future__ import annotations

import logging

from codir.config import StudentConfig
from codir.config.words import LAYER_SELECTION
from codir.data import LoadedData
from codir.measure import LayerRanking, rank_layers, ranking_in_words
from codir.models import Reader
from codir.store import fingerprint_labels, fingerprint_model, fingerprint_texts
from codir.student import select_layers
from codir.system import on_main

logger = logging.getLogger(__name__)

_RANKED: dict[tuple[object, ...], LayerRanking] = {}
"""What this process has ranked: a comparison makes the same student for every run."""


def is_to_be_ranked(config: StudentConfig) -> bool:
    """Whether a recipe leaves the choice of layers to the training rows."""
    return config.selection == "best" and isinstance(config.layers, int)


def choose_layers(
    config: StudentConfig, teacher: Reader, data: LoadedData, *, max_length: int
) -> tuple[tuple[int, ...], str]:
    """The layers that the student keeps, and a note on how they were chosen; the candidates are logged.

    The choice depends on the training rows and not on a run's seed, so that runs of several seeds have one student.

    Args:
        config: with a number of layers.
        teacher: whose layers they are.
        data: with training rows.
        max_length: tokens per text at most.
    """
    assert isinstance(config.layers, int)
    assert data.train is not None, "there is something to train on"
    rows = fingerprint_texts(data.train), fingerprint_labels(data.train, "label")
    key = (fingerprint_model(teacher.model), *rows, config.layers, max_length)
    usual = select_layers(teacher.model.config.num_hidden_layers, config.layers, LAYER_SELECTION)
    if key not in _RANKED:

        def rank() -> LayerRanking:
            assert data.train is not None
            assert isinstance(config.layers, int)
            return rank_layers(teacher.model, teacher.tokenizer, data.train, config.layers, max_length=max_length)

        _RANKED[key] = on_main(rank)
        for one in _RANKED[key].candidates:
            logger.info("layers %s: %s %.3f", ", ".join(map(str, one.layers)), _RANKED[key].metric, one.score)
        logger.info(ranking_in_words(_RANKED[key], usual))
    ranking = _RANKED[key]
    return ranking.best.layers, ranking_in_words(ranking, usual)
