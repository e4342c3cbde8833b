"""What a recipe may say, room by room. Unknown keys are errors; nothing here imports torch.

Configuration stops at the door: `codir.recipe` reads these models, and everything behind it takes plain values.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from codir.errors import UserError, nearest
from codir.settings import deep_merge, parse_yaml

Config = TypeVar("Config", bound=BaseModel)
Weight = PositiveFloat
UserPath = Annotated[Path, AfterValidator(Path.expanduser)]
PathOrName = Annotated[str, AfterValidator(os.path.expanduser)]
Layers = Literal["all", "last"] | list[int]
MatchedLayers = Literal["all", "all-but-last", "last"] | list[int]
LayerMap = Literal["uniform", "skip", "last"] | list[tuple[int, int]]
PresetCommand = Literal["distill", "pretrain"]


class Room(BaseModel):
    """Base of all sections: an unknown key is an error, and nothing changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TeacherConfig(Room):
    """Who teaches: a fine-tuned model, and whether its features are kept on disk."""

    model: PathOrName = Field(description="folder or hub name of a model with a trained head")
    cache: Literal["auto"] | bool = Field(
        "auto", description="run the teacher once and keep its features (true), at every step (false), or what pays"
    )
    cache_dir: UserPath = Field(
        Path("~/.cache/codir/teacher"), validate_default=True, description="where caches are kept, one folder each"
    )
    cache_dtype: Literal["float32", "float16"] = Field("float32", description="of pooled layers in the cache")


class DataConfig(Room):
    """What is learned from."""

    source: PathOrName = Field(
        description="`glue:SST-2`, a CSV/TSV/JSONL/Parquet file or a folder of them, or a hub name"
    )
    data_dir: UserPath | None = Field(None, description="holds the GLUE folders; without it GLUE comes from the hub")
    dev: PathOrName | None = Field(None, description="file to evaluate on; held out of the training rows by default")
    unlabelled: list[UserPath] = Field([], description="files of rows without labels, for soft targets and contrast")
    text_column: str | None = Field(None, description="found by its name where it has a usual one")
    text_pair_column: str | None = None
    label_column: str | None = None
    task: Literal["auto", "classification", "regression"] = "auto"
    labels: list[str] | None = Field(None, description="label names in the order of the class indices")
    dev_fraction: float = Field(0.1, gt=0, lt=1, description="share held out where there is no dev set")
    max_train_rows: PositiveInt | None = Field(None, description="train on a seeded part of the labelled rows")
    heldout_rows: PositiveInt | None = Field(None, description="rows set aside as the evaluation set `heldout`")
    tune_rows: PositiveInt | None = Field(None, description="rows set aside as the evaluation set `tune`")
    unlabelled_rows: PositiveInt | None = Field(None, description="further rows to train on, without their labels")
    evaluate_on: list[str] | None = Field(None, min_length=1, description="which evaluation sets; all of them")
    max_length: PositiveInt = Field(128, description="tokens per example at the most; longer ones are cut")


class CorpusConfig(Room):
    """What is pre-trained on; all keys but the last are arguments of `codir.data.load_corpus`."""

    source: PathOrName = Field(
        description="a text, CSV, TSV, JSONL or Parquet file, a folder of them, a hub name, or `demo:imdb`"
    )
    documents: Literal["file", "line", "blank-line"] = Field("line", description="what a document is in a text file")
    text_column: str | None = Field(None, description="of any other file; found where it has a usual name")
    packing: Literal["packed", "apart"] = Field("packed", description="short documents share a sequence, or do not")
    max_length: PositiveInt = Field(128, description="tokens per sequence at the most; longer documents give several")
    max_documents: PositiveInt | None = Field(None, description="read no more than these, from the first on")
    num_proc: PositiveInt = Field(1, description="processes that tokenise")
    cache_dir: UserPath = Field(
        Path("~/.cache/codir/corpus"), validate_default=True, description="one folder per prepared corpus"
    )
    heldout_fraction: float = Field(0.05, gt=0, lt=1, description="share of the documents that evaluation is on")


