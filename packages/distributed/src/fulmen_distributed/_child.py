"""What a process that the subprocess launcher started runs: the user's program, as another rank."""

from __future__ import annotations

import os
import runpy
import sys

from fulmen_distributed._crew import end_process, fail
from fulmen_distributed._parent import watch_parent
from fulmen_distributed._reports import Reports
from fulmen_distributed._variables import REPORTS

_OURS = (__file__, runpy.__file__, "<frozen runpy>")


def main() -> None:
    """Run the program that the command line names; why it fails is told to the launching process, which prints it."""
    watch_parent()
    reports, rank = Reports(os.environ[REPORTS]), int(os.environ["RANK"])
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
            if not isinstance(ending.code, int):
                print(ending.code, file=sys.stderr)  # noqa: T201  as Python does
            end_process(ending.code if isinstance(ending.code, int) else 1)
    except BaseException as error:
        fail(reports, rank, error, hide=_OURS)
    reports.write_end(rank)


if __name__ == "__main__":
    main()
