"""The model card: `README.md` in a model's folder, with the metadata that the Hugging Face hub reads.

Its numbers are those of results that are already there, and nothing in it names a folder of the user's machine. Knows
nothing of models, recipes or the hub itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codir.errors.shown import redact, without_paths
from codir.report.findings import Findings
from codir.report.words import fill_in_markdown, in_code, in_markdown, in_words
from codir.store import write_whole

CARD_NAME = "README.md"
"""Where the hub looks for a model card."""
METRICS_ON_HUB = {
    "entity_f1": "f1",
    "entity_precision": "precision",
    "entity_recall": "recall",
    "macro_f1": "f1",
    "micro_f1": "f1",
    "matthews": "matthews_correlation",
    "ndcg@10": "ndcg_at_10",
    "pearson": "pearsonr",
    "recall@10": "recall_at_10",
    "spearman": "spearmanr",
    "token_accuracy": "accuracy",
    "token_macro_f1": "f1",
}
"""What the hub calls metrics, where it does not use codir's names."""
AVERAGES = {"macro_f1": {"average": "macro"}, "micro_f1": {"average": "micro"}}
"""Arguments of the hub's metrics."""
PIPELINES = {
    "AutoModel": "sentence-similarity",
    "AutoModelForSequenceClassification": "text-classification",
    "AutoModelForTokenClassification": "token-classification",
    "AutoModelForQuestionAnswering": "question-answering",
    "AutoModelForMaskedLM": "fill-mask",
    "AutoModelForCausalLM": "text-generation",
}
"""The hub's word for a model's task, by the class of `transformers` that loads it."""
VECTORS, ANSWERS = PIPELINES["AutoModel"], PIPELINES["AutoModelForQuestionAnswering"]
SAMPLE_TEXT = "a text like those that it was trained on"
ASKED = """\
question, context = "a question", "{text}, which may hold the answer"
read = tokenizer(question, context, truncation="only_second", max_length={most}, return_tensors="pt")
found = model(**read)
start, end = found.start_logits.argmax(), found.end_logits.argmax()
print(tokenizer.decode(read["input_ids"][0, start : end + 1]))"""
"""How a question is asked: transformers has no pipeline for it since version 5."""


@dataclass(frozen=True)
class Term:
    """One objective that a model was trained on.

    Attributes:
        name: in recipes.
        weight: share in the loss.
        what: it compares, in words.
        settings: of its own, by name.
        paper: its authors and year; none of a plain loss.
        arxiv: the paper's number there.
        stage: when it counts, of a training in stages.
    """

    name: str
    weight: float
    what: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    paper: str | None = None
    arxiv: str | None = None
    stage: str | None = None

    def __str__(self) -> str:
        stage = f"{self.stage}: " if self.stage else ""
        settings = ", ".join(f"{in_code(name)} {_public(str(value))}" for name, value in self.settings.items())
        linked = f" ([{self.paper}](https://arxiv.org/abs/{self.arxiv}))" if self.arxiv else ""
        what = _public(self.what.rstrip("."))
        return f"{stage}{in_code(self.name)}, weight {self.weight:g}: {what}{linked}" + (
            f"; {settings}" if settings else ""
        )


@dataclass(frozen=True)
class Lengths:
    """How long the texts of a training set are, in tokens.

    Attributes:
        shortest: of all.
        median: half of them are shorter.
        longest: of all, as the model reads them.
        limit: where they are cut.
        share_cut: how many of them are longer.

    Example:
        >>> print(Lengths(4, 25, 64, 64, 0.011))
        4 to 64 tokens, median 25; 1.1% of the texts were cut at 64
    """

    shortest: int
    median: int
    longest: int
    limit: int
    share_cut: float

    def __str__(self) -> str:
        cut = f"; {self.share_cut:.1%} of the texts were cut at {self.limit}" if self.share_cut else ""
        return f"{self.shortest} to {self.longest} tokens, median {self.median}{cut}"


