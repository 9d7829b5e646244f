"""The first program of most tutorials does what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch


def test_it_learns_and_its_metrics_can_be_read_back(load, rows) -> None:
    ran = load("autoencoder").main()
    table = rows("logs/autoencoder/version_0")
    train = [row["train_loss"] for row in table if "train_loss" in row]
    assert len(train) == 4 * 10
    assert train[-1] < train[0] / 10
    assert [row["step"] for row in table if "val_loss" in row] == [9, 19, 29, 39]
    assert ran.metrics["val_loss"] == pytest.approx([row for row in table if "val_loss" in row][-1]["val_loss"])


def test_checkpoints_are_where_they_are_expected(load) -> None:
    ran = load("autoencoder").main()
    folder = Path("logs/autoencoder/version_0/checkpoints")
    assert sorted(file.name for file in folder.iterdir()) == [
        "epoch=2-step=30.ckpt",
        "epoch=3-step=40.ckpt",
        "last.ckpt",
    ]
    assert Path(ran.checkpoint.best_model_path).resolve() == (folder / "epoch=3-step=40.ckpt").resolve()
    assert ran.checkpoint.best_model_score == ran.metrics["val_loss"]
    content = torch.load(folder / "last.ckpt", weights_only=True)
    assert content["hyper_parameters"] == {"hidden": 24, "latent": 3, "lr": 1e-2}
    assert (content["epoch"], content["global_step"]) == (3, 40)
    for name, value in content["state_dict"].items():
        assert torch.equal(value, ran.weights[name])


def test_the_restored_encoder_embeds_and_predicts_like_plain_torch(load) -> None:
    ran = load("autoencoder").main()
    pictures = torch.stack([x for x, _ in ran.test_set]).flatten(1)
    assert ran.best.hparams.hidden == 24
    with torch.no_grad():
        embeddings = ran.best.encoder(pictures)
        rebuilt = ran.best.decoder(embeddings)
        loss = ((rebuilt - pictures) ** 2).mean()
    assert ran.embeddings.shape == (40, 3)
    torch.testing.assert_close(ran.embeddings, embeddings)
    torch.testing.assert_close(torch.cat(ran.predictions), rebuilt)
    assert [len(batch) for batch in ran.predictions] == [16, 16, 8]
    assert ran.results == [{"test_loss": pytest.approx(loss.item(), rel=1e-6)}]


def test_parts_made_outside_are_given_again_to_load(load) -> None:
    ran = load("autoencoder").from_parts()
    assert dict(ran.loaded.hparams) == {"lr": 5e-3}
    for name, value in ran.loaded.state_dict().items():
        assert torch.equal(value, ran.weights[name])
