"""What a Fabric is made of, and how its processes come to be."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

import torch

from fulmen_core.fabric._loggers import FabricLoggers
from fulmen_core.fabric._options import make_parts
from fulmen_core.fabric._session import FabricSession
from fulmen_core.random import capture_random_state, restore_random_state
from fulmen_core.resolver import RunPlan
from fulmen_interfaces import (
    Accelerator,
    CheckpointIO,
    ClusterEnvironment,
    ConfigurationError,
    Logger,
    Precision,
    Problem,
    Strategy,
    World,
)

FabricPlugin = Precision | CheckpointIO | ClusterEnvironment


class FabricBase:
    """The parts, the processes, and this process' place among them."""

    def __init__(
        self,
        *,
        accelerator: str | Accelerator = "auto",
        strategy: str | Strategy = "auto",
        devices: int | str | Sequence[int] = "auto",
        num_nodes: int = 1,
        precision: str | int | Precision | None = None,
        plugins: FabricPlugin | Sequence[FabricPlugin] | None = None,
        callbacks: Any = None,
        loggers: Logger | str | Sequence[Logger | str] | None = None,
    ) -> None:
        self._parts = make_parts(
            accelerator=accelerator,
            strategy=strategy,
            devices=devices,
            num_nodes=num_nodes,
            precision=precision,
            plugins=plugins,
            callbacks=callbacks,
            loggers=loggers,
        )
        self._session: FabricSession | None = None
        self._loggers: FabricLoggers | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "run" in vars(cls):
            cls.run = _launching(vars(cls)["run"])  # type: ignore[method-assign]

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what this process has: those that a launcher starts have their own."""
        return {**vars(self), "_session": None, "_loggers": None}

    # -- processes -----------------------------------------------------------------------------------------------------

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Do the work, in a subclass: calling it launches the processes first, each of which runs it."""
        raise NotImplementedError(
            f"{type(self).__name__} has no `run`. Define `run(self)` in a subclass of Fabric, or call `launch`."
        )

    def launch(self, function: Callable[..., Any] | None = None, *args: Any, **kwargs: Any) -> Any:
        """Start the processes, and run `function(fabric, *args, **kwargs)` in each if there is one.

        Without a function the program goes on in every process, each of which runs the whole script. Where one process
        is enough, the call may be left out. Returns what the function returned, that of rank zero where the calling
        process takes no part itself (`ddp_spawn`, `ddp_fork`, notebooks), which need a function.
        """
        if function is not None:
            _check_function(function)
        if self._session is not None:
            return None if function is None else function(self, *args, **kwargs)
        plan = self._parts.plan
        launcher = plan.make_launcher()
        if plan.launcher is not None:
            if function is None and launcher.interactive:
                raise _needs_function(plan)
            _ = [logger.version for logger in self._parts.loggers]  # chosen once, here, not in each process
        work = partial(self._work, os.getpid(), capture_random_state(), partial(_call, function, args, kwargs))
        return launcher.launch(work, plan.launch_settings)

    def close(self) -> None:
        """End what this process has: loggers finish, the strategy leaves the other processes and frees its memory.

        There is no need to: all of it ends with the process. In a notebook it gives the device's memory back.
        """
        session, self._session = self._session, None
        if self._loggers is not None:
            self._loggers.finish()
            self._loggers = None
        if session is not None:
            session.strategy.teardown()
            session.accelerator.teardown()

    def _work(self, home: int, random: Any, call: Callable[[FabricBase], Any], world: World) -> Any:
        """Be one of the processes: the caller's, or one that was started for this."""
        is_home = os.getpid() == home
        if not is_home:
            restore_random_state(random)
        self._begin(world)
        try:
            return call(self)
        finally:
            if not is_home:
                self.close()

    def _begin(self, world: World) -> FabricSession:
        parts = self._parts
        self._session = FabricSession(parts.plan, parts.strategy, parts.precision, world)
        return self._session

    def _launched(self, wanted: str) -> FabricSession:
        """Return the session; begin it where that needs no other process."""
        if self._session is not None:
            return self._session
        plan = self._parts.plan
        if plan.world_size > 1:
            reason = f"`fabric.{wanted}` was called before `fabric.launch()`, so its {plan.world_size} processes "
            reason += "do not work together yet."
            raise ConfigurationError(
                [Problem("strategy", plan.strategy_spec.name, reason, "Call `fabric.launch()` first.")]
            )
        return self._begin(self._world)

    # -- this process --------------------------------------------------------------------------------------------------

    @property
    def _world(self) -> World:
        """The place of this process; before the launch, as far as it is known."""
        if self._session is not None:
            return self._session.world
        plan = self._parts.plan
        if plan.joins and plan.environment is not None:
            place: World = plan.environment.make().world()
            return place
        return World(size=plan.world_size, num_nodes=plan.num_nodes)

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        if self._session is not None:
            return self._session.device
        return self.accelerator.device(self._parts.plan.devices[self._world.local_rank])

    @property
    def world_size(self) -> int:
        """Processes of all machines."""
        return self._world.size

    @property
    def global_rank(self) -> int:
        """This process among all."""
        return self._world.rank

    @property
    def local_rank(self) -> int:
        """This process among those of its machine."""
        return self._world.local_rank

    @property
    def node_rank(self) -> int:
        """This machine among all."""
        return self._world.node_rank

    @property
    def is_global_zero(self) -> bool:
        """Whether this process writes files."""
        return self._world.is_global_zero

    @property
    def accelerator(self) -> Accelerator:
        """The family of devices."""
        return self._parts.plan.make_accelerator() if self._session is None else self._session.accelerator

    @property
    def strategy(self) -> Strategy:
        """How models are trained over the processes."""
        return self._parts.strategy

    @property
    def loggers(self) -> list[Logger]:
        """All loggers."""
        return list(self._parts.loggers)

    @property
    def logger(self) -> Logger | None:
        """The first logger, if any."""
        return self._parts.loggers[0] if self._parts.loggers else None

    @property
    def _logging(self) -> FabricLoggers:
        if self._loggers is None:
            self._loggers = FabricLoggers(self._parts.loggers, is_global_zero=self.is_global_zero)
        return self._loggers

    def plan(self) -> RunPlan:
        """Print which parts this Fabric is made of, and return them."""
        if self.is_global_zero:
            print(self._parts.plan)  # noqa: T201
        return self._parts.plan


