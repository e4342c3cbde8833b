"""The command line as a user types it: real files, tiny real models, and every mistake that users make."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
import yaml
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, BertTokenizer

from codir import cli
from codir.cli import tables
from codir.cli.advice import after_distilling
from codir.config import Recipe, preset_names, read_preset, validate
from codir.measure import AnsweredSet, judge
from codir.runs.rehearsal import Rehearsal
from codir.tasks import KINDS, Task
from codir.tasks.metrics import predictions
from conftest import SPECIAL, WORDS
from families import tiny_classifier

pytestmark = pytest.mark.training


def run(monkeypatch, capsys, *words: str) -> tuple[int, str]:
    """Exit code, and all that was printed."""
    monkeypatch.setattr(sys, "argv", ["codir", *map(str, words)])
    monkeypatch.setattr("rich.console.Console.width", 200, raising=False)
    try:
        cli.main()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    printed = capsys.readouterr()
    return code, " ".join((printed.out + printed.err).split())


@pytest.fixture
def codir(monkeypatch, capsys):
    """The command, run in this process: `codir("distill", "--teacher", ...)` gives exit code and output."""
    return lambda *words: run(monkeypatch, capsys, *words)


def make_rows(rows: int, *, seed: int = 0, kind: str = "names") -> datasets.Dataset:
    """Sentences whose class is written into their words, so that a tiny model learns it in seconds."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 2, rows)
    texts = [" ".join(rng.choice(WORDS[45 * c : 45 * c + 45], rng.integers(3, 10))) for c in classes]
    labels = {
        "names": [("negative", "positive")[c] for c in classes],
        "numbers": classes.tolist(),
        "scores": [round(float(c) * 4 + rng.random(), 2) for c in classes],
    }
    return datasets.Dataset.from_dict({"text": texts, "label": labels[kind]})


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory) -> Path:
    """A tiny BERT without a head, with its tokenizer."""
    folder = tmp_path_factory.mktemp("pretrained")
    tiny_classifier("bert", num_labels=2, seed=1).bert.save_pretrained(folder)
    BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS)}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> dict[str, Path]:
    """One data set in every format, and as scores."""
    folder = tmp_path_factory.mktemp("data")
    paths = {kind: folder / f"train.{kind}" for kind in ("csv", "tsv", "jsonl", "parquet")}
    rows = make_rows(240)
    rows.to_csv(paths["csv"], index=False)
    rows.to_csv(paths["tsv"], index=False, sep="\t")
    rows.to_json(paths["jsonl"])
    rows.to_parquet(paths["parquet"])
    for name, kind, seed in (("dev", "names", 1), ("numbers", "numbers", 0), ("scores", "scores", 0)):
        paths[name] = folder / f"{name}.csv"
        make_rows(120, kind=kind, seed=seed).to_csv(paths[name], index=False)
    paths["unlabelled"] = folder / "more.csv"
    make_rows(50, seed=9).remove_columns("label").to_csv(paths["unlabelled"], index=False)
    return paths


FAST = [
    "--learning-rate",
    "3e-3",
    "--max-length",
    "32",
    "--batch-size",
    "16",
    "--set",
    "training.use_cpu=true",
    "--set",
    "training.disable_tqdm=true",
]


@pytest.fixture(scope="session")
def teacher(pretrained, files, once_per_suite) -> Path:
    """A teacher that really knows the classes, made by `codir finetune`."""

    def finetune(folder: Path) -> None:
        words = ["finetune", "--model", pretrained, "--data", files["csv"], "--epochs", "6", *FAST]
        words += ["--output-dir", folder / "teacher"]
        subprocess.run([sys.executable, "-m", "codir", *map(str, words)], check=True, timeout=300)

    return once_per_suite("cli-teacher", finetune) / "teacher"


def distill_words(teacher, data, output, *more) -> list[str]:
    small = ["--set", "objectives.contrastive.num_negatives=20", "--cache-dir", f"{output}-cache", "--epochs", "1"]
    return ["distill", "--teacher", teacher, "--data", data, "--output-dir", output, *FAST, *small, *more]


def test_a_teacher_that_learned_nothing(codir, teacher, files, tmp_path):
    words = ["--model", teacher, "--data", files["dev"], "--max-length", "32"]
    code, output = codir("evaluate", *words, "--output", tmp_path / "metrics.json")
    assert code == 0, output
    assert json.loads((tmp_path / "metrics.json").read_text())["accuracy"] > 0.9


