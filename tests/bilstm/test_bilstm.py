"""The recurrent student: a plain transformers model that padding does not touch."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification

from codir.errors import UserError
from codir.models import count_positions
from codir.student import BiLSTMConfig, BiLSTMForSequenceClassification, build_student, find_layer_stack, student_origin
from families import HIDDEN_SIZE, VOCAB_SIZE, tiny_classifier


def make_model(**settings) -> BiLSTMForSequenceClassification:
    torch.manual_seed(0)
    sizes = {"vocab_size": VOCAB_SIZE, "hidden_size": 12, "num_hidden_layers": 2, "num_labels": 3, **settings}
    return BiLSTMForSequenceClassification(BiLSTMConfig(**sizes)).eval()


TEXTS = [[5, 6, 7], [8, 9, 10, 11, 12], [13]]


def read_alone(model, text):
    return model(torch.tensor([text]), output_hidden_states=True)


def pad(texts, side, width=7):
    ids, mask = torch.full((len(texts), width), 42), torch.zeros(len(texts), width, dtype=torch.long)
    for row, text in enumerate(texts):
        places = slice(0, len(text)) if side == "right" else slice(width - len(text), width)
        ids[row, places], mask[row, places] = torch.tensor(text), 1
    return ids, mask


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("settings", [{}, {"embedding_size": 5}])
def test_padding_that_either_direction_reads(side, settings):
    model = make_model(**settings)
    ids, mask = pad(TEXTS, side)
    together = model(ids, attention_mask=mask, output_hidden_states=True)
    for row, text in enumerate(TEXTS):
        alone = read_alone(model, text)
        assert torch.allclose(together.logits[row], alone.logits[0], atol=1e-6)
        for layer in range(3):
            real = together.hidden_states[layer][row][mask[row].bool()]
            assert torch.allclose(real, alone.hidden_states[layer][0], atol=1e-6)


def test_a_direction_that_is_never_read():
    """The output at a text's first token depends on its last, and the other way round."""
    model = make_model(num_hidden_layers=1)
    first, second = (read_alone(model, text).hidden_states[1][0] for text in ([5, 6, 7], [5, 6, 8]))
    assert not torch.allclose(first[0, 6:], second[0, 6:])
    assert torch.allclose(first[0, :6], second[0, :6])
    first, second = (read_alone(model, text).hidden_states[1][0] for text in ([5, 6, 7], [4, 6, 7]))
    assert not torch.allclose(first[2, :6], second[2, :6])
    assert torch.allclose(first[2, 6:], second[2, 6:])


def test_a_layer_that_differs_from_the_cell_written_out():
    model = make_model(num_hidden_layers=1)
    layer = model.bilstm.layers[0].lstm
    output = read_alone(model, TEXTS[1])
    inputs = output.hidden_states[0][0]
    for suffix, units, order in (("", slice(0, 6), range(5)), ("_reverse", slice(6, 12), range(4, -1, -1))):
        h, c = torch.zeros(6), torch.zeros(6)
        w_input, w_hidden = (getattr(layer, f"weight_{kind}_l0{suffix}") for kind in ("ih", "hh"))
        bias = getattr(layer, f"bias_ih_l0{suffix}") + getattr(layer, f"bias_hh_l0{suffix}")
        for t in order:
            i, f, g, o = (w_input @ inputs[t] + w_hidden @ h + bias).chunk(4)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            assert torch.allclose(output.hidden_states[1][0, t, units], h, atol=1e-6)


def test_an_empty_row_that_stops_training_or_reads_padding():
    model = make_model()
    ids, mask = pad([[5, 6], []], "right")
    output = model(ids, attention_mask=mask, output_hidden_states=True)
    assert torch.isfinite(output.logits).all()
    assert output.hidden_states[2][1].abs().sum() == 0


@pytest.mark.parametrize("num_labels", [1, 3])
def test_labels_that_give_no_loss(num_labels):
    model = make_model(num_labels=num_labels)
    labels = torch.tensor([1.0, 2.0, 0.0]) if num_labels == 1 else torch.tensor([1, 2, 0])
    ids, mask = pad(TEXTS, "right")
    output = model(ids, attention_mask=mask, labels=labels)
    kind = torch.nn.functional.mse_loss if num_labels == 1 else torch.nn.functional.cross_entropy
    assert output.loss.item() == pytest.approx(kind(output.logits.squeeze(), labels).item())


@pytest.mark.parametrize("settings", [{}, {"embedding_size": 5}])
def test_a_saved_model_that_answers_otherwise(tmp_path, settings):
    model = make_model(**settings)
    model.config.id2label = {0: "bad", 1: "fair", 2: "good"}
    model.save_pretrained(tmp_path)
    ids, mask = pad(TEXTS, "right")
    loaded, outcome = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert type(loaded) is BiLSTMForSequenceClassification
    assert not any(outcome.values())
    assert loaded.config.id2label == model.config.id2label
    assert all(torch.equal(weight, loaded.state_dict()[name]) for name, weight in model.state_dict().items())
    assert torch.allclose(loaded.eval()(ids, mask).logits, model(ids, mask).logits, atol=1e-6)
    body = AutoModel.from_pretrained(tmp_path).eval()
    assert torch.allclose(body(ids, mask).last_hidden_state, model.bilstm(ids, mask).last_hidden_state, atol=1e-6)


