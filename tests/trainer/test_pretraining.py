"""What must hold of a pre-training run: one start and seed give one end, killed or not; documents stay apart."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_training import StopAt, arguments, assert_same, run_processes, terms_of
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, PreTrainedTokenizerFast

import codir
from codir.config import ObjectivesConfig, preset_names, validate
from codir.data import NeighbourSampler, build_negative_sampler, load_corpus, split_documents
from codir.errors import UserError
from codir.memory import NegativeQueue
from codir.runs.objectives import build_objectives
from codir.signals import IGNORED_CLASS, OfTheStep
from codir.student import build_student
from codir.trainer import PretrainingTrainer
from conftest import WORDS
from families import tiny_classifier, tiny_language_model

pytestmark = pytest.mark.training

SMALL = {"projection_dim": 8, "queue_size": 24}
MAX_LENGTH = 16


def make_documents(count: int = 40, *, seed: int = 0, longest: int = 60) -> datasets.Dataset:
    """Documents of a few words to several sequences, each with words of its own kind: there is much to learn."""
    rng = np.random.default_rng(seed)
    kinds, lengths = rng.integers(0, 6, count), rng.integers(4, longest, count)
    texts = [" ".join(rng.choice(WORDS[15 * kind : 15 * kind + 15], n)) for kind, n in zip(kinds, lengths, strict=True)]
    return datasets.Dataset.from_dict({"text": texts})


@pytest.fixture(scope="session")
def corpus(tokenizer, tmp_path_factory) -> datasets.Dataset:
    """About a hundred sequences of forty documents."""
    return load_corpus(make_documents(), tokenizer, max_length=MAX_LENGTH, cache_dir=tmp_path_factory.mktemp("corpora"))


@pytest.fixture(scope="session")
def causal_tokenizer() -> PreTrainedTokenizerFast:
    """Whole words and an end-of-text token, which also pads; no mask token."""
    vocabulary = {word: i for i, word in enumerate(["<eos>", "<unk>", *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokens = {"eos_token": "<eos>", "pad_token": "<eos>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **tokens)


def make_trainer(
    folder: Path, tokenizer, corpus, *, preset="codir-pre", family="bert", **overrides
) -> PretrainingTrainer:
    ours = {name: overrides.pop(name) for name in ("callbacks", "eval_dataset") if name in overrides}
    over = {"contrastive": SMALL} if preset == "codir-pre" else {}
    over |= overrides.pop("objectives", {})
    teacher = overrides.pop("teacher", None) or tiny_language_model(family, seed=1)
    settings = {"max_steps": 12, "train_sampling_strategy": "random", "learning_rate": 3e-3, **overrides}
    return PretrainingTrainer(
        teacher,
        overrides.pop("student", None) or build_student(teacher, layers=2),
        arguments(folder, **{name: value for name, value in settings.items() if name != "student"}),
        codir.preset(preset, **over),
        corpus,
        processing_class=tokenizer,
        **ours,
    )


def state_of(trainer) -> dict[str, torch.Tensor]:
    """Weights, heads and queue."""
    parts = {"student": trainer.student, "heads": trainer.distiller.objectives, "memory": trainer.memories}
    return {f"{part}.{name}": t.clone() for part, module in parts.items() for name, t in module.state_dict().items()}


def test_a_fixed_space_of_a_teacher_that_reads_masked_texts(tmp_path, tokenizer, corpus):
    """Fitted on sequences as they are; the teacher's own queue then holds components of what it read, masked."""
    fixed = {"contrastive": {**SMALL, "anchor": "both", "keys": "queued", "estimator": "soft", "teacher_head": "pca"}}
    trainer = make_trainer(tmp_path, tokenizer, corpus, objectives=fixed)
    trainer.train()
    (space,) = trainer.teacher.spaces.values()
    assert space.axes.shape == (4 * 32, 8)
    assert all(np.isfinite(terms["loss/contrastive"]) for terms in terms_of(trainer))
    assert torch.allclose(trainer.memories.teacher.vectors.norm(dim=1), torch.ones(24), atol=1e-5)