def test_two_teachers_of_one_seed_that_differ(codir, pretrained, files, tmp_path):
    """The new head is drawn before the trainer sets a seed."""
    models = []
    for name, seed in (("first", 0), ("second", 0), ("other", 1)):
        words = ["finetune", "--model", pretrained, "--data", files["csv"], "--output-dir", tmp_path / name, *FAST]
        code, output = codir(*words, "--seed", seed, "--set", "training.max_steps=2", "--precision", "fp32")
        assert code == 0, output
        models.append((tmp_path / name / "model.safetensors").read_bytes())
    assert models[0] == models[1]
    assert models[0] != models[2]


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_a_format_that_cannot_be_distilled_from(codir, teacher, files, tmp_path, kind):
    code, output = codir(*distill_words(teacher, files[kind], tmp_path / "out", "--student-layers", "2"))
    assert code == 0, output
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert set(report) >= {"teacher", "student", "baseline", "retention", "agreement", "conditions", "analysis"}
    assert report["analysis"]["layers"]["cka"]
    assert set(report["student"]) == {"metrics", "parameters", "bytes", "sentences_per_second", "latency"}
    assert report["student"]["parameters"] < report["teacher"]["parameters"]
    for name in (
        "report.html",
        "report.md",
        "training_curves.png",
        "recipe.yaml",
        "model.safetensors",
        "tokenizer.json",
    ):
        assert (tmp_path / "out" / name).is_file()


def test_a_student_that_needs_codir_to_load(codir, teacher, files, tmp_path):
    code, output = codir(*distill_words(teacher, files["csv"], tmp_path / "out", "--student-layers", "2"))
    assert code == 0, output
    script = """
import sys
from transformers import AutoModelForSequenceClassification, AutoTokenizer
model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1])
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
print(model(**tokenizer("w1 w2 w60", return_tensors="pt")).logits.tolist(), model.config.id2label)
assert "codir" not in sys.modules
"""
    words = [sys.executable, "-c", script, str(tmp_path / "out")]
    printed = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    tokenizer = BertTokenizer.from_pretrained(tmp_path / "out")
    expected = model(**tokenizer("w1 w2 w60", return_tensors="pt")).logits.tolist()
    assert printed.strip() == f"{expected} {{0: 'negative', 1: 'positive'}}"


def test_unlabelled_rows_and_a_baseline(codir, teacher, files, tmp_path):
    more = ["--student-layers", "1,3", "--unlabelled", files["unlabelled"], "--baseline"]
    code, output = codir(*distill_words(teacher, files["csv"], tmp_path / "out", *more))
    assert code == 0, output
    assert "no teacher" in output
    assert "training the baseline: 17 steps" in output, "as many as the student's, of 266 rows"
    assert output.count("tokenising: 266 rows") == 1, "of the student alone"
    assert "tokenising: 216 rows" in output
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["baseline"]["metrics"]["accuracy"] > 0
    AutoConfig.from_pretrained(tmp_path / "out" / "baseline")


def test_rows_without_a_label_that_teach_nothing(codir, teacher, files, tmp_path):
    more = ["--student-layers", "1", "--unlabelled", files["unlabelled"], "--preset", "fine-tune"]
    code, output = codir(
        "distill", "--teacher", teacher, "--data", files["csv"], "--output-dir", tmp_path / "out", *more
    )
    assert code == 2
    assert "labels alone (`hard_label`) and 50 rows without one" in output


def test_scores_taken_for_classes(codir, pretrained, files, tmp_path):
    words = ["--data", files["scores"], "--epochs", "4", *FAST]
    code, output = codir("finetune", "--model", pretrained, "--output-dir", tmp_path / "teacher", *words)
    assert code == 0, output
    code, output = codir(
        *distill_words(tmp_path / "teacher", files["scores"], tmp_path / "out", "--student-layers", "2")
    )
    assert code == 0, output
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert set(report["student"]["metrics"]) == {"pearson", "spearman"}