@dataclass(frozen=True)
class Origin:
    """What a model is and how it was made, in plain values.

    Attributes:
        name: its folder's, or its name on the hub.
        auto_class: of `transformers`, which loads it.
        size: such as `3 layers x 384`.
        start: how its weights began, such as `weights copied from the teacher's layers 1, 3, 5`.
        base: the teacher, or the pre-trained model that was trained on; a name, never a path.
        base_size: of that.
        answers: the file of answers that taught it, where no model did; `base` is then what it began as.
        has_teacher: whether `base` taught it; otherwise it became this model.
        datasets: names on the hub of what it was trained on.
        labels: names of its classes, in order; none of a model that gives scores.
        method: what it was trained on, in a sentence of Markdown.
        terms: the objectives.
        facts: what else to know of its training, by name.
        lengths: of the texts that it was trained on.
        reads_pairs: whether an example is two texts.
        asks: arguments of the pipeline that this kind of task needs.
        mask_token: of a model that predicts masked tokens.
        needs_codir: whether `transformers` knows its type only once codir is imported.
    """

    name: str
    auto_class: str
    size: str
    start: str
    base: str | None
    method: str
    base_size: str | None = None
    answers: str | None = None
    has_teacher: bool = True
    datasets: Sequence[str] = ()
    labels: Sequence[str] = ()
    terms: Sequence[Term] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    lengths: Lengths | None = None
    reads_pairs: bool = False
    asks: Sequence[str] = ()
    mask_token: str | None = None
    needs_codir: bool = False

    @property
    def pipeline(self) -> str | None:
        """What the hub calls its task."""
        return PIPELINES.get(self.auto_class)


def write_card(origin: Origin, found: Findings, folder: Path) -> None:
    """Write `README.md` into a model's folder, whole or not at all.

    Args:
        origin: what the model is.
        found: what was found of it.
        folder: of the model.
    """
    write_whole(folder / CARD_NAME, render_card(origin, found))


def render_card(origin: Origin, found: Findings) -> str:
    """The text of a card: metadata between two lines of dashes, then Markdown."""
    return fill_in_markdown(
        "card.md.j2",
        metadata=metadata_of(origin, found),
        name=in_markdown(origin.name),
        warnings=[_public(warning) for warning in found.warnings],
        what=_what(origin),
        summary=in_markdown(found.summary),
        method=origin.method,
        terms=[str(term) for term in origin.terms],
        facts=_facts(origin, found),
        scores=found.scores,
        speed=found.speed,
        limits=[*found.limits, *_limits(origin)],
        notes=[_public(note) for note in found.notes],
        picture=found.picture,
        called=_called(origin),
        needs_codir=origin.needs_codir,
        snippet=snippet_of(origin),
    )


def metadata_of(origin: Origin, found: Findings) -> str:
    """What the hub reads, as YAML."""
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type=origin.pipeline or "other",
            dataset_type=origin.datasets[0] if origin.datasets else _identifier(without_paths(one.source)),
            dataset_name=without_paths(one.source),
            dataset_split=one.name,
            metric_type=METRICS_ON_HUB.get(metric, metric),
            metric_name=in_words(metric),
            metric_args=AVERAGES.get(metric),
            metric_value=value,
        )
        for one in found.results
        for metric, value in one.values.items()
    ]
    data = ModelCardData(
        library_name="sentence-transformers" if origin.pipeline == VECTORS else "transformers",
        pipeline_tag=origin.pipeline,
        base_model=origin.base if origin.base and _may_be_on_hub(origin.base) else None,
        datasets=list(origin.datasets) or None,
        metrics=list(dict.fromkeys(result.metric_type for result in results)) or None,
        tags=["codir", *(["distillation"] if origin.has_teacher else [])],
        model_name=origin.name,
        eval_results=results or None,
    )
    return str(data.to_yaml())


