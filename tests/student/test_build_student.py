"""The student: the depth asked for, the teacher's own weights, a plain transformers model once saved."""

from __future__ import annotations

import copy
import inspect
import logging
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    BartConfig,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    DistilBertConfig,
    GPT2Config,
    PreTrainedModel,
    Qwen2Config,
    ViTConfig,
)

from codir.errors import UserError
from codir.models import vocabulary_of
from codir.student import build_student, find_layer_stack, select_layers, student_origin
from families import FAMILIES, PAD_TOKEN_ID, VOCAB_SIZE, tiny_classifier, tiny_language_model

LABELS = {0: "negative", 1: "neutral", 2: "positive"}
SHARED = {"albert"}
STACKED = sorted(set(FAMILIES) - SHARED)

every_family = pytest.mark.parametrize("family", sorted(FAMILIES))
every_stacked_family = pytest.mark.parametrize("family", STACKED)


def make_teacher(family: str = "bert", **options: int) -> PreTrainedModel:
    """A teacher no two of whose tensors are alike: fresh norms are all ones and would hide a wrong copy."""
    teacher = tiny_classifier(family, **options)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in teacher.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    teacher.config.id2label = dict(LABELS)
    teacher.config.label2id = {label: index for index, label in LABELS.items()}
    teacher.config.problem_type = "single_label_classification"
    return teacher


def make_inputs() -> dict[str, Tensor]:
    """Two texts of different lengths, padded on the right."""
    input_ids = torch.randint(3, VOCAB_SIZE, (2, 9), generator=torch.Generator().manual_seed(2))
    attention_mask = torch.ones_like(input_ids)
    input_ids[1, 6:], attention_mask[1, 6:] = PAD_TOKEN_ID, 0
    return {"input_ids": input_ids, "attention_mask": attention_mask}


@torch.no_grad()
def logits_of(model: PreTrainedModel) -> Tensor:
    mode = model.training
    logits = model.eval()(**make_inputs()).logits
    model.train(mode)
    return logits


def storages(model: PreTrainedModel) -> set[int]:
    return {tensor.untyped_storage().data_ptr() for tensor in model.state_dict().values()}


# Choosing layers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("teacher_layers", "student_layers", "selection", "expected"),
    [
        (6, 3, "lower", (1, 2, 3)),
        (6, 3, "upper", (4, 5, 6)),
        (6, 3, "every-other", (1, 3, 5)),
        (6, 2, "every-other", (1, 4)),
        (12, 6, "every-other", (1, 3, 5, 7, 9, 11)),
        (12, 5, "every-other", (1, 3, 5, 8, 10)),
        (6, 2, [2, 6], (2, 6)),
    ],
)
def test_selection_picks_other_layers_than_documented(teacher_layers, student_layers, selection, expected):
    assert select_layers(teacher_layers, student_layers, selection) == expected


@given(st.data())
def test_selection_repeats_or_leaves_the_teachers_layers(data):
    depth = data.draw(st.integers(1, 48))
    count = data.draw(st.integers(1, depth))
    layers = select_layers(depth, count, data.draw(st.sampled_from(["lower", "upper", "every-other"])))
    assert len(set(layers)) == count
    assert list(layers) == sorted(layers)
    assert layers[0] >= 1
    assert layers[-1] <= depth


@pytest.mark.parametrize("layers", [[0, 1], [1, 5], [2, 1], [1, 1], [-1, 2]])
def test_bad_layer_list_is_accepted(layers):
    with pytest.raises(UserError, match="layer numbers from 1 to 4"):
        build_student(make_teacher(), layers=layers)


@pytest.mark.parametrize("layers", [0, -2, []])
def test_student_without_layers_is_accepted(layers):
    with pytest.raises(UserError, match="1 to 4"):
        build_student(make_teacher(), layers=layers)


def test_list_of_another_length_than_asked_is_accepted():
    with pytest.raises(UserError, match="3 different layer numbers"):
        select_layers(6, 3, [1, 2])


