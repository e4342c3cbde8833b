"""Pre-training as a user types it, and where its student goes from there; a mistake is a sentence and exit code 2."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from test_cli import bad, codir, files, pretrained, run  # noqa: F401
from transformers import AutoModelForMaskedLM, AutoTokenizer, BertTokenizer

from codir.data import MaskingCollator
from conftest import SPECIAL, WORDS
from families import tiny_language_model

pytestmark = pytest.mark.training

QUICK = ["--batch-size", "8", "--learning-rate", "3e-3", "--precision", "fp32"]
QUICK += ["--set", "training.use_cpu=true", "--set", "training.disable_tqdm=true"]


def sizes(cache: Path) -> list[str]:
    return ["--max-length", "16", "--set", f"corpus.cache_dir={cache}", "--set", "corpus.heldout_fraction=0.2", *QUICK]


@pytest.fixture(scope="session")
def text(tmp_path_factory) -> Path:
    """A document per line, of one to three sequences."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("corpus") / "corpus.txt"
    kinds = rng.integers(0, 6, 60)
    lines = [" ".join(rng.choice(WORDS[15 * kind : 15 * kind + 15], rng.integers(5, 40))) for kind in kinds]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="session")
def teacher(tmp_path_factory) -> Path:
    """A tiny language model with its tokenizer."""
    folder = tmp_path_factory.mktemp("language-model")
    tiny_language_model("bert", seed=1).save_pretrained(folder)
    BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS)}).save_pretrained(folder)
    return folder


def words_of(teacher, text, output, *more) -> list:
    small = ["--steps", "8", "--student-layers", "2"]
    return ["pretrain", "--teacher", teacher, "--corpus", text, "--output-dir", output, *small, *more]


def test_a_student_that_goes_no_further(codir, teacher, text, files, tmp_path):
    """The whole way: pre-trained, loaded without codir, fine-tuned, and distilled into."""
    student = tmp_path / "student"
    code, output = codir(*words_of(teacher, text, student, *sizes(tmp_path / "corpora")))
    assert code == 0, output
    assert "KL to teacher" in output
    report = json.loads((student / "report.json").read_text())
    assert set(report["scores"]["student"]) == {"loss", "perplexity", "kl", "alignment", "uniformity"}
    assert set(report["scores"]["teacher"]) == {"loss", "perplexity", "alignment", "uniformity"}
    assert {path.name for path in student.iterdir()} >= {"report.md", "training_curves.png", "recipe.yaml"}

    model, told = AutoModelForMaskedLM.from_pretrained(student, output_loading_info=True)
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    assert model.config.num_hidden_layers == 2

    tuned = tmp_path / "tuned"
    common = ["--data", files["csv"], "--epochs", "1", "--max-length", "32", *QUICK]
    code, output = codir("finetune", "--model", student, "--output-dir", tuned, *common)
    assert code == 0, output
    distilled = ["--teacher", tuned, "--student", student, "--cache-dir", tmp_path / "cache"]
    distilled += ["--set", "objectives.contrastive.num_negatives=20", "--output-dir", tmp_path / "distilled"]
    code, output = codir("distill", *distilled, *common)
    assert code == 0, output


def test_an_adapted_teacher_whose_output_matrix_is_not_its_embeddings(codir, pretrained, text, tmp_path):
    folder, size = tmp_path / "adapted", sizes(tmp_path / "corpora")
    words = ["finetune", "--task", "mlm", "--model", pretrained, "--data", text, "--output-dir", folder]
    code, output = codir(*words, "--set", "training.max_steps=6", *size)
    assert code == 0, output
    model, told = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert not told["missing_keys"]
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert yaml.safe_load((folder / "recipe.yaml").read_text())["training"]["max_steps"] == 6
    code, output = codir(*words_of(folder, text, tmp_path / "student", *size))
    assert code == 0, output


