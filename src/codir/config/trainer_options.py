"""The options of `transformers.TrainingArguments` that a recipe may set, with their types; nothing is loaded.

An option that is not set is left to `transformers`. What codir decides itself is refused in `codir.config.training`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt

from codir.config.base import Room
from codir.config.words import EvalStrategy

ShareBelowOne = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
AtLeastZero = Annotated[float, Field(ge=0, allow_inf_nan=False)]
AboveZero = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _whole_from_one_on(steps: float) -> float:
    if steps >= 1 and steps != int(steps):
        raise ValueError("a whole number of steps, or a share of all steps below 1")
    return steps


Interval = Annotated[AboveZero, AfterValidator(_whole_from_one_on)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Scheduler = Literal[
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup",
    "inverse_sqrt", "reduce_lr_on_plateau", "cosine_with_min_lr", "cosine_warmup_with_min_lr",
    "warmup_stable_decay", "greedy",
]  # fmt: skip
Optimizer = Literal[
    "adamw_torch", "adamw_torch_fused", "adamw_torch_xla", "adamw_torch_npu_fused", "adafactor",
    "adamw_anyprecision", "adamw_torch_4bit", "adamw_torch_8bit", "ademamix", "sgd", "adagrad",
    "adamw_bnb_8bit", "adamw_8bit", "ademamix_8bit", "lion_8bit", "lion_32bit", "paged_adamw_32bit",
    "paged_adamw_8bit", "paged_ademamix_32bit", "paged_ademamix_8bit", "paged_lion_32bit", "paged_lion_8bit",
    "rmsprop", "rmsprop_bnb", "rmsprop_bnb_8bit", "rmsprop_bnb_32bit", "galore_adamw", "galore_adamw_8bit",
    "galore_adafactor", "galore_adamw_layerwise", "galore_adamw_8bit_layerwise", "galore_adafactor_layerwise",
    "lomo", "adalomo", "grokadamw", "schedule_free_radam", "schedule_free_adamw", "schedule_free_sgd",
    "apollo_adamw", "apollo_adamw_layerwise", "stable_adamw",
]  # fmt: skip
Reporter = Literal[
    "none", "all", "azure_ml", "clearml", "codecarbon", "comet_ml", "dagshub", "dvclive", "flyte", "kubeflow",
    "mlflow", "neptune", "swanlab", "tensorboard", "trackio", "wandb",
]  # fmt: skip
DebugOption = Literal["underflow_overflow", "tpu_metrics_debug"]
LogLevel = Literal[
    "critical", "debug", "detail", "error", "info", "passive", "warning",
]  # fmt: skip


class TrainerOptions(Room):
    """Options of `transformers.TrainingArguments` without a default of codir's own."""

    max_steps: Annotated[int, Field(ge=-1)] | None = Field(None, description="optimiser steps, in place of epochs")
    lr_scheduler_type: Scheduler | None = None
    lr_scheduler_kwargs: dict[str, Any] | None = None
    optim: Optimizer | None = None
    optim_args: str | None = None
    optim_target_modules: str | list[str] | None = None
    adam_beta1: ShareBelowOne | None = None
    adam_beta2: ShareBelowOne | None = None
    adam_epsilon: AtLeastZero | None = None
    gradient_accumulation_steps: PositiveInt | None = None
    average_tokens_across_devices: bool | None = None
    max_grad_norm: AtLeastZero | None = None
    bf16_full_eval: bool | None = None
    fp16_full_eval: bool | None = None
    tf32: bool | None = None
    activation_checkpointing: bool | None = None
    activation_checkpointing_kwargs: dict[str, Any] | None = None
    gradient_checkpointing: bool | None = None
    gradient_checkpointing_kwargs: dict[str, Any] | None = None
    torch_compile: bool | None = None
    torch_compile_backend: str | None = None
    torch_compile_mode: str | None = None
    use_liger_kernel: bool | None = None
    liger_kernel_config: dict[str, bool] | None = None
    use_cache: bool | None = None
    neftune_noise_alpha: AtLeastZero | None = None
    torch_empty_cache_steps: PositiveInt | None = None
    auto_find_batch_size: bool | None = None
    logging_strategy: EvalStrategy | None = None
    logging_first_step: bool | None = None
    log_on_each_node: bool | None = None
    logging_nan_inf_filter: bool | None = None
    include_num_input_tokens_seen: str | bool | None = None
    log_level: LogLevel | None = None
    log_level_replica: LogLevel | None = None
    disable_tqdm: bool | None = None
    run_name: str | None = None
    project: str | None = None
    trackio_space_id: str | None = None
    trackio_bucket_id: str | None = None
    trackio_static_space_id: str | Literal[False] | None = None
    eval_steps: Interval | None = None
    eval_delay: AtLeastZero | None = None
    prediction_loss_only: bool | None = None
    eval_on_start: bool | None = None
    eval_do_concat_batches: bool | None = None
    eval_use_gather_object: bool | None = None
    eval_accumulation_steps: PositiveInt | None = None
    include_for_metrics: list[str] | None = None
    batch_eval_metrics: bool | None = None
    save_only_model: bool | None = None
    save_steps: Interval | None = None
    save_on_each_node: bool | None = None
    enable_jit_checkpoint: bool | None = None
    load_best_model_at_end: bool | None = None
    metric_for_best_model: str | None = None
    greater_is_better: bool | None = None
    ignore_data_skip: bool | None = None
    restore_callback_states_from_checkpoint: bool | None = None
    full_determinism: bool | None = None
    data_seed: Seed | None = None
    use_cpu: bool | None = None
    accelerator_config: dict[str, Any] | str | None = None
    parallelism_config: dict[str, Any] | None = None
    dataloader_drop_last: bool | None = None
    dataloader_num_workers: NonNegativeInt | None = None
    dataloader_pin_memory: bool | None = None
    dataloader_persistent_workers: bool | None = None
    dataloader_prefetch_factor: PositiveInt | None = None
    dataloader_multiprocessing_context: str | None = None
    dataloader_in_order: bool | None = None
    remove_unused_columns: bool | None = None
    label_names: list[str] | None = None
    length_column_name: str | None = None
    ddp_find_unused_parameters: bool | None = None
    ddp_bucket_cap_mb: PositiveInt | None = None
    ddp_broadcast_buffers: bool | None = None
    ddp_static_graph: bool | None = None
    ddp_backend: str | None = None
    ddp_timeout: PositiveInt | None = None
    fsdp: str | None = None
    fsdp_config: dict[str, Any] | str | None = None
    deepspeed: dict[str, Any] | str | None = None
    debug: DebugOption | list[DebugOption] | None = None
    skip_memory_metrics: bool | None = None
    do_train: bool | None = None
    do_eval: bool | None = None
    do_predict: bool | None = None
    local_rank: int | None = None
