"""Graphs must answer as PyTorch does at every shape, padding included, or the model is refused by name."""

from __future__ import annotations

import pytest
import torch

from codir.errors import UserError
from codir.export import EXPORTERS
from codir.measure import FILE_NAMES, open_exported
from exported import WIDE, recurrent_classifier, sentences
from families import FAMILIES, tiny_classifier

LENGTHS = ([1], [5], [40], [2, 7, 30], [4] * 5, [30, 1])
"""Words of the rows of each batch; the graphs are traced on two rows of 3 and 9."""
DECODERS = ("gpt2", "llama", "qwen2")


def batch_of(tokenizer, lengths, names, *, side="right", pairs=False):
    texts, seconds = sentences(lengths, 1), sentences(lengths, 2) if pairs else None
    encoded = tokenizer(texts, seconds, padding=True, padding_side=side, return_tensors="pt")
    return {name: encoded[name] for name in names}


def compare(engine, model, tokenizer, folder, *, names=("input_ids", "token_type_ids", "attention_mask"), **how):
    """Export on one shape, ask at others."""
    exporter = EXPORTERS[engine]
    exporter.write(model, batch_of(tokenizer, [3, 9], names, **how), folder)
    runner = open_exported(folder, tokenizer, threads=1)
    assert set(runner.names) == set(names)
    spread = []
    for lengths in LENGTHS:
        batch = batch_of(tokenizer, lengths, names, **how)
        with torch.no_grad():
            expected = model(**batch).logits
        found = runner.logits(runner.place(batch))
        assert found.shape == expected.shape
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4), (lengths, (found - expected).abs().max())
        spread.append(expected)
    assert torch.cat(spread).std(0).max() > 1e-2, "a model that says the same to everything is exported by any graph"
    return exporter.layers(folder)


@pytest.mark.training
@pytest.mark.parametrize("engine", EXPORTERS)
def test_a_graph_that_holds_for_the_shape_of_its_sample_alone(engine, tokenizer, tmp_path):
    layers = compare(engine, tiny_classifier("bert", layers=2, **WIDE), tokenizer, tmp_path)
    assert [name for name in layers if "encoder" in name] == ["bert.encoder.layer.0", "bert.encoder.layer.1"]
    assert "classifier" in layers


@pytest.mark.slow
@pytest.mark.parametrize("engine", EXPORTERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_whose_export_answers_otherwise(family, engine, tokenizer, tmp_path):
    layers = 4 if family == "qwen2" else 2  # its sliding windows begin at the third
    model = tiny_classifier(family, layers=layers, **WIDE)
    found = compare(engine, model, tokenizer, tmp_path)
    assert len(set(found)) == len(found) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("engine", EXPORTERS)
@pytest.mark.parametrize("family", DECODERS)
def test_a_decoder_that_takes_padding_on_the_left_for_its_text(family, engine, tokenizer, tmp_path):
    model = tiny_classifier(family, layers=2, **WIDE)
    compare(engine, model, tokenizer, tmp_path, names=("input_ids", "attention_mask"), side="left")


@pytest.mark.slow
@pytest.mark.parametrize("engine", EXPORTERS)
@pytest.mark.parametrize(
    ("settings", "how"),
    [
        ({"num_labels": 1}, {}),
        ({"num_labels": 3, "max_position_embeddings": 128}, {"pairs": True}),
        ({"num_labels": 5}, {"names": ("input_ids", "attention_mask")}),
    ],
    ids=["scores", "pairs", "without token types"],
)
def test_a_kind_of_model_whose_export_answers_otherwise(settings, how, engine, tokenizer, tmp_path):
    compare(engine, tiny_classifier("bert", layers=2, **WIDE, **settings), tokenizer, tmp_path, **how)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "layers"),
    [
        ("gpt2", ("transformer.h.0", "transformer.h.1", "score")),
        ("deberta-v2", ("deberta.encoder.layer.0", "deberta.encoder.layer.1", "pooler.dense", "classifier")),
    ],
)
def test_a_layer_of_openvino_that_no_search_can_leave_in_fp32(family, layers, tokenizer, tmp_path):
    """GPT-2's matrices are no `nn.Linear`; DeBERTa's graph lacks products whose result is constant."""
    model = tiny_classifier(family, layers=2, **WIDE)
    EXPORTERS["openvino"].write(model, batch_of(tokenizer, [3, 9], ("input_ids", "attention_mask")), tmp_path)
    assert EXPORTERS["openvino"].layers(tmp_path) == layers


@pytest.mark.parametrize("engine", EXPORTERS)
def test_a_model_that_cannot_be_exported_and_is_not_named(engine, tokenizer, tmp_path):
    """Packed sequences have sizes that no graph is traced with."""
    sample = batch_of(tokenizer, [3, 9], ("input_ids", "attention_mask"))
    with pytest.raises(UserError, match=rf"export to {engine}: .*codir-bilstm.*What to do: take another engine"):
        EXPORTERS[engine].write(recurrent_classifier(), sample, tmp_path)
    assert not (tmp_path / FILE_NAMES[engine]).exists()
