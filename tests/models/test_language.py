"""A head that runs at the predicted positions alone says there what it says everywhere, whatever the family."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import T5Config

from codir.errors import UserError
from codir.models import language_class, predict_only, reads_ahead, run_model, vocabulary_of
from codir.objectives import token_kl_loss
from codir.signals import Representation
from families import FAMILIES, VOCAB_SIZE, tiny_classifier, tiny_language_model

CAUSAL = {"gpt2", "llama", "qwen2"}


def padded_batch() -> dict[str, torch.Tensor]:
    ids = torch.randint(5, VOCAB_SIZE, (2, 7), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    return {"input_ids": ids, "attention_mask": mask}


def positions(*places: tuple[int, int]) -> torch.Tensor:
    predicted = torch.zeros(2, 7, dtype=torch.bool)
    for place in places:
        predicted[place] = True
    return predicted


@pytest.mark.parametrize("family", FAMILIES)
def test_a_head_that_says_something_else_of_a_few_positions(family):
    model, inputs, predicted = tiny_language_model(family), padded_batch(), positions((0, 1), (1, 2), (1, 4))
    with torch.no_grad():
        whole = model(**inputs, output_hidden_states=True)
        logits, pooled, tokens, token_logits = run_model(
            model, inputs, pooled=[Representation()], hidden_states=True, predicted=predicted
        )
    assert torch.allclose(token_logits, whole.logits[predicted], atol=1e-6)
    assert logits.shape == (2, 0)
    assert all(torch.equal(*pair) for pair in zip(tokens.hidden_states, whole.hidden_states, strict=True))
    mean_of_last = whole.hidden_states[-1][1, :5].mean(dim=0)
    assert torch.allclose(pooled[Representation()][1, -1], mean_of_last, atol=1e-6)


@pytest.mark.parametrize("family", ["bert", "distilbert", "gpt2", "llama"])
def test_a_kl_over_predicted_positions_that_differs_from_the_models_whole_logits(family):
    """The whole way: hook, head and loss, with gradients, against both models' full logits restricted afterwards."""
    teacher, student = tiny_language_model(family, seed=1), tiny_language_model(family, layers=2, seed=2)
    inputs, predicted = padded_batch(), positions((0, 1), (0, 5), (1, 2))
    gradients = []
    for is_restricted_first in (True, False):
        says = []
        for model in (student, teacher):
            if is_restricted_first:
                says.append(run_model(model, inputs, predicted=predicted)[3])
            else:
                says.append(model(**inputs).logits[predicted])
        loss = token_kl_loss(says[0], says[1].detach(), temperature=2.0)
        student.zero_grad()
        loss.backward()
        gradients.append((loss.item(), student.get_input_embeddings().weight.grad.clone()))
    (loss, gradient), (other_loss, other_gradient) = gradients
    subtracted = 4 * math.log(VOCAB_SIZE)  # T^2 times the log-probabilities whose difference a KL is
    assert loss == pytest.approx(other_loss, abs=torch.finfo(torch.float32).eps * subtracted)
    assert loss > 1e-4
    assert torch.allclose(gradient, other_gradient, atol=1e-7)


def test_a_vocabulary_matrix_that_computes_what_nobody_asked_for():
    model, seen = tiny_language_model("bert"), []
    head = model.get_output_embeddings()
    head.register_forward_hook(lambda module, args, output: seen.append(args[0].numel() // args[0].shape[-1]))
    run_model(model, padded_batch(), predicted=positions((0, 1), (1, 2)))
    run_model(model, padded_batch(), pooled=[Representation()])
    assert seen == [2, 0]


def test_a_model_that_is_not_itself_again_after_an_error():
    model = tiny_language_model("bert")
    with pytest.raises(RuntimeError), predict_only(model, positions()):
        raise RuntimeError
    assert model(**padded_batch()).logits.shape == (2, 7, VOCAB_SIZE)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_that_copies_the_next_token_instead_of_predicting_it(family):
    assert reads_ahead(tiny_language_model(family)) == (family not in CAUSAL)


def test_a_classifier_taken_for_a_language_model():
    assert vocabulary_of(tiny_classifier("bert")) == 0
    assert vocabulary_of(tiny_classifier("gpt2")) == 0
    assert vocabulary_of(tiny_language_model("gpt2")) == VOCAB_SIZE


def test_an_encoder_and_decoder_taken_for_one_of_them():
    with pytest.raises(UserError, match="type t5"):
        language_class(T5Config())
