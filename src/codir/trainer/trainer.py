"""The loop is Hugging Face's; what a step of distillation adds to it is here.

The only room that knows teacher, student, objectives and memory together. What rows are is in `rows`, what is
remembered in `memories`, checkpoints in `saving`.
"""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader, Sampler, SequentialSampler
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments, set_seed
from transformers.trainer_utils import EvalLoopOutput

from codir.data import (
    POSITIONS,
    EpochLengthGroupedSampler,
    LongestFirstSampler,
    cls_token_position,
    column_of,
    model_columns,
    to_learn_from,
)
from codir.memory import Memory, MemoryBank
from codir.models import exact_scores, give_logits, kind_of_model, shape_of
from codir.objectives import Objectives, StagedObjectives, WeightedObjectives, rate_factors
from codir.signals import Answered, Batch, Negatives, Unprojected
from codir.speed import faster_training
from codir.store import FolderError
from codir.teacher import (
    AnswersFile,
    CachedTeacher,
    LiveTeacher,
    NoTeacher,
    Teacher,
    TeacherView,
    open_or_build_cache,
    table_names,
)
from codir.trainer.answers import read_answers
from codir.trainer.arguments import compute_dtype, own_copy, own_key
from codir.trainer.checkpoints import kind_of_memory
from codir.trainer.checks import check_arguments, check_models, check_readers, check_same_windows, check_tokens
from codir.trainer.choices import keeps_cache, of_main_process
from codir.trainer.distiller import Distiller
from codir.trainer.finite import check_weights, loss_error
from codir.trainer.label_weights import weigh_labels
from codir.trainer.memories import MemoryKeeper, rows_of_the_step
from codir.trainer.momentum import CopyFollows
from codir.trainer.rows import EpochSetter, LabelledRows, Rows, data_seed, negative_sampler
from codir.trainer.saving import WholeCheckpoints
from codir.trainer.stages import StepTeller, staged_scheduler

logger = logging.getLogger(__name__)

HEAD_LEARNING_RATE_FACTOR = 20.0
"""Heads start from nothing, so by default they learn this much faster than the student."""


