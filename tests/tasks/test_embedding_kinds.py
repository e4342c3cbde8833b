"""Pairs judged by cosines, and documents found by ranks, against slow plain loops and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import ndcg_score

from codir.data import texts_apart, texts_together
from codir.measure.bootstrap import resample_metrics
from codir.measure.judgement import stand
from codir.tasks import KINDS, Task
from codir.tasks.embedding import Retrieval, ndcg_at_10, recall_at_10
from codir.tasks.metrics import compute_metrics

EMBEDDING, RETRIEVAL = KINDS["embedding"], KINDS["retrieval"]


def unit(rows: int, width: int = 5, *, seed: int = 0) -> np.ndarray:
    drawn = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn, dim=1).numpy()


def test_a_cosine_of_other_texts():
    first, second = unit(6), unit(6, seed=1)
    found = EMBEDDING.compare(first, second, texts=np.arange(12).reshape(6, 2))
    by_hand = [sum(float(a) * float(b) for a, b in zip(x, y, strict=True)) for x, y in zip(first, second, strict=True)]
    assert found.shape == (6, 1)
    assert found[:, 0] == pytest.approx(by_hand, abs=1e-6)


def judged(num_queries: int, num_documents: int, *, relevant: int, seed: int = 0):
    """Vectors, which documents are relevant to which query, and the rows of a set that says so."""
    rng = np.random.default_rng(seed)
    queries, documents = unit(num_queries, seed=seed), unit(num_documents, seed=seed + 1)
    truth = np.zeros((num_queries, num_documents), bool)
    for query in range(num_queries):
        truth[query, rng.choice(num_documents, rng.integers(1, relevant + 1), replace=False)] = True
    pairs = [(query, document) for query, document in zip(*np.nonzero(truth), strict=True)]
    known = {document for _, document in pairs}
    pairs += [(0, document) for document in range(num_documents) if document not in known and not truth[0, document]]
    pairs = [pairs[place] for place in rng.permutation(len(pairs))]
    labels = np.array([truth[query].sum() if truth[query, document] else 0 for query, document in pairs], float)
    return queries, documents, truth, pairs, labels


@pytest.mark.parametrize("relevant", [1, 4, 14])
def test_a_retrieval_that_scikit_learn_scores_otherwise(relevant, monkeypatch):
    monkeypatch.setattr("codir.tasks.embedding.SCORES_AT_ONCE", 50)  # a few queries at a time
    queries, documents, truth, pairs, labels = judged(9, 40, relevant=relevant)
    texts = np.array([(query, 100 + document) for query, document in pairs])
    first, second = queries[texts[:, 0]], documents[texts[:, 1] - 100]
    logits = RETRIEVAL.compare(first, second, texts=texts)
    found = compute_metrics(logits, labels, ["ndcg@10", "recall@10"], RETRIEVAL)
    scores = queries @ documents.T
    assert found["ndcg@10"] == pytest.approx(ndcg_score(truth, scores, k=10), abs=1e-6)
    recalls = []
    for query in range(9):
        best = sorted(range(40), key=lambda document: -scores[query, document])[:10]
        recalls.append(sum(truth[query, document] for document in best) / truth[query].sum())
    assert found["recall@10"] == pytest.approx(sum(recalls) / 9)


def test_ties_that_count_as_found():
    """A model that gives one vector to all documents is ranked in the middle, not at the top."""
    texts = np.array([(0, 10 + document) for document in range(41)])
    same = np.tile(unit(1), (41, 1))
    assert RETRIEVAL.compare(same, same, texts=texts)[:, 0] == pytest.approx([21.0] * 41)
    floor = RETRIEVAL.floor(np.ones(41))
    assert ndcg_at_10(floor, np.ones(41)) == recall_at_10(floor, np.ones(41)) == 0.0


def test_an_ideal_ranking_that_is_not_1():
    ranks, labels = np.array([1.0, 2.0, 3.0, 1.0]), np.array([3.0, 3.0, 3.0, 1.0])
    assert ndcg_at_10(ranks, labels) == pytest.approx(1.0)
    assert recall_at_10(ranks, labels) == pytest.approx(1.0)
    assert ndcg_at_10(ranks, np.zeros(4)) == 0.0


def test_resamples_of_ranks_above_1():
    answers, labels = np.array([1.0, 50.0] * 5), np.array([2.0] * 10)
    found = resample_metrics({"model": answers}, labels, RETRIEVAL.metrics, RETRIEVAL, resamples=50)["model"]
    assert all((scores <= 1.0).all() and (scores >= 0.0).all() for scores in found.values())


def test_what_a_rank_is_called():
    assert Retrieval().in_words(3.0, {}) == "rank 3"
    assert RETRIEVAL.labels_in_words(384) == "numbers of relevant documents"
    assert RETRIEVAL.written(np.array([1.0, 2.5]), []) == [1.0, 2.5]


def test_pairs_that_come_back_in_another_order():
    from datasets import Dataset

    rows = Dataset.from_dict({"text": ["a", "b", "a"], "text_pair": ["c", "a", "b"], "label": [1.0, math.nan, 3.0]})
    apart = texts_apart(rows)
    assert apart["text"][:] == ["a", "c", "b", "a", "a", "b"]
    vectors = np.arange(6, dtype=np.float32)[:, None]
    first, second, texts, labels = texts_together(vectors, np.asarray(apart["label"], np.float32))
    assert first[:, 0].tolist() == [0, 2, 4]
    assert second[:, 0].tolist() == [1, 3, 5]
    assert texts.tolist() == [[0, 1], [2, 0], [0, 2]]
    assert labels == pytest.approx([1.0, math.nan, 3.0], nan_ok=True)


def test_the_best_ranks_taken_for_answers_without_reading():
    logits, labels = np.ones((6, 1), np.float32), np.ones(6)
    found = stand(logits, labels, Task("retrieval", None, 1, RETRIEVAL.metrics))
    assert found.only_answer is None
    assert not found.hardly_varies
    assert found.above.value > 0.4


def test_vectors_that_are_no_numbers_ranked_first():
    """NaN is below nothing, so that such a document had rank 0.5 and was found every time."""
    texts = np.array([(0, 10), (1, 11)])
    ranks = RETRIEVAL.compare(np.full((2, 3), np.nan), np.full((2, 3), np.nan), texts=texts)
    assert np.isnan(ranks).all()