@pytest.mark.parametrize("preset", preset_names("pretrain"))
def test_a_preset_that_does_not_train(tmp_path, tokenizer, corpus, preset):
    trainer = make_trainer(tmp_path, tokenizer, corpus, preset=preset)
    before = state_of(trainer)
    trainer.train()
    history = terms_of(trainer)
    assert len(history) == 12
    assert all(np.isfinite(list(terms.values())).all() for terms in history)
    still = {name for name, weights in state_of(trainer).items() if weights.equal(before[name])}
    assert len(still) < len(before) / 2
    assert not any(name.startswith("heads") for name in still)


@pytest.mark.parametrize("preset", ["mlm", "kd-pre", "codir-pre"])
def test_a_student_that_learns_no_language(tmp_path, tokenizer, corpus, preset):
    trainer = make_trainer(tmp_path, tokenizer, corpus, preset=preset, max_steps=80, eval_dataset=corpus)
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    assert after["eval_perplexity"] == pytest.approx(np.exp(after["eval_loss"]))
    assert after["eval_loss"] < before["eval_loss"] - 0.1


def test_two_runs_of_one_seed_that_differ(tmp_path, tokenizer, corpus):
    ends = []
    for name, seed in (("first", 0), ("second", 0), ("other", 1)):
        trainer = make_trainer(tmp_path / name, tokenizer, corpus, seed=seed)
        trainer.train()
        ends.append(state_of(trainer))
    assert_same(ends[0], ends[1])
    assert any(not weights.equal(ends[2][name]) for name, weights in ends[0].items())


@pytest.mark.parametrize("stop", [5, 17])
@pytest.mark.parametrize(
    "contrast",
    [
        {},
        {"memory": "momentum"},
        {"anchor": "student"},
        {"anchor": "both", "memory": "momentum"},
        {"strategy": "neighbours"},
        {"strategy": "neighbours", "source": "batch"},
    ],
)
def test_a_killed_run_that_goes_on_elsewhere(tmp_path, tokenizer, corpus, stop, contrast):
    """Weights, queues, and the masks of the rest of the run; `stop` in the first epoch and in a later one."""
    few = corpus.select(range(96))  # 12 steps an epoch
    settings = {"max_steps": 24, "save_strategy": "steps", "save_steps": stop}
    settings["objectives"] = {"contrastive": {**SMALL, **contrast}}
    straight = make_trainer(tmp_path / "straight", tokenizer, few, **settings)
    straight.train()
    make_trainer(tmp_path / "killed", tokenizer, few, callbacks=[StopAt(stop)], **settings).train()
    resumed = make_trainer(tmp_path / "killed", tokenizer, few, **settings)
    resumed.train(resume_from_checkpoint=True)
    assert resumed.state.global_step == 24
    assert_same(state_of(straight), state_of(resumed))


def watch(model) -> list[torch.Tensor]:
    """A list that fills with what the model reads."""
    seen: list[torch.Tensor] = []
    model.get_input_embeddings().register_forward_hook(lambda module, args, output: seen.append(args[0].clone()))
    return seen


def test_a_teacher_that_reads_another_text_than_the_student(tmp_path, tokenizer, corpus):
    trainer = make_trainer(tmp_path, tokenizer, corpus)
    of_teacher, of_student = watch(trainer.teacher.model), watch(trainer.student)
    trainer.train()
    of_teacher = [ids for ids in of_teacher if ids.shape != (1, 2)]  # the two tokens that tell where its layers are
    assert len(of_teacher) == len(of_student) == 12
    assert all(torch.equal(*pair) for pair in zip(of_teacher, of_student, strict=True))
    assert any((ids == tokenizer.mask_token_id).any() for ids in of_student)


