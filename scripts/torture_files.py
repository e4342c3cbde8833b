"""Damage every file that codir reads back, in seven ways, and count what comes of it.

    python scripts/torture_files.py
    python scripts/torture_files.py --part 0.1 --seed 3 --json counts.json
    python scripts/torture_files.py --only cache,corpus

Each case is a fresh copy of something whole: a teacher's cache, a corpus, a kept run, a run's recipe, checkpoints, a
model folder. One file is damaged, then codir reads it as it would in a run. What it ends with must be what it would
have ended with, or a message: nothing damaged may be used in silence, and no error of another library may come through.
The exit code says whether that held.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import datasets
import numpy as np
import torch
import transformers
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

from codir import Recipe
from codir.config import ObjectivesConfig
from codir.data import load_corpus
from codir.errors import CodirError, CompleteError
from codir.measure import Run
from codir.models import load_model, load_tokenizer
from codir.runs import distill
from codir.runs.compare.entries import keep_run, kept_run
from codir.runs.objectives import build_objectives
from codir.signals import Representation
from codir.teacher import LiveTeacher, TeacherView, open_or_build_cache
from codir.trainer import DistillationArguments, DistillationTrainer

REFUSED, REPAIRED, HARMLESS, UNKNOWABLE = "refused", "repaired", "no effect", "unknowable"
SILENT, TRACEBACK = "USED IN SILENCE", "TRACEBACK"
VERDICTS = (REFUSED, REPAIRED, HARMLESS, UNKNOWABLE, SILENT, TRACEBACK)
MEANINGS = f"""
{REFUSED}: a message of codir's own, and no result
{REPAIRED}: named in a warning, then built anew, done again or passed over for a whole one: the right result
{HARMLESS}: the right result without a word, since what was changed means nothing
{UNKNOWABLE}: another result. A plain model folder has no checksums, so a file that is still valid cannot be told from
  the one that was meant"""


# ---- Damage ----

Damager = Callable[[Path, Path | None, random.Random], None]


def flip_a_bit(file: Path, other: Path | None, dice: random.Random) -> None:
    """One bit anywhere."""
    content = bytearray(file.read_bytes())
    content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    file.write_bytes(content)


def zero_a_block(file: Path, other: Path | None, dice: random.Random) -> None:
    """A block as a bad disk loses it, smaller than the file."""
    content = bytearray(file.read_bytes())
    size = max(1, min(512, len(content) // 3))
    start = dice.randrange(len(content) - size + 1)
    content[start : start + size] = bytes(size)
    file.write_bytes(content)


def cut_short(file: Path, other: Path | None, dice: random.Random) -> None:
    """The end is missing."""
    os.truncate(file, dice.randrange(1, file.stat().st_size))


def empty(file: Path, other: Path | None, dice: random.Random) -> None:
    """Nothing but its name."""
    os.truncate(file, 0)


def remove(file: Path, other: Path | None, dice: random.Random) -> None:
    """Not even that."""
    file.unlink()


def swap(file: Path, other: Path | None, dice: random.Random) -> None:
    """The file of that name from another run or step, where there is one."""
    if other is not None and other.is_file():
        shutil.copyfile(other, file)


def shuffle(file: Path, other: Path | None, dice: random.Random) -> None:
    """The rows of a table rolled by one, the numbers of a safetensors file by four; random bytes in any other file."""
    content = file.read_bytes()
    if file.suffix == ".npy":
        np.save(file, np.roll(np.load(file), 1, axis=0))
    elif file.suffix == ".safetensors":
        start = 8 + int.from_bytes(content[:8], "little")
        file.write_bytes(content[:start] + content[start + 16 :] + content[start : start + 16])
    else:
        file.write_bytes(dice.randbytes(len(content)))


DAMAGERS: dict[str, Damager] = {
    "flipped bit": flip_a_bit,
    "zeroed block": zero_a_block,
    "cut short": cut_short,
    "empty": empty,
    "missing": remove,
    "of another run": swap,
    "rolled or random": shuffle,
}
KEEPS_A_FILE = ("flipped bit", "zeroed block", "of another run", "rolled or random")
"""Damage that may leave a file of the same format."""


# ---- What is damaged, and how it is read ----


@dataclass(frozen=True)
class Subject:
    """Something whole on disk.

    Attributes:
        name: for the table.
        whole: the folder; every case has a copy of it.
        other: a folder with files of the same names from another run or step.
        files: those that are damaged, relative to the folder.
        read: reads a folder as codir does, and gives all that it ends with.
        has_checksums: whether damage can be seen at all where the file stays valid.
    """

    name: str
    whole: Path
    other: Path
    files: Sequence[Path]
    read: Callable[[Path], Any]
    has_checksums: bool = True


WORDS = [f"w{number}" for number in range(90)]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def tokenizer_of(words: Sequence[str] = WORDS) -> BertTokenizer:
    """Whole words, one number each."""
    return BertTokenizer(vocab={word: number for number, word in enumerate([*SPECIAL, *words])})


def model_of(seed: int, layers: int = 2) -> BertForSequenceClassification:
    """A tiny classifier of random weights."""
    config = BertConfig(
        vocab_size=95,
        hidden_size=32,
        num_attention_heads=4,
        num_hidden_layers=layers,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BertForSequenceClassification(config).eval()


def texts_of(seed: int, rows: int = 48) -> datasets.Dataset:
    """Sentences of random words, with labels."""
    dice = random.Random(seed)
    texts = [" ".join(dice.choices(WORDS, k=dice.randint(4, 12))) for _ in range(rows)]
    return datasets.Dataset.from_dict({"text": texts, "label": [dice.randrange(2) for _ in texts]})


def files_in(folder: Path) -> list[Path]:
    """Every file that is not hidden, relative to the folder."""
    return sorted(
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def digest_of(tensors: dict[str, torch.Tensor]) -> str:
    """Of names, shapes and bits."""
    hasher = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        hasher.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        hasher.update(tensor.detach().contiguous().view(torch.uint8).numpy().tobytes())
    return hasher.hexdigest()


def cache_subject(folder: Path) -> Subject:
    """A teacher's cache: logits, tables of pooled layers and of their components, the key and the manifest."""
    view = TeacherView(frozenset({Representation((1, 2)), Representation("last", principal=4)}))

    def build(place: Path, seed: int = 1) -> Path:
        return open_or_build_cache(LiveTeacher(model_of(seed), texts_of(0), tokenizer_of(), view), place)

    def read(place: Path) -> Any:
        return {path.name: (np.load(path).dtype.str, np.load(path).tobytes()) for path in build(place).glob("*.npy")}

    cache, other = build(folder / "whole"), build(folder / "built", seed=2)
    (folder / "other").mkdir()
    other.rename(folder / "other" / cache.name)
    return Subject("teacher cache", folder / "whole", folder / "other", files_in(folder / "whole"), read)


