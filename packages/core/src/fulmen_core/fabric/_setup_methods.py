"""Making models, optimizers and data ready."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from fulmen_core._seed import seed_everything
from fulmen_core.batches import move_to_device, transfer_function
from fulmen_core.data import DevicePrefetch, Sharding, require_batches, seed_workers
from fulmen_core.fabric._base import FabricBase
from fulmen_core.fabric._link import attach
from fulmen_core.fabric._loader import FabricDataLoader
from fulmen_core.fabric._model import SetUpModel
from fulmen_core.fabric._module import FabricModule
from fulmen_core.fabric._optimizer import FabricOptimizer
from fulmen_core.fabric._set_up import adopt, refuse_elsewhere, set_up_alone, set_up_together
from fulmen_core.fabric._wrapped import is_wrapped
from fulmen_core.trainer._module_init import module_init
from fulmen_interfaces import ConfigurationError, Problem, SupportsAsyncTransfer


class SetupMethods(FabricBase):
    """What is called once, before the loop."""

    def setup(
        self, module: nn.Module, *optimizers: Optimizer, scheduler: Any = None, move_to_device: bool = True
    ) -> Any:
        """Return the module, and the optimizers over its parameters, ready for training. On all ranks.

        Every rank begins with the weights of rank zero. Optimizers go on with the parameters by which a strategy
        replaces those that they were made over. With a `scheduler` it is returned last, over what steps from now on.
        """
        session = self._launched("setup")
        self._check(module, optimizers, move_to_device)
        if not optimizers:
            wrapped = self.setup_module(module, move_to_device=move_to_device)
            return wrapped if scheduler is None else (wrapped, scheduler)
        model = set_up_together(session, module, optimizers)
        ready = [self._ready_optimizer(one, model) for one in model.prepared.optimizers]
        if scheduler is not None:
            _let_step(scheduler, optimizers, model.prepared.optimizers)
        wrapped = self._ready_module(model)
        return (wrapped, *ready) if scheduler is None else (wrapped, *ready, scheduler)

    def setup_module(self, module: nn.Module, move_to_device: bool = True) -> FabricModule:
        """Return a module ready for training, whose optimizers are made afterwards, or for evaluation. On all ranks.

        With strategies that make modules ready for training only together with their optimizers, for evaluation alone.
        """
        session = self._launched("setup_module")
        self._check(module, (), move_to_device)
        return self._ready_module(set_up_alone(session, module))

    def setup_optimizers(self, *optimizers: Optimizer) -> Any:
        """Return one optimizer, or a tuple of several, that were made over parameters of modules set up before."""
        session = self._launched("setup_optimizers")
        if not optimizers:
            raise ConfigurationError([Problem("optimizers", (), "There is none.", "Give at least one optimizer.")])
        for one in optimizers:
            _refuse_wrapped("optimizers", one)
        ready = tuple(self._ready_optimizer(one, adopt(session, one)) for one in optimizers)
        return ready[0] if len(ready) == 1 else ready

    def setup_dataloaders(
        self,
        *dataloaders: Any,
        use_distributed_sampler: bool = True,
        move_to_device: bool = True,
        even_batches: bool = True,
    ) -> Any:
        """Return one loader, or a list of several, that give batches on the device. On all ranks.

        Over n processes, rank r reads samples r, r + n, ... of what the loader's sampler chooses, and all ranks have as
        many batches, to which end some samples may come twice. With `even_batches=False`, for evaluation, the batches
        that one process would read are dealt out whole (batches r, r + n, ...), so that every sample comes once and in
        order; ranks may then have different numbers of batches, so no collective may be called inside the loop.
        Iterable data without `set_rank`, and loaders with a `DistributedSampler`, are left as they are.
        """
        session = self._launched("setup_dataloaders")
        if not dataloaders:
            raise ConfigurationError([Problem("dataloaders", (), "There is none.", "Give at least one loader.")])
        for one in dataloaders:
            _refuse_wrapped("dataloaders", one)
            require_batches(one, "`fabric.setup_dataloaders` was given")
            seed_workers(one, session.world.rank)
        shard: Any = _unchanged
        if use_distributed_sampler and session.world.size > 1:
            sharding = Sharding(session.world, session.collectives.broadcast(torch.initial_seed()))
            shard = sharding.for_training if even_batches else sharding.for_evaluation
        move, prefetch = None, None
        if move_to_device:
            move, accelerator = transfer_function(session.device), session.accelerator
            if move is not None and isinstance(accelerator, SupportsAsyncTransfer):
                prefetch = DevicePrefetch(move, accelerator, session.device)
        around = nullcontext if even_batches else session.uneven_batches
        device = session.device if move_to_device else None
        ready = [FabricDataLoader(one, shard(one), move, prefetch, around, device) for one in dataloaders]
        return ready[0] if len(ready) == 1 else ready

    def to_device(self, obj: Any) -> Any:
        """Return a module, a tensor or a nested collection of them on the device of this process."""
        return move_to_device(obj, self.device)

    @contextmanager
    def init_module(self, empty_init: bool | None = None) -> Iterator[None]:
        """Inside, modules are made where they will be trained, in the precision's type.

        With `empty_init`, initial weights are not computed where the strategy can do without: for modules whose weights
        are loaded afterwards.
        """
        session = self._launched("init_module")
        with module_init(session.strategy, session.precision, session.device, empty=bool(empty_init)):
            yield

    @contextmanager
    def init_tensor(self) -> Iterator[None]:
        """Inside, tensors are made on the device, in the precision's type."""
        session = self._launched("init_tensor")
        with session.precision.init_context(), session.device:
            yield

    def sharded_model(self) -> AbstractContextManager[None]:
        """Return the context of `init_module`, which took its place."""
        return self.init_module()

    @staticmethod
    def seed_everything(seed: int | None = None, workers: bool | None = None, verbose: bool = True) -> int:
        """Seed Python, NumPy and torch, as `fulmen.seed_everything` does; returns the seed."""
        return seed_everything(seed, workers=bool(workers), verbose=verbose)

    def call(self, hook_name: str, *args: Any, **kwargs: Any) -> None:
        """Call that method of every callback that has it."""
        for callback in self._parts.callbacks:
            method = getattr(callback, hook_name, None)
            if method is None:
                continue
            if not callable(method):
                reason = f"{type(callback).__name__}.{hook_name} is no method but {method!r}."
                raise ConfigurationError([Problem("hook_name", hook_name, reason, "Give the name of a method.")])
            method(*args, **kwargs)

    def _check(self, module: object, optimizers: tuple[Any, ...], move: bool) -> None:
        for argument, given, kind in (("module", [module], nn.Module), ("optimizers", optimizers, Optimizer)):
            for one in given:
                _refuse_wrapped(argument, one)
                if not isinstance(one, kind):
                    reason = f"It is no `torch.{'nn.Module' if kind is nn.Module else 'optim.Optimizer'}`."
                    remedy = "Write `fabric.setup(module, *optimizers)`."
                    raise ConfigurationError([Problem(argument, one, reason, remedy)])
        if not move and isinstance(module, nn.Module):
            refuse_elsewhere(module, self.device)

    def _ready_module(self, model: SetUpModel) -> FabricModule:
        wrapped = FabricModule(model)
        attach(self, model)
        self.call("on_after_setup", fabric=self, module=wrapped)
        return wrapped

    def _ready_optimizer(self, optimizer: Optimizer, model: SetUpModel) -> FabricOptimizer:
        ready = FabricOptimizer(optimizer, model, self._after_step)
        model.optimizers.append(ready)
        return ready

    def _after_step(self, optimizer: FabricOptimizer) -> None:
        if self._parts.callbacks:
            self.call("on_after_optimizer_step", strategy=self.strategy, optimizer=optimizer)


def _refuse_wrapped(argument: str, given: object) -> None:
    if is_wrapped(given):
        reason = "It was set up already."
        raise ConfigurationError(
            [Problem(argument, given, reason, "Set each object up once, and use what it returns.")]
        )


def _let_step(scheduler: Any, optimizers: tuple[Optimizer, ...], prepared: Any) -> None:
    """Let a scheduler change the learning rates of what steps: a strategy may have put its own optimizer in place."""
    for own, other in zip(optimizers, prepared, strict=False):
        if getattr(scheduler, "optimizer", None) is own and other.param_groups is not own.param_groups:
            scheduler.optimizer = other


def _unchanged(loader: Any) -> Any:
    return loader
