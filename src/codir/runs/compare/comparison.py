"""A fair comparison of objectives: one teacher and cache, and for each seed the same student, batches and steps.

One run is built as in `codir.runs.distill`; here is how they are carried out, and what they say together."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from codir.config import CompareConfig
from codir.errors import UserError
from codir.measure import Comparison, Run, gather_conditions
from codir.report import write_comparison
from codir.runs.build import check_training
from codir.runs.compare.checks import check_all
from codir.runs.compare.common import Common, build_shared_cache, exam_of, load_common
from codir.runs.compare.entries import Entry, entries_of, kept_run
from codir.runs.compare.folder import comparison_folder
from codir.runs.compare.training import train_and_keep
from codir.runs.processes import refuse_processes
from codir.system import Broken, check_sharding, resolve_dtype, work_in_turn, work_side_by_side
from codir.system.progress import phase
from codir.tasks import kind_of

logger = logging.getLogger(__name__)


def compare_presets(config: CompareConfig) -> Comparison:
    """Train every contestant with every kind of student and every seed, and say how they differ.

    Leaves in `config.output_dir`: `report.html`, `table.md`, `comparison.png`, `results.json`, `recipe.yaml`, and a
    file for each finished run under `runs/`. Started again, it keeps the finished runs whose settings, teacher and data
    are the same.
    A run that breaks is named at the end, and the rest goes on.

    Raises:
        UserError: input that cannot work, before any training; or no run came to its end.
    """
    refuse_processes("compare", "start it without `torchrun`; `--jobs 2` does two runs at a time")
    for contestant in config.presets:
        training = config.training_of(contestant)
        check_sharding(training.fsdp, training.deepspeed)
        check_training(training)
    with comparison_folder(config) as folder:
        common = load_common(config)
        starts = check_all(config, common)
        entries = list(entries_of(config, common, starts))
        folder.claim()

        finished = {entry: run for entry in entries if (run := kept_run(entry)) is not None}
        to_do = [entry for entry in entries if entry not in finished]
        logger.info(
            "%d runs: %d already done, %d to do, %d at a time", *map(len, (entries, finished, to_do)), config.jobs
        )
        build_shared_cache({entry.preset: entry.recipe for entry in to_do if not entry.labelled_only}, common)
        failed, begun = {}, time.monotonic()
        with phase("comparison", len(to_do), unit="runs") as progress:
            for number, (entry, outcome) in enumerate(carry_out(to_do, config, common), start=1):
                if isinstance(outcome, Run):
                    finished[entry] = outcome
                else:
                    failed[entry] = f"{entry}: {outcome.why}"
                logger.info(progress_line(entry, outcome, number, len(to_do), time.monotonic() - begun))
                progress.advance()

        in_order = [finished[entry] for entry in entries if entry in finished]
        comparison = gather(config, common, in_order, [failed[entry] for entry in entries if entry in failed])
        write_comparison(comparison, config.output_dir)
        if not failed:
            folder.finish()
        return comparison


def carry_out(entries: Sequence[Entry], config: CompareConfig, common: Common) -> Iterator[tuple[Entry, Run | Broken]]:
    """Do all runs, and yield each with its result, or with what broke it: the others are not to blame."""
    if config.jobs == 1 or not entries:
        return work_in_turn(train_and_keep, entries, common)
    make_common = partial(load_common_quietly, config, common.of_teacher)
    return work_side_by_side(train_and_keep, entries, make_common, jobs=config.jobs)


def load_common_quietly(config: CompareConfig, of_teacher: Mapping[str, np.ndarray]) -> Common:
    """What a process of its own begins with; its parent has said what there was to say."""
    import datasets
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    return load_common(config, of_teacher)


def progress_line(entry: Entry, outcome: Run | Broken, number: int, of: int, seconds: float) -> str:
    """Which run of how many, what came of it, and how long the rest will take if it goes on like this."""
    if isinstance(outcome, Run):
        metric, value = next(iter(outcome.metrics.items()))
        outcome_in_words = f"{metric} {value:.4f}, {outcome.seconds:.0f} s"
    else:
        outcome_in_words = f"failed: {outcome.why}"
    rest = seconds / number * (of - number)
    left = f"; about {rest / 60:.0f} min to go" if rest >= 60 else f"; about {rest:.0f} s to go" if rest else ""
    return f"[{number}/{of}] {entry}: {outcome_in_words}{left}"


def gather(config: CompareConfig, common: Common, runs: Sequence[Run], failed: Sequence[str]) -> Comparison:
    """All that is known in the end.

    Raises:
        UserError: that is nothing.
    """
    if not runs:
        raise UserError("comparison", expected="at least one run that finishes", got=failed[0], do="fix what it names")
    exam, data = exam_of(config, common.data), common.data
    dtype = str(resolve_dtype(config.training.precision)).removeprefix("torch.")
    conditions = gather_conditions(dtype=dtype, seed=config.seed_list[0])
    del conditions["seed"]
    conditions |= {
        "seeds": config.seed_list,
        "jobs": config.jobs,
        "train_rows": len(data.train or ()) - data.num_unlabelled,
        "unlabelled_rows": data.num_unlabelled,
        "evaluation_rows": {name: len(rows) for name, rows in data.dev.items()},
    }
    metric = data.task.metrics[0]
    return Comparison(
        runs,
        reference=config.reference_label,
        metric=metric,
        metric_on={name: exam.key(metric, name) for name in data.dev},
        teacher=exam.score(common.of_teacher),
        conditions=conditions,
        failed=failed,
        floor_name=kind_of(data.task).floor_name,
        floor=exam.floor(),
    )
