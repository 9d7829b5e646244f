"""Optimizer states, gradients and weights divided among the processes: DeepSpeed's ZeRO."""

from __future__ import annotations

import copy
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, final

import torch
from torch import nn

from fulmen_distributed import DEFAULT_TIMEOUT, OnDevice, ProcessGroup, WeakList, synchronise_batchnorm
from fulmen_interfaces import (
    Collectives,
    DType,
    FulmenError,
    Placement,
    PreparedModel,
    PrepareRequest,
    Refusal,
    SingleProcessCollectives,
    StateDictType,
    StrategySpec,
)
from fulmen_strategy_deepspeed._build import complete, convert, make_engine
from fulmen_strategy_deepspeed._conversion import apply_precision
from fulmen_strategy_deepspeed._document import (
    check_device,
    check_names,
    check_sections,
    contradictions,
    raise_if_any,
    read_config,
    undriven,
)
from fulmen_strategy_deepspeed._library import load, meet, tell_device, told_device
from fulmen_strategy_deepspeed._model import ZeroModel
from fulmen_strategy_deepspeed._optimizers import check_optimizers, warn_of_slow_steps
from fulmen_strategy_deepspeed._pieces import is_in_pieces
from fulmen_strategy_deepspeed._settings import Settings, merge, unknown_settings
from fulmen_strategy_deepspeed._whole import whole_model

if TYPE_CHECKING:
    from typing_extensions import Unpack


