"""What users may set, and what is refused before anything starts."""

from __future__ import annotations

import pytest

from fulmen_interfaces import ConfigurationError
from fulmen_strategy_ddp import DDPStrategy


def test_what_torch_does_not_take_is_refused_together_with_all_else_that_is_wrong() -> None:
    with pytest.raises(ConfigurationError) as caught:
        DDPStrategy(start_method="thread", statics_graph=True, device_ids=[0])  # type: ignore[arg-type]
    assert [problem.argument for problem in caught.value.problems] == ["start_method", "statics_graph", "device_ids"]
    assert "static_graph" in caught.value.problems[1].remedy


def test_what_torch_takes_is_passed_on() -> None:
    DDPStrategy(static_graph=True, gradient_as_bucket_view=True, bucket_cap_mb=5, broadcast_buffers=False)