def test_a_recipe_file_that_flags_do_not_override(codir, teacher, files, tmp_path):
    recipe = {
        "teacher": str(teacher),
        "data": str(files["csv"]),
        "student": {"layers": 3},
        "objectives": {"preset": "codir", "contrastive": {"num_negatives": 20, "anchor": "both"}},
        "training": {"num_train_epochs": 1, "seed": 3},
        "output_dir": str(tmp_path / "unused"),
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    words = ["--student-layers", "1", "--output-dir", tmp_path / "out", "--set", "training.max_steps=3", *FAST]
    code, output = codir("distill", path, "--set", f"teacher.cache_dir={tmp_path / 'cache'}", *words)
    assert code == 0, output
    used = yaml.safe_load((tmp_path / "out" / "recipe.yaml").read_text())
    assert used["student"]["layers"] == 1
    assert used["training"]["max_steps"] == 3
    assert used["training"]["seed"] == 3
    assert used["objectives"]["contrastive"]["anchor"] == "both"
    assert AutoConfig.from_pretrained(tmp_path / "out").num_hidden_layers == 1


def test_a_run_without_cache_that_gives_another_student(codir, teacher, files, tmp_path):
    accuracies = []
    for name, flag in (("cached", []), ("live", ["--no-cache"])):
        words = distill_words(
            teacher, files["csv"], tmp_path / name, "--student-layers", "2", "--precision", "fp32", *flag
        )
        assert codir(*words)[0] == 0
        accuracies.append(json.loads((tmp_path / name / "report.json").read_text())["student"]["metrics"]["accuracy"])
    assert not (tmp_path / "live-cache").exists()
    assert accuracies[0] == pytest.approx(accuracies[1], abs=0.05)


def test_an_interrupted_run_that_cannot_go_on(codir, teacher, files, tmp_path):
    straight = distill_words(teacher, files["csv"], tmp_path / "straight", "--student-layers", "2")
    again = distill_words(teacher, files["csv"], tmp_path / "again", "--student-layers", "2")
    saving = [
        "--keep-checkpoints",
        "--set",
        "training.save_strategy=steps",
        "--set",
        "training.save_steps=5",
        "--set",
        "training.save_total_limit=9",
    ]
    assert codir(*straight, *saving)[0] == 0
    assert codir(*again, *saving)[0] == 0
    for checkpoint in (tmp_path / "again" / "checkpoints").glob("checkpoint-1*"):
        (checkpoint / "incomplete").touch()  # as if the process had died while it wrote them
    (tmp_path / "again" / "model.safetensors").unlink()
    code, output = codir(*again, *saving)
    assert code == 2
    assert "--resume" in output
    code, output = codir(*again, *saving, "--resume", "--set", "training.weight_decay=0.5")
    assert code == 2
    assert "training.weight_decay" in output
    assert "learning_rate" in output  # which may change
    code, output = codir(*again, *saving, "--resume")
    assert code == 0, output
    weights = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("straight", "again")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("task", ["CoLA", "SST-2", "MRPC", "STS-B", "RTE"])
def test_a_glue_task_that_needs_more_than_one_command(codir, pretrained, glue_dir, tmp_path, task):
    data = ["--data", f"glue:{task}", "--data-dir", glue_dir, "--epochs", "1"]
    part = ["--set", "data.max_train_rows=200", *FAST]
    code, output = codir("finetune", "--model", pretrained, "--output-dir", tmp_path / "t", *data, *part)
    assert code == 0, output
    words = ["--teacher", tmp_path / "t", "--student-layers", "2", "--output-dir", tmp_path / "o"]
    negatives = ["--set", "objectives.contrastive.num_negatives=10", "--cache-dir", tmp_path / "cache"]
    code, output = codir("distill", *words, *data, *part, *negatives)
    assert code == 0, output
    metrics = json.loads((tmp_path / "o" / "report.json").read_text())["student"]["metrics"]
    primary = {"CoLA": "matthews", "STS-B": "pearson"}.get(task, "accuracy")
    assert next(iter(metrics)) == primary


# ---- Mistakes ----


def bad(codir, *words: str) -> str:
    """Run words that must be refused before any training; returns the message."""
    code, output = codir(*words)
    assert code == 2, output
    assert "Traceback" not in output
    return output


def test_a_missing_file_found_out_late(codir, teacher, tmp_path):
    output = bad(codir, *distill_words(teacher, tmp_path / "trian.csv", tmp_path / "out", "--student-layers", "2"))
    assert "trian.csv" in output
    assert not (tmp_path / "out").exists()


def test_a_missing_column(codir, teacher, files, tmp_path):
    words = distill_words(teacher, files["csv"], tmp_path / "out", "--student-layers", "2", "--text-column", "body")
    assert "body" in bad(codir, *words)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "got no rows"),
        ("text,label\n", "got no rows"),
        ("text,label\n1,a\n2,b\n", "text"),
        ("text,label\nw1,a\nw2,a\n", "class"),
    ],
)
def test_a_file_that_nothing_can_be_learned_from(codir, teacher, tmp_path, content, said):
    path = tmp_path / "train.csv"
    path.write_text(content)
    assert said in bad(codir, *distill_words(teacher, path, tmp_path / "out", "--student-layers", "2"))


