"""What every accelerator must do."""
# ruff: noqa: S101

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from fulmen_interfaces import (
    ACCELERATORS,
    Accelerator,
    AcceleratorSpec,
    DType,
    SupportsAsyncTransfer,
    SupportsDeviceStats,
    SupportsLazyExecution,
    SupportsMemoryRecovery,
    SupportsRandomState,
)
from fulmen_testing.conformance._base import Conformance
from fulmen_testing.conformance._scenario import TORCH_DTYPES, new_batches, new_model


class AcceleratorConformance(Conformance):
    """Computes on the first device of a family; where there is none, tests are skipped with the probe's reason."""

    role = ACCELERATORS
    spec: ClassVar[AcceleratorSpec]
    tolerance: ClassVar[float] = 1e-5
    """How far float32 results may be from the host's, absolute and relative."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run a test once for each type that the spec names."""
        if "dtype" in metafunc.fixturenames:
            metafunc.parametrize("dtype", sorted(self.spec.dtypes), ids=str)
        if "low" in metafunc.fixturenames:
            metafunc.parametrize("low", sorted(self.spec.autocast), ids=str)

    @pytest.fixture
    def device(self, plugin: Accelerator) -> Iterator[torch.device]:
        """The first device, made current."""
        probe = self.spec.probe()
        if not probe.available:
            pytest.skip(probe.reason)
        device = plugin.device(0)
        plugin.setup(device)
        yield device
        plugin.teardown()

    # -- what it says --------------------------------------------------------------------------------------------------

    def test_implements_the_contract(self, plugin: Any) -> None:
        """If it fails: compare the methods and properties of the accelerator with those of `Accelerator`."""
        assert isinstance(plugin, Accelerator)
        assert plugin.spec is self.spec

    def test_probe_counts_or_gives_a_reason(self) -> None:
        """If it fails: where no device is found, say why; where one is, say nothing. Probing must change nothing."""
        probe = self.spec.probe()
        assert probe.count >= 0
        assert bool(probe.reason) != probe.available
        assert self.spec.probe() == probe

    def test_families_are_other_names(self) -> None:
        """If it fails: `families` holds common names such as `gpu`, not the accelerator's own, nor `auto`."""
        assert not self.spec.families & {self.spec.name, "auto"}

    def test_cpu_comes_last(self) -> None:
        """If it fails: `auto` takes the highest priority; what is not the host's processor must be above 0."""
        assert (self.spec.priority == 0) == (self.spec.name == "cpu")

    def test_autocast_lowers_the_precision(self) -> None:
        """If it fails: `autocast` names types below float32, in which the device must also be able to compute."""
        assert self.spec.autocast <= {DType.FLOAT16, DType.BFLOAT16}
        assert self.spec.autocast <= self.spec.dtypes

    def test_process_group_is_known_to_torch(self) -> None:
        """If it fails: `process_group` names a backend of `torch.distributed`; register it when it is imported."""
        if self.spec.process_group is None:
            pytest.skip("takes no part in process groups")
        if not torch.distributed.is_available():
            pytest.skip("torch was built without torch.distributed")
        backends = torch.distributed.Backend.backend_list
        assert self.spec.process_group in backends

    # -- devices -------------------------------------------------------------------------------------------------------

    def test_device_has_its_type_and_index(self, plugin: Accelerator) -> None:
        """If it fails: `device(2)` is number 2 of the family where devices are numbered, and none elsewhere."""
        device = plugin.device(2)
        assert device.type == self.spec.device_type
        assert device.index == (2 if self.spec.indexed else None)

    def test_teardown_needs_no_setup(self, plugin: Accelerator) -> None:
        """If it fails: `teardown` is called after errors too, and must bear to be called twice."""
        plugin.teardown()
        plugin.teardown()

    def test_values_survive_the_way_there_and_back(self, device: torch.device, dtype: DType) -> None:
        """If it fails: copying must keep every bit in every type of the spec; leave out of it what the device lacks."""
        there = torch.randn(33, generator=torch.Generator().manual_seed(0)).to(TORCH_DTYPES[dtype])
        placed = there.to(device)
        assert placed.device.type == device.type
        assert torch.equal(placed.cpu(), there)

    def test_computes_and_differentiates(self, device: torch.device, dtype: DType) -> None:
        """If it fails: a matrix product or its gradient is absent or wrong in a type that the spec names."""
        a, b = (torch.randn(4, 4, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
        low_a, low_b = (value.to(TORCH_DTYPES[dtype]).to(device).requires_grad_() for value in (a, b))
        product = low_a @ low_b
        product.sum().backward()  # type: ignore[no-untyped-call]
        exact = low_a.detach().cpu().double() @ low_b.detach().cpu().double()
        allowed = 16 * torch.finfo(TORCH_DTYPES[dtype]).eps
        torch.testing.assert_close(product.detach().cpu().double(), exact, rtol=allowed, atol=allowed)
        assert low_a.grad is not None
        expected = low_b.detach().cpu().double().sum(1).expand(4, 4)
        torch.testing.assert_close(low_a.grad.cpu().double(), expected, rtol=allowed, atol=allowed)

    def test_autocast_computes_in_the_low_type(self, device: torch.device, low: DType) -> None:
        """If it fails: `torch.autocast` must lower a linear layer here, or the spec must not name the type."""
        layer = nn.Linear(4, 3).to(device)
        with torch.autocast(device.type, TORCH_DTYPES[low]):
            output = layer(torch.ones(2, 4, device=device))
        output.float().sum().backward()
        assert output.dtype is TORCH_DTYPES[low]
        assert layer.weight.grad is not None
        assert layer.weight.grad.dtype is torch.float32

    def test_loss_scaling_steps_and_skips(self, device: torch.device) -> None:
        """If it fails: `torch.amp.GradScaler` must step on finite gradients, and skip and lower the scale on others."""
        if not self.spec.loss_scaling:
            pytest.skip("the spec does not offer loss scaling")
        weight = torch.ones(3, device=device, requires_grad=True)
        optimizer, scaler = torch.optim.SGD([weight], lr=1.0), torch.amp.GradScaler(device.type, init_scale=16.0)
        for factor, expected, scale in ((0.5, 0.5, 16.0), (float("inf"), 0.5, 8.0)):
            optimizer.zero_grad()
            scaler.scale((weight * factor).sum()).backward()  # type: ignore[no-untyped-call]
            scaler.step(optimizer)
            scaler.update()
            assert weight.tolist() == [expected] * 3
            assert scaler.get_scale() == scale

    def test_trains_like_the_host(self, device: torch.device) -> None:
        """If it fails: an operation of a small network differs from the host's; compare layer by layer."""
        states = []
        for where in (torch.device("cpu"), device):
            model = new_model().to(where)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
            for x, y in new_batches(5):
                optimizer.zero_grad()
                nn.functional.mse_loss(model(x.to(where)), y.to(where)).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            states.append({name: value.cpu() for name, value in model.state_dict().items()})
        torch.testing.assert_close(states[1], states[0], rtol=self.tolerance, atol=self.tolerance)

    # -- optional abilities --------------------------------------------------------------------------------------------

    def test_random_state_can_be_put_back(self, plugin: Accelerator, device: torch.device) -> None:
        """If it fails: the state must hold all that decides the next random number of the device."""
        if not isinstance(plugin, SupportsRandomState):
            pytest.skip("not a SupportsRandomState")
        state = plugin.random_state()
        first = torch.randn(5, device=device).cpu()
        plugin.set_random_state(state)
        assert torch.equal(torch.randn(5, device=device).cpu(), first)

    def test_stats_are_numbers_by_name(self, plugin: Accelerator, device: torch.device) -> None:
        """If it fails: return plain numbers, with the unit in their names."""
        if not isinstance(plugin, SupportsDeviceStats):
            pytest.skip("not a SupportsDeviceStats")
        stats = plugin.stats(device)
        assert stats
        assert all(isinstance(name, str) and isinstance(value, (int, float)) for name, value in stats.items())

    def test_copies_beside_computing(self, plugin: Accelerator, device: torch.device) -> None:
        """If it fails: after `wait_for_copies` the compute stream must see what was copied, and it must stay alive."""
        if not isinstance(plugin, SupportsAsyncTransfer):
            pytest.skip("not a SupportsAsyncTransfer")
        source = torch.arange(1000.0)
        with plugin.copy_stream(device):
            placed = source.to(device, non_blocking=True)
        plugin.wait_for_copies(device)
        plugin.keep_alive(placed)
        assert float((placed * 2).sum()) == 999000.0

    def test_recorded_operations_are_run(self, plugin: Accelerator, device: torch.device) -> None:
        """If it fails: `mark_step` must run what was recorded, so that values can be read after it."""
        if not isinstance(plugin, SupportsLazyExecution):
            pytest.skip("not a SupportsLazyExecution")
        value = torch.ones(2, device=device) + 1
        plugin.mark_step()
        assert value.tolist() == [2.0, 2.0]

    def test_lack_of_memory_is_told_from_other_errors(self, plugin: Accelerator, device: torch.device) -> None:
        """If it fails: `is_out_of_memory` must be true of the device's own error alone; `free_memory` must not fail."""
        if not isinstance(plugin, SupportsMemoryRecovery):
            pytest.skip("not a SupportsMemoryRecovery")
        assert not plugin.is_out_of_memory(RuntimeError("size mismatch"))
        plugin.free_memory()