IN_ANY_ORDER = {
    "codir-first": "import codir; from transformers import AutoConfig, AutoModelForSequenceClassification",
    "transformers-first": "from transformers import AutoConfig, AutoModelForSequenceClassification; import codir",
    "a-room-first": "import codir.trainer; from transformers import AutoConfig, AutoModelForSequenceClassification",
    "trainer-first": "from transformers import Trainer, AutoConfig, AutoModelForSequenceClassification; import codir",
}


@pytest.mark.parametrize("imports", IN_ANY_ORDER.values(), ids=IN_ANY_ORDER)
def test_a_process_that_does_not_know_the_saved_model(tmp_path, imports):
    model = make_model()
    model.save_pretrained(tmp_path)
    script = f"""
{imports}
import torch
assert AutoConfig.from_pretrained({str(tmp_path)!r}).hidden_size == 12
model = AutoModelForSequenceClassification.from_pretrained({str(tmp_path)!r})
print(model(torch.tensor([[5, 6, 7]])).logits.tolist())
"""
    run = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, env=os.environ)
    assert run.returncode == 0, run.stderr
    assert np.allclose(eval(run.stdout), read_alone(model, [5, 6, 7]).logits.tolist(), atol=1e-6)


def test_an_import_of_codir_that_loads_torch():
    script = "import codir, sys; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_configuration_alone_that_is_not_known():
    script = "import codir; from transformers import AutoConfig; AutoConfig.for_model('codir-bilstm', hidden_size=4)"
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


# ---- Built for a teacher ----


def make_teacher(**options):
    teacher = tiny_classifier("bert", num_labels=2, **options)
    teacher.config.id2label, teacher.config.label2id = {0: "no", 1: "yes"}, {"no": 0, "yes": 1}
    return teacher


def test_a_student_without_the_teachers_labels_or_vocabulary():
    settings = {"model_type": "codir-bilstm", "hidden_size": 16, "num_hidden_layers": 2}
    student = build_student(make_teacher(), config=settings)
    assert isinstance(student, BiLSTMForSequenceClassification)
    assert (student.config.vocab_size, student.config.hidden_size, student.config.num_hidden_layers) == (100, 16, 2)
    assert student.config.id2label == {0: "no", 1: "yes"}
    assert student.config.pad_token_id == 0
    assert student.training
    said = "weights drawn at random; starts with the teacher's embeddings, projected to 16"
    assert str(student_origin(student)) == said
    assert count_positions(student) is None


def test_a_whole_config_that_is_taken_for_settings():
    student = build_student(make_teacher(), config=BiLSTMConfig(vocab_size=100, hidden_size=16, num_labels=5))
    assert student.config.num_labels == 2
    assert student.bilstm.embeddings.weight.shape == (100, 16)


@pytest.mark.parametrize("family", ["bert", "electra"])
def test_embeddings_of_the_teacher_that_do_not_come_along(family):
    teacher = tiny_classifier(family, num_labels=2, seed=3)
    settings = {"model_type": "codir-bilstm", "hidden_size": 16, "embedding_size": "teacher"}
    student = build_student(teacher, config=settings)
    table = teacher.get_input_embeddings().weight
    assert torch.equal(student.get_input_embeddings().weight, table)
    assert student.config.embedding_size == table.shape[1]
    assert student.get_input_embeddings().weight.data_ptr() != table.data_ptr()
    assert "embeddings copied from the teacher" in str(student_origin(student))


def test_embeddings_that_are_the_teachers_unasked():
    settings = {"model_type": "codir-bilstm", "hidden_size": 16, "embedding_size": HIDDEN_SIZE}
    teacher = make_teacher()
    student = build_student(teacher, config=settings, embeddings="random")
    assert not torch.equal(student.get_input_embeddings().weight, teacher.get_input_embeddings().weight)
    assert str(student_origin(student)) == "weights drawn at random"


def test_a_seed_that_gives_another_student():
    settings = {"model_type": "codir-bilstm", "hidden_size": 16}
    students = [build_student(make_teacher(), config=settings, seed=seed) for seed in (1, 1, 2)]
    weights = [student.bilstm.layers[0].lstm.weight_ih_l0 for student in students]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model_type": "codir-bilstn"}, "did you mean 'codir-bilstm'"),
        ({"model_type": "codir-bilstm", "hiden_size": 16}, "did you mean 'hidden_size'"),
        ({"model_type": "codir-bilstm", "hidden_size": 15}, "must be even, not 15"),
        ({"model_type": "distilbert", "embedding_size": "teacher"}, "settings of DistilBertConfig"),
    ],
)
def test_settings_that_give_a_traceback(settings, said):
    with pytest.raises(UserError, match=said):
        build_student(make_teacher(), config=settings)


def test_another_type_of_transformer_with_the_teachers_intermediate_size():
    student = build_student(make_teacher(), config={"model_type": "distilbert", "dim": 16, "n_heads": 2, "n_layers": 1})
    assert student.config.hidden_dim == 4 * 768  # the type's own default
    assert student.config.vocab_size == VOCAB_SIZE


def test_a_recurrent_teacher_whose_layers_cannot_be_copied():
    teacher = make_model(num_hidden_layers=3)
    student = build_student(teacher, layers=[1, 3])
    assert find_layer_stack(student)[0] == "bilstm.layers"
    assert torch.equal(student.bilstm.layers[1].lstm.weight_hh_l0, teacher.bilstm.layers[2].lstm.weight_hh_l0)
    assert build_student(teacher, config={"num_hidden_layers": 1}).config.hidden_size == 12
