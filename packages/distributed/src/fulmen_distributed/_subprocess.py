"""Starting one process per device that runs the same program once more."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from typing import TypeVar, final

import torch

from fulmen_distributed._crew import Crew, Worker
from fulmen_distributed._environments import other_processes
from fulmen_distributed._left_alone import is_left_alone, left_alone
from fulmen_distributed._process_group import abandon, end_soon, host_store, keep_store
from fulmen_distributed._reports import Reports
from fulmen_distributed._script import command, working_folder
from fulmen_distributed._variables import LAUNCHED, REPORTS, meeting_point, threads_for, variables_of, worlds_here
from fulmen_interfaces import ConfigurationError, LaunchSettings, RankError, World

R = TypeVar("R")

_GRACE_SECONDS = 4.0
"""How long this process may take to notice that another has failed."""
_INTERRUPTED_SECONDS = 3.0
"""How long the others may take to end by themselves after Ctrl-C."""


@final
class SubprocessLauncher:
    """Runs the program once more for each further device; the calling process is the first rank of its machine.

    The other processes come to the same call of `launch` by themselves, and on to the program's end. They start with
    the first call; later calls use them again. If one fails, this process ends too, with that one's error.
    """

    @property
    def interactive(self) -> bool:
        """It needs a script that can be run again."""
        return False

    def launch(self, main: Callable[[World], R], settings: LaunchSettings) -> R:
        """Run `main` here, while the others run it. Raises the first failing rank's error."""
        world, watch = _program(settings)
        crew = watch.crew
        os.environ[LAUNCHED] = "1"  # while it runs only: the next Trainer of this process is to come here again
        try:
            return main(world)
        except (KeyboardInterrupt, SystemExit) as ending:
            abandon()
            watch.release()
            if isinstance(ending, KeyboardInterrupt):
                crew.wait(_INTERRUPTED_SECONDS)  # Ctrl-C reached them, too
            crew.end()
            raise
        except Exception as error:
            cause = crew.cause_of(error)
            abandon(error)
            watch.release()
            crew.end()
            if cause is None:
                raise
            raise cause from cause.__cause__  # what its rank says
        finally:
            del os.environ[LAUNCHED]


_programs: dict[LaunchSettings, tuple[World, _Watch]] = {}
"""How this program was started again: once at most."""


def has_program() -> bool:
    """Return whether this program was started again, so that it runs in several processes until its end."""
    return bool(_programs)


def _program(settings: LaunchSettings) -> tuple[World, _Watch]:
    """Return the processes that run this program; start them where that has not happened yet."""
    if not _programs:
        _programs[settings] = _start(settings)
    if settings not in _programs:
        raise ConfigurationError(other_processes(settings, next(iter(_programs))))
    world, watch = _programs[settings]
    if watch.is_over:
        raise RankError(
            "A run was asked for, but the other processes of this program ended when an earlier run failed. "
            "Start the program again, or use 'ddp_spawn' or 'ddp_fork', which start new processes for each run."
        )
    return world, watch


def _start(settings: LaunchSettings) -> tuple[World, _Watch]:
    mine, *others = worlds_here(settings)
    if settings.num_nodes > 1:
        address, port = meeting_point()
    threads = threads_for(settings.processes_per_node)
    common = {**os.environ, REPORTS: tempfile.mkdtemp(prefix="fulmen-")}
    common.setdefault("OMP_NUM_THREADS", str(threads))
    commands = {world.rank: command(world.rank) for world in others}  # may refuse, before anything has started
    reports = Reports(common[REPORTS])
    if settings.num_nodes == 1:
        store = host_store()
        keep_store(store)
        address, port = store.host, store.port
    workers = []
    for world in others:
        told = variables_of(world, per_node=settings.processes_per_node, address=address, port=port)
        process = subprocess.Popen(commands[world.rank], env={**common, **told}, cwd=working_folder())
        workers.append(Worker(world.rank, process.poll, process.terminate, process.kill))
    os.environ.update(variables_of(mine, per_node=settings.processes_per_node, address=address, port=port))
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads)
    watch = _Watch(mine.rank, Crew(workers, reports))
    watch.start()
    return mine, watch


class _Watch:
    """Ends this process where another has failed and this one does not notice, and at its end waits for the others."""

    def __init__(self, rank: int, crew: Crew) -> None:
        self.crew = crew
        self._rank = rank
        self._released = threading.Event()
        self._process = os.getpid()

    def start(self) -> None:
        """Watch from now on."""
        threading.Thread(target=self._watch, name="watch-ranks", daemon=True).start()
        atexit.register(self._wait_for_the_others)

    @property
    def is_over(self) -> bool:
        """Whether a run ended with an error, and the other processes with it."""
        return self._released.is_set()

    def release(self) -> None:
        """Leave the rest to the caller, who knows of the failure."""
        self._released.set()

    def _watch(self) -> None:
        self.crew.wait(stop_at_failure=True)
        if self.crew.failed:
            if not self._released.wait(_GRACE_SECONDS):
                self._give_up()
        elif is_left_alone(self._released, seconds=_GRACE_SECONDS):
            self._give_up(left_alone(self._rank, "they have"))

    def _wait_for_the_others(self) -> None:
        if os.getpid() != self._process:
            return
        if self.is_over:
            self.crew.forget()
            end_soon()
            return
        self._released.set()
        if _own_error() is None:
            self.crew.reports.write_end(self._rank)
            self.crew.wait(stop_at_failure=True)  # as long as they work: who waits for this one gives up by itself
        if self.crew.failed or self.crew.running:
            self._give_up()
        self.crew.forget()

    def _give_up(self, error: BaseException | None = None) -> None:
        cause = error or self.crew.cause_of(_own_error())
        self.crew.end()
        if cause is not None:
            traceback.print_exception(cause)
        self.crew.forget()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


def _own_error() -> BaseException | None:
    """Return the error that ends this process, if any; Python has printed it."""
    return getattr(sys, "last_value", None)