def snippet_of(origin: Origin) -> str:
    """How to load the model and ask it, in Python."""
    called = f'"{_called(origin)}"'
    first = ["import codir  # makes its type of model known to transformers"] if origin.needs_codir else []
    if origin.pipeline in (None, ANSWERS):
        auto = origin.auto_class
        lines = [f"from transformers import {auto}, AutoTokenizer", "", f"model = {auto}.from_pretrained({called})"]
        lines += [f"tokenizer = AutoTokenizer.from_pretrained({called})"]
        if origin.pipeline == ANSWERS and origin.lengths:
            lines += [ASKED.format(text=SAMPLE_TEXT, most=origin.lengths.limit)]
        return "\n".join([*first, *lines])
    if origin.pipeline == VECTORS:
        lines = ["from sentence_transformers import SentenceTransformer", "", f"model = SentenceTransformer({called})"]
        lines += [f'vectors = model.encode(["{SAMPLE_TEXT}", "and another one"])']
        return "\n".join([*first, *lines, "print(model.similarity(vectors, vectors))"])
    text = f"{SAMPLE_TEXT}, and one {origin.mask_token}" if origin.mask_token else SAMPLE_TEXT
    asked = [f'"{text}"']
    if origin.reads_pairs:
        asked = [f'{{"text": "{text}", "text_pair": "the second text"}}']
    if origin.pipeline == "text-classification" and origin.lengths:
        asked += ["truncation=True", f"max_length={origin.lengths.limit}"]
    asked += origin.asks
    if origin.pipeline == "text-generation":
        asked += ["max_new_tokens=20"]
    lines = ["from transformers import pipeline", "", f'model = pipeline("{origin.pipeline}", model={called})']
    return "\n".join([*first, *lines, f"print(model({', '.join(asked)}))"])


# ---- In words ----

KINDS = {
    "fill-mask": "a masked language model",
    "text-generation": "a language model",
    VECTORS: "a sentence encoder",
    "token-classification": "a model that tags the words of a text",
}


def _what(origin: Origin) -> str:
    kind = "a text classifier" if origin.labels else "a model that scores texts"
    kind = KINDS.get(origin.pipeline or "", kind if origin.pipeline == "text-classification" else "a model")
    made = ""
    if origin.base:
        size = f" ({origin.base_size})" if origin.base_size else ""
        how = "distilled" if origin.has_teacher and origin.answers is None else "trained"
        made = f", {how} from {in_code(origin.base)}{size}"
        if origin.answers is not None:
            made += f" on the answers in {in_code(origin.answers)}"
    labels = f" Its classes are, in order: {', '.join(map(in_markdown, origin.labels))}." if origin.labels else ""
    return f"This is {kind} of {origin.size}{made}. It began with {_public(origin.start)}.{labels}"


def _facts(origin: Origin, found: Findings) -> dict[str, str]:
    versions = found.conditions.get("versions") or {}
    facts = {
        **origin.facts,
        "lengths": origin.lengths,
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items() if version),
        "date": found.conditions.get("date"),
    }
    return {name: _public(str(value)) for name, value in facts.items() if value}


def _limits(origin: Origin) -> list[str]:
    lengths = []
    if origin.lengths:
        seen = f"{origin.lengths.shortest} to {origin.lengths.longest} tokens"
        lengths = [f"It was trained on texts of {seen}. Longer texts were cut, and it was never scored on them."]
        if not origin.lengths.share_cut:
            lengths = [f"It was trained on texts of {seen}. What it does with longer ones was not measured."]
    return [
        *lengths,
        "codir does not look at the language of texts. Other languages and domains than those of the training set were "
        "not measured, nor were bias and attacks.",
        "codir sets no licence. Those of the base model and of the data apply.",
    ]


def _public(text: str) -> str:
    """A text of the run as Markdown: without paths of this machine, and without secrets."""
    return in_markdown(without_paths(redact(text)), keeps_code=True)


def _called(origin: Origin) -> str:
    """The model's name, without what would end a string or a code span."""
    return "".join(letter for letter in origin.name if letter not in "\\\"`'\n\r")


def _may_be_on_hub(name: str) -> bool:
    """Whether the hub takes a name in the metadata; it refuses a whole card for one of another form.

    Example:
        >>> _may_be_on_hub("org/encoder"), _may_be_on_hub("my teacher")
        (True, False)
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def _identifier(name: str) -> str:
    """A name as the hub's identifiers are written.

    Example:
        >>> _identifier("held out of My reviews.csv")
        'held-out-of-my-reviews.csv'
    """
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name.lower())
    return kept.strip("-._") or "data"