def test_a_loss_in_the_report_that_no_other_program_finds(codir, teacher, text, tmp_path):
    """The teacher's loss, with transformers' own loss function over the same held-out sequences and masks."""
    from codir.data import load_corpus, split_documents

    size = sizes(tmp_path / "corpora")
    code, output = codir(*words_of(teacher, text, tmp_path / "student", *size, "--preset", "kd-pre"))
    assert code == 0, output
    told = json.loads((tmp_path / "student" / "report.json").read_text())["scores"]["teacher"]
    tokenizer, model = AutoTokenizer.from_pretrained(teacher), AutoModelForMaskedLM.from_pretrained(teacher)
    corpus = load_corpus(str(text), tokenizer, max_length=16, cache_dir=tmp_path / "corpora")
    _, heldout = split_documents(corpus, fraction=0.2, seed=0)
    batch = MaskingCollator(tokenizer)(heldout.to_list())
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    assert told["loss"] == pytest.approx(model(**inputs, labels=batch["token_labels"]).loss.item(), rel=1e-4)
    assert told["perplexity"] == pytest.approx(np.exp(told["loss"]))
    pretrained = AutoModelForMaskedLM.from_pretrained(tmp_path / "student")
    p, q = (torch.softmax(one(**inputs).logits[batch["token_labels"] != -100], dim=-1) for one in (model, pretrained))
    of_student = json.loads((tmp_path / "student" / "report.json").read_text())["scores"]["student"]
    assert of_student["kl"] == pytest.approx((p * (p / q).log()).sum(dim=-1).mean().item(), rel=1e-3)


def test_an_interrupted_pretraining_that_cannot_go_on(codir, teacher, text, tmp_path):
    """What a killed run leaves: half of its checkpoints, and no student."""
    words = words_of(teacher, text, tmp_path / "out", *sizes(tmp_path / "corpora"), "--set", "training.save_steps=4")
    words += ["--set", "training.save_total_limit=5", "--keep-checkpoints"]
    code, output = codir(*words)
    assert code == 0, output
    whole = (tmp_path / "out" / "model.safetensors").read_bytes()
    for left_over in ("model.safetensors", "config.json"):
        (tmp_path / "out" / left_over).unlink()
    last = tmp_path / "out" / "checkpoints" / "checkpoint-8"
    last.rename(tmp_path / "gone")
    code, output = codir(*words, "--resume")
    assert code == 0, output
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == whole


def test_a_recipe_whose_flags_do_not_override_it(codir, teacher, text, tmp_path):
    recipe = {
        "teacher": str(teacher),
        "corpus": {"source": str(text), "max_length": 16, "cache_dir": str(tmp_path / "corpora")},
        "student": {"layers": 3},
        "objectives": "distilbert",
        "training": {"max_steps": 100, "use_cpu": True, "disable_tqdm": True},
        "output_dir": str(tmp_path / "out"),
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    code, output = codir("pretrain", tmp_path / "recipe.yaml", "--steps", "3", "--student-layers", "1")
    assert code == 0, output
    kept = yaml.safe_load((tmp_path / "out" / "recipe.yaml").read_text())
    assert kept["training"]["max_steps"] == 3
    assert kept["student"]["layers"] == 1
    assert kept["objectives"]["preset"] == "distilbert-pre"
    assert kept["objectives"]["token_kl"]["weight"] == 5.0


# ---- Mistakes ----


def test_a_teacher_without_a_language_model_head(codir, pretrained, text, tmp_path):
    said = bad(codir, *words_of(pretrained, text, tmp_path / "out", *sizes(tmp_path / "c")))
    assert "trained language-model head" in said
    assert "codir finetune --task mlm" in said


def test_a_tokenizer_that_differs(codir, teacher, text, tmp_path):
    other = tmp_path / "other"
    tiny_language_model("bert", layers=2).save_pretrained(other)
    BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS[::-1])}).save_pretrained(other)
    words = ["pretrain", "--teacher", teacher, "--corpus", text, "--output-dir", tmp_path / "out", "--student", other]
    assert "reads differently" in bad(codir, *words, *sizes(tmp_path / "c"))