class StudentConfig(Room):
    """Who learns: some of the teacher's layers, any other checkpoint, or a configuration with random weights."""

    layers: PositiveInt | list[PositiveInt] | None = Field(None, description="how many, or which of the teacher's")
    selection: Literal["lower", "upper", "every-other"] = "every-other"
    checkpoint: PathOrName | None = Field(None, description="folder or hub name of another pre-trained model")
    config: dict[str, Any] | None = Field(None, description="overrides of the teacher's configuration; random start")

    @model_validator(mode="after")
    def _one_origin(self) -> StudentConfig:
        given = [name for name in ("layers", "checkpoint", "config") if getattr(self, name) is not None]
        if len(given) != 1:
            raise UserError(
                "student",
                expected="exactly one of `layers`, `checkpoint` and `config`",
                got=" and ".join(given) or "none",
                do="give `--student-layers 3`, or name another student in the recipe",
            )
        return self


class HardLabelConfig(Room):
    """Cross-entropy with the labels, or squared error with the scores."""

    weight: Weight = 0.5


class SoftTargetConfig(Room):
    """KL to the teacher's softened distribution."""

    weight: Weight = 0.5
    kd_temperature: PositiveFloat = 2.0


class LogitMSEConfig(Room):
    """Squared error between logits."""

    weight: Weight = 1.0


class LayerWiseConfig(Room):
    """What all terms have that match layers of the student with layers of the teacher."""

    weight: Weight = 1.0
    student_layers: MatchedLayers = "all"
    layer_map: LayerMap = "uniform"


class PooledMSEConfig(LayerWiseConfig):
    """Squared error between pooled layers; every key is an argument of `codir.objectives.PooledMSE`."""

    normalisation: Literal["layer", "l2", "none"] = "layer"
    pooling: Literal["mean", "cls"] = "mean"
    target: Literal["matched", "all"] = "matched"
    width_map: Literal["linear", "none"] = "linear"


class ClsCosineConfig(LayerWiseConfig):
    """`[CLS]` vectors that point the same way."""

    width_map: Literal["linear", "none"] = "none"


class TokenCosineConfig(Room):
    """Token vectors that point the same way."""

    weight: Weight = 1.0
    student_layers: MatchedLayers = "last"
    layer_map: LayerMap = "uniform"
    width_map: Literal["linear", "none"] = "none"


class HiddenMSEConfig(LayerWiseConfig):
    """Squared error between token vectors; every key is an argument of `codir.objectives.HiddenMSE`."""

    normalisation: Literal["none", "layer", "l2"] = "none"
    embeddings: bool = True
    width_map: Literal["linear", "none"] = "linear"


class AttentionMSEConfig(LayerWiseConfig):
    """Squared error between attention scores, before their softmax."""


class AttentionKLConfig(LayerWiseConfig):
    """KL between attention probabilities."""


class RelationKLConfig(Room):
    """KL between the relations of queries, keys and values."""

    weight: Weight = 1.0
    relations: list[Literal["qk", "qq", "kk", "vv"]] = Field(["qq", "kk", "vv"], min_length=1)
    relation_heads: PositiveInt | None = None
    student_layers: MatchedLayers = "last"
    layer_map: LayerMap = "uniform"


class TokenLabelConfig(Room):
    """Cross-entropy with the tokens to be predicted: pre-training's hard label."""

    weight: Weight = 1.0


class TokenKLConfig(Room):
    """KL to the teacher's softened distribution over tokens: pre-training's soft target."""

    weight: Weight = 1.0
    kd_temperature: PositiveFloat = 2.0


