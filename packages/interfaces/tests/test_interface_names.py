from __future__ import annotations

import pytest

from fulmen_interfaces import KNOWN_DISTRIBUTIONS, ROLES, did_you_mean


def test_the_table_of_names_is_sorted() -> None:
    assert list(KNOWN_DISTRIBUTIONS) == sorted(KNOWN_DISTRIBUTIONS)
    for names in KNOWN_DISTRIBUTIONS.values():
        assert list(names) == sorted(names)


def test_the_table_of_names_uses_groups_and_distributions_of_ours() -> None:
    assert set(KNOWN_DISTRIBUTIONS) <= {role.group for role in ROLES}
    for names in KNOWN_DISTRIBUTIONS.values():
        assert all(distribution.startswith("fulmen-") for distribution in names.values())


@pytest.mark.parametrize(
    ("written", "meant"),
    [("ddpp", "ddp"), ("DDP", "ddp"), ("single-device", "single_device"), ("fdsp", "fsdp"), ("xyz", None), ("", None)],
)
def test_the_nearest_name_is_offered(written: str, meant: str | None) -> None:
    expected = f"Did you mean {meant!r}?" if meant else ""
    assert did_you_mean(written, ["single_device", "ddp", "fsdp", "ddp"]) == expected