def test_a_dev_label_that_training_lacks(codir, teacher, files, tmp_path):
    path = tmp_path / "dev.csv"
    path.write_text("text,label\nw1,neutral\nw2,positive\n")
    words = distill_words(teacher, files["csv"], tmp_path / "out", "--student-layers", "2", "--dev", path)
    assert "neutral" in bad(codir, *words)


def test_a_label_order_that_differs_from_the_teachers(codir, teacher, files, tmp_path):
    words = distill_words(teacher, files["csv"], tmp_path / "out", "--student-layers", "2")
    output = bad(codir, *words, "--labels", "positive,negative")
    assert "--labels negative,positive" in output


def test_swapped_numbers_that_no_name_gives_away(codir, teacher, files, tmp_path):
    rows = datasets.Dataset.from_csv(str(files["numbers"]))
    rows.map(lambda row: {"label": 1 - row["label"]}).to_csv(tmp_path / "swapped.csv", index=False)
    words = distill_words(teacher, tmp_path / "swapped.csv", tmp_path / "out", "--student-layers", "2")
    assert "renamed to [1, 0]" in bad(codir, *words)


def test_a_teacher_without_a_head(codir, pretrained, files, tmp_path):
    output = bad(codir, *distill_words(pretrained, files["csv"], tmp_path / "out", "--student-layers", "2"))
    assert "codir finetune" in output
    AutoModel.from_pretrained(pretrained)


def test_a_teacher_that_is_not_there(codir, files, tmp_path):
    assert "config.json" in bad(
        codir, *distill_words("./nowhere", files["csv"], tmp_path / "out", "--student-layers", "2")
    )


def test_more_layers_than_the_teacher_has(codir, teacher, files, tmp_path):
    assert "4" in bad(codir, *distill_words(teacher, files["csv"], tmp_path / "out", "--student-layers", "7"))


@pytest.mark.parametrize(
    ("setting", "meant"),
    [
        ("objectives.contrastive.contrastive_temprature=0.1", "contrastive_temperature"),
        ("training.learning_rat=0.1", "learning_rate"),
        ("studnet.layers=3", "student"),
        ("teacher.cach=false", "cache"),
        ("objectives.preset=codri", "codir"),
    ],
)
def test_an_unknown_key_that_is_ignored(codir, teacher, files, tmp_path, setting, meant):
    words = distill_words(teacher, files["csv"], tmp_path / "out", "--student-layers", "2", "--set", setting)
    assert meant in bad(codir, *words)