def _call(function: Callable[..., Any] | None, args: Any, kwargs: Any, fabric: FabricBase) -> Any:
    return None if function is None else function(fabric, *args, **kwargs)


def _run(fabric: FabricBase, *args: Any, **kwargs: Any) -> Any:
    return fabric.run(*args, **kwargs)


def _launching(run: Callable[..., Any]) -> Callable[..., Any]:
    """Return a subclass' `run` as users call it: it launches, and runs in every process."""

    @wraps(run)
    def launching(self: FabricBase, *args: Any, **kwargs: Any) -> Any:
        if self._session is None:
            return self.launch(_run, *args, **kwargs)
        return run(self, *args, **kwargs)

    return launching


def _check_function(function: object) -> None:
    remedy = "Write `fabric.launch(function, *args)` with a `def function(fabric, *args)`."
    if not callable(function):
        raise ConfigurationError([Problem("function", function, "It cannot be called.", remedy)])
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # built in: nothing is known of it
        return
    if not parameters:
        reason = "It takes no argument, but is called with the Fabric as its first one."
        raise ConfigurationError([Problem("function", function, reason, remedy)])


def _needs_function(plan: RunPlan) -> ConfigurationError:
    reason = "It runs a function in new processes, so `launch` must be given one: nothing after it would run in them."
    remedy = "Write `fabric.launch(train)` with a `def train(fabric)`, or use 'ddp', which runs the script again."
    return ConfigurationError([Problem("strategy", plan.strategy_spec.name, reason, remedy)])