def corpus_subject(folder: Path) -> Subject:
    """A prepared corpus."""

    def load(place: Path, seed: int = 0) -> datasets.Dataset:
        return load_corpus(texts_of(seed).select_columns(["text"]), tokenizer_of(), max_length=16, cache_dir=place)

    def read(place: Path) -> Any:
        corpus = load(place)
        return corpus.to_dict(), corpus.info.description

    name, other = (Path(load(folder / place, seed).cache_files[0]["filename"]).parent for place, seed in PLACES)
    other.rename(other.with_name(name.name))
    return Subject("corpus", folder / "whole", folder / "other", files_in(folder / "whole"), read)


PLACES = (("whole", 0), ("other", 1))


def kept_run_subject(folder: Path) -> Subject:
    """A finished run of a comparison; done again where it is not kept."""
    for place, seed in PLACES:
        (folder / place).mkdir()
        keep_run(run_of(seed), folder / place / "run.json")

    def read(place: Path) -> Any:
        entry: Any = SimpleNamespace(file=place / "run.json", fingerprint=run_of(0).fingerprint)
        kept = kept_run(entry)
        return run_of(0) if kept is None else kept  # it is done again, and ends as it did

    return Subject("kept run", folder / "whole", folder / "other", [Path("run.json")], read)


def run_of(seed: int) -> Run:
    """A result."""
    return Run(
        preset="kd",
        seed=seed,
        task="sst2",
        student="two",
        student_layers=2,
        metrics={"accuracy": 0.75 + seed / 100},
        agreement=0.875,
        agreements={"dev": 0.875},
        seconds=1.5,
        seconds_per_step=0.5,
        steps=3,
        threads=1,
        fingerprint=f"{seed}" * 32,
    )


