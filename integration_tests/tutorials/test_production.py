"""What was trained can be used without a Trainer, and without fulmen."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

SAMPLE = torch.linspace(-1, 1, 12).reshape(2, 6)


@pytest.fixture
def program(load):
    return load("production")


@pytest.fixture
def ran(program):
    return program.main()


@pytest.fixture
def expected(ran):
    ran.model.eval()
    with torch.no_grad():
        return ran.model(SAMPLE)


def test_a_loaded_model_is_frozen_and_used_like_a_module(program, ran, expected) -> None:
    model = program.SimpleModel.load_from_checkpoint(ran.path)
    model.freeze()
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(model(SAMPLE), expected)
    model.unfreeze()
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_weights_go_into_a_plain_module(program, ran, expected) -> None:
    checkpoint = torch.load(ran.path, weights_only=True)
    assert checkpoint["hyper_parameters"] == {"width": 8}
    plain = program.PlainModel()
    plain.load_state_dict(checkpoint["state_dict"])
    plain.eval()
    assert torch.equal(plain(SAMPLE), expected)
    torch.save(ran.model.state_dict(), "weights.pt")
    plain.load_state_dict(torch.load("weights.pt", weights_only=True))
    parts = {key.removeprefix("net."): value for key, value in checkpoint["state_dict"].items()}
    plain.net.load_state_dict(parts)


def test_a_checkpoint_is_read_where_fulmen_is_not_imported(ran) -> None:
    code = (
        "import sys, torch; content = torch.load(sys.argv[1], weights_only=True); "
        "assert not any(name.startswith('fulmen') for name in sys.modules); print(sorted(content['state_dict']))"
    )
    done = subprocess.run([sys.executable, "-c", code, ran.path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['net.0.bias', 'net.0.weight', 'net.3.bias', 'net.3.weight']"


def test_predictions_by_trainer_and_by_hand_agree(program, ran) -> None:
    data = program.points()
    predictions = ran.trainer.predict(ran.model, torch.utils.data.DataLoader(data, batch_size=8))
    with torch.no_grad():
        assert torch.equal(torch.cat(predictions), ran.model.eval()(data.tensors[0]).argmax(1))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_by_script_and_by_trace(ran, expected) -> None:
    script = ran.model.to_torchscript()
    assert torch.equal(script(SAMPLE), expected)
    torch.jit.save(script, "model.pt")
    assert torch.equal(torch.jit.load("model.pt")(SAMPLE), expected)
    traced = ran.model.to_torchscript(file_path="traced.pt", method="trace", example_inputs=SAMPLE)
    assert torch.equal(traced(SAMPLE), expected)
    assert torch.equal(torch.jit.load("traced.pt")(SAMPLE), expected)


def test_torch_export(ran, expected) -> None:
    program = torch.export.export(ran.model.eval(), (SAMPLE,))
    torch.testing.assert_close(program.module()(SAMPLE), expected)
    ran.model.to_exported_program("model.pt2")
    torch.testing.assert_close(torch.export.load("model.pt2").module()(SAMPLE), expected)


def test_a_model_that_was_compiled_in_place_trains_the_same(program, ran) -> None:
    program.L.seed_everything(13)
    model = program.SimpleModel()
    model.compile(backend="eager")
    trainer = program.L.Trainer(
        max_epochs=3, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
    )
    loader = torch.utils.data.DataLoader(program.points(), batch_size=8, shuffle=True)
    trainer.fit(model, loader)
    assert trainer.global_step == 18
    for name, value in model.state_dict().items():
        assert torch.equal(value, ran.weights[name]), name
    with pytest.raises(program.L.FulmenError, match=r"model\.compile\(\)"):
        trainer.fit(torch.compile(model, backend="eager"), loader)


@pytest.mark.filterwarnings("ignore")
def test_onnx(ran, expected) -> None:
    pytest.importorskip("onnxscript")
    onnx = pytest.importorskip("onnx")
    reference = pytest.importorskip("onnx.reference")
    ran.model.to_onnx("model.onnx", SAMPLE, export_params=True)
    onnx.checker.check_model(onnx.load("model.onnx"))
    session = reference.ReferenceEvaluator("model.onnx")
    (out,) = session.run(None, {session.input_names[0]: SAMPLE.numpy()})
    torch.testing.assert_close(torch.from_numpy(out), expected)
    ran.model.to_onnx("by_example.onnx")  # with example_input_array
    onnx.checker.check_model(onnx.load("by_example.onnx"))
