"""The loop is Hugging Face's; what a step of distillation adds to it is here.

The only room that knows teacher, student, objectives and memory together.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader, Sampler, SequentialSampler
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, rotate_checkpoints

from codir.config.words import CacheWish, MemoryKind, StoredDtype
from codir.data import (
    DistillationCollator,
    EpochLengthGroupedSampler,
    NegativeSampler,
    build_negative_sampler,
    cls_token_position,
    column_of,
    fit_labels,
    length_sorted_batches,
    model_columns,
    prepare,
)
from codir.errors import NonFiniteLossError, UserError
from codir.memory import Memory, MemoryBank
from codir.models import shape_of
from codir.objectives import Objectives, StagedObjectives, WeightedObjectives
from codir.signals import Batch, LossBreakdown, Needs, Negatives, Unprojected
from codir.speed import faster_training
from codir.store import fingerprint_texts
from codir.system import autocast
from codir.teacher import CachedTeacher, LiveTeacher, NoTeacher, Teacher, TeacherView, open_or_build_cache, table_names
from codir.trainer.checkpoints import (
    is_complete,
    kind_of_memory,
    last_complete_checkpoint,
    load_scaffolding,
    marked_incomplete,
    save_scaffolding,
)
from codir.trainer.checks import check_arguments, check_models, check_tokens
from codir.trainer.choices import build_memory, keeps_cache
from codir.trainer.distiller import Distiller
from codir.trainer.memories import Memories, rows_of_the_step
from codir.trainer.momentum import CopyFollows, MomentumCopy
from codir.trainer.stages import StageEnterer, staged_scheduler
from codir.trainer.terms import TermMeter

logger = logging.getLogger(__name__)

OPTIMIZER_NAME = "optimizer.pt"

HEAD_LEARNING_RATE_FACTOR = 20.0
"""Heads start from nothing, so they learn this much faster than the student unless told otherwise."""

DEFAULT_CACHE_DIR = Path("~/.cache/codir/teacher")


class DistillationTrainer(Trainer):
    """`transformers.Trainer` with a teacher.

    Everything that `Trainer` does goes on working: callbacks, reporting, gradient accumulation, mixed precision,
    evaluation, `load_best_model_at_end`, pushing to the hub, `accelerate launch` and `torchrun`.

    Args:
        teacher: a model with a trained classification or regression head, of any architecture. Frozen here. `None` when
            no objective needs one (preset `fine-tune`).
        student: the model to train, from `codir.build_student` or anywhere else.
        args: the usual `TrainingArguments`.
        objectives: from `codir.preset(...)`, or put together by hand; in stages or not.
        train_dataset: columns `text`, optionally `text_pair` and `label`; or tokenised already (`input_ids`, ...).
        eval_dataset: the same, or a dictionary of such. Evaluation runs the bare student.
        processing_class: the student's tokenizer.
        teacher_processing_class: the teacher's; the student's by default.
        max_length: tokens per example at the most, for texts.
        teacher_cache_dir: where teacher features are kept from run to run; `None` runs the teacher live at every step,
            which gives the same losses.
        teacher_cache: whether they are kept there; `auto`, the recipes' default, goes by `codir.teacher.choose_cache`.
        cache_dtype: of pooled layers in the cache.
        head_learning_rate: of the projection heads; `HEAD_LEARNING_RATE_FACTOR` times the student's by default.
        **trainer_kwargs: `callbacks`, `compute_metrics`, `optimizers` (heads are added to it) and what else `Trainer`
            takes; not `compute_loss_func`, `data_collator` or `model_init`.

    Raises:
        UserError: the data set has neither texts nor token ids, too few negatives, texts without a tokenizer.
        NonFiniteLossError: from `train`, before a step is taken on a loss that is NaN or infinite.
    """

    def __init__(
        self,
        teacher: PreTrainedModel | None,
        student: PreTrainedModel,
        args: TrainingArguments,
        objectives: Objectives,
        train_dataset: datasets.Dataset,
        eval_dataset: datasets.Dataset | dict[str, datasets.Dataset] | None = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        *,
        teacher_processing_class: PreTrainedTokenizerBase | None = None,
        max_length: int = 128,
        teacher_cache_dir: str | Path | None = DEFAULT_CACHE_DIR,
        teacher_cache: CacheWish = True,
        cache_dtype: StoredDtype = "float32",
        head_learning_rate: float | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        if processing_class is None:
            raise UserError(
                "processing_class",
                expected="the student's tokenizer, which also pads the batches",
                got="None",
                do="pass `processing_class=tokenizer`",
            )
        check_arguments(args, trainer_kwargs, objectives)
        check_models(teacher, student, objectives)
        if args.n_gpu > 1:
            logger.warning(
                "One process sees %d GPUs and uses one; `torchrun` or `accelerate launch` use all.", args.n_gpu
            )
            args._n_gpu = 1
        set_seed(args.seed)  # heads are made before Trainer sets it
        self.max_length, self.head_learning_rate = max_length, head_learning_rate
        objectives.build(teacher=None if teacher is None else shape_of(teacher), student=shape_of(student))
        needs = objectives.needs
        if isinstance(objectives, StagedObjectives):
            args.ddp_find_unused_parameters = True  # heads of the other stages
        encoded = self._prepare_train(train_dataset, processing_class, student)
        sampler = _build_sampler(self._kinds_of(encoded), len(encoded), objectives, args)
        self._plain_collator = self._collator(processing_class)
        self._train_collator = self._collator(processing_class, sampler)
        super().__init__(
            model=Distiller(student, objectives, cls_token_position(processing_class)),
            args=args,
            train_dataset=encoded,
            eval_dataset=self._prepare_eval(eval_dataset, processing_class),
            processing_class=processing_class,
            data_collator=self._plain_collator,
            **trainer_kwargs,
        )
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            raise UserError("args", expected="data parallelism", got="FSDP or DeepSpeed", do="launch with `torchrun`")
        self.loss_is_scaled_for_ga = False
        self.args.logging_nan_inf_filter = False  # it hides what `_stop_unless_finite` is there to find
        self._terms = TermMeter()
        self._unpushed: list[str] = []
        self.memories = Memories(self._empty_memory(), self._empty_teacher_memory())
        if isinstance(objectives, StagedObjectives):
            self.add_callback(StageEnterer(objectives, self._start_memory))
        if needs.negatives is not None and needs.negatives.memory == "momentum":
            self.add_callback(CopyFollows(self.memories))
        self.teacher: Teacher = NoTeacher()
        if teacher is not None and needs.teacher:
            tokenizer = teacher_processing_class or processing_class
            check_tokens(train_dataset, tokenizer, processing_class, objectives)
            live = self._live_teacher(teacher, tokenizer, train_dataset)
            self.teacher = self._cached_or_live(live, teacher_cache, teacher_cache_dir, cache_dtype)
            if self.teacher is live and needs.negatives is not None and needs.negatives.from_teacher:
                logger.warning("Without its cache the teacher reads the negatives too, at every step: this is slow.")

    @property
    def distiller(self) -> Distiller:
        """Student and heads, unwrapped."""
        return self.accelerator.unwrap_model(self.model)

    @property
    def student(self) -> PreTrainedModel:
        """The model that stays."""
        return self.distiller.student

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
        return self.memory if isinstance(self.memory, MemoryBank) else None

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
            outputs = model(batch=batch) if is_asked_for_tokens else model(labels=batch.labels, **batch.model_inputs)
            return (outputs.loss, outputs) if return_outputs else outputs.loss
        breakdown, vectors = model(
            batch=batch, teacher=self._teacher_now().signal(batch), negatives=self._look_up_negatives(batch)
        )
        self._stop_unless_finite(breakdown)
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

    def _look_up_negatives(self, batch: Batch) -> Negatives | None:
        needs, contrast = self._active.needs.negatives, self._active.contrast
        sampler = self._train_collator.negative_sampler
        if needs is None or contrast is None or sampler is None:
            return None
        if needs.source == "batch":
            return rows_of_the_step(batch, sampler)
        negatives = self.memories.look_up(batch, needs, sampler)
        if needs.from_teacher:
            assert batch.negative_index is not None
            pooled = self.teacher.pooled(batch.negative_index, contrast.teacher_representation)
            negatives = replace(negatives, teacher=Unprojected(pooled))
        return negatives

    def _stop_unless_finite(self, breakdown: LossBreakdown) -> None:
        if torch.isfinite(breakdown.total):  # the one wait for the device in a step; Trainer's own filter had one too
            return
        bad = [name for name, term in breakdown.terms.items() if not torch.isfinite(term)]
        last = self.last_checkpoint()
        raise NonFiniteLossError(
            f"step {self.state.global_step + 1}: loss term {' and '.join(bad) or 'total'} is not finite; no step was "
            f"taken on it. Last good checkpoint: {last or 'none was saved'}. What to do: lower the learning rate, or "
            "train in fp32 (`--precision fp32`), and resume from that checkpoint."
        )

    # ---- Parts ----

    def _live_teacher(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, dataset: datasets.Dataset
    ) -> LiveTeacher:
        view = self._view(self.distiller.objectives.needs)
        return LiveTeacher(model.to(self.args.device), dataset, tokenizer, view, max_length=self.max_length)

    def _view(self, needs: Needs) -> TeacherView:
        return TeacherView(
            needs.teacher_pooled,
            needs.hidden_states,
            needs.attention,
            needs.teacher_token_logits,
            _compute_dtype(self.args),
        )

    def _teacher_now(self) -> Teacher:
        """The teacher, asked for what the active objectives need and no more."""
        needs = self._active.needs
        if not needs.teacher:
            return NoTeacher()
        if isinstance(self.teacher, LiveTeacher):
            self.teacher.view = self._view(needs)
        return self.teacher

    def _cached_or_live(
        self, live: LiveTeacher, wanted: CacheWish, cache_dir: str | Path | None, dtype: StoredDtype
    ) -> Teacher:
        folder = Path(cache_dir or DEFAULT_CACHE_DIR).expanduser()
        wanted = wanted if cache_dir is not None else False
        if not keeps_cache(wanted, live, self.distiller.objectives.needs, self.args, folder, dtype):
            return live
        with self.args.main_process_first(desc="teacher cache"):
            folder = open_or_build_cache(live, folder, cache_dtype=dtype)
        live.model.to("cpu")
        return CachedTeacher(folder, table_names(live), self.args.device)

    def _empty_memory(self, kind: MemoryKind | None = None) -> Memory | None:
        needs, contrast = self.distiller.objectives.needs.negatives, self.distiller.objectives.contrast
        if contrast is None or needs is None or not needs.from_student:
            return None
        num_examples, dim = len(self.train_dataset), contrast.projection_dim
        return build_memory(kind or needs.memory, needs, self.args, num_examples=num_examples, dim=dim)

    def _empty_teacher_memory(self) -> Memory | None:
        needs, contrast = self.distiller.objectives.needs.negatives, self.distiller.objectives.contrast
        if contrast is None or needs is None or not needs.teacher_remembered:
            return None
        kind: MemoryKind = "bank" if needs.banked else "queue"
        num_examples, dim = len(self.train_dataset), contrast.projection_dim
        return build_memory(kind, needs, self.args, num_examples=num_examples, dim=dim)

    def _prepare_memory(self, checkpoint: str | None) -> None:
        """Start from full banks or an empty queue; a resumed run keeps the kind that it began with."""
        self.memories.copy = self._slow_copy()
        if checkpoint is None:
            self._start_memory()
            return
        needs = self.distiller.objectives.needs.negatives
        begun_with = kind_of_memory(Path(checkpoint))
        is_other = begun_with is not None and begun_with != ("queue" if self.bank is None else "bank")
        if is_other and needs is not None and needs.memory == "auto":
            self.memories.student = self._empty_memory(begun_with)

    def _start_memory(self) -> None:
        """Begin a stage: each has heads of its own, which make nothing of vectors of another's."""
        self.memories.clear()
        if self._active.contrast is None:
            return
        self.memories.copy = self._slow_copy()
        if self.bank is not None:
            self._fill_bank()
        if isinstance(self.memories.teacher, MemoryBank):
            self._fill_teacher_bank(self.memories.teacher)

    def _slow_copy(self) -> MomentumCopy | None:
        """A copy of the student as it is now, where the queue of any stage is filled by one."""
        needs = self.distiller.objectives.needs.negatives
        if needs is None or needs.memory != "momentum":
            return None
        return MomentumCopy(self.distiller, needs.encoder_momentum, dtype=_compute_dtype(self.args))

    def _fill_bank(self) -> None:
        """The first pass: every slot holds its example's vector before the first step, each process doing its share."""
        assert self.bank is not None
        self.bank.clear()
        share = range(self.args.process_index, len(self.train_dataset), self.args.world_size)
        distiller, device = self.distiller.eval(), self.args.device
        for rows, inputs in length_sorted_batches(
            self.train_dataset, self.processing_class, batch_size=self.args.eval_batch_size, rows=share
        ):
            on_device = {name: tensor.to(device) for name, tensor in inputs.items()}
            with torch.no_grad(), autocast(device, _compute_dtype(self.args)):
                vectors = distiller.student_vectors(on_device)
            self.bank.fill(torch.from_numpy(rows).to(device), vectors)
        self.bank.synchronise()

    @torch.no_grad()
    def _fill_teacher_bank(self, bank: MemoryBank) -> None:
        """The same for the teacher's vectors, which the cache gives before projection."""
        contrast = self._active.contrast
        assert contrast is not None
        bank.clear()
        share = torch.arange(self.args.process_index, len(self.train_dataset), self.args.world_size)
        for rows in torch.split(share.to(self.args.device), self.args.eval_batch_size):
            pooled = self.teacher.pooled(rows.unsqueeze(0), contrast.teacher_representation)
            bank.fill(rows, contrast.embed_teacher(pooled).squeeze(0))
        bank.synchronise()

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Trainer's own or the user's, with the heads in a group of their own at their own learning rate."""
        is_new = self.optimizer is None
        optimizer = super().create_optimizer(model)
        heads = {id(head): head for head in self.distiller.objectives.parameters()}
        if is_new:
            for group in optimizer.param_groups:
                group["params"] = [parameter for parameter in group["params"] if id(parameter) not in heads]
        known = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        missing = [head for key, head in heads.items() if key not in known]
        if missing:
            rate = self.head_learning_rate or HEAD_LEARNING_RATE_FACTOR * self.args.learning_rate
            optimizer.add_param_group({"params": missing, "lr": rate, "weight_decay": 0.0})
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

    def _prepare_train(
        self, dataset: datasets.Dataset, tokenizer: PreTrainedTokenizerBase, student: PreTrainedModel
    ) -> Any:
        return fit_labels(prepare(dataset, tokenizer, max_length=self.max_length), student.config.num_labels)

    def _kinds_of(self, encoded: datasets.Dataset) -> NDArray[Any] | None:
        """Class or score of each row, by its `example_index`; negatives are of another kind."""
        return column_of(encoded, "labels") if "labels" in encoded.column_names else None

    def _collator(self, tokenizer: PreTrainedTokenizerBase, sampler: NegativeSampler | None = None) -> Any:
        return DistillationCollator(tokenizer, sampler)

    def _prepare_eval(self, dataset: Any, tokenizer: PreTrainedTokenizerBase) -> Any:
        if isinstance(dataset, Mapping):
            return {name: self._prepare_eval(part, tokenizer) for name, part in dataset.items()}
        if dataset is None or isinstance(dataset, str):  # a string names one of `eval_dataset`'s own
            return dataset
        return prepare(dataset, tokenizer, max_length=self.max_length)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Training batches alone carry negatives."""
        self.data_collator = self._train_collator
        try:
            return super().get_train_dataloader()
        finally:
            self.data_collator = self._plain_collator

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        """Trainer's own, for texts as well as for token ids."""
        return super().get_eval_dataloader(self._prepare_eval(eval_dataset, self.processing_class))

    def get_test_dataloader(self, test_dataset: Any) -> DataLoader[Any]:
        """Trainer's own, for texts as well as for token ids."""
        return super().get_test_dataloader(self._prepare_eval(test_dataset, self.processing_class))

    def _get_train_sampler(self, train_dataset: datasets.Dataset | None = None) -> Sampler[int] | None:
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        lengths = column_of(train_dataset or self.train_dataset, "length").tolist()
        step_rows = self.args.train_batch_size * self.args.gradient_accumulation_steps
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        sampler = EpochLengthGroupedSampler(step_rows, lengths, seed=seed)
        self.add_callback(EpochSetter(sampler))
        return sampler

    def _get_eval_sampler(self, eval_dataset: datasets.Dataset) -> Sampler[int] | None:
        """Rows in their order: Trainer would group them by length too, and hand predictions back shuffled."""
        return SequentialSampler(eval_dataset) if self.args.world_size <= 1 else None

    def _remove_unused_columns(self, dataset: datasets.Dataset, description: str | None = None) -> datasets.Dataset:
        own = [name for name in ("labels", "example_index", "length") if name in dataset.column_names]
        return dataset.select_columns([*model_columns(dataset, self.processing_class), *own])

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

    # ---- Saving and resuming ----

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> Any:
        """Train; `resume_from_checkpoint=True` takes the newest whole checkpoint of `args.output_dir`.

        A resumed run ends with the same weights, to the bit, as one that was never interrupted.
        """
        checkpoint = self._resolve_checkpoint(resume_from_checkpoint)
        if isinstance(self.distiller.objectives, StagedObjectives):
            self.distiller.objectives.position = 0
        self._prepare_memory(checkpoint)
        with faster_training(self.student, one_process=self.args.world_size <= 1):
            return super().train(resume_from_checkpoint=checkpoint, **kwargs)

    def last_checkpoint(self) -> Path | None:
        """The newest checkpoint of this run that was written to its end."""
        return last_complete_checkpoint(Path(self.args.output_dir))

    def _resolve_checkpoint(self, resume_from: str | bool | None) -> str | None:
        if resume_from is None or resume_from is False:
            return None
        newest = self.last_checkpoint()
        found = newest if resume_from is True else Path(str(resume_from))
        if found is None or not is_complete(found):
            raise UserError(
                "resume_from_checkpoint",
                expected="a checkpoint that was written to its end",
                got="none" if found is None else f"{found}, which was not",
                do=f"resume from {newest}" if newest else "start the run anew",
            )
        if not (found / OPTIMIZER_NAME).exists():
            raise UserError(
                "resume_from_checkpoint",
                expected="a checkpoint with the optimiser's state",
                got=f"{found}, saved with `save_only_model`",
                otherwise="the run would have gone on from another state than it stopped in",
                do="start the run anew, without `save_only_model`",
            )
        return str(found)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Write the bare student and its tokenizer: a folder that plain transformers loads."""
        folder = output_dir or self.args.output_dir
        self.student.save_pretrained(folder)
        self.processing_class.save_pretrained(folder)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        self._refuse_to_save_nan()
        run_dir = Path(self._get_output_dir(trial=trial))
        folder = run_dir / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        limit, self.args.save_total_limit = self.args.save_total_limit, None  # nothing is deleted before this is whole
        with marked_incomplete(folder, is_writer=self.args.should_save):
            super()._save_checkpoint(model, trial)
            if self.args.should_save:
                save_scaffolding(folder, self.distiller.objectives, self.memories, training_set=self._training_set)
            self.accelerator.wait_for_everyone()  # each process writes the state of its own random numbers
        self.args.save_total_limit = limit
        while self._unpushed:
            super()._push_from_checkpoint(self._unpushed.pop())
        if self.args.should_save:
            rotate_checkpoints(
                output_dir=str(run_dir),
                save_total_limit=limit,
                best_model_checkpoint=self.state.best_model_checkpoint,
                use_mtime=True,
            )

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        self._unpushed.append(checkpoint_folder)  # not before it is whole

    @cached_property
    def _training_set(self) -> str:
        return fingerprint_texts(self.train_dataset)

    def _refuse_to_save_nan(self) -> None:
        if not all(torch.isfinite(parameter).all() for parameter in self.distiller.parameters()):
            last = self.last_checkpoint()
            raise NonFiniteLossError(
                f"step {self.state.global_step}: a weight is not finite; the checkpoint was not written. Last good "
                f"checkpoint: {last or 'none was saved'}. What to do: lower the learning rate and resume from there."
            )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        folder = Path(resume_from_checkpoint)
        self._load_student(folder)
        load_scaffolding(folder, self.distiller.objectives, self.memories, training_set=self._training_set)

    def _load_best_model(self) -> None:
        self._load_student(Path(self.state.best_model_checkpoint))

    def _load_student(self, folder: Path) -> None:
        saved = type(self.student).from_pretrained(folder, dtype=self.student.dtype)
        self.student.load_state_dict(saved.state_dict())


class EpochSetter(TrainerCallback):
    """Tells whatever goes by epochs which one it is, also where a resumed run has wrapped it too deep for others."""

    def __init__(self, follower: Any) -> None:
        self.follower = follower

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Before the first batch of the epoch is made."""
        self.follower.set_epoch(int(state.epoch or 0))


def _compute_dtype(args: TrainingArguments) -> torch.dtype:
    return torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else torch.float32


def _build_sampler(
    kinds: NDArray[Any] | None, num_examples: int, objectives: Objectives, args: TrainingArguments
) -> NegativeSampler | None:
    needs = objectives.needs.negatives
    if needs is None:
        return None
    return build_negative_sampler(
        kinds,
        num_examples=num_examples if kinds is None else len(kinds),
        count=needs.count,
        batch_size=args.train_batch_size,
        strategy=needs.strategy,
        score_distance=needs.score_distance,
        needs_classes=needs.needs_classes,
        hard_pool=needs.hard_pool,
        seed=args.seed if args.data_seed is None else args.data_seed,
    )
