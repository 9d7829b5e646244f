"""The accelerator `sim` of fulmen, for the device type of `acme_torch`."""

from __future__ import annotations

from acme_sim._accelerator import SIM_SPEC, SimAccelerator, probe_sim

__all__ = ["SIM_SPEC", "SimAccelerator", "probe_sim"]
