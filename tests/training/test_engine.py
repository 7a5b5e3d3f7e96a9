"""The engine takes the steps that Keras would, whichever way it is driven."""

from collections.abc import Callable
from functools import cache

import keras
import numpy as np
import pytest

from pipeline.training import reading
from pipeline.training.augment import Augmentation
from pipeline.training.engine import fit
from pipeline.training.models import cnn, mlp
from pipeline.training.optimizers import make_loss
from pipeline.training.randomness import epoch_order
from tests.training.support import LOSS, colours, images, network, of_300_classes


def in_colour(architecture: Callable[..., keras.Model], classes: int) -> keras.Model:
    keras.utils.set_random_seed(0)
    settings = {"filters": [4]} if architecture is cnn else {}
    return architecture((8, 8, 3), classes, 1 / 255, **settings, hidden_units=[8], dropout=0.0)


def test_the_steps_are_those_of_keras() -> None:
    batch_size = 16  # the last of four batches has two images
    train, validation = images(50), images(30, seed=1)
    ours, theirs = network(), network()
    optimizer = keras.optimizers.Adam(0.01)
    history = fit(
        ours,
        train,
        validation,
        optimizer=optimizer,
        loss=LOSS,
        epochs=2,
        batch_size=batch_size,
        seed=7,
        callbacks=[],
    )

    assert int(optimizer.iterations) == 2 * -(-50 // batch_size)
    theirs.compile(keras.optimizers.Adam(0.01), LOSS, metrics=["accuracy"])
    for epoch in range(2):
        order = epoch_order(50, epoch, 7)
        totals = np.zeros(2)  # loss and accuracy, summed over the images
        for start in range(0, 50, batch_size):
            batch = order[start : start + batch_size]
            theirs.reset_metrics()
            values = theirs.train_on_batch(train.images[batch], train.labels[batch])
            totals += np.multiply(values, len(batch))
        found = [history["loss"][epoch], history["accuracy"][epoch]]
        np.testing.assert_allclose(found, totals / 50, atol=1e-5)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)
    found = [history["val_loss"][-1], history["val_accuracy"][-1]]
    expected = theirs.evaluate(validation.images, validation.labels, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("smoothing", "streamed"), [(0.0, False), (0.1, True)])
def test_class_weights_are_those_of_keras(smoothing: float, streamed: bool) -> None:
    train, validation = colours(50), colours(30, seed=1)
    weights, loss = np.array([0.5, 1, 3], np.float32), make_loss(smoothing)
    ours, theirs = in_colour(mlp, 3), in_colour(mlp, 3)
    history = fit(
        ours,
        train,
        validation,
        optimizer=keras.optimizers.Adam(0.01),
        loss=loss,
        epochs=1,
        batch_size=16,
        seed=7,
        class_weights=weights,
        streamed=streamed,
        callbacks=[],
    )
    theirs.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"], jit_compile=False)
    order = epoch_order(50, 0, 7)
    expected = theirs.fit(
        train.images[order],
        train.labels[order],
        batch_size=16,
        shuffle=False,
        class_weight=dict(enumerate(weights.tolist())),
        validation_data=(validation.images, validation.labels),
        verbose=0,
    ).history
    for name, values in history.items():
        np.testing.assert_allclose(values, expected[name], atol=1e-5)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)


@cache
def trained(*, streamed: bool) -> tuple[list[float], keras.Model]:
    """The losses of a training with all its randomness, and its network."""
    model = network(dropout=0.25)
    history = fit(
        model,
        images(50),
        images(30, seed=1),
        optimizer=keras.optimizers.Adam(0.01, weight_decay=0.01),
        loss=LOSS,
        epochs=3,
        batch_size=16,
        seed=7,
        augmentation=Augmentation(shift=1, flip=True),
        streamed=streamed,
        callbacks=[],
    )
    return [*history["loss"], *history["val_loss"]], model


@pytest.mark.parametrize("batches", [1, 3, 9])  # in a block: 4 blocks, 2 with the last filled, 1
def test_from_disk_or_from_memory(batches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BLOCK", batches * 16 * 4 * 4)
    monkeypatch.setattr(reading, "MAPPED", 7)
    losses, model = trained(streamed=False)
    trained.cache_clear()
    streamed_losses, streamed_model = trained(streamed=True)
    trained.cache_clear()
    assert streamed_losses == losses
    for mine, other in zip(model.get_weights(), streamed_model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize(("architecture", "streamed"), [(mlp, False), (cnn, True)])
def test_colours_and_labels_of_two_bytes(
    architecture: Callable[..., keras.Model], streamed: bool
) -> None:
    train, validation = of_300_classes(colours(40)), of_300_classes(colours(20, seed=1))
    assert train.labels.min() == 297
    model = in_colour(architecture, 300)
    history = fit(
        model,
        train,
        validation,
        optimizer=keras.optimizers.Adam(0.01),
        loss=LOSS,
        epochs=3,
        batch_size=16,
        seed=7,
        augmentation=Augmentation(shift=1, flip=True),
        streamed=streamed,
        callbacks=[],
    )
    assert history["loss"][-1] < history["loss"][0]
    accuracy = np.mean(np.argmax(model(validation.images), axis=-1) == validation.labels)
    assert history["val_accuracy"][-1] == pytest.approx(accuracy)


def test_the_last_batch_can_be_skipped() -> None:
    optimizer = keras.optimizers.SGD()
    fit(
        network(),
        images(50),
        images(10),
        optimizer=optimizer,
        loss=LOSS,
        epochs=2,
        batch_size=16,
        seed=0,
        drop_last=True,
        callbacks=[],
    )
    assert int(optimizer.iterations) == 2 * 3


def test_the_network_keeps_its_own_layers() -> None:
    _, model = trained(streamed=False)
    assert [type(layer) for layer in model.layers].count(keras.layers.Dropout) == 1
    again = keras.Sequential.from_config(model.get_config())
    again.set_weights(model.get_weights())
    pixels = images(5).images
    np.testing.assert_array_equal(again(pixels), model(pixels))


def test_it_learns() -> None:
    history = fit(
        network(),
        images(200),
        images(100, seed=1),
        optimizer=keras.optimizers.Adam(0.01),
        loss=LOSS,
        epochs=20,
        batch_size=20,
        seed=0,
        callbacks=[],
    )
    assert history["val_accuracy"][-1] > 0.95
    assert history["loss"][-1] < history["loss"][0] / 2
