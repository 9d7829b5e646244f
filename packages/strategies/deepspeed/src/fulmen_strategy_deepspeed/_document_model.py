"""What a DeepSpeed config may hold at its top level. Imported only when there is one to check."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveInt

Section = dict[str, Any]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Made(_Strict):
    """An optimizer or a scheduler that DeepSpeed is to make."""

    type: str
    params: Section = {}
    legacy_fusion: bool = False


class ActivationCheckpointing(_Strict):
    """What `deepspeed.checkpointing.checkpoint` does."""

    partition_activations: bool = False
    contiguous_memory_optimization: bool = False
    cpu_checkpointing: bool = False
    number_checkpoints: PositiveInt | None = None
    synchronize_checkpoint_boundary: bool = False
    profile: bool = False


class Document(_Strict):
    """The whole config. Sections that DeepSpeed has models for are checked by these."""

    activation_checkpointing: ActivationCheckpointing = ActivationCheckpointing()
    aio: Section = {}
    amp: Section = {}
    autotuning: Section = {}
    bf16: Section = {}
    checkpoint: Section = {}
    comet: Section = {}
    comms_logger: Section = {}
    communication_data_type: str | None = None
    compile: Section = {}
    csv_monitor: Section = {}
    data_efficiency: Section = {}
    data_types: Section = {}
    dataloader_drop_last: bool = False
    disable_allgather: bool = False
    disable_python_gc: bool = False
    dump_state: bool = False
    expert_parallel: Section = {}
    flops_profiler: Section = {}
    fp16: Section = {}
    gradient_accumulation_steps: PositiveInt = 1
    gradient_allreduce_op: str = "mean"
    gradient_clipping: NonNegativeFloat = 0.0
    gradient_predivide_factor: float = 1.0
    hybrid_engine: Section = {}
    log_level: str | None = None
    managed_gradient_accumulation: bool = True
    memory_breakdown: bool = False
    optimizer: Made | None = None
    pipeline: Section = {}
    prescale_gradients: bool = False
    scheduler: Made | None = None
    seq_parallel_communication_data_type: str | None = None
    sequence_parallel_size: int = 1
    steps_per_print: int | None = None
    tensor_parallel: Section = {}
    tensorboard: Section = {}
    timers: Section = {}
    torch_autocast: Section = {}
    train_batch_size: int | None = None
    train_micro_batch_size_per_gpu: PositiveInt = 1
    use_data_before_expert_parallelism: bool = False
    vocabulary_size: int | None = None
    wall_clock_breakdown: bool = False
    wandb: Section = {}
    weight_quantization: Section = {}
    zero_allow_untested_optimizer: bool = True
    zero_force_ds_cpu_optimizer: bool = False
    zero_optimization: Section = {}