def test_misspelt_selection_gives_a_traceback():
    unchecked = inspect.unwrap(select_layers)  # users have no type checker wrapped around it; the tests may
    with pytest.raises(UserError, match="did you mean 'every-other'"):
        unchecked(6, 3, "every-othr")


@pytest.mark.parametrize(
    "start",
    [{"layers": [1, 2]}, {"checkpoint": "nowhere"}, {"config": {"hidden_size": 8}}],
    ids=["named", "checkpoint", "config"],
)
def test_a_selection_of_layers_that_nobody_makes(start):
    with pytest.raises(UserError, match=r"student.selection: expected a number of layers.*no effect") as refused:
        build_student(make_teacher(), **start, selection="upper")
    over_a_recipe = re.findall(r"give `--selection ([a-z-]+)`", str(refused.value))
    build_student(make_teacher(), layers=[1, 2], selection=over_a_recipe[0])
    assert ("layers that are named" in str(refused.value)) == ("layers" in start)


# Layers of the teacher ------------------------------------------------------------------------------------------------


@every_family
def test_student_has_another_depth_than_asked(family):
    student = build_student(make_teacher(family), layers=2)
    assert student.config.num_hidden_layers == 2
    assert len(student(**make_inputs(), output_hidden_states=True).hidden_states) == 3
    stack = find_layer_stack(student)
    assert stack is None if family in SHARED else len(stack[1]) == 2


@every_family
def test_copy_of_all_layers_changes_the_logits(family):
    teacher = make_teacher(family)
    assert torch.equal(logits_of(build_student(teacher, layers=4)), logits_of(teacher))


@every_stacked_family
@pytest.mark.parametrize("layers", [(1, 3), (2, 4), (1, 2, 4)])
def test_kept_layers_lose_the_teachers_weights(family, layers):
    teacher = make_teacher(family)
    student = build_student(teacher, layers=layers)
    name, teacher_stack = find_layer_stack(teacher)
    _, student_stack = find_layer_stack(student)
    for place, layer in enumerate(layers):
        source = teacher_stack[layer - 1].state_dict()
        for key, weight in student_stack[place].state_dict().items():
            assert torch.equal(weight, source[key]), f"{key} of layer {layer}"
    for key, weight in student.state_dict().items():
        if not key.startswith(f"{name}."):
            assert torch.equal(weight, teacher.state_dict()[key]), key


@every_stacked_family
def test_student_skips_other_layers_than_it_says(family):
    """An oracle: the teacher itself, with the layers that were not chosen cut out of its stack."""
    teacher = make_teacher(family)
    student = build_student(teacher, layers=[1, 2, 4])
    oracle = copy.deepcopy(teacher)
    del find_layer_stack(oracle)[1][2]
    oracle.config.num_hidden_layers, oracle.config.use_cache = 3, False  # a cache would look for four layers
    assert torch.equal(logits_of(student), logits_of(oracle))


@every_family
def test_saved_student_differs_once_loaded_without_codir(family, tmp_path):
    student = build_student(make_teacher(family), layers=2)
    student.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert type(loaded) is type(student)
    assert loaded.config.id2label == LABELS
    assert torch.equal(logits_of(loaded), logits_of(student))
    assert "codir" not in (tmp_path / "config.json").read_text()


@every_family
def test_training_the_student_changes_the_teacher(family):
    teacher = make_teacher(family)
    weights, config = copy.deepcopy(teacher.state_dict()), teacher.config.to_dict()
    student = build_student(teacher, layers=2)
    assert not storages(student) & storages(teacher)
    student(**make_inputs(), labels=torch.tensor([0, 2])).loss.backward()
    torch.optim.SGD(student.parameters(), lr=0.1).step()
    assert all(torch.equal(weight, weights[name]) for name, weight in teacher.state_dict().items())
    assert teacher.config.to_dict() == config
    assert not teacher.training


@every_family
def test_student_deeper_than_the_teacher_is_built(family):
    with pytest.raises(UserError, match="1 to 4, as many as the teacher has, got 5"):
        build_student(make_teacher(family), layers=5)