def test_masks_that_come_back_in_each_epoch(tmp_path, tokenizer, corpus):
    few = corpus.select(range(8))
    trainer = make_trainer(tmp_path, tokenizer, few, preset="mlm", max_steps=3, train_sampling_strategy="sequential")
    read = watch(trainer.student)
    trainer.train()
    assert not any(torch.equal(read[0], later) for later in read[1:])


def test_masks_of_evaluation_that_differ_from_time_to_time(tmp_path, tokenizer, corpus):
    trainer = make_trainer(tmp_path, tokenizer, corpus, preset="mlm", eval_dataset=corpus.select(range(20)))
    first = trainer.evaluate()["eval_loss"]
    assert trainer.evaluate()["eval_loss"] == first


@given(seed=st.integers(0, 10_000), heldout=st.floats(0.05, 0.6), batch=st.integers(1, 12))
def test_negatives_that_share_a_document(corpus, seed, heldout, batch):
    """For the queue, the batch and draws alike, of a corpus whose numbers have gaps where documents are held out."""
    train, _ = split_documents(corpus, fraction=heldout, seed=seed)
    document_of = dict(zip(corpus["example_index"], corpus["document_id"], strict=True))
    index, rng = np.asarray(train["example_index"]), np.random.default_rng(seed)
    kinds = np.full(index.max() + 1, IGNORED_CLASS)
    kinds[index] = train["document_id"]
    sampler = build_negative_sampler(kinds, num_examples=len(kinds), count=3, batch_size=batch, strategy="other_class")
    anchors, queued = rng.choice(index, min(batch, len(index)), replace=False), rng.choice(index, 40)
    group = sampler.sample(anchors).group
    allowed, drawn = sampler.allows(anchors, queued)[group], sampler.sample(anchors).index[group]
    is_negative, _ = sampler.relate(anchors, queued)
    for place, anchor in enumerate(anchors):
        own = document_of[anchor]
        others = [document_of[row] != own for row in queued]
        assert allowed[place].tolist() == others == is_negative[place].tolist()
        assert own not in {document_of[row] for row in drawn[place]}


def queue_of(trainer) -> NegativeQueue:
    """Either of those that it keeps: two would hold the same sequences."""
    return next(memory for memory in (trainer.memories.teacher, trainer.memories.student) if memory is not None)


def watch_documents(trainer, corpus) -> list[int]:
    """Check at each step of a run that other documents, and no other sequences, are handed to the contrast.

    Gives the list of how many were queued, which grows as the run goes on.
    """
    document_of, checked = dict(zip(corpus["example_index"], corpus["document_id"], strict=True)), []
    look_up, of_teacher = trainer.memories.look_up, trainer.memories.teacher

    def watched(batch, needs, sampler):
        negatives, queued = look_up(batch, needs, sampler), queue_of(trainer).index.tolist()
        if of_teacher is not None:
            assert torch.equal(negatives.teacher.vectors, of_teacher.vectors)
        for place, anchor in enumerate(batch.example_index.tolist()):
            allowed = (negatives.student or negatives.teacher).allowed[negatives.group[place]].tolist()
            assert allowed == [document_of[row] != document_of[anchor] for row in queued]
            checked.append(len(queued))
        return negatives

    trainer.memories.look_up = watched
    return checked


@pytest.mark.parametrize("anchor", ["student", "teacher", "both"])
def test_a_contrast_that_is_told_documents_otherwise_than_the_corpus_has_them(tmp_path, tokenizer, corpus, anchor):
    """In a run, after the queue has filled: what the trainer hands to the contrast."""
    train, _ = split_documents(corpus, fraction=0.3, seed=0)
    trainer = make_trainer(tmp_path, tokenizer, train, objectives={"contrastive": {**SMALL, "anchor": anchor}})
    checked = watch_documents(trainer, corpus)
    trainer.train()
    assert max(checked) == SMALL["queue_size"]


