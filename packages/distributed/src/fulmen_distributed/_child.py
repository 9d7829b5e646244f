"""What a process that the subprocess launcher started runs: the user's program, as another rank."""

from __future__ import annotations

import os
import runpy
import sys
import threading
import time

from fulmen_distributed._crew import end_as_asked, end_process, fail
from fulmen_distributed._left_alone import is_left_alone, left_alone
from fulmen_distributed._parent import watch_parent
from fulmen_distributed._reports import Reports
from fulmen_distributed._variables import REPORTS

_PATIENCE_SECONDS = 15.0
"""For how long a rank may wait at one place after the launching one has ended: a third one may still be computing."""
_OURS = (__file__, runpy.__file__, "<frozen runpy>")


def main() -> None:
    """Run the program that the command line names; why it fails is told to the launching process, which prints it."""
    watch_parent()
    reports, rank = Reports(os.environ[REPORTS]), int(os.environ["RANK"])
    launching = rank - int(os.environ["LOCAL_RANK"])
    threading.Thread(target=_end_if_left_alone, args=(reports, rank, launching), name="watch-end", daemon=True).start()
    kind, target, *arguments = sys.argv[1:]
    try:
        if kind == "script":
            sys.argv = [target, *arguments]
            if not getattr(sys.flags, "safe_path", False):
                sys.path[0] = os.path.dirname(target)
            runpy.run_path(target, run_name="__main__")
        else:
            sys.argv = [target, *arguments]
            runpy.run_module(target, run_name="__main__", alter_sys=True)
    except KeyboardInterrupt:
        end_process(130)
    except SystemExit as ending:
        if ending.code is not None and ending.code != 0:
            end_as_asked(ending)
    except BaseException as error:
        fail(reports, rank, error, hide=_OURS)
    reports.write_end(rank)


def _end_if_left_alone(reports: Reports, rank: int, launching: int) -> None:
    while not reports.has_ended(launching):
        time.sleep(1.0)
    if is_left_alone(threading.Event(), seconds=_PATIENCE_SECONDS):
        fail(reports, rank, left_alone(rank, f"rank {launching} has"), hide=())


if __name__ == "__main__":
    main()