class ContrastiveConfig(Room):
    """A contrast over pooled layers; every key is an argument of `codir.objectives.Contrastive`."""

    weight: Weight = 0.1
    anchor: Literal["teacher", "student", "both"] = "student"
    estimator: Literal["info_nce", "nce", "jsd", "supcon"] = "info_nce"
    contrastive_temperature: PositiveFloat = 0.07
    learned_temperature: bool = False
    num_negatives: PositiveInt = 100
    strategy: Literal["auto", "other_class", "distant", "any", "mixed", "neighbours"] = "auto"
    score_distance: PositiveFloat | None = None
    hard_pool: PositiveInt = 1
    source: Literal["dataset", "batch"] = "dataset"
    teacher_layers: Layers = "all"
    student_layers: Layers = "all"
    pooling: Literal["mean", "cls"] = "mean"
    per_layer: bool = False
    head: Literal["linear", "mlp"] = "linear"
    projection_dim: PositiveInt = 128
    keys: Literal["fresh", "banked", "queued"] = "fresh"
    memory: Literal["auto", "bank", "queue", "momentum"] = "auto"
    memory_dtype: Literal["float32", "float16"] = "float32"
    bank_momentum: float = Field(0.5, ge=0, lt=1)
    queue_size: PositiveInt = 65536
    encoder_momentum: float = Field(0.999, ge=0, le=1)


