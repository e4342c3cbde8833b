"""Sentence encoders: vectors that sentence-transformers gives too, folders that it reads and writes, and refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForMaskedLM, PreTrainedTokenizerBase, T5Config

from codir.data import encode, length_sorted_batches
from codir.errors import UserError
from codir.export.student import export_student
from codir.measure import TorchRunner, predict_logits
from codir.models import SentenceEncoder, kind_of_model, load_model, load_shape, note_shape, shape_of
from codir.models.sentence_files import MODULES, PROMPTS_FILE, SentenceShape, is_sentence_encoder, read_shape
from codir.runs.preflight import check_labels
from codir.student import build_student, load_student, student_origin
from codir.tasks import KINDS, NAMED_IN_CONFIG, Task
from conftest import make_texts
from families import FAMILIES, HIDDEN_SIZE, tiny_classifier

TEXTS = ["w1 w2 w3", "w4 w5 w6 w7 w8 w9 w10", "w11"]
SHAPES = {
    "mean": SentenceShape(),
    "cls": SentenceShape(pooling="first"),
    "last": SentenceShape(pooling="last"),
    "dense": SentenceShape(dense=12, max_length=16),
}


def tiny_encoder(family: str = "bert", shape: SentenceShape | None = None, *, layers: int = 2) -> SentenceEncoder:
    config = FAMILIES[family](num_hidden_layers=layers)
    note_shape(config, shape or SentenceShape())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SentenceEncoder(config).eval()


def vectors(model: SentenceEncoder, tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> np.ndarray:
    read = tokenizer(texts, padding=True, return_tensors="pt")
    names = tokenizer.model_input_names if model.config.model_type == "bert" else ["input_ids", "attention_mask"]
    with torch.no_grad():
        return model(**{name: read[name] for name in names}).logits.numpy()


def test_an_encoder_with_a_decoder_that_is_pooled(tmp_path, tokenizer):
    """As a teacher, in Python, and as the student of a file of vectors: one sentence each."""
    config = T5Config(vocab_size=100, d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    for load in (
        lambda: load_model(tmp_path, tokenizer, kind=KINDS["embedding"]),
        lambda: SentenceEncoder.from_pretrained(tmp_path),
        lambda: SentenceEncoder(config),
        lambda: load_student(tmp_path, tokenizer, {"num_labels": 4, NAMED_IN_CONFIG: "embedding"}),
        lambda: build_student(tiny_encoder(), checkpoint=tmp_path),
        lambda: build_student(tiny_encoder(), config=config),
    ):
        with pytest.raises(UserError, match="expected an encoder or a decoder, got model type t5, which is both"):
            load()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_vector_that_depends_on_padding_or_is_not_of_length_1(family, tokenizer):
    model = tiny_encoder(family)
    together = vectors(model, tokenizer, TEXTS)
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    alone = np.concatenate([vectors(model, tokenizer, [text]) for text in TEXTS])
    assert np.allclose(together, alone, atol=1e-5)
    assert shape_of(model).classes == HIDDEN_SIZE
    assert kind_of_model(model) is KINDS["embedding"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_that_gives_other_vectors(family, tmp_path, tokenizer):
    model = tiny_encoder(family, SHAPES["dense"])
    model.save_pretrained(tmp_path)
    again = load_model(tmp_path, tokenizer)
    assert type(again) is SentenceEncoder
    assert again.shape == SHAPES["dense"]
    assert np.array_equal(vectors(again, tokenizer, TEXTS), vectors(model, tokenizer, TEXTS))
    assert "id2label" not in json.loads((tmp_path / "config.json").read_text())
    AutoModel.from_pretrained(tmp_path)  # a plain encoder for whoever wants one


def test_vectors_that_sentence_transformers_does_not_give(tmp_path, tokenizer):
    """In a fresh process without codir, for each pooling and a dense map; and a folder that it wrote is read back."""
    if find_spec("sentence_transformers") is None:
        pytest.skip("sentence-transformers is not installed")
    models = {name: tiny_encoder(shape=shape) for name, shape in SHAPES.items()}
    for name, model in models.items():
        export_student(model, tokenizer, tmp_path / name)
    script = f"""
import sys, numpy as np
from sentence_transformers import SentenceTransformer
for name in {list(models)}:
    model = SentenceTransformer(r"{tmp_path}/" + name, device="cpu")
    np.save(r"{tmp_path}/" + name + ".npy", model.encode({TEXTS}))
    model.save(r"{tmp_path}/" + name + "-again")
