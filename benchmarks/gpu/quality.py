"""Students of a teacher of base size, one seed after another for as long as there is time."""

from __future__ import annotations

import logging
import time

from comparison import load_comparison, make_teacher

import codir
from codir.config import CompareConfig, validate

NAME = "base-sst2"


def load() -> CompareConfig:
    """The comparison, whose teacher is made where it is not there yet."""
    config = load_comparison(NAME)
    make_teacher(config)
    return config


def run(config: CompareConfig, *, until: float) -> int:
    """Train seed by seed; the tables are written after each, and finished runs are kept.

    Args:
        config: all seeds that are wanted.
        until: on `time.monotonic`'s clock; no seed is begun later.

    Returns:
        How many seeds are done.
    """
    logging.getLogger("codir").setLevel(logging.WARNING)
    done = 0
    for count in range(1, len(config.seed_list) + 1):
        if time.monotonic() > until:
            print(f"time is up after {done} of {len(config.seed_list)} seeds; start again to go on")
            break
        codir.compare_presets(validate(CompareConfig, {**config.model_dump(), "seeds": config.seed_list[:count]}))
        done = count
    return done