def test_a_tokenizer_of_more_tokens_than_the_model_has(codir, text, tmp_path):
    small = tmp_path / "small"
    tiny_language_model("bert", vocab_size=50).save_pretrained(small)
    BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS)}).save_pretrained(small)
    assert "95 tokens" in bad(codir, *words_of(small, text, tmp_path / "out", *sizes(tmp_path / "c")))


@pytest.mark.parametrize(("content", "said"), [("", "empty"), ("w1\nw2\n", "tokens"), ("w1 w2 w3", "two documents")])
def test_a_corpus_that_nothing_can_be_learned_from(codir, teacher, tmp_path, content, said):
    path = tmp_path / "corpus.txt"
    path.write_text(content)
    assert said in bad(codir, *words_of(teacher, path, tmp_path / "out", *sizes(tmp_path / "c")))


def test_a_length_beyond_the_models_positions(codir, teacher, text, tmp_path):
    said = bad(codir, *words_of(teacher, text, tmp_path / "out", *sizes(tmp_path / "c"), "--max-length", "65"))
    assert "at most 64" in said


NEIGHBOURS = ["--set", "objectives.contrastive.strategy=neighbours"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--preset", "fine-tune"], "preset of the pre-training stage"),
        (["--preset", "codir-prr"], "codir-pre"),
        (["--set", "corpus.max_lenght=3"], "max_length"),
        (["--set", "training.max_step=3"], "max_steps"),
        (["--set", "masking.probability=1.5"], "masking.probability"),
        ([*NEIGHBOURS, "--set", "training.train_sampling_strategy=sequential"], "`random` with `strategy: neighbours`"),
        ([*NEIGHBOURS, "--set", "objectives.contrastive.queue_size=4"], "at least the rows of a step, 8"),
    ],
)
def test_a_setting_that_is_none(codir, teacher, text, tmp_path, words, said):
    assert said in bad(codir, *words_of(teacher, text, tmp_path / "out", *sizes(tmp_path / "c"), *words))


def test_no_student_and_no_teacher(codir, text, tmp_path):
    words = ["pretrain", "--corpus", text, "--output-dir", tmp_path / "out", "--student-layers", "2"]
    assert "no teacher to cut the student from" in bad(codir, *words)


def test_labels_that_a_language_model_would_not_read(codir, pretrained, text, tmp_path):
    words = ["finetune", "--task", "mlm", "--model", pretrained, "--data", text, "--output-dir", tmp_path / "out"]
    assert "--label-column" in bad(codir, *words, "--label-column", "stars")


STAGED = "objectives={preset: null, stages: [kd, minilm-pre]}"


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        ("distill", ["--preset", "codir-pre"], "'codir-pre', of the pre-training stage.*take `codir`, or"),
        ("distill", ["--preset", "tinybert-pre"], "take `tinybert`, or pre-train with it: `codir pretrain --preset"),
        ("distill", ["--set", STAGED], "'minilm-pre', of the pre-training stage"),
        ("compare", ["--presets", "kd,mlm", "--seeds", "1"], "'mlm', of the pre-training stage.*take `codir`, or"),
    ],
)
def test_a_preset_of_pretraining_in_fine_tuning(codir, files, tmp_path, command, words, said):
    """Told before the teacher is looked for, which is not there."""
    common = ["--teacher", tmp_path / "nowhere", "--data", files["csv"], "--student-layers", "2"]
    assert re.search(said, bad(codir, command, *common, *words, "--output-dir", tmp_path / "out"))


def test_help_without_an_example(monkeypatch, capsys):
    code, output = run(monkeypatch, capsys, "pretrain", "--help")
    assert code == 0
    assert "codir pretrain --" in output