assert "codir" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    for name, model in models.items():
        ours = vectors(model, tokenizer, TEXTS)
        assert np.allclose(np.load(tmp_path / f"{name}.npy"), ours, atol=1e-5), name
        again = load_model(tmp_path / f"{name}-again", tokenizer)
        assert (again.shape.pooling, again.shape.dense) == (model.shape.pooling, model.shape.dense)
        assert np.allclose(vectors(again, tokenizer, TEXTS), ours, atol=1e-6), name


def test_a_dense_map_that_is_lost_or_counted_as_scaffolding(tmp_path, tokenizer):
    model = tiny_encoder(shape=SHAPES["dense"])
    export_student(model, tokenizer, tmp_path)  # compares every number on disk with the model's
    runner = TorchRunner(model, tokenizer, folder=tmp_path)
    stored = sum(file.stat().st_size for file in tmp_path.rglob("*.safetensors"))
    assert runner.bytes == stored
    (tmp_path / "2_Dense" / "model.safetensors").unlink()
    with pytest.raises(UserError, match="weights of its dense map"):
        load_model(tmp_path, tokenizer)


def test_a_pooler_that_waits_for_a_gradient():
    """Two processes would stop at a weight that no loss reaches."""
    model = tiny_encoder()
    ids = torch.tensor([[2, 5, 6, 3]])
    model(input_ids=ids).logits.sum().backward()
    reached = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert reached == {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert not any("pooler" in name for name in reached)


# ---- Students ----


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "albert"])
def test_a_student_cut_from_other_layers(family, tokenizer):
    teacher = tiny_encoder(family, layers=4)
    student = build_student(teacher, layers=[1, 4])
    assert type(student) is SentenceEncoder
    assert student_origin(student).teacher_layers == (1, 4)
    whole = build_student(teacher, layers=4).eval()
    assert np.allclose(vectors(whole, tokenizer, TEXTS), vectors(teacher, tokenizer, TEXTS), atol=1e-6)


def test_students_that_do_not_end_in_a_vector(tmp_path, tokenizer):
    teacher = tiny_encoder()
    narrow = build_student(teacher, config={"hidden_size": 16, "num_attention_heads": 2})
    assert shape_of(narrow).classes == 16
    mapped = build_student(teacher, config={"hidden_size": 16, "num_attention_heads": 2}, dense=True)
    assert shape_of(mapped).classes == HIDDEN_SIZE
    assert student_origin(mapped).notes[-1] == f"with a dense map to {HIDDEN_SIZE}"
    kept = build_student(teacher, layers=2, dense=True).eval()  # as wide: starts as the identity
    assert np.allclose(vectors(kept, tokenizer, TEXTS), vectors(teacher, tokenizer, TEXTS), atol=1e-6)
    tiny_encoder("distilbert", SHAPES["cls"]).save_pretrained(tmp_path)
    other = build_student(teacher, checkpoint=tmp_path)
    assert (other.config.model_type, other.shape.pooling) == ("distilbert", "first")
    assert student_origin(other).notes == (f"read from {tmp_path}",)


def test_a_bare_checkpoint_that_must_bring_its_teachers_dense_map(tmp_path, tokenizer):
    """The map is a head: where the checkpoint has none, it is new, and that is said."""
    teacher = tiny_encoder(shape=SHAPES["dense"])
    tiny_encoder(layers=1).encoder.save_pretrained(tmp_path / "bare")
    student = build_student(teacher, checkpoint=tmp_path / "bare")
    assert student_origin(student).notes[-1] == "new, with random weights: dense.bias, dense.weight"
    assert student_origin(student).has_new_head
    assert vectors(student, tokenizer, ["w1 w2", "w3"]).shape == (2, 12)
    again = build_student(teacher, checkpoint=tmp_path / "bare")
    assert torch.equal(student.dense.weight, again.dense.weight), "drawn with the seed"


def test_a_dense_map_on_a_classifier():
    with pytest.raises(UserError, match=r"student.dense: expected a teacher that gives sentence vectors"):
        build_student(tiny_classifier("bert"), layers=2, dense=True)


# ---- Which folders ----