@given(seed=st.integers(0, 10_000), batch=st.integers(1, 12))
def test_neighbours_that_are_spared_or_a_row_that_is_its_own_negative(corpus, seed, batch):
    documents, rng = np.asarray(corpus["document_id"]), np.random.default_rng(seed)
    settings = {"num_examples": len(documents), "count": 0, "batch_size": batch, "strategy": "neighbours"}
    sampler = build_negative_sampler(documents, **settings)
    anchors, queued = rng.choice(len(documents), batch, replace=False), rng.choice(len(documents), 40)
    allowed = sampler.allows(anchors, queued)[sampler.sample(anchors).group]
    is_negative, is_kin = sampler.relate(anchors, queued)
    for place, anchor in enumerate(anchors):
        assert allowed[place].tolist() == [row not in anchors for row in queued]  # older views of the step's own rows
        assert is_negative[place].tolist() == [row != anchor for row in queued]
        assert is_kin[place].tolist() == [row == anchor for row in queued]


def met_neighbours(trainer, corpus) -> float:
    """Of the anchors with neighbours in the corpus, the share that has one among its negatives, in a run."""
    ids = np.asarray(corpus["document_id"])
    document_of = dict(zip(corpus["example_index"], ids.tolist(), strict=True))
    is_of_several = {row: (ids == document).sum() > 1 for row, document in document_of.items()}
    found, contrast = [], trainer.distiller.objectives.contrast
    forward = contrast.forward

    def watched(student, teacher, batch, negatives):
        own = batch.example_index.tolist()
        rows = negatives.student or negatives.teacher
        is_step = isinstance(rows, OfTheStep)
        keys = own if is_step else queue_of(trainer).index.tolist()
        allowed = rows.is_negative if is_step else rows.allowed[negatives.group]
        for anchor, is_negative in zip(own, allowed.tolist(), strict=True):
            rows = [row for row, may in zip(keys, is_negative, strict=True) if may]
            assert anchor not in rows
            if is_of_several[anchor]:
                found.append(document_of[anchor] in {document_of[row] for row in rows})
        return forward(student, teacher, batch, negatives)

    contrast.forward = watched
    trainer.train()
    return float(np.mean(found))


@pytest.mark.parametrize("source", ["dataset", "batch"])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_neighbours_that_do_not_meet(tmp_path, tokenizer, source, accumulation):
    """Sixty documents of one to five sequences, of which chance seldom brings two together."""
    long = load_corpus(make_documents(60), tokenizer, max_length=MAX_LENGTH, cache_dir=tmp_path / "corpora")
    share = {}
    for strategy in ("neighbours", "any", "other_class"):
        contrast = {**SMALL, "queue_size": 32, "source": source, "strategy": strategy}
        settings = {"objectives": {"contrastive": contrast}, "max_steps": 12 // accumulation}
        batches = {"per_device_train_batch_size": 8 // accumulation, "gradient_accumulation_steps": accumulation}
        trainer = make_trainer(tmp_path / strategy, tokenizer, long, **settings, **batches)
        share[strategy] = met_neighbours(trainer, long)
    assert share["other_class"] == 0.0
    assert share["neighbours"] > share["any"] + 0.2


@pytest.mark.parametrize("anchor", ["student", "both"])
def test_a_student_that_learns_nothing_from_a_queue_of_its_teacher(tmp_path, tokenizer, corpus, anchor):
    """The contrast alone, so that nothing else moves the student; negatives are of other documents here too."""
    contrast = {**SMALL, "anchor": anchor, "weight": 1.0}
    alone = {"token_label": None, "token_kl": None, "contrastive": contrast}
    teacher = tiny_language_model("bert", seed=1)
    with torch.no_grad():
        teacher.get_input_embeddings().weight.mul_(10)  # one whose view differs from sequence to sequence
    settings = {"objectives": alone, "max_steps": 80, "learning_rate": 1e-3, "teacher": teacher}
    trainer = make_trainer(tmp_path, tokenizer, corpus, **settings)
    checked = watch_documents(trainer, corpus)
    before = trainer.student.get_input_embeddings().weight.clone()
    trainer.train()
    losses = [terms["loss/contrastive"] for terms in terms_of(trainer)]
    assert max(checked) == SMALL["queue_size"]
    assert losses[0] == 0.0  # nothing is queued yet
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[4:14])
    assert (trainer.student.get_input_embeddings().weight - before).norm() > 1e-2
    assert len(trainer.memories.teacher) == SMALL["queue_size"]


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen2"])
@pytest.mark.parametrize("preset", ["mlm", "codir-pre"])
def test_a_causal_model_that_cannot_be_pretrained(tmp_path, causal_tokenizer, family, preset):
    corpus = load_corpus(make_documents(), causal_tokenizer, max_length=MAX_LENGTH, cache_dir=tmp_path / "corpora")
    trainer = make_trainer(
        tmp_path / "run", causal_tokenizer, corpus, family=family, preset=preset, max_steps=60, eval_dataset=corpus
    )
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < before - 0.2
    trainer.save_model(tmp_path / "student")
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "student")
    assert_same(saved.state_dict(), trainer.student.state_dict())