def test_student_of_a_frozen_teacher_cannot_be_trained():
    teacher = make_teacher().requires_grad_(False)
    student = build_student(teacher, layers=2)
    assert student.training
    assert all(weight.requires_grad for weight in student.parameters())


def test_student_is_widened_from_the_teachers_dtype():
    student = build_student(make_teacher("llama").to(torch.bfloat16), layers=2)
    assert {weight.dtype for weight in student.parameters()} == {torch.bfloat16}
    assert student.model.rotary_emb.inv_freq.dtype == torch.float32


def test_tied_weights_come_apart():
    config = BertConfig(vocab_size=50, hidden_size=16, num_attention_heads=2, num_hidden_layers=2, intermediate_size=32)
    student = build_student(BertForMaskedLM(config), layers=1)
    assert student.cls.predictions.decoder.weight is student.bert.embeddings.word_embeddings.weight


def test_list_that_is_not_per_layer_is_cut():
    """DeBERTa-v2 has two kinds of relative position, which a teacher of two layers must not mistake for two layers."""
    student = build_student(make_teacher("deberta-v2", layers=2), layers=1)
    assert student.config.pos_att_type == ["p2c", "c2p"]


@pytest.mark.parametrize(("family", "layer"), [("modernbert", 4), ("qwen2", 3)])
def test_kept_layer_takes_another_kind_of_attention(family, layer):
    teacher = make_teacher(family)
    assert len(set(teacher.config.layer_types)) == 2
    student = build_student(teacher, layers=[2, layer])
    assert student.config.layer_types == [teacher.config.layer_types[1], teacher.config.layer_types[layer - 1]]


def test_teacher_of_two_stacks_is_cut_into_nonsense():
    config = BartConfig(
        vocab_size=50, d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=16,
    )  # fmt: skip
    with pytest.raises(UserError, match="single stack"):
        build_student(AutoModelForSequenceClassification.from_config(config), layers=1)


# What the student says of itself --------------------------------------------------------------------------------------


@every_stacked_family
def test_plain_copy_is_said_to_have_peculiarities(family):
    origin = student_origin(build_student(make_teacher(family), layers=2))
    assert (origin.kind, origin.teacher_layers, origin.notes) == ("copied", (1, 3), ())
    assert str(origin) == "weights copied from the teacher's layers 1, 3"


@pytest.mark.parametrize("layers", [2, [2, 4]])
def test_shared_layers_are_copied_in_silence(layers):
    teacher = make_teacher("albert")
    student = build_student(teacher, layers=layers)
    origin = student_origin(student)
    assert origin.teacher_layers is None
    assert "applies them 2 times instead of 4" in origin.notes[0]
    assert "holds as many parameters" in origin.notes[0]
    assert student.num_parameters() == teacher.num_parameters()


def test_norm_that_modernberts_first_layer_lacks_is_lost_in_silence():
    origin = student_origin(build_student(make_teacher("modernbert"), layers=2, selection="upper"))
    assert origin.teacher_layers == (3, 4)
    assert "attn_norm.weight of layer 3" in origin.notes[0]


def test_convolution_changes_place_in_silence():
    origin = student_origin(build_student(make_teacher("deberta-v2"), layers=2, selection="upper"))
    assert "convolution" in origin.notes[0]
    assert "layer 3" in origin.notes[0]


def test_attention_scaled_by_place_changes_in_silence():
    config = FAMILIES["gpt2"](scale_attn_by_inverse_layer_idx=True)
    teacher = AutoModelForSequenceClassification.from_config(config)
    assert student_origin(build_student(teacher, layers=2, selection="lower")).notes == ()
    assert "scaled" in student_origin(build_student(teacher, layers=2)).notes[0]


def test_origin_is_not_logged(caplog):
    with caplog.at_level(logging.INFO, logger="codir.student"):
        build_student(make_teacher(), layers=2)
    assert "Student of 2 layers: weights copied from the teacher's layers 1, 3." in caplog.messages


