"""What devices this machine has, asked once. `matrix_probes.py NAME` prints why there is none, or nothing."""

from __future__ import annotations

import sys
from functools import cache

from fulmen_interfaces import ACCELERATORS, AcceleratorSpec, Catalogue, PluginError, Probe


@cache
def probe(spec: AcceleratorSpec) -> Probe:
    """Return the devices of a family."""
    return spec.probe()


def why_not(name: str) -> str:
    """Return why no device of a family can be used here; nothing where one can."""
    try:
        return probe(Catalogue.installed().find(ACCELERATORS, name).spec).reason
    except PluginError as error:
        return str(error)


if __name__ == "__main__":
    print(why_not(sys.argv[1]))