@final
class DeepSpeedStrategy:
    """Trains over several processes with DeepSpeed's ZeRO.

    Stage 1 divides the states of the optimizer, stage 2 the gradients, too, and stage 3 also the weights.

    Args:
        config: entries of DeepSpeed's config, as a dict or the path of a JSON file; None: the file that the variable
            PL_DEEPSPEED_CONFIG_PATH names, if there is one.
        state_dict_type: whether `save_checkpoint` writes one file or a directory into which every rank writes a part.
        gather_for_evaluation: bring the weights of stage 3 together once for a whole evaluation. Without it they are
            gathered layer by layer, and all ranks must have the same number of batches.
        restore_weights: give the module whole weights in host memory when a run of stage 3 ends.
        logging_level: of DeepSpeed's own logger.
        process_group_backend: what carries messages between devices; None: what the accelerator names.
        timeout: how long a process waits for the others before the run fails.
        settings: stage, offload_optimizer, offload_parameters, allgather_bucket_size and the others of `Settings`.
    """

    def __init__(
        self,
        *,
        config: Mapping[str, Any] | str | os.PathLike[str] | None = None,
        state_dict_type: StateDictType | str = StateDictType.FULL,
        gather_for_evaluation: bool = True,
        restore_weights: bool = True,
        logging_level: int = logging.WARNING,
        process_group_backend: str | None = None,
        timeout: timedelta | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        self._config = read_config(config)
        problems = [*unknown_settings(settings), *merge(settings, self._config)]
        raise_if_any([*problems, *check_names(self._config)])
        self._state_dict_type = StateDictType(state_dict_type)
        self._gather, self._restore = gather_for_evaluation, restore_weights
        self._level = logging_level
        self._group = ProcessGroup(backend=process_group_backend, timeout=timeout or DEFAULT_TIMEOUT)
        self._placement: Placement | None = None
        self._library: ModuleType | None = None
        self._collectives: Collectives = SingleProcessCollectives()
        self._models: list[ZeroModel] = []
        self._placed: WeakList[nn.Module] = WeakList()
        self._told: int | None = None
        self._linear: Any = None
        self._handled: BaseException | None = None
        """What the caller was handling when the run began: no failure of the run itself."""

    @property
    def stage(self) -> int:
        """What is divided: 1, 2 or 3."""
        stage: int = self._config["zero_optimization"]["stage"]
        return stage

    @property
    def config(self) -> dict[str, Any]:
        """A copy of what DeepSpeed will get; precision and clipping of a run come on top."""
        return copy.deepcopy(self._config)

    @property
    def spec(self) -> StrategySpec:
        """What it offers and needs."""
        return DEEPSPEED_NVME_SPEC if self._uses_nvme() else DEEPSPEED_SPEC

    @property
    def collectives(self) -> Collectives:
        """Those of the run's process group."""
        return self._collectives

    @property
    def root_device(self) -> torch.device:
        """The device of this process in the newest run; the host's before the first."""
        return self._group.device

    def start(self, placement: Placement) -> None:
        """Join the other processes, and import DeepSpeed."""
        self._handled = sys.exc_info()[1]
        self._collectives = self._group.join(placement)
        self._told = told_device()
        self._linear = torch.nn.functional.linear
        self._placement = placement
        self._library = load(placement.device.type, level=self._level)
        tell_device(placement.world.local_rank if placement.device.index is None else placement.device.index)
        meet(self._library)
        raise_if_any([*check_sections(self._config), *check_device(self._config, placement.device.type)])

    def prepare(self, request: PrepareRequest) -> PreparedModel:
        """Convert, place and wrap the model. Every rank begins with the weights of rank zero."""
        placement, library = self._started()
        raise_if_any(list(contradictions(self._config, request)))
        if request.sync_batchnorm:
            synchronise_batchnorm(request.module, placement.device.type)
        config = self.config
        conversions = apply_precision(config, request.precision, placement.device.type)
        raise_if_any(list(undriven(config)))
        convert(request, conversions)
        optimizers = tuple(request.make_optimizers())
        made_by_engine = "optimizer" in config and request.training
        check_optimizers(optimizers, config, made_by_engine=made_by_engine)
        warn_of_slow_steps(optimizers, config)
        if not optimizers and not made_by_engine and not self._stays_in_pieces(request.module):
            self._placed.append(request.entry)
            return whole_model(request, placement.device, self._state_dict_type)
        complete(config, placement.device.type)
        engine, groups = make_engine(library, request, config=config, optimizers=optimizers, device=placement.device)
        model = ZeroModel(
            request.module,
            request.entry,
            engine=engine,
            groups=groups,
            stage=self.stage,
            conversions=conversions,
            state_dict_type=self._state_dict_type,
            gather=self._gather,
        )
        self._models.append(model)
        return model

    def init_context(self, device: torch.device, *, empty: bool = False) -> AbstractContextManager[Any]:
        """Return a context for making modules: within a run of stage 3 in pieces, otherwise whole, on the device.

        Modules made in pieces have rank zero's initial values.
        """
        if self._library is None or self.stage != 3:
            return OnDevice(device, empty=empty)
        return self._in_pieces(self._library, device)

    @contextmanager
    def _in_pieces(self, library: ModuleType, device: torch.device) -> Iterator[None]:
        config = self.config
        complete(config, device.type)
        if torch.get_default_dtype() is torch.bfloat16:  # so says the precision
            config.setdefault("bf16", {})["enabled"] = True
        with library.zero.Init(config_dict_or_path=config, mem_efficient_linear=False):
            yield

    def teardown(self) -> None:
        """Leave the other processes; modules return to the host, whole ones unless the run failed."""
        failed = sys.exc_info()[1] not in (None, self._handled)
        models, self._models = self._models, []
        try:
            for model in models:
                model.release(restore=not failed and (self._restore or self.stage != 3))
        finally:
            self._leave()

    def _leave(self) -> None:
        self._collectives = SingleProcessCollectives()
        for module in self._placed:
            module.to("cpu")
        self._placed.clear()
        if self._placement is not None:
            torch.nn.functional.linear = self._linear  # DeepSpeed may have put its own in its place
            tell_device(self._told)
        self._placement = None
        self._library = None
        self._group.leave()

    def _started(self) -> tuple[Placement, ModuleType]:
        if self._placement is None or self._library is None:
            raise FulmenError("`prepare` was called before `start`, which says on which device. Call `start` first.")
        return self._placement, self._library

    def _uses_nvme(self) -> bool:
        zero = self._config["zero_optimization"]
        return any(zero.get(section, {}).get("device") == "nvme" for section in ("offload_optimizer", "offload_param"))

    def _stays_in_pieces(self, module: nn.Module) -> bool:
        """Return whether the weights are divided although nothing is trained."""
        return self.stage == 3 and (not self._gather or any(map(is_in_pieces, module.parameters())))


_NO_FLOAT16 = Refusal(
    reason="DeepSpeed keeps weights in float16 under this precision, which it does not do on CPUs.",
    remedy="Write precision='bf16-mixed'.",
    device_types=frozenset({"cpu"}),
    precisions=frozenset({"16-mixed"}),
)
_NO_NVME = Refusal(
    reason="Weights and states go from GPUs to NVMe drives; without a GPU there is nothing to make room in.",
    remedy="Write strategy='deepspeed_stage_3'.",
    device_types=frozenset({"cpu"}),
)
_FITS: dict[str, Any] = {
    "launcher": "subprocess",
    "device_types": frozenset({"cpu", "cuda"}),
    "autocast": frozenset({DType.FLOAT16, DType.BFLOAT16}),
    "cast": frozenset({DType.FLOAT32, DType.BFLOAT16}),
    "late_optimizers": False,
    "writable_weights": False,
}

DEEPSPEED_SPEC = StrategySpec(
    name="deepspeed",
    create=DeepSpeedStrategy,
    summary="DeepSpeed's ZeRO: states, gradients and, in stage 3, weights are divided among the devices.",
    priority=10,
    refusals=(_NO_FLOAT16,),
    **_FITS,
)
DEEPSPEED_NVME_SPEC = StrategySpec(
    name="deepspeed_stage_3_offload_nvme",
    create=partial(
        DeepSpeedStrategy,
        stage=3,
        offload_optimizer=True,
        offload_parameters=True,
        offload_optimizer_device="nvme",
        offload_params_device="nvme",
    ),
    summary="DeepSpeed's ZeRO 3, with weights and states on NVMe drives.",
    priority=5,
    refusals=(_NO_FLOAT16, _NO_NVME),
    **_FITS,
)