def test_model_from_elsewhere_is_given_an_origin():
    assert student_origin(make_teacher()) is None


# Another checkpoint ---------------------------------------------------------------------------------------------------


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    tiny_classifier("distilbert", num_labels=5, layers=2, seed=7).save_pretrained(tmp_path)
    return tmp_path


def test_checkpoint_of_another_family_keeps_its_own_labels(checkpoint):
    teacher = make_teacher("bert")
    student = build_student(teacher, checkpoint=checkpoint)
    original = AutoModelForSequenceClassification.from_pretrained(checkpoint)
    assert student.config.model_type == "distilbert"
    assert student.config.id2label == LABELS
    assert student.config.problem_type == "single_label_classification"
    assert logits_of(student).shape == (2, 3)
    for name, weight in student.distilbert.state_dict().items():
        assert torch.equal(weight, original.distilbert.state_dict()[name])
    notes = " ".join(student_origin(student).notes)
    assert "new, with random weights: classifier.bias, classifier.weight" in notes


def test_fresh_head_of_a_checkpoint_depends_on_the_global_state(checkpoint):
    teacher = make_teacher("bert")
    first, again = (build_student(teacher, checkpoint=str(checkpoint), seed=3) for _ in range(2))
    other = build_student(teacher, checkpoint=checkpoint, seed=4)
    assert torch.equal(first.classifier.weight, again.classifier.weight)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)


def test_head_of_other_labels_is_relabelled_in_silence(tmp_path):
    tiny_classifier("bert", layers=2).save_pretrained(tmp_path)
    notes = student_origin(build_student(make_teacher(), checkpoint=tmp_path)).notes
    assert "trained for LABEL_0, LABEL_1, LABEL_2 and now stands for negative, neutral, positive" in notes[-1]


def test_checkpoint_keeps_a_dtype_of_its_own(checkpoint):
    student = build_student(make_teacher().to(torch.bfloat16), checkpoint=checkpoint)
    assert student.dtype == torch.bfloat16


def test_missing_checkpoint_gives_a_traceback(tmp_path):
    with pytest.raises(UserError, match="student checkpoint: expected a model folder"):
        build_student(make_teacher(), checkpoint=tmp_path / "nothing")


def test_folder_without_weights_gives_a_traceback(tmp_path):
    make_teacher().config.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="student checkpoint"):
        build_student(make_teacher(), checkpoint=tmp_path)


def test_broken_weights_give_a_traceback(checkpoint):
    (checkpoint / "model.safetensors").write_bytes(b"not safetensors at all")
    with pytest.raises(UserError, match="student checkpoint"):
        build_student(make_teacher(), checkpoint=checkpoint)


# A config with random weights -----------------------------------------------------------------------------------------