def test_a_next_token_loss_that_differs_from_the_models_own(tmp_path, causal_tokenizer):
    """transformers shifts labels inside the model; here they are shifted once, in the batch."""
    corpus = load_corpus(make_documents(), causal_tokenizer, max_length=MAX_LENGTH, cache_dir=tmp_path / "corpora")
    rows = corpus.select([i for i, length in enumerate(corpus["length"]) if length == MAX_LENGTH][:8])
    trainer = make_trainer(tmp_path, causal_tokenizer, rows, family="gpt2", preset="mlm", eval_dataset=rows)
    ids = torch.tensor(rows["input_ids"])
    own = trainer.student.eval()(input_ids=ids, labels=ids).loss.item()
    assert trainer.evaluate()["eval_loss"] == pytest.approx(own, rel=1e-4)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_a_student_without_its_head_or_with_one_of_its_own(tmp_path, tokenizer, corpus, family):
    trainer = make_trainer(tmp_path / "run", tokenizer, corpus, family=family, preset="kd-pre", max_steps=4)
    trainer.train()
    trainer.save_model(tmp_path / "student")
    saved, told = AutoModelForMaskedLM.from_pretrained(tmp_path / "student", output_loading_info=True)
    assert not told["missing_keys"]
    assert saved.get_output_embeddings().weight is saved.get_input_embeddings().weight
    assert_same(saved.state_dict(), trainer.student.state_dict())


def test_whole_words_that_change_nothing(tmp_path, tokenizer, corpus):
    assert make_trainer(tmp_path, tokenizer, corpus, whole_words=True)._train_collator.whole_words


def test_a_checkpoint_that_goes_on_over_another_corpus(tmp_path, tokenizer, corpus):
    settings = {"preset": "mlm", "save_strategy": "steps", "save_steps": 4, "max_steps": 8}
    make_trainer(tmp_path, tokenizer, corpus.select(range(64)), **settings).train()
    other = make_trainer(tmp_path, tokenizer, corpus.select(range(1, 65)), **settings)
    with pytest.raises(UserError, match="training set"):
        other.train(resume_from_checkpoint=True)


def test_stages_of_pretraining(tmp_path, tokenizer, corpus):
    """A contrast that comes second begins with an empty queue."""
    stages = [{"preset": "tinybert-pre"}, {"preset": "codir-pre", "contrastive": SMALL}]
    teacher = tiny_language_model("bert", seed=1)
    objectives = build_objectives(validate(ObjectivesConfig, {"stages": stages}))
    args = arguments(tmp_path, max_steps=8)
    trainer = PretrainingTrainer(
        teacher, build_student(teacher, layers=2), args, objectives, corpus, processing_class=tokenizer
    )
    trainer.train()
    history = terms_of(trainer)
    assert set(history[0]) == {"loss/hidden_mse", "loss/attention_mse"}
    assert set(history[-1]) == {"loss/token_label", "loss/token_kl", "loss/contrastive"}
    assert len(queue_of(trainer)) == SMALL["queue_size"]