def test_a_bare_encoder_that_is_read_unasked(tmp_path, tokenizer):
    """A folder that says nothing of sentences is one of vectors only where the task is named."""
    config = FAMILIES["bert"](num_hidden_layers=2)
    AutoModelForMaskedLM.from_config(config).save_pretrained(tmp_path)
    assert not is_sentence_encoder(tmp_path)
    with pytest.raises(UserError, match="a trained classification"):
        load_model(tmp_path, tokenizer)
    model = load_model(tmp_path, tokenizer, kind=KINDS["retrieval"])
    assert type(model) is SentenceEncoder
    assert model.shape.pooling == "mean"


def test_a_classifier_whose_body_is_taken_for_a_sentence_encoder(tmp_path, tokenizer):
    tiny_classifier("bert").save_pretrained(tmp_path)
    with pytest.raises(UserError, match="got BertForSequenceClassification, which was trained for another task"):
        load_model(tmp_path, tokenizer, kind=KINDS["embedding"])


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({MODULES: ["Transformer", "Pooling", "Normalize", "Dense"]}, "Transformer, Pooling, Normalize, Dense"),
        ({MODULES: ["Transformer", "Pooling", "LayerNorm"]}, "LayerNorm"),
        ({MODULES: ["StaticEmbedding"]}, "got StaticEmbedding"),
        ({"1_Pooling/config.json": {"pooling_mode_max_tokens": True}}, "got max_tokens"),
        ({"1_Pooling/config.json": {"pooling_mode": ["mean", "max"]}}, "got mean and max"),
        ({"1_Pooling/config.json": {}}, "got none"),
        ({"2_Dense/config.json": {"activation_function": "torch.nn.modules.activation.Tanh"}}, "Tanh"),
        ({MODULES: None}, "modules.json that can be read"),
    ],
)
def test_modules_that_would_give_other_vectors(tmp_path, change, found):
    tiny_encoder(shape=SHAPES["dense"]).save_pretrained(tmp_path)
    for name, content in change.items():
        file: Path = tmp_path / name
        if name == MODULES and content is not None:
            content = [{"path": f"{place}_{kind}" if place else "", "type": kind} for place, kind in enumerate(content)]
        file.write_text("not json" if content is None else json.dumps(content))
    with pytest.raises(UserError, match=found):
        read_shape(tmp_path)


def test_prompts_that_are_left_out_in_silence(tmp_path, tokenizer):
    """Named ones are said; one that stands before every text would give other vectors, so it is refused."""
    tiny_encoder().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    task = Task("embedding", None, HIDDEN_SIZE, ("spearman",))
    assert check_labels(load_model(tmp_path, tokenizer), task) == []
    prompts = {"query": "w1: ", "document": "", "passage": "w2: "}
    (tmp_path / PROMPTS_FILE).write_text(json.dumps({"prompts": prompts, "default_prompt_name": "document"}))
    teacher = load_model(tmp_path, tokenizer)
    (note,) = check_labels(teacher, task)
    assert "prompts (query, passage), which codir does not put before texts" in note
    assert not build_student(teacher, layers=[2]).prompts
    (tmp_path / PROMPTS_FILE).write_text(json.dumps({"prompts": prompts, "default_prompt_name": "query"}))
    with pytest.raises(UserError, match="reads texts as they stand, got the default prompt 'w1: '"):
        load_model(tmp_path, tokenizer)


def test_an_exported_config_that_has_lost_its_kind(tmp_path, tokenizer):
    from codir.models import shipped_config

    model = tiny_encoder(shape=SHAPES["dense"])
    shipped_config(model.config).save_pretrained(tmp_path)
    shape = load_shape(tmp_path)
    assert kind_of_model(shape) is KINDS["embedding"]
    assert shape.config.num_labels == 12
    assert "id2label" not in json.loads((tmp_path / "config.json").read_text())


def test_vectors_in_another_order_than_their_rows(tokenizer):
    model, rows = tiny_encoder(), make_texts(20)
    encoded = encode(rows, tokenizer, max_length=16)
    found = predict_logits(TorchRunner(model, tokenizer), encoded, batch_size=4)
    alone = [vectors(model, tokenizer, [text])[0] for text in rows["text"]]
    assert np.allclose(found, alone, atol=1e-5)
    assert sum(len(places) for places, _ in length_sorted_batches(encoded, tokenizer, batch_size=4)) == 20
