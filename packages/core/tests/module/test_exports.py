import importlib.util
import warnings

import pytest
import torch
from torch import nn

from fulmen_core.batches import DataHooks
from fulmen_core.module import LightningModule
from fulmen_core.module._exports import evaluating, is_scripting, to_exported_program, to_onnx, to_torchscript
from fulmen_interfaces import ConfigurationError, ModuleError

WITH_ONNX = pytest.mark.skipif(
    importlib.util.find_spec("onnx") is None or importlib.util.find_spec("onnxscript") is None,
    reason="onnx or onnxscript is not installed",
)
pytestmark = pytest.mark.filterwarnings("ignore:.*(jit|isinstance|LeafSpec|TorchScript).*")


class Plain(nn.Module):
    """In training mode its result is random, so that a wrong mode shows."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.drop = nn.Dropout(0.5)
        self.frozen = nn.BatchNorm1d(2).eval()

    def forward(self, x):
        return self.frozen(self.drop(self.layer(x)))


class Lit(LightningModule):
    def __init__(self):
        super().__init__()
        self.save_hyperparameters({"width": 2})
        self.inner = Plain()
        self.example_input_array = torch.ones(4, 3)

    def forward(self, x):
        return self.inner(x)

    def training_step(self, batch, batch_idx):
        return self(batch).sum()


class TwoInputs(nn.Module):
    def forward(self, a, b):
        return a - 2 * b


class Nested(Lit):
    def __init__(self):
        super().__init__()
        self.inner = Lit()


def evaluated(module, *args, **kwargs):
    with evaluating(module), torch.no_grad():
        return module(*args, **kwargs)


def modes(module):
    return {name: part.training for name, part in module.named_modules()}


def program(module, path, sample):
    args = None if sample is None else (sample,)
    if isinstance(module, LightningModule):
        return module.to_exported_program(path, args)
    return to_exported_program(module, path, args)


def script(module, path, sample):
    if isinstance(module, LightningModule):
        return module.to_torchscript(path)
    return to_torchscript(module, path)


def trace(module, path, sample):
    if isinstance(module, LightningModule):
        return module.to_torchscript(path, "trace", sample)
    return to_torchscript(module, path, method="trace", example_inputs=sample)


def read_program(path):
    return torch.export.load(path).module()


READ = {program: read_program, script: torch.jit.load, trace: torch.jit.load}


@pytest.mark.parametrize(
    ("make", "export"),
    [
        *[(Plain, export) for export in READ],
        *[(make, export) for make in (Lit, Nested) for export in READ],
    ],
)
def test_what_is_read_back_computes_what_the_module_computes_in_evaluation(tmp_path, make, export):
    module, x = make(), torch.randn(4, 3)
    before = modes(module)
    assert True in before.values()
    assert False in before.values()
    export(module, tmp_path / "new" / "file", x)
    assert modes(module) == before
    again = READ[export](str(tmp_path / "new" / "file"))
    torch.testing.assert_close(again(x), evaluated(module, x))


@pytest.mark.parametrize("export", [program, trace])
def test_the_example_input_is_the_default(tmp_path, export):
    module = Lit()
    export(module, tmp_path / "file", None)
    again = READ[export](str(tmp_path / "file"))
    torch.testing.assert_close(again(module.example_input_array), evaluated(module, module.example_input_array))


@pytest.mark.parametrize(
    ("export", "argument"),
    [(program, "args"), (trace, "example_inputs"), (to_onnx, "input_sample")],
)
def test_without_any_input_it_says_what_to_give(export, argument):
    module = Plain()
    before = modes(module)
    with pytest.raises(ModuleError, match=rf"`{argument}` was not given.*Plain\.example_input_array` is None"):
        export(module, None, None)
    assert modes(module) == before


def test_modes_come_back_after_an_error():
    class Broken(Plain):
        def forward(self, x):
            raise RuntimeError("broken")

    module = Broken()
    before = modes(module)
    with pytest.raises(RuntimeError, match="broken"):
        to_exported_program(module, args=(torch.ones(1),))
    assert modes(module) == before


def test_properties_can_tell_that_torch_reads_every_attribute():
    class Guarded(TwoInputs):
        @property
        def run(self):
            raise AttributeError("run") if is_scripting() else RuntimeError("outside of a run")

    one = torch.ones(1)
    assert not is_scripting()
    assert to_torchscript(Guarded(), method="trace", example_inputs=(one, one))(one, one).item() == -1.0
    assert not is_scripting()


def test_without_a_path_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    to_torchscript(Plain())
    to_exported_program(Plain(), args=(torch.ones(2, 3),))
    assert list(tmp_path.iterdir()) == []


def test_several_inputs_are_given_as_a_tuple_or_by_keyword():
    a, b = torch.tensor([5.0]), torch.tensor([1.0])
    for exported in (
        to_torchscript(TwoInputs(), method="trace", example_inputs=(a, b)),
        to_torchscript(TwoInputs(), method="trace", example_inputs={"b": b, "a": a}),
    ):
        assert exported(a=a, b=b).item() == 3.0
    assert to_exported_program(TwoInputs(), args=(a,), kwargs={"b": b}).module()(a, b=b).item() == 3.0


def test_sizes_may_be_declared_to_differ():
    batch = torch.export.Dim("batch")
    exported = to_exported_program(Plain(), args=(torch.ones(4, 3),), dynamic_shapes={"x": {0: batch}})
    assert exported.module()(torch.ones(7, 3)).shape == (7, 2)


def test_the_sample_goes_to_the_device_as_a_batch_does():
    class Wrapping(DataHooks, nn.Module):
        def transfer_batch_to_device(self, batch, device, dataloader_idx):
            return tuple(part.to(device) * 0 for part in batch) if batch else batch

        def forward(self, x):
            return x + int(x.sum())

    with pytest.warns(torch.jit.TracerWarning):
        traced = to_torchscript(Wrapping(), method="trace", example_inputs=torch.ones(2))
    assert traced(torch.ones(2)).tolist() == [1.0, 1.0]  # the sum of a sample that became zeros


def test_another_method_is_refused():
    with pytest.raises(ConfigurationError, match='method="script" or "trace"'):
        to_torchscript(Plain(), method="compile")


def test_the_deprecation_warning_of_torch_is_heard():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.jit.script(TwoInputs())
        plain = {str(one.message) for one in caught}
        caught.clear()
        to_torchscript(TwoInputs())
        assert {str(one.message) for one in caught} == plain


@WITH_ONNX
@pytest.mark.parametrize("make", [Plain, Lit])
def test_onnx_files_hold_the_same_function(tmp_path, make):
    import onnx
    from onnx.reference import ReferenceEvaluator

    module, x = make(), torch.randn(4, 3)
    before = modes(module)
    to_onnx(module, tmp_path / "new" / "model.onnx", x)
    assert modes(module) == before
    model = onnx.load(str(tmp_path / "new" / "model.onnx"))
    onnx.checker.check_model(model)
    evaluator = ReferenceEvaluator(model)
    (result,) = evaluator.run(None, {evaluator.input_names[0]: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(result), evaluated(module, x), atol=1e-5, rtol=1e-5)


@WITH_ONNX
def test_onnx_takes_keywords_and_the_example_input_and_returns_the_program(tmp_path):
    a, b = torch.tensor([5.0]), torch.tensor([1.0])
    exported = to_onnx(TwoInputs(), None, {"b": b, "a": a})
    assert [one.name for one in exported.model.graph.inputs] == ["b", "a"]
    by_hand = exported.exported_program.module()(a=a, b=b)
    assert by_hand.item() == 3.0
    assert [tuple(one.shape) for one in Lit().to_onnx().model.graph.inputs] == [(4, 3)]


def test_onnx_without_its_libraries_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"needs onnx and onnxscript\. Run `pip install 'fulmen-core\[onnx\]'`"):
        to_onnx(Plain(), None, torch.ones(1, 3))


def test_exporting_leaves_the_module_as_it_was():
    module = Nested()
    before = dict(vars(module))
    module.to_torchscript(method="trace")
    assert {name: value for name, value in vars(module).items() if name in before} == before
    with pytest.raises(ModuleError, match="not part of a run"):
        _ = module.trainer
