"""Where `self.log` goes: a record per name and hook, fixed at first use, found by one look-up afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import torch

from fulmen_core.data import BatchSizes
from fulmen_core.logging._accumulators import make_accumulator
from fulmen_core.logging._metrics import is_metric
from fulmen_core.logging._policy import LOG_POLICIES, LogPolicy
from fulmen_core.logging._record import REDUCTION, Record, RecordOptions
from fulmen_interfaces import Hook, LoggingError, did_you_mean

_DATALOADER_SUFFIX = "/dataloader_idx_"


@dataclass
class RecordGroup:
    """All records of training, or of one evaluation."""

    training: bool = False
    """Whether callbacks see the values of single steps."""
    records: list[Record] = field(default_factory=list)
    borrowed: list[Record] = field(default_factory=list)
    """What only other ranks have logged, for values of the epoch."""
    logs_steps: bool = False
    """Whether any record keeps values per step."""


class Scope:
    """Logging in one hook."""

    __slots__ = ("group", "hook", "policy", "records")

    def __init__(self, hook: Hook, group: RecordGroup) -> None:
        self.hook = hook
        self.policy: LogPolicy | None = LOG_POLICIES.get(hook)
        self.group = group
        self.records: dict[tuple[Any, ...], Record] = {}

    @property
    def shown_at_once(self) -> bool:
        """Whether what is logged in this hook is shown before the hook is over."""
        return self.policy is not None and self.policy.shown_at_once


class Recorder:
    """Receives every `log` of a run. The loop says which hook runs and which batch is worked on."""

    def __init__(self) -> None:
        self.scope: Scope | None = None
        """The hook that is running; written by the loop before each call into user code that may log."""
        self.batch: Any = None
        """The batch that is worked on, from which a batch size is taken when one is needed."""
        self.loader_idx: int | None = None
        """The evaluation loader that is read, where there are several."""
        self.muted = False
        """Whether the training batch that is worked on counts nothing: it leaves no trace in the epoch's values."""
        self.training = RecordGroup(training=True)
        self.evaluation = RecordGroup()
        self._sizes = BatchSizes()
        self._scopes: dict[tuple[int, Hook], Scope] = {}

    def scope_of(self, hook: Hook, group: RecordGroup) -> Scope:
        """Return the one scope of a hook in a group."""
        return self._scopes.setdefault((id(group), hook), Scope(hook, group))

    def scopes(self, group: RecordGroup) -> list[Scope]:
        """Return the scopes of a group in which something may have been logged."""
        return [scope for scope in self._scopes.values() if scope.group is group]

    def begin_training(self) -> None:
        """Forget the records of training."""
        for scope in self.scopes(self.training):
            scope.records.clear()
        self.training.records.clear()

    def adopt(self, record: Record, hook: Hook) -> None:
        """Take a record of training that a checkpoint held."""
        scope = self.scope_of(hook, self.training)
        scope.records[record.key] = record
        self.training.records.append(record)

    def begin_evaluation(self) -> None:
        """Forget the records of the evaluation before: the next may have other loaders."""
        self._scopes = {key: scope for key, scope in self._scopes.items() if scope.group is not self.evaluation}
        self.evaluation = RecordGroup()
        self.batch = None

    def log(  # noqa: PLR0913 - the arguments are those that users know
        self,
        name: str,
        value: Any,
        prog_bar: bool,
        logger: bool | None,
        on_step: bool | None,
        on_epoch: bool | None,
        reduce_fx: str | Callable[..., Any],
        enable_graph: bool,
        sync_dist: bool,
        sync_dist_group: Any,
        add_dataloader_idx: bool,
        batch_size: int | None,
        metric_attribute: str | None,
        rank_zero_only: bool,
    ) -> None:
        """Take one value. Arguments are those of `LightningModule.log`."""
        scope = self.scope
        if scope is None:
            raise LoggingError(f"`self.log({name!r}, ...)` was called where no hook runs that can log.")
        key = (
            name, prog_bar, logger, on_step, on_epoch, reduce_fx, enable_graph, sync_dist, sync_dist_group,
            add_dataloader_idx, rank_zero_only, self.loader_idx,
        )  # fmt: skip
        record = scope.records.get(key)
        if record is None:
            record = scope.records[key] = self._first_use(scope, key, value)
        if self.muted and scope.group.training:
            record.show(value)
        elif record.weighted:
            if batch_size is None:
                batch_size = 1 if self.batch is None else self._sizes.of(self.batch)
            record.add(value, batch_size)
        else:
            record.add(value, 1.0)

    def _first_use(self, scope: Scope, key: tuple[Any, ...], value: Any) -> Record:
        """Check the arguments and make the record."""
        name, reduce_fx = key[0], key[REDUCTION]
        options = self._options(scope, key)
        twin = next((record for record in scope.records.values() if record.options.key == options.key), None)
        if twin is not None:
            _check_same(scope, twin, options, key)
            return twin  # the arguments were written in another way, but mean the same
        if isinstance(value, torch.Tensor) and value.is_complex():
            raise LoggingError(f"`self.log({name!r}, ...)` was given a complex number. Log `.abs()` or its parts.")
        metric = value if is_metric(value) else None
        accumulator = None
        if options.on_epoch and metric is None:
            accumulator = make_accumulator(reduce_fx)
            if accumulator is None:
                hint = did_you_mean(str(reduce_fx), ["mean", "sum", "min", "max"])
                raise LoggingError(
                    f"`self.log({name!r}, reduce_fx={reduce_fx!r})`: there is no such reduction. {hint and hint + ' '}"
                    "Give 'mean', 'sum', 'min', 'max' or a function of the stacked values."
                )
        record = Record(options, accumulator, metric, shown_at_once=scope.shown_at_once)
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            record.dtype = value.dtype if value.dtype.itemsize > 2 else torch.float32
        record.key = key
        scope.group.logs_steps |= options.on_step
        scope.group.records.append(record)
        return record

    def _options(self, scope: Scope, key: tuple[Any, ...]) -> RecordOptions:
        name, prog_bar, logger, on_step, on_epoch, _, enable_graph, sync_dist, group, add_idx, rank_zero_only, idx = key
        policy = scope.policy
        if policy is None:
            raise LoggingError(
                f"`self.log({name!r}, ...)` was called in `{scope.hook}`, where nothing is recorded. "
                "Log in a step, in a batch hook or at the end of an epoch."
            )
        _check_name(name)
        on_step = policy.on_step if on_step is None else on_step
        on_epoch = not policy.on_step if on_epoch is None else on_epoch
        if on_step and not policy.per_step_allowed:
            raise LoggingError(
                f"`self.log({name!r}, on_step=True)` was called in `{scope.hook}`, which runs once per epoch. "
                "Leave `on_step` out there, or log in a step."
            )
        if not on_step and not on_epoch:
            raise LoggingError(
                f"`self.log({name!r}, on_step=False, on_epoch=False)` would record nothing. Set one of them to True."
            )
        suffix = f"{_DATALOADER_SUFFIX}{idx}" if idx is not None and add_idx else ""
        return RecordOptions(
            name=name,
            on_step=on_step,
            on_epoch=on_epoch,
            prog_bar=prog_bar,
            logger=True if logger is None else logger,
            sync_dist=sync_dist,
            sync_dist_group=group,
            rank_zero_only=rank_zero_only,
            enable_graph=enable_graph,
            suffix=suffix,
        )


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        raise LoggingError(f"`self.log({name!r}, ...)`: a name is text. Write `self.log({str(name)!r}, ...)`.")
    if _DATALOADER_SUFFIX in name:
        raise LoggingError(
            f"`self.log({name!r}, ...)`: the ending {_DATALOADER_SUFFIX!r} is added by the Trainer itself. "
            f"Write `self.log({name.partition(_DATALOADER_SUFFIX)[0]!r}, ...)`."
        )