def checkpoint_subject(folder: Path) -> Subject:
    """Two checkpoints of a run that was stopped; the newer one is damaged, and the run goes on to its end."""

    def trainer(place: Path) -> DistillationTrainer:
        arguments = DistillationArguments(
            str(place),
            max_steps=6,
            per_device_train_batch_size=8,
            learning_rate=5e-3,
            save_strategy="steps",
            save_steps=2,
            save_total_limit=None,
            eval_strategy="no",
            logging_steps=1,
            precision="fp32",
            max_length=16,
            teacher_cache=False,
            use_cpu=True,
            dataloader_pin_memory=False,
            disable_tqdm=True,
        )
        sections: dict[str, Any] = {"soft_target": {}, "contrastive": {"num_negatives": 4}}
        return DistillationTrainer(
            model_of(1),
            model_of(2, layers=1),
            arguments,
            build_objectives(ObjectivesConfig.model_validate(sections)),
            texts_of(0),
            processing_class=tokenizer_of(),
        )

    def read(place: Path) -> Any:
        running = trainer(place)
        running.train(resume_from_checkpoint=True)
        memory = running.memory.state_dict() if running.memory is not None else {}
        losses = [line["loss"] for line in running.state.log_history if "loss" in line]
        return digest_of(running.distiller.state_dict()), digest_of(memory), losses

    trainer(folder / "whole").train()
    shutil.rmtree(folder / "whole" / "checkpoint-6")
    shutil.copytree(folder / "whole" / "checkpoint-2", folder / "other" / "checkpoint-4")
    files = [Path("checkpoint-4", file) for file in files_in(folder / "whole" / "checkpoint-4")]
    return Subject("checkpoint", folder / "whole", folder / "other", files, read)


def recipe_subject(folder: Path) -> Subject:
    """The recipe that a run left in its folder, compared when it is resumed."""
    material = save_material(folder / "material")

    def recipe_for(place: Path, *, resume: bool = False) -> Recipe:
        training = {"max_steps": 4, "per_device_train_batch_size": 8, "use_cpu": True, "precision": "fp32"}
        return Recipe.model_validate(
            {
                "teacher": {"model": str(material / "teacher"), "cache": False},
                "data": {"source": str(material / "train.csv"), "dev": str(material / "dev.csv"), "max_length": 16},
                "student": {"layers": 1},
                "objectives": "kd",
                "training": {**training, "save_strategy": "steps", "save_steps": 2, "seed": 0},
                "output_dir": str(place),
                "resume": resume,
            }
        )

    def read(place: Path) -> Any:
        with suppress(CompleteError):  # with its own recipe, there is nothing left to do
            distill(recipe_for(place, resume=True))
        return (place / "model.safetensors").read_bytes()

    distill(recipe_for(folder / "whole"))
    (folder / "other").mkdir()
    record = (folder / "whole" / "recipe.yaml").read_text()
    (folder / "other" / "recipe.yaml").write_text(record.replace("seed: 0", "seed: 1"))
    return Subject("recipe", folder / "whole", folder / "other", [Path("recipe.yaml")], read)


def save_material(folder: Path) -> Path:
    """A teacher and data."""
    model_of(1).save_pretrained(folder / "teacher")
    tokenizer_of().save_pretrained(folder / "teacher")
    for name, seed in (("train", 0), ("dev", 1)):
        texts_of(seed).to_csv(folder / f"{name}.csv", index=False)
    return folder


def model_subject(folder: Path) -> Subject:
    """A plain model folder, which codir may not have written: it has no checksums."""
    words = {"whole": WORDS, "other": WORDS[::-1]}
    for place, seed in PLACES:
        model_of(seed, layers=seed + 1).save_pretrained(folder / place)
        tokenizer_of(words[place]).save_pretrained(folder / place)

    def read(place: Path) -> Any:
        tokenizer = load_tokenizer(place)
        model = load_model(place, tokenizer)
        inputs = tokenizer(texts_of(3)["text"][:4], padding=True, return_tensors="pt")
        with torch.no_grad():
            logits = model(**inputs).logits
        return inputs["input_ids"].tolist(), digest_of({**model.state_dict(), "logits": logits})

    files = files_in(folder / "whole")
    return Subject("model folder", folder / "whole", folder / "other", files, read, has_checksums=False)


SUBJECTS: dict[str, Callable[[Path], Subject]] = {
    "cache": cache_subject,
    "corpus": corpus_subject,
    "runs": kept_run_subject,
    "recipe": recipe_subject,
    "checkpoint": checkpoint_subject,
    "model": model_subject,
}


# ---- One case ----


@dataclass(frozen=True)
class Case:
    """One file of a subject, damaged in one way, and what came of it."""

    subject: str
    file: str
    damage: str
    verdict: str
    said: str