class DistillationTrainer(WholeCheckpoints):
    """`transformers.Trainer` with a teacher.

    Everything that `Trainer` does goes on working: callbacks, reporting, gradient accumulation, mixed precision,
    evaluation, `load_best_model_at_end`, pushing to the hub, `accelerate launch` and `torchrun`.

    Args:
        teacher: a model with a trained head for the task, or a `codir.models.SentenceEncoder`, of any architecture.
            Frozen here, and cast to fp32. Or a file of answers, `codir.AnswersFile(path)`. `None` when no objective
            needs one (preset `fine-tune`).
        student: the model to train, from `codir.build_student` or anywhere else. Cast to fp32; see `precision`.
        args: `codir.DistillationArguments`, or plain `TrainingArguments` with codir's own keys at their defaults. They
            stay as they are: the trainer works on a copy.
        objectives: from `codir.preset(...)`, or put together by hand; in stages or not.
        train_dataset: columns `text`, optionally `text_pair` and `label`, or `words` with a `label` for each; or
            tokenised already (`input_ids`, ...).
        eval_dataset: the same, or a dictionary of such. Evaluation runs the bare student.
        processing_class: the student's tokenizer.
        teacher_processing_class: the teacher's; the student's by default, refused if the teacher's own is another.
        **trainer_kwargs: `callbacks`, `compute_metrics`, `optimizers` (heads are added to it) and what else `Trainer`
            takes; not `compute_loss_func`, `data_collator` or `model_init`. Without `compute_metrics`, evaluation
            reports the metrics of the task.

    Raises:
        UserError: rows, models or tokenizers that do not fit together, in the words of the recipes' checks.
        NonFiniteLossError: from `train`, before a step is taken on a loss that is NaN or infinite.
    """

    def __init__(
        self,
        teacher: PreTrainedModel | AnswersFile | None,
        student: PreTrainedModel,
        args: TrainingArguments,
        objectives: Objectives,
        train_dataset: datasets.Dataset,
        eval_dataset: datasets.Dataset | dict[str, datasets.Dataset] | None = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        *,
        teacher_processing_class: PreTrainedTokenizerBase | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        answers, teacher = (teacher, None) if isinstance(teacher, AnswersFile) else (None, teacher)
        train_dataset = to_learn_from(train_dataset, shape_of(student).kind)
        processing_class = check_readers(
            teacher, student, processing_class, teacher_processing_class, train_dataset, own_key(args, "max_length")
        )
        check_arguments(args, trainer_kwargs, objectives)
        check_models(teacher, student, objectives)
        check_weights(teacher, "teacher")
        check_weights(student, "student")
        args = own_copy(args, has_evaluation=eval_dataset is not None, kind=shape_of(student).kind)
        set_seed(args.seed)  # heads are made before Trainer sets it
        for model in (teacher, student):
            if model is not None:
                give_logits(model, own_key(args, "max_length"))
        of_file = None
        if answers is not None and objectives.needs.teacher:
            of_file = read_answers(answers, student, objectives, train_dataset)
        shape = None if teacher is None else shape_of(teacher)
        objectives.build(teacher=of_file.shape if of_file else shape, student=shape_of(student))
        needs = objectives.needs
        if isinstance(objectives, StagedObjectives):
            args.ddp_find_unused_parameters = True  # heads of the other stages
        self.rows = self._make_rows(args, student, processing_class)
        encoded = self.rows.for_training(train_dataset)
        self._plain_collator = self.rows.collator()
        self._train_collator = self.rows.collator(negative_sampler(self.rows, encoded, objectives, args))
        own_metrics = None if args.batch_eval_metrics else self.rows.metrics
        if own_metrics is not None:
            trainer_kwargs.setdefault("compute_metrics", own_metrics)
        self._has_own_metrics = own_metrics is not None and trainer_kwargs["compute_metrics"] is own_metrics
        self._takes_longest_first = False
        self.distiller = Distiller(student, objectives, cls_token_position(processing_class))
        super().__init__(
            model=self.distiller,
            args=args,
            train_dataset=encoded,
            eval_dataset=self.rows.for_evaluation(eval_dataset),
            processing_class=processing_class,
            data_collator=self._plain_collator,
            **trainer_kwargs,
        )
        self.loss_is_scaled_for_ga = False
        self.teacher: Teacher = NoTeacher() if of_file is None else of_file.on(self.args.device)
        self.keeper = MemoryKeeper(self.distiller, self.args, encoded, processing_class)
        self.memories = self.keeper.memories
        self.add_callback(StepTeller(objectives, lambda: self.keeper.start(self.teacher)))
        if needs.negatives is not None and needs.negatives.memory == "momentum":
            self.add_callback(CopyFollows(self.memories))
        if teacher is not None and needs.teacher:
            tokenizer = teacher_processing_class or processing_class
            if self.rows.kind is not None and self.rows.kind.reads_windows:
                check_same_windows(tokenizer, processing_class)
                train_dataset = encoded
            check_tokens(train_dataset, tokenizer, processing_class, objectives)
            live = self._live_teacher(teacher, tokenizer, train_dataset)
            self.teacher = self._cached_or_live(live)
            if self.teacher is live and needs.negatives is not None and needs.negatives.looked_up:
                logger.warning("Without its cache the teacher reads the negatives too, at every step: this is slow.")

    @property
    def _active(self) -> WeightedObjectives:
        """The objectives of the stage that training is in; all of them where there are no stages."""
        return self.distiller.objectives.active

    @property
    def memory(self) -> Memory | None:
        """What is remembered of the student's vectors."""
        return self.memories.student

    @property
    def bank(self) -> MemoryBank | None:
        """The memory, where it is a bank."""
        return self.keeper.bank

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> Any:
        """Train; `resume_from_checkpoint=True` takes the newest whole checkpoint of `args.output_dir`.

        A resumed run ends with the same weights, to the bit, as one that was never interrupted.
        """
        checkpoint = self.resolve_checkpoint(resume_from_checkpoint)
        if isinstance(self.distiller.objectives, StagedObjectives):
            self.distiller.objectives.position = 0
        if checkpoint is None:
            self.keeper.begin(self.teacher)
        else:
            self.keeper.resume(kind_of_memory(Path(checkpoint)))
        faster = faster_training(self.student, one_process=self.args.world_size <= 1)
        with nullcontext() if self.args.torch_compile else faster:  # the compiler cannot read those parts
            return super().train(resume_from_checkpoint=checkpoint, **kwargs)

    # ---- The step ----

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Distil in training, the task's own loss in evaluation."""
        batch = Batch.from_collated(inputs)
        if not model.training:
            is_asked_for_tokens = batch.token_labels is not None
            asked = {"labels": batch.labels, "words": batch.word_positions, **batch.model_inputs}
            with nullcontext() if self.args.torch_compile else exact_scores(self.student):
                outputs = model(batch=batch) if is_asked_for_tokens else model(**asked)
            return (outputs.loss, outputs) if return_outputs else outputs.loss
        breakdown, vectors = model(
            batch=batch, teacher=self._teacher_now().signal(batch), negatives=self._look_up_negatives(batch)
        )
        if not torch.isfinite(breakdown.total):  # the one wait for the device in a step; Trainer's filter had one too
            step, rate = self.state.global_step + 1, self.args.learning_rate
            raise loss_error(breakdown, step=step, learning_rate=rate, last=self.last_checkpoint())
        self._terms.add(breakdown)
        if self.memories.copy is not None and "student" in vectors:
            vectors["student"] = self.memories.copy.vectors(batch.model_inputs)
        self.memories.note(batch.example_index, vectors)
        return (breakdown.total, breakdown) if return_outputs else breakdown.total

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Tensor:
        """One micro-batch; the memories learn of it when the optimiser steps, however many micro-batches that takes."""
        loss: Tensor = super().training_step(model, inputs, *args, **kwargs)
        if self.accelerator.sync_gradients:
            self.memories.take_up()
        return loss

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> tuple[list[Any], Tensor | int | None]:
        """The micro-batches of one optimiser step, each with what its labels weigh in it."""
        step, count = super().get_batch_samples(*args, **kwargs)
        weigh_labels(step, self.rows, self.accelerator)
        return step, count

    def _look_up_negatives(self, batch: Batch) -> Negatives | None:
        needs, contrast = self._active.needs.negatives, self._active.contrast
        sampler = self._train_collator.negative_sampler
        if needs is None or sampler is None:
            return None
        if needs.from_answers:
            assert batch.negative_index is not None
            assert batch.negative_group is not None
            return Negatives(batch.negative_group, teacher=Answered(self.teacher.answers(batch.negative_index)))
        if contrast is None:
            return None
        if needs.source == "batch":
            return rows_of_the_step(batch, sampler)
        negatives = self.memories.look_up(batch, needs, sampler)
        if needs.from_teacher:
            assert batch.negative_index is not None
            pooled = self.teacher.pooled(batch.negative_index, contrast.teacher_representation)
            negatives = replace(negatives, teacher=Unprojected(pooled))
        return negatives

    # ---- The teacher ----

    def _live_teacher(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, dataset: datasets.Dataset
    ) -> LiveTeacher:
        view = TeacherView.of(self.distiller.objectives.needs, compute_dtype(self.args))
        return LiveTeacher(
            model.to(self.args.device), dataset, tokenizer, view, max_length=own_key(self.args, "max_length")
        )

    def _teacher_now(self) -> Teacher:
        """The teacher, asked for what the active objectives need and no more."""
        needs = self._active.needs
        if not needs.teacher:
            return NoTeacher()
        if isinstance(self.teacher, LiveTeacher):
            self.teacher.view = TeacherView.of(needs, compute_dtype(self.args))
        return self.teacher

    def _cached_or_live(self, live: LiveTeacher) -> Teacher:
        wish, folder, dtype = (
            own_key(self.args, name) for name in ("teacher_cache", "teacher_cache_dir", "cache_dtype")
        )
        folder = Path(folder).expanduser()
        if not keeps_cache(wish, live, self.distiller.objectives.needs, self.args, folder, dtype):
            return self._ready(live)
        try:
            with self.args.main_process_first(desc="teacher cache"):
                follows = self.args.local_process_index > 0
                folder = open_or_build_cache(live, folder, cache_dtype=dtype, is_checked=follows)
        except FolderError as error:
            if wish is True:
                raise
            logger.warning("The teacher runs live at every step, since its cache cannot be kept. %s", error)
            return self._ready(live)
        live.model.to("cpu")
        return CachedTeacher(folder, table_names(live), self.args.device)

    def _ready(self, live: LiveTeacher) -> LiveTeacher:
        """A teacher that runs at every step, with the spaces that one process fitted for all."""
        live.take_spaces(of_main_process(self.args, live.fit_spaces))
        return live

    # ---- The optimiser ----

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Trainer's own or the user's, with the heads in a group of their own at their own learning rate."""
        is_new = self.optimizer is None
        optimizer = super().create_optimizer(model)
        heads = {id(head): head for head in self.distiller.objectives.parameters()}
        if is_new:
            for group in optimizer.param_groups:
                group["params"] = [parameter for parameter in group["params"] if id(parameter) not in heads]
        known = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        factors, missing = rate_factors(self.distiller.objectives), dict[float, list[nn.Parameter]]()
        for key, head in heads.items():
            if key not in known:
                of_head = factors.get(key, HEAD_LEARNING_RATE_FACTOR) * self.args.learning_rate
                missing.setdefault(own_key(self.args, "head_learning_rate") or of_head, []).append(head)
        for rate, params in missing.items():
            optimizer.add_param_group({"params": params, "lr": rate, "weight_decay": 0.0})
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])  # a resumed run may ask for another
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> LRScheduler:
        """Trainer's own, or where there are several stages, its shape within each of them."""
        objectives = self.distiller.objectives
        if self.lr_scheduler is None and isinstance(objectives, StagedObjectives):
            self.lr_scheduler: LRScheduler | None = staged_scheduler(
                optimizer or self.optimizer, objectives, self.args, num_training_steps
            )
            self._created_lr_scheduler = True
        return super().create_scheduler(num_training_steps, optimizer)

    # ---- Data ----

    def _make_rows(self, args: TrainingArguments, student: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Rows:
        return LabelledRows(tokenizer, student.config.num_labels, kind_of_model(student), own_key(args, "max_length"))

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Training batches alone carry negatives."""
        self.data_collator = self._train_collator
        try:
            return super().get_train_dataloader()
        finally:
            self.data_collator = self._plain_collator

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        """Trainer's own, for texts as well as for token ids; longest rows first, where no one counts on their order."""
        has_any_order = self._has_own_metrics and not self.rows.are_apart
        self._takes_longest_first = has_any_order and self.args.world_size <= 1
        try:
            return super().get_eval_dataloader(self.rows.for_evaluation(eval_dataset))
        finally:
            self._takes_longest_first = False

    def get_test_dataloader(self, test_dataset: Any) -> DataLoader[Any]:
        """Trainer's own, for texts as well as for token ids."""
        return super().get_test_dataloader(self.rows.for_evaluation(test_dataset))

    def _get_train_sampler(self, train_dataset: datasets.Dataset | None = None) -> Sampler[int] | None:
        sampler: Any = self.rows.order(self.train_dataset, self.distiller.objectives, self.args)
        if sampler is None and self.args.train_sampling_strategy == "group_by_length":
            lengths = column_of(train_dataset or self.train_dataset, "length").tolist()
            step_rows = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
            sampler = EpochLengthGroupedSampler(step_rows, lengths, seed=data_seed(self.args))
        if sampler is None:
            return super()._get_train_sampler(train_dataset)
        self.add_callback(EpochSetter(sampler))
        return sampler

    def _get_eval_sampler(self, eval_dataset: datasets.Dataset) -> Sampler[int] | None:
        """Rows in their order: Trainer would group them by length too, and hand predictions back shuffled."""
        if self._takes_longest_first and "length" in eval_dataset.column_names:
            return LongestFirstSampler(column_of(eval_dataset, "length"))
        return SequentialSampler(eval_dataset) if self.args.world_size <= 1 else None

    def _remove_unused_columns(self, dataset: datasets.Dataset, description: str | None = None) -> datasets.Dataset:
        own = [name for name in ("labels", "example_index", "length", POSITIONS) if name in dataset.column_names]
        return dataset.select_columns([*model_columns(dataset, self.processing_class), *own])

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """Trainer's own, whose loss is left out where there is none: 0 would be told."""
        found = super().evaluation_loop(*args, **kwargs)
        if not self.rows.are_apart:
            return found
        return found._replace(metrics={name: of for name, of in found.metrics.items() if not name.endswith("_loss")})

    # ---- Logs ----

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add every loss term, unweighted, averaged over the steps and processes since the last line."""
        objectives = self.distiller.objectives
        if "loss" in logs:
            if isinstance(objectives, StagedObjectives):
                logs["stage"] = objectives.position + 1
            for name, mean in self._terms.drain().items():
                logs[f"loss/{name}"] = self.accelerator.gather(mean).mean().item()
        super().log(logs, *args, **kwargs)
