"""What a verification found."""

from __future__ import annotations

from dataclasses import dataclass, field

from fulmen_core.verification._differences import Difference

_EXACT = "Resuming is exact."
_INEXACT = (
    "Resuming is not exact. What the run draws upon must be in its checkpoints: keep it in parameters, buffers or "
    "hyper-parameters, or save it in `on_save_checkpoint` (of a module) or `state_dict` (of a callback or data module) "
    "and put it back in `on_load_checkpoint` or `load_state_dict`."
)
_UNREPEATABLE = (
    "Nothing was cut: the same run without interruption already came out otherwise, so that no resume can be judged. "
    "Draw random numbers only from generators that are seeded (`seed_everything` was called before each run), make "
    "everything anew in `make_module` and `make_data`, and pass deterministic=True where a device adds up in any order."
)


@dataclass(frozen=True)
class CutResult:
    """How one resumed run came out, compared with the run that was not interrupted."""

    batch: int
    """Training batches that were done when the checkpoint was written."""
    place: str
    """When it was written: at the batch's end, after its validation, or at the epoch's end."""
    difference: Difference | None = None
    """The first place at which it came out otherwise."""
    failure: str = ""
    """The error that ended it, if one did."""

    @property
    def exact(self) -> bool:
        """Whether it came out bit for bit the same."""
        return self.difference is None and not self.failure

    def __str__(self) -> str:
        outcome = self.failure or str(self.difference or "the same, bit for bit")
        return f"cut after batch {self.batch}, {self.place}: {outcome}"


@dataclass(frozen=True)
class ResumeReport:
    """What `verify_resume` found. Print it."""

    batches: int
    """Training batches of the whole run."""
    repeated: Difference | None
    """Where a second run without interruption, which wrote the checkpoints, came out otherwise."""
    cuts: tuple[CutResult, ...] = field(default=())
    """One for each checkpoint that was resumed from."""

    @property
    def exact(self) -> bool:
        """Whether every resumed run came out bit for bit as the one that was not interrupted."""
        return self.repeated is None and bool(self.cuts) and all(cut.exact for cut in self.cuts)

    def __str__(self) -> str:
        lines = [f"{self.batches} training batches, resumed from {len(self.cuts)} checkpoints:"]
        lines.append(f"  not cut, run a second time: {self.repeated or 'the same, bit for bit'}")
        lines += [f"  {cut}" for cut in self.cuts]
        lines.append(_UNREPEATABLE if self.repeated else _EXACT if self.exact else _INEXACT)
        return "\n".join(lines)