@every_family
def test_narrower_config_keeps_sizes_of_the_teacher(family, tmp_path):
    teacher = make_teacher(family)
    student = build_student(
        teacher, config={"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 3}, seed=5
    )
    assert type(student) is type(teacher)
    assert student.config.hidden_size == 16
    assert student.config.num_hidden_layers == 3
    assert student.config.id2label == LABELS
    assert student_origin(student).kind == "random"
    student.save_pretrained(tmp_path)
    assert torch.equal(logits_of(AutoModelForSequenceClassification.from_pretrained(tmp_path)), logits_of(student))


def test_keys_and_values_keep_the_teachers_heads():
    config = Qwen2Config(
        vocab_size=50, hidden_size=32, num_attention_heads=4, num_key_value_heads=4, num_hidden_layers=2,
        intermediate_size=32, pad_token_id=0,
    )  # fmt: skip
    teacher = AutoModelForSequenceClassification.from_config(config)
    student = build_student(teacher, config={"num_attention_heads": 2})
    assert student.config.num_key_value_heads == 2


def test_random_start_is_not_reproducible():
    teacher = make_teacher()
    first, again, other = (build_student(teacher, config={"num_hidden_layers": 1}, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(logits_of(first), logits_of(again))
    assert not torch.equal(logits_of(first), logits_of(other))


def test_config_of_another_family_is_changed_or_mislabelled():
    config = DistilBertConfig(vocab_size=VOCAB_SIZE, dim=16, n_heads=2, n_layers=1, hidden_dim=16, num_labels=7)
    student = build_student(make_teacher(), config=config)
    assert student.config.model_type == "distilbert"
    assert student.config.id2label == LABELS
    assert config.num_labels == 7


NARROW = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}


def embeddings_by_hand(teacher: PreTrainedModel, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The same start from the textbook: numpy's whole SVD, one axis at a time."""
    table = teacher.get_input_embeddings().weight.detach().double().numpy()
    centred = table - table.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:width].T
    for axis in axes.T:
        axis *= np.sign(axis[np.abs(axis).argmax()])
    projected = centred @ axes
    return projected * 0.05 / projected.std(ddof=1), axes * 0.05 / projected.std(ddof=1)


@every_family
def test_embeddings_of_a_narrow_student_that_are_not_the_teachers_principal_axes(family):
    teacher = make_teacher(family)
    of_teacher = copy.deepcopy(teacher.state_dict())
    narrow = {**NARROW, "embedding_size": 8} if family in ("electra", "albert") else NARROW
    student = build_student(teacher, config=narrow)
    table = student.get_input_embeddings().weight
    expected, _ = embeddings_by_hand(teacher, table.shape[1])
    assert np.allclose(table.detach().double().numpy(), expected, atol=1e-6)
    said = f"starts with the teacher's embeddings, projected to {table.shape[1]}"
    assert student_origin(student).notes == (said,)
    assert all(torch.equal(weight, of_teacher[name]) for name, weight in teacher.state_dict().items())


def test_positions_and_token_types_on_other_axes_than_the_tokens():
    teacher = make_teacher("bert")
    _, axes = embeddings_by_hand(teacher, 16)
    student = build_student(teacher, config={**NARROW, "max_position_embeddings": 32})
    for name in ("position_embeddings", "token_type_embeddings"):
        theirs = getattr(teacher.bert.embeddings, name).weight.detach().double().numpy()
        ours = getattr(student.bert.embeddings, name).weight.detach().double().numpy()
        assert np.allclose(ours, ((theirs - theirs.mean(axis=0)) @ axes)[: len(ours)], atol=1e-6)


def test_positions_of_another_family_that_are_shifted():
    """RoBERTa counts its positions from behind the padding token, BERT from 0."""
    teacher = make_teacher("roberta")
    settings = {"model_type": "bert", **NARROW, "intermediate_size": 16}
    start, random = (
        build_student(teacher, config=settings, embeddings=e).bert.embeddings for e in ("teacher", "random")
    )
    assert not torch.equal(start.word_embeddings.weight, random.word_embeddings.weight)
    assert torch.equal(start.position_embeddings.weight, random.position_embeddings.weight)


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_embeddings_of_the_teachers_width_that_are_not_copies(family):
    teacher = make_teacher(family)
    student = build_student(teacher, config={"num_hidden_layers": 1})
    assert torch.equal(student.get_input_embeddings().weight, teacher.get_input_embeddings().weight)
    assert not storages(student) & storages(teacher)
    assert student_origin(student).notes == ("embeddings copied from the teacher",)


def test_a_random_start_that_is_another_than_without_the_option():
    """All other weights are those that the seed gives, whatever the embeddings start as."""
    start, random = (build_student(make_teacher(), config=NARROW, embeddings=e) for e in ("teacher", "random"))
    assert student_origin(random).notes == ()
    differing = {name for name, w in start.state_dict().items() if not torch.equal(w, random.state_dict()[name])}
    tables = ("word_embeddings", "position_embeddings", "token_type_embeddings")
    assert differing == {f"bert.embeddings.{table}.weight" for table in tables}


@pytest.mark.parametrize(
    ("settings", "found"), [({"vocab_size": 90}, "90"), ({"hidden_size": 64, "num_attention_heads": 4}, "64")]
)
def test_embeddings_of_other_tokens_or_of_a_wider_student(settings, found):
    teacher = make_teacher()
    with pytest.raises(UserError, match=f"student.embeddings: expected for `teacher`.*got {found}"):
        build_student(teacher, config=settings, embeddings="teacher")
    assert student_origin(build_student(teacher, config=settings)).notes == ()


def test_embeddings_named_where_they_change_nothing():
    with pytest.raises(UserError, match=r"student.embeddings: expected a student from `config`"):
        build_student(make_teacher(), layers=1, embeddings="random")
    unchecked = inspect.unwrap(build_student)
    with pytest.raises(UserError, match="did you mean 'teacher'"):
        unchecked(make_teacher(), config=NARROW, embeddings="teachr")


def test_a_narrow_language_model_whose_head_is_not_its_embeddings():
    student = build_student(tiny_language_model("bert"), config=NARROW)
    assert student.get_output_embeddings().weight is student.get_input_embeddings().weight
    assert student.get_output_embeddings().weight.std().item() == pytest.approx(0.05)


@pytest.mark.parametrize("start", ["layers", "checkpoint", "config"])
def test_building_disturbs_the_global_random_state(start, checkpoint):
    teacher = make_teacher()
    options = {"layers": 2, "checkpoint": checkpoint, "config": {"num_hidden_layers": 1}}
    before = torch.get_rng_state()
    build_student(teacher, **{start: options[start]})
    assert torch.equal(torch.get_rng_state(), before)


def test_misspelt_setting_is_stored_and_ignored():
    with pytest.raises(UserError, match="did you mean 'hidden_size'"):
        build_student(make_teacher(), config={"hiden_size": 16})


@pytest.mark.parametrize(
    "settings",
    [{"hidden_size": 30}, {"num_attention_heads": 0}, {"hidden_size": "wide"}, {"hidden_act": "no-such-activation"}],
)
def test_impossible_config_gives_a_traceback(settings):
    with pytest.raises(UserError, match="student config"):
        build_student(make_teacher(), config=settings)


def test_config_without_a_classifier_gives_a_traceback():
    with pytest.raises(UserError, match="student config"):
        build_student(make_teacher(), config=ViTConfig())


@pytest.mark.parametrize("starts", [{}, {"layers": 2, "checkpoint": "x"}, {"layers": 2, "config": GPT2Config()}])
def test_start_is_guessed(starts):
    with pytest.raises(UserError, match="exactly one of `layers`, `checkpoint` and `config`"):
        build_student(make_teacher(), **starts)


def test_teachers_own_class_is_lost():
    class MyClassifier(BertForSequenceClassification):
        pass

    teacher = MyClassifier(FAMILIES["bert"]())
    assert type(build_student(teacher, layers=1)) is MyClassifier


@every_family
def test_student_of_a_language_model_loses_its_head(family):
    teacher = tiny_language_model(family)
    student = build_student(teacher, layers=2)
    assert type(student) is type(teacher)
    assert torch.equal(student.get_output_embeddings().weight, teacher.get_output_embeddings().weight)
    is_tied = [
        model.get_output_embeddings().weight is model.get_input_embeddings().weight for model in (teacher, student)
    ]
    assert is_tied[0] == is_tied[1]


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_checkpoint_or_config_of_a_language_model_becomes_a_classifier(family, tmp_path):
    teacher = tiny_language_model(family)
    tiny_language_model(family, layers=1).save_pretrained(tmp_path)
    for start in ({"checkpoint": tmp_path}, {"config": {"num_hidden_layers": 1}}):
        student = build_student(teacher, **start)
        assert vocabulary_of(student) == VOCAB_SIZE
        assert "random weights" not in str(student_origin(student))


def test_recurrent_student_of_a_language_model_gives_a_traceback():
    with pytest.raises(UserError, match="codir-bilstm"):
        build_student(tiny_language_model("bert"), config={"model_type": "codir-bilstm", "hidden_size": 32})
