"""The measurement on embeddings: what is learned from, how rates are chosen, and what is scored."""

from __future__ import annotations

import json

import numpy as np
import pytest

from codir.measure import Comparison, Run, read_comparison

STS_B = ("index", "genre", "filename", "year", "old_index", "source1", "source2", "sentence1", "sentence2", "score")
MRPC = ("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String")


def table(file, header, rows) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join("\t".join(map(str, line)) + "\n" for line in ([header] if header else []) + list(rows)))


@pytest.fixture
def glue(tmp_path):
    """Scored: `a`, `b`, `c`, `d`, `e`, `f`; each stands among the sentences as well, spelled in another way."""

    def graded(filename, first, second):
        return ("0", "main", filename, "2013", "1", "none", "none", first, second, "2.5")

    table(tmp_path / "STS-B" / "dev.tsv", STS_B, [graded("images", "A dog runs.", "A hound runs.")])
    rows = [graded("headlines", "Stocks fall", "Shares fall"), graded("images", "a dog runs", "A cat sits.")]
    rows += [graded("images", "The sea.", f"Wave {number}") for number in range(4)]
    table(tmp_path / "STS-B" / "train.tsv", STS_B, rows)
    table(tmp_path / "MRPC" / "msr_test_labelled.tsv", MRPC, [(1, 1, 2, "Profits rose", "Profits went up")])
    table(tmp_path / "MRPC" / "train.tsv", MRPC, [(0, 1, 2, "profits rose .", "It said so.")])
    table(tmp_path / "CoLA" / "train.tsv", None, [("gj04", 1, "", "Shares  FALL!"), ("gj04", 1, "", "We buy.")])
    table(tmp_path / "SST-2" / "train.tsv", ("sentence", "label"), [(f"a fine film {n}", 1) for n in range(9)])
    return tmp_path


def test_a_sentence_that_is_scored_and_learned_from(benchmarks, glue):
    sentences = benchmarks("sentences")
    texts = sentences.divide(glue, sentences=11, tuning_pairs=2)
    judged = {sentences.spelling(text) for pairs in texts.pairs.values() for one in pairs for text in one[:2]}
    learned = [sentences.spelling(text) for text in texts.sentences]
    assert not judged & set(learned)
    assert len(learned) == len(set(learned)) == 11
    assert "itsaidso" in learned
    assert {"stocksfall", "sharesfall", "adogruns", "profitsrose", "profitswentup"} < judged
    assert [len(texts.pairs[name]) for name in ("tune", "sts-b", "headlines", "mrpc")] == [2, 1, 1, 1]


def run(preset: str, score: float) -> Run:
    return Run(preset, 100, "sentences", "2x128", 2, {"spearman": score}, 0.9, {"tune": 0.9}, 1.0, 0.1, 10, 1, "f")


def test_a_rate_that_is_not_chosen_by_the_rule(benchmarks):
    """The highest score counts, and of equal ones the lowest rate."""
    scores = {"a-0.001": 0.5, "a-0.003": 0.7, "a-0.01": 0.6, "b-0.001": 0.4, "b-0.003": 0.8, "b-0.01": 0.8}
    tuned = Comparison([run(*one) for one in scores.items()], "a-0.001", "spearman", {"tune": "spearman"}, {}, {})
    chosen = benchmarks("embeddings").choose_rates(tuned, ["a", "b"], (1e-2, 1e-3, 3e-3))
    assert chosen == {"a": 3e-3, "b": 3e-3}


def test_a_paraphrase_that_is_scored_as_a_grade(benchmarks):
    """By hand: the paraphrases lie first and third by their cosines, and at ranks 1 and 3 of their queries."""
    cosines, ranks = np.array([[0.9], [0.8], [0.7]]), np.array([[1.0], [1.0], [3.0]])
    found = benchmarks("embeddings").scores_of(cosines, ranks, np.array([1.0, 0.0, 1.0]), "mrpc")
    assert found["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["ndcg@10"] == pytest.approx((1 + 0.5) / 2)
    assert found["recall@10"] == 1.0
    graded = benchmarks("embeddings").scores_of(cosines, ranks, np.array([5.0, 1.0, 3.0]), "headlines")
    assert graded["spearman"] == pytest.approx(0.5)


def test_a_final_comparison_with_rates_that_were_not_tuned(benchmarks):
    embeddings = benchmarks("embeddings")
    folders = [folder for folder in embeddings.RESULTS.glob("embeddings-*") if folder.is_dir()]
    assert folders
    for folder in folders:
        name = folder.name.removeprefix("embeddings-")
        tuned, config = read_comparison(folder / "tune"), embeddings.load_recipe(name)
        entries = [*(one.label for one in config.presets), *embeddings.PEERS[name]]
        rates = embeddings.choose_rates(tuned, entries, embeddings.RATES[name])
        for part in embeddings.TABLES:
            content = json.loads((folder / part / "results.json").read_text())
            assert content["conditions"]["learning_rates"] == rates
            assert {run["seed"] for run in content["runs"]} == set(config.seed_list)


def test_maps_that_are_slower_than_what_was_measured_asks_for(benchmarks):
    embeddings = benchmarks("embeddings")
    tried = read_comparison(embeddings.RESULTS / "embeddings-2x128" / "maps")
    assert embeddings.gain_of_fast_maps(tried, embeddings.MAPS, embeddings.RATES["2x128"]) < 0


def test_a_recipe_that_cannot_be_tuned(benchmarks):
    embeddings = benchmarks("embeddings")
    for name, rates in embeddings.RATES.items():
        config = embeddings.load_recipe(name)
        tuning = embeddings.tuning_recipe(config, name)
        assert len(tuning.presets) == len(rates) * len(config.presets)
        assert not set(tuning.seed_list) & set(config.seed_list)
        final = embeddings.final_recipe(config, {one.label: rates[0] for one in config.presets})
        assert {final.training_of(one).learning_rate for one in final.presets} == {rates[0]}
        assert list(config.students) == [name]
