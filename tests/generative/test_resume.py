"""Training of generative models goes on from a checkpoint as if it had not stopped."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.build.tree import flatten


def vae(key=1):
    return cr.generative.VAE(3, latent=2, hidden=(5,), key=cr.random.key(key))


def gan():
    return cr.generative.GAN(3, latent=2, hidden=(5,), key=cr.random.key(1))


def wgan():
    return cr.generative.WGAN(3, latent=2, hidden=(6,), key=cr.random.key(1))


X = cr.random.normal(cr.random.key(0), (90, 3))
HOW = {"batch_size": 15, "key": cr.random.key(2)}


def parameters(model):
    parts = [model.net] if hasattr(model, "net") else [model.generator, getattr(model, "critic", None) or model.discriminator]
    return flatten(parts)[0]


@pytest.mark.parametrize("make", [vae, gan, wgan])
def test_resumed_is_uninterrupted(make, tmp_path):
    whole = make().fit(X, epochs=5, **HOW)
    make().fit(X, epochs=2, checkpoint=tmp_path, **HOW)
    seen = []
    rest = make().fit(X, epochs=5, checkpoint=tmp_path, resume=True, after_epoch=lambda m: seen.append(len(m.history)), **HOW)
    assert all(np.array_equal(a, b) for a, b in zip(parameters(whole), parameters(rest), strict=True))
    assert rest.history == whole.history
    assert type(rest.history[0]) is type(whole.history[0])
    assert seen == [3, 4, 5]


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    vae().fit(X, epochs=1, checkpoint=tmp_path, **HOW)
    with pytest.raises(cr.errors.CheckpointError, match="data"):
        vae().fit(X[1:], epochs=2, checkpoint=tmp_path, resume=True, **HOW)
    with pytest.raises(cr.errors.CheckpointError, match="beta"):
        vae().fit(X, epochs=2, checkpoint=tmp_path, resume=True, beta=2.0, **HOW)


def test_without_resume_old_checkpoints_go(tmp_path):
    vae().fit(X, epochs=3, checkpoint=tmp_path, **HOW)
    model = vae(5).fit(X, epochs=1, checkpoint=tmp_path, **HOW)
    assert len(model.history) == 1
    assert len(list(tmp_path.glob("*.json"))) == 1