class ObjectivesConfig(Room):
    """A preset, and what is different from it; `null` leaves a term of the preset out. Or stages."""

    preset: str | None = "codir"
    hard_label: HardLabelConfig | None = None
    soft_target: SoftTargetConfig | None = None
    logit_mse: LogitMSEConfig | None = None
    pooled_mse: PooledMSEConfig | None = None
    cls_cosine: ClsCosineConfig | None = None
    token_cosine: TokenCosineConfig | None = None
    hidden_mse: HiddenMSEConfig | None = None
    attention_mse: AttentionMSEConfig | None = None
    attention_kl: AttentionKLConfig | None = None
    relation_kl: RelationKLConfig | None = None
    token_label: TokenLabelConfig | None = None
    token_kl: TokenKLConfig | None = None
    contrastive: ContrastiveConfig | None = None
    stages: list[StageConfig] | None = Field(None, min_length=1, description="in place of terms: one after another")

    @model_validator(mode="before")
    @classmethod
    def _over_preset(cls, given: Any) -> Any:
        given = {"preset": given} if isinstance(given, str) else given
        if not isinstance(given, Mapping):
            raise UserError(
                "objectives",
                expected="the name of a preset, or a section with `preset` and terms",
                got=repr(given),
                do=nearest(str(given), preset_names()),
            )
        named = None if given.get("stages") else cls.model_fields["preset"].default
        given = {"preset": named, **given}
        of_preset = read_preset(given["preset"])["objectives"] if given["preset"] is not None else {}
        return over_stages(of_preset, given) if "stages" in of_preset else deep_merge(of_preset, given)

    @model_validator(mode="after")
    def _any_term(self) -> ObjectivesConfig:
        if self.stages and self.terms():
            raise UserError(
                "objectives",
                expected="terms or stages",
                got=f"`stages` beside {' and '.join(f'`{name}`' for name in self.terms())}",
                otherwise="it would not have been clear in which stage those terms count",
                do="write the terms, or `preset`, into the stages",
            )
        if not self.terms() and not self.stages:
            raise UserError(
                "objectives",
                expected="at least one term",
                got="all of them switched off",
                do="leave one on, such as `hard_label`",
            )
        return self

    def terms(self) -> dict[str, Room]:
        """The terms that are switched on, by name."""
        return {name: getattr(self, name) for name in type(self).model_fields if isinstance(getattr(self, name), Room)}

    @model_serializer(mode="wrap")
    def _without_terms_of_no_stage(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """With stages, a term that stands nowhere is left out: read again, `null` would take it out of the stages."""
        content: dict[str, Any] = serialize(self)
        return {key: value for key, value in content.items() if value is not None} if self.stages else content


class StageConfig(ObjectivesConfig):
    """A stage: objectives, from a preset or as they stand, and how they are trained on."""

    preset: str | None = None
    epochs: PositiveFloat = Field(1.0, description="beside those of the other stages; `training` says how many in all")
    learning_rate: PositiveFloat | None = Field(None, description="of the student; that of `training`")
    layers: Literal["all", "one-by-one", "stacked"] = Field("all", description="of the student, that terms look at")

    @model_validator(mode="after")
    def _no_stages_inside(self) -> StageConfig:
        if self.stages:
            raise UserError(
                "objectives.stages",
                expected="terms, or a preset without stages",
                got=f"stages inside a stage ({self.preset or 'written out'})",
                do="write those stages out beside the others",
            )
        return self

    @model_validator(mode="after")
    def _layers_to_open(self) -> StageConfig:
        if self.layers != "all" and not self.layer_wise():
            raise UserError(
                "objectives.stages",
                expected=f"for `layers: {self.layers}`, a term with `student_layers: all`, which looks at layers",
                got=" and ".join(f"`{name}`" for name in self.terms()),
                otherwise="every layer's stage would have been the same",
                do="leave `layers` out of this stage",
            )
        return self

    def layer_wise(self) -> list[str]:
        """Names of the terms that look at the student's layers, all of them unless told otherwise."""
        return [name for name, term in self.terms().items() if getattr(term, "student_layers", None) == "all"]


class TrainingConfig(BaseModel):
    """How training runs: codir's own keys, and any key of `transformers.TrainingArguments`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    precision: Literal["auto", "bf16", "fp32"] = Field("auto", description="auto: bf16 where the processor has it")
    head_learning_rate: PositiveFloat | None = Field(None, description="of projection heads; 20x the student's")
    seed: NonNegativeInt = 0
    num_train_epochs: PositiveFloat = 3.0
    per_device_train_batch_size: PositiveInt = 32
    per_device_eval_batch_size: PositiveInt = 64
    learning_rate: PositiveFloat = 1e-4
    weight_decay: float = 0.01
    warmup_steps: float = Field(0.06, description="below 1: a share of all steps")
    train_sampling_strategy: Literal["random", "sequential", "group_by_length", "batch_rebalance"] = "group_by_length"
    eval_strategy: Literal["no", "steps", "epoch"] = "epoch"
    save_strategy: Literal["no", "steps", "epoch", "best"] = "epoch"
    save_total_limit: PositiveInt | None = 1
    logging_steps: PositiveInt = 25
    report_to: str | list[str] = "none"

    @model_validator(mode="before")
    @classmethod
    def _one_word_for_precision(cls, given: Any) -> Any:
        for key in ("bf16", "fp16"):
            if isinstance(given, Mapping) and key in given:
                raise UserError(
                    f"training.{key}",
                    expected="`training.precision`, which also says how models are measured",
                    got=f"`{key}`",
                    do="set `precision: bf16`, `fp32` or `auto`",
                )
        return given

    def trainer_arguments(self) -> dict[str, Any]:
        """What goes to `TrainingArguments`: everything but codir's own keys."""
        return self.model_dump(exclude={"precision", "head_learning_rate"})


class FinetuneConfig(Room):
    """`codir finetune`: a pre-trained model becomes a task model."""

    model: PathOrName
    data: DataConfig
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    output_dir: UserPath
    overwrite: bool = False
    resume: bool = False


class MaskingConfig(Room):
    """Which tokens are to be predicted, where they are masked; a causal model predicts all of them."""

    probability: float = Field(0.15, gt=0, lt=1, description="share of the tokens")
    whole_words: bool = Field(False, description="mask all tokens of a word together")


class PretrainingConfig(TrainingConfig):
    """How pre-training runs: as `training`, by steps."""

    max_steps: int = Field(10_000, description="optimiser steps; -1 where `num_train_epochs` is given instead")
    train_sampling_strategy: Literal["random", "sequential", "group_by_length", "batch_rebalance"] = "random"
    eval_strategy: Literal["no", "steps", "epoch"] = "steps"
    eval_steps: PositiveFloat = Field(0.1, description="below 1: a share of all steps")
    save_strategy: Literal["no", "steps", "epoch", "best"] = "steps"
    save_steps: PositiveFloat = Field(0.1, description="below 1: a share of all steps")

    @model_validator(mode="before")
    @classmethod
    def _epochs_where_they_are_asked(cls, given: Any) -> Any:
        is_by_epochs = isinstance(given, Mapping) and "num_train_epochs" in given and "max_steps" not in given
        return {**given, "max_steps": -1} if is_by_epochs else given


class PretrainRecipe(Room):
    """`codir pretrain`: a language model and a corpus become a task-agnostic student."""

    teacher: PathOrName | None = Field(None, description="folder or hub name of a model with a language-model head")
    corpus: CorpusConfig
    masking: MaskingConfig = Field(default_factory=MaskingConfig)
    student: StudentConfig = Field(default_factory=StudentConfig)
    objectives: ObjectivesConfig = Field(default_factory=lambda: ObjectivesConfig.model_validate("codir-pre"))
    training: PretrainingConfig = Field(default_factory=PretrainingConfig)
    output_dir: UserPath
    overwrite: bool = False
    resume: bool = False

    @model_validator(mode="before")
    @classmethod
    def _presets_of_this_command(cls, given: Any) -> Any:
        """`codir-pre` where no preset is named; and `distilbert`, here, is `distilbert-pre`."""
        if not isinstance(given, Mapping):
            return given
        section = given.get("objectives") or {}
        section = {"preset": section} if isinstance(section, str) else section
        if not isinstance(section, Mapping) or section.get("stages"):
            return given
        name = section.get("preset", "codir-pre")
        own = preset_names("pretrain")
        name = f"{name}-pre" if f"{name}-pre" in own else name
        if name is not None and name not in own:
            raise UserError(
                "preset", expected="a preset of the pre-training stage", got=repr(name), do=nearest(name, own)
            )
        return {**given, "objectives": {**section, "preset": name}}

    @model_validator(mode="after")
    def _something_to_start_from(self) -> PretrainRecipe:
        if self.teacher is None and self.student.checkpoint is None:
            raise UserError(
                "student",
                expected="`checkpoint`, where there is no teacher to cut the student from",
                got="`layers`" if self.student.layers is not None else "`config`",
                do="name a `teacher`, whose objectives may still need none (preset `mlm`), or a `--student`",
            )
        return self


class Recipe(Room):
    """`codir distill`: a teacher and a data set become a student."""

    teacher: TeacherConfig
    data: DataConfig
    student: StudentConfig = Field(default_factory=StudentConfig)
    objectives: ObjectivesConfig = Field(default_factory=ObjectivesConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    output_dir: UserPath
    baseline: bool = Field(False, description="also train the same student without a teacher, for comparison")
    overwrite: bool = False
    resume: bool = False

    @model_validator(mode="after")
    def _presets_of_this_command(self) -> Recipe:
        refuse_pretraining(self.objectives)
        return self


AnyRun = Recipe | FinetuneConfig | PretrainRecipe
"""What leaves a model in a folder that it claims for itself, and can go on where it was interrupted."""


SAME_FOR_ALL = frozenset(
    {
        "seed",
        "data_seed",
        "num_train_epochs",
        "max_steps",
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
        "train_sampling_strategy",
        "precision",
    }
)
"""Keys of `training` that one entry of a comparison cannot have for itself."""


class Contestant(Room):
    """One entry of a comparison: a preset, and what is different from it."""

    name: str | None = Field(None, pattern=r"^[\w.-]+$", description="in the table; the preset's own by default")
    preset: str = Field(description="whose objectives these are")
    objectives: dict[str, Any] = Field({}, description="laid over the preset's, as in a recipe")
    training: dict[str, Any] = Field({}, description="laid over the comparison's")

    @model_validator(mode="before")
    @classmethod
    def _preset_alone(cls, given: Any) -> Any:
        return {"preset": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _sees_what_the_others_see(self) -> Contestant:
        for key in sorted(SAME_FOR_ALL & self.training.keys()):
            raise UserError(
                f"presets.training.{key}",
                expected="the same batches and steps for every preset",
                got=f"another `{key}` for {self.label}",
                otherwise="more data or more steps would have been taken for a better objective",
                do="set it for all, in `training` of the comparison",
            )
        return self

    @property
    def label(self) -> str:
        """What stands in the table."""
        return self.name or self.preset


class CompareConfig(Room):
    """`codir compare`: presets x kinds of student x seeds, on one teacher and data set."""

    teacher: TeacherConfig
    data: DataConfig
    students: dict[Annotated[str, Field(pattern=r"^[\w.-]+$")], StudentConfig] = Field(min_length=1)
    presets: list[Contestant] = Field(min_length=1, description="names of presets, or sections")
    seeds: PositiveInt | Annotated[list[NonNegativeInt], Field(min_length=1)] = Field(
        5, description="how many, or which"
    )
    reference: str | None = Field(None, description="compared with; `fine-tune` where it takes part, else the first")
    objectives: dict[str, Any] = Field({}, description="laid over every preset that has such terms")
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    jobs: PositiveInt = Field(1, description="runs side by side, in processes that share the threads")
    keep_students: bool = Field(False, description="save every student")
    output_dir: UserPath
    overwrite: bool = False

    @model_validator(mode="before")
    @classmethod
    def _one_student(cls, given: Any) -> Any:
        """`student`, as a recipe has it, is one kind of student."""
        if not isinstance(given, Mapping) or "student" not in given:
            return given
        if "students" in given:
            raise UserError(
                "students",
                expected="`student` or `students`",
                got="both",
                do="write the one student among the others, under a name",
            )
        rest = {key: value for key, value in given.items() if key != "student"}
        return {"students": {"student": given["student"]}, **rest}

    @model_validator(mode="before")
    @classmethod
    def _preset_of_a_recipe(cls, given: Any) -> Any:
        """`objectives` of a recipe name a preset, in whose place there are `presets` here."""
        if not isinstance(given, Mapping) or not isinstance(given.get("objectives", {}), str | Mapping):
            return given
        objectives = given.get("objectives", {})
        terms = {} if isinstance(objectives, str) else {k: v for k, v in objectives.items() if k != "preset"}
        return {**given, "objectives": terms}

    @model_validator(mode="after")
    def _objectives_of_all(self) -> CompareConfig:
        for contestant in self.presets:
            refuse_pretraining(self.objectives_of(contestant))
        known = set(ObjectivesConfig.model_fields) - {"preset", "stages"}
        for name in sorted(self.objectives.keys() - known):
            raise UserError(
                f"objectives.{name}", expected="a term that codir knows", got=f"'{name}'", do=nearest(name, known)
            )
        return self

    @model_validator(mode="after")
    def _seeds_that_differ(self) -> CompareConfig:
        if len(set(self.seed_list)) < len(self.seed_list):
            raise UserError(
                "seeds",
                expected="different numbers",
                got=f"{self.seeds}",
                otherwise="one run would have counted twice",
                do="leave the second one out",
            )
        return self

    @model_validator(mode="after")
    def _names_that_tell_apart(self) -> CompareConfig:
        labels = [contestant.label for contestant in self.presets]
        if len(set(labels)) < len(labels) or (self.reference is not None and self.reference not in labels):
            raise UserError(
                "presets",
                expected="different names, with `reference` among them",
                got=f"{', '.join(labels)}; reference {self.reference or 'not given'}",
                do="give a second entry of a preset a `name`",
            )
        return self

    def objectives_of(self, contestant: Contestant) -> ObjectivesConfig:
        """A preset's terms under what is said for all that have such terms, under what is said for it alone."""
        plain = validate(ObjectivesConfig, {"preset": contestant.preset})
        parts: Sequence[ObjectivesConfig] = plain.stages or [plain]
        terms = {name for part in parts for name in part.terms()}
        for_all = {name: section for name, section in self.objectives.items() if name in terms}
        own = {**contestant.objectives, "preset": contestant.preset}
        return validate(ObjectivesConfig, deep_merge(for_all, own))

    @property
    def reference_label(self) -> str:
        """The contestant that the others are compared with."""
        labels = [contestant.label for contestant in self.presets]
        return self.reference or ("fine-tune" if "fine-tune" in labels else labels[0])

    @property
    def seed_list(self) -> list[int]:
        """The seeds."""
        return list(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds


def refuse_pretraining(objectives: ObjectivesConfig) -> None:
    """Refuse a preset of the pre-training stage, or a stage that names one, where classes or scores are learned.

    Raises:
        UserError: names the preset, and the one of this stage where there is one.
    """
    of_pretraining = preset_names("pretrain")
    for part in (objectives, *(objectives.stages or ())):
        if part.preset in of_pretraining:
            namesake = part.preset.removesuffix("-pre")
            here = namesake if namesake in preset_names("distill") else "codir"
            raise UserError(
                "preset",
                expected="one of the fine-tuning stage",
                got=f"{part.preset!r}, of the pre-training stage",
                otherwise="there would have been no masked or next tokens to predict",
                do=f"take `{here}`, or pre-train with it: `codir pretrain --preset {part.preset}`",
            )


def over_stages(staged: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Lay sections over a preset that has stages: each goes to the stages that have such a term.

    Example:
        >>> over_stages({"stages": [{"kd": {"weight": 1}}, {"mse": {}}]}, {"preset": "x", "kd": {"weight": 3}})
        {'preset': 'x', 'stages': [{'kd': {'weight': 3}}, {'mse': {}}]}
    """
    own = {key: value for key, value in given.items() if key in ("preset", "stages")}
    sections = {key: value for key, value in given.items() if key not in own}
    stages = [_written_out(stage) for stage in own.get("stages") or staged["stages"]]
    for name in sections:
        if not any(name in stage for stage in stages):
            raise UserError(
                f"objectives.{name}",
                expected="a term of one of the preset's stages",
                got=f"'{name}', which none of {given['preset']}'s has",
                do="write the stages out under `stages`, with this term in one of them",
            )
    laid = [deep_merge(stage, {name: over for name, over in sections.items() if name in stage}) for stage in stages]
    return {**own, "stages": laid}


def _written_out(stage: Any) -> Any:
    """A stage with the terms of its preset, where it names one."""
    stage = {"preset": stage} if isinstance(stage, str) else stage
    is_named = isinstance(stage, Mapping) and stage.get("preset") is not None
    return deep_merge(read_preset(stage["preset"])["objectives"], stage) if is_named else stage


def preset_names(command: PresetCommand | None = None) -> list[str]:
    """Names of the presets that ship with codir, or of those for one command.

    Example:
        >>> "mlm" in preset_names("pretrain"), "mlm" in preset_names("distill")
        (True, False)
    """
    folder = resources.files("codir") / "presets"
    names = sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    return [name for name in names if command in (None, read_preset(name)["command"])]


def read_preset(name: str) -> dict[str, Any]:
    """A preset's file: `source`, `summary`, `objectives`, and `command`: `distill`, or `pretrain` where it says so.

    Raises:
        UserError: there is no preset of that name.

    Example:
        >>> read_preset("kd")["objectives"]["soft_target"]
        {'weight': 0.5, 'kd_temperature': 2.0}
    """
    file = resources.files("codir") / "presets" / f"{name}.yaml"
    if not file.is_file():
        raise UserError("preset", expected="the name of a preset", got=repr(name), do=nearest(name, preset_names()))
    return {"command": "distill", **parse_yaml(file.read_text())}


def validate(model: type[Config], content: Mapping[str, Any]) -> Config:
    """Check a mapping against a config model, with errors for people.

    Raises:
        UserError: names the first key at fault, and the nearest known one where it is unknown.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, UserError):
            raise cause from None
        path = [part for part in map(str, first["loc"]) if part.isidentifier()]  # the rest are pydantic's own words
        where = ".".join(path) or "recipe"
        if first["type"] == "extra_forbidden":
            known = _known_keys(model, path[:-1])
            raise UserError(
                where, expected="a key that codir knows", got=f"'{path[-1]}'", do=nearest(path[-1], known)
            ) from None
        if first["type"] == "missing":
            raise UserError(
                where, expected="a value", got="none", do=f"add `{where}` to the recipe or give its flag"
            ) from None
        raise UserError(
            where,
            expected=first["msg"].removeprefix("Input should be "),
            got=repr(first["input"]),
            do=f"mend `{where}`",
        ) from None


def _known_keys(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Keys of the section that a path leads to."""
    for part in path:
        model = next(section for section in _sections_in(model.model_fields[part].annotation))
    return list(model.model_fields)


def _sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation is made of, such as `list[StageConfig] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _sections_in(part)