def test_a_folder_with_something_in_it_written_over(codir, teacher, files, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    words = distill_words(teacher, files["csv"], tmp_path / "out", "--student-layers", "2")
    assert "--overwrite" in bad(codir, *words)
    assert codir(*words, "--overwrite")[0] == 0
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"


def test_more_negatives_than_there_are(codir, teacher, files, tmp_path):
    more = ["--student-layers", "2", "--set", "objectives.contrastive.num_negatives=100000"]
    assert "smallest pool" in bad(codir, *distill_words(teacher, files["csv"], tmp_path / "out", *more))


def test_lengths_beyond_the_models_positions(codir, teacher, files, tmp_path):
    more = ["--student-layers", "2", "--max-length", "9999"]
    assert "positions" in bad(codir, *distill_words(teacher, files["csv"], tmp_path / "out", *more))


def test_no_student_described(codir, teacher, files, tmp_path):
    assert "--student-layers" in bad(codir, *distill_words(teacher, files["csv"], tmp_path / "out"))


def test_no_data_named(codir, teacher, tmp_path):
    assert "data" in bad(
        codir, "distill", "--teacher", teacher, "--student-layers", "2", "--output-dir", tmp_path / "o"
    )


def test_a_recipe_that_is_not_yaml(codir, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("teacher: [")
    assert "YAML" in bad(codir, "distill", path)


@pytest.mark.parametrize("command", ["demo", "finetune", "distill", "evaluate"])
def test_a_command_whose_help_has_no_example(codir, command):
    code, output = codir(command, "--help")
    assert code == 0
    assert f"codir {command} --" in output


def test_a_preset_that_the_list_leaves_out(codir):
    code, printed = codir("presets")
    assert code == 0
    assert all(f" {name} " in printed for name in preset_names())


def test_a_list_of_presets_that_takes_more_than_a_line_for_each(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    tables.show_presets([{"name": name, **read_preset(name)} for name in preset_names()])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[0] for line in lines if line.split(" ")[0] in preset_names()] == [
        *preset_names("distill"),
        *preset_names("pretrain"),
    ]
    assert len(lines) < len(preset_names()) + 8
    assert max(map(len, lines)) == 80


def test_notes_of_a_rehearsal_that_break_in_a_word(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    note = "36 steps are few for a contrast whose weight rises over 50; in so few, `--preset fine-tune` does as well."
    tables.show_rehearsal(Rehearsal("distill", 1, 1, 1.0, 1, 0.1, {"training": 2.0}, {}, {}, (note,)))
    printed = capsys.readouterr().out
    assert "`--preset\nfine-tune` does" in printed
    assert "2.0 s" in printed


def test_a_distillation_that_ends_without_what_comes_next():
    recipe = {
        "teacher": {"model": "t"},
        "data": {"source": "d.csv"},
        "student": {"layers": 2},
        "output_dir": "my students/a",
    }
    said = after_distilling(validate(Recipe, recipe), None)
    assert said == "codir export 'my students/a' --int8 --output-dir 'my students/a-int8'"


@pytest.mark.parametrize(("preset", "takes_rows"), [("kd", True), ("codir", True), ("fine-tune", False)])
def test_rows_without_a_label_advised_where_they_are_refused(preset, takes_rows):
    labels, logits = np.array([0, 1] * 20), np.tile([1.0, 0.0], (40, 1))
    student = AnsweredSet("dev", labels, {"student": predictions(logits, KINDS["classification"])})
    task = Task("classification", ("down", "up"), 2, ("accuracy",))
    judgement = judge([student], task, lengths=np.full(40, 8), against={})
    recipe = {"teacher": {"model": "t"}, "data": {"source": "d.csv"}, "student": {"layers": 2}, "output_dir": "a"}
    config = validate(Recipe, {**recipe, "objectives": {"preset": preset}})
    said = after_distilling(config, judgement)
    assert said.startswith("distil again")
    assert ("`--unlabelled`" in said) == ("teacher" in said) == takes_rows
    assert config.objectives.learns_labels_alone != takes_rows


def test_a_model_of_one_answer_that_is_sent_on_to_the_next_command(codir, pretrained, tmp_path):
    """All texts are equal, so whatever is trained on them answers them alike."""
    rows = {"text": ["w1 w2"] * 40, "label": ["positive", "positive", "positive", "negative"] * 10}
    datasets.Dataset.from_dict(rows).to_csv(tmp_path / "rows.csv", index=False)
    words = ["--data", tmp_path / "rows.csv", *FAST, "--max-steps", "1"]
    code, printed = codir("finetune", "--model", pretrained, *words, "--output-dir", tmp_path / "teacher")
    assert code == 0, printed
    assert "to each of 4 rows" in printed
    assert "Next: train again with `--overwrite`" in printed
    assert "after 1 step at learning rate 0.003" in printed
    assert "codir distill" not in printed
    words += ["--teacher", tmp_path / "teacher", "--student-layers", "1", "--preset", "kd"]
    code, printed = codir("distill", *words, "--output-dir", tmp_path / "student")
    assert code == 0, printed
    assert "Little is learned from such a teacher: train it first" in printed
    assert "Next: distil again with `--overwrite`" in printed
    assert "codir export" not in printed


def test_a_preset_that_cannot_be_read_alone(codir):
    code, printed = codir("presets", "pkd")
    assert code == 0
    assert all(part in printed for part in ("pkd, for `codir distill`", "1908.09355", "pooled_mse", "all-but-last"))
    code, printed = codir("presets", "pdk")
    assert code == 2
    assert "pkd" in printed


def test_a_list_of_presets_that_no_program_can_read():
    """In a process of its own, which must not have loaded torch for it."""
    probe = (
        "import sys; sys.argv = ['codir', 'presets', '--json']\n"
        "import atexit; atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr))\n"
        "from codir.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    found = {one["name"]: one for one in json.loads(done.stdout)}
    assert list(found) == preset_names()
    assert all(one["source"] and one["summary"] and one["objectives"] for one in found.values())
    assert done.stderr.split()[-1] == "False"