def _check_same(scope: Scope, known: Record, options: RecordOptions, key: tuple[Any, ...]) -> None:
    """Raise LoggingError where a name that is known in a hook was given another meaning there."""
    name, reduce_fx = key[0], key[REDUCTION]
    if known.loader_idx != key[-1]:
        raise LoggingError(
            f"`self.log({name!r}, add_dataloader_idx=False)` was called for two loaders. "
            "Leave `add_dataloader_idx` out, or give each loader a name of its own."
        )
    before = {one.name: getattr(known.options, one.name) for one in fields(options)} | {"reduce_fx": known.reduce_fx}
    now = {one.name: getattr(options, one.name) for one in fields(options)} | {"reduce_fx": reduce_fx}
    changed = [f"{one}={before[one]!r}, then {one}={now[one]!r}" for one in now if before[one] != now[one]]
    if changed:
        hint = " A lambda is another function each time: define it once." if callable(reduce_fx) else ""
        raise LoggingError(
            f"`self.log({name!r}, ...)` was called twice in `{scope.hook}` with different arguments: "
            f"{'; '.join(changed)}. Use the same arguments for one name, or two names.{hint}"
        )


class SilentRecorder(Recorder):
    """Takes nothing: logging costs one call and has no effect."""

    def log(self, *args: Any, **kwargs: Any) -> None:
        """Leave the value out."""