class Warnings(logging.Handler):
    """Keeps what codir warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.said.append(record.getMessage())


def try_case(subject: Subject, file: Path, damage: str, expected: Any, place: Path, dice: random.Random) -> Case | None:
    """Damage a copy and read it; `None` where the damage changes nothing."""
    shutil.copytree(subject.whole, place)
    DAMAGERS[damage](place / file, subject.other / file, dice)
    if (place / file).is_file() and (place / file).read_bytes() == (subject.whole / file).read_bytes():
        return None
    verdict, said = judge(subject, place, expected, damage)
    return Case(subject.name, file.name, damage, verdict, said)


def judge(subject: Subject, place: Path, expected: Any, damage: str) -> tuple[str, str]:
    """Read a damaged folder; the verdict, and what was said."""
    warnings, codir_logger = Warnings(), logging.getLogger("codir")
    codir_logger.addHandler(warnings)
    try:
        result = subject.read(place)
    except CodirError as error:
        return REFUSED, str(error)
    except Exception as error:
        return TRACEBACK, f"{type(error).__name__}: {error}"
    finally:
        codir_logger.removeHandler(warnings)
    said = " | ".join(warnings.said)
    if result != expected:
        return UNKNOWABLE if damage in KEEPS_A_FILE and not subject.has_checksums else SILENT, said
    return REPAIRED if said else HARMLESS, said


def torture(names: Sequence[str], *, part: float, seed: int, folder: Path) -> Iterator[Case]:
    """All cases, or a part of them drawn by the seed: at least one of each subject."""
    for name in names:
        (folder / name).mkdir()
        subject = SUBJECTS[name](folder / name)
        expected = subject.read(shutil.copytree(subject.whole, folder / name / "undamaged"))
        if expected != subject.read(shutil.copytree(subject.whole, folder / name / "undamaged-2")):
            raise AssertionError(f"{name}: two readings of what is whole differ, so nothing can be learned of damage")
        pairs = [(file, damage) for file in subject.files for damage in DAMAGERS]
        drawn = random.Random(f"{seed} {name}").sample(pairs, max(1, round(part * len(pairs))))
        for number, (file, damage) in enumerate(drawn):
            place = folder / name / f"case-{number}"
            case = try_case(subject, file, damage, expected, place, random.Random(f"{seed} {file} {damage}"))
            shutil.rmtree(place)
            if case is not None:
                yield case


# ---- The count ----


def table_of(cases: Sequence[Case]) -> str:
    """How often each subject came to each verdict."""
    counts = Counter((case.subject, case.verdict) for case in cases)
    subjects = dict.fromkeys(case.subject for case in cases)
    lines = [f"{'':14}" + "".join(f"{verdict:>17}" for verdict in VERDICTS)]
    lines += [
        f"{subject:14}" + "".join(f"{counts[subject, verdict] or '-':>17}" for verdict in VERDICTS)
        for subject in subjects
    ]
    return "\n".join(lines)


def counts_of(cases: Sequence[Case]) -> dict[str, Any]:
    """For JSON: how many files were damaged, and the verdicts by subject."""
    by_subject: dict[str, Counter[str]] = {}
    for case in cases:
        by_subject.setdefault(case.subject, Counter())[case.verdict] += 1
    return {"damaged": len(cases), "verdicts": {subject: dict(counts) for subject, counts in by_subject.items()}}


def failures_in(cases: Sequence[Case]) -> list[Case]:
    """Those that must not be."""
    return [case for case in cases if case.verdict in (SILENT, TRACEBACK)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and say by the exit code whether all held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", type=float, default=1.0, help="share of the cases, drawn by the seed")
    parser.add_argument("--seed", type=int, default=0, help="of the draw, and of where files are damaged")
    parser.add_argument("--only", default=",".join(SUBJECTS), help="subjects, separated by commas")
    parser.add_argument("--json", type=Path, help="file for the counts")
    parser.add_argument("--verbose", action="store_true", help="print every case")
    given = parser.parse_args(arguments)
    quiet()
    cases, terminal = [], sys.stdout
    with (
        tempfile.TemporaryDirectory(prefix="codir-torture-") as folder,
        open(os.devnull, "w") as nowhere,
        redirect_stdout(nowhere),
        redirect_stderr(nowhere),
    ):
        for case in torture(given.only.split(","), part=given.part, seed=given.seed, folder=Path(folder)):
            cases.append(case)
            if given.verbose or failures_in([case]):
                line = f"{case.verdict}: {case.subject}, {case.file}, {case.damage}: {case.said[:300]}"
                print(line, file=terminal, flush=True)
    print(f"{len(cases)} files damaged\n{table_of(cases)}\n{MEANINGS}")
    if given.json:
        given.json.write_text(json.dumps(counts_of(cases), indent=2) + "\n")
    return int(bool(failures_in(cases)))


def quiet() -> None:
    """No bars and no log: the table says it all."""
    datasets.disable_progress_bars()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("codir").propagate = False
    logging.getLogger("codir").addHandler(logging.NullHandler())


if __name__ == "__main__":
    sys.exit(main())