# ---- Refused before anything begins ----


def test_a_teacher_without_a_language_model_head(tmp_path, tokenizer, corpus):
    with pytest.raises(UserError, match="teacher: expected a model with a language-model head"):
        make_trainer(tmp_path, tokenizer, corpus, teacher=tiny_classifier("bert"), student=tiny_language_model("bert"))


def test_a_student_of_another_kind_than_its_teacher(tmp_path, tokenizer, corpus):
    with pytest.raises(UserError, match="one that predicts the next token"):
        make_trainer(tmp_path, tokenizer, corpus, student=tiny_language_model("gpt2"))


def test_a_model_that_sees_the_token_it_is_to_predict(tmp_path, tokenizer, corpus):
    with pytest.raises(UserError, match="copy the next token"):
        make_trainer(tmp_path, tokenizer, corpus, family="xlnet", preset="mlm")


def test_an_empty_corpus(tmp_path, tokenizer, corpus):
    with pytest.raises(UserError, match="no sequence at all"):
        make_trainer(tmp_path, tokenizer, corpus.select([]))


def test_texts_in_place_of_sequences(tmp_path, tokenizer):
    with pytest.raises(UserError, match="document_id"):
        make_trainer(tmp_path, tokenizer, make_documents())


@pytest.mark.parametrize(
    "contrast",
    [
        {"anchor": "student", "keys": "fresh"},
        {"anchor": "both", "keys": "fresh"},
        {"anchor": "teacher", "keys": "fresh", "memory": "bank"},
        {"anchor": "teacher", "keys": "fresh", "memory": "auto"},
        {"anchor": "teacher", "memory": "bank"},
    ],
)
def test_negatives_that_only_a_cache_could_give(tmp_path, tokenizer, corpus, contrast):
    with pytest.raises(UserError, match="`memory: queue`"):
        make_trainer(tmp_path, tokenizer, corpus, objectives={"contrastive": contrast})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"train_sampling_strategy": "sequential"}, "`random` with `strategy: neighbours`"),
        ({"gradient_accumulation_steps": 4}, "at least the rows of a step, 32.*got 24"),
    ],
)
def test_neighbours_kept_from_meeting(tmp_path, tokenizer, corpus, settings, said):
    contrast = {"contrastive": {**SMALL, "strategy": "neighbours"}}
    with pytest.raises(UserError, match=said):
        make_trainer(tmp_path, tokenizer, corpus, objectives=contrast, **settings)


def test_neighbours_where_every_document_is_one_sequence(tmp_path, tokenizer):
    short = load_corpus(make_documents(longest=12), tokenizer, max_length=MAX_LENGTH, cache_dir=tmp_path / "corpora")
    with pytest.raises(UserError, match="a document of at least two sequences"):
        make_trainer(tmp_path, tokenizer, short, objectives={"contrastive": {**SMALL, "strategy": "neighbours"}})


@pytest.mark.parametrize("preset", ["kd", "codir", "logit-mse"])
def test_a_preset_of_the_other_stage(tmp_path, tokenizer, corpus, preset):
    with pytest.raises(UserError, match=r"`token_label`|`token_kl`|`memory: queue`"):
        make_trainer(tmp_path, tokenizer, corpus, preset=preset)


# ---- Processes ----


def test_two_processes_that_pretrain_apart(once_per_suite, tmp_path, corpus):
    """Their queues hold the rows that one process would have read in the last three steps, neighbours together."""
    first, second = run_processes(once_per_suite, "pretrain", processes=2)
    assert first == second
    assert first["steps"] == 12
    of_student, of_teacher = first["queued"]
    assert of_student == of_teacher
    documents = np.asarray(corpus["document_id"])
    in_order = list(NeighbourSampler(documents, lanes=8, seed=arguments(tmp_path).seed))
    assert len(in_order) > 12 * 8
    assert sorted(of_student) == sorted(in_order[9 * 8 : 12 * 8])
    assert np.isfinite(first["state"]).all()
