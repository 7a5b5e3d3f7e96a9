"""Other libraries' training loops, as their documentation writes them, where they are installed."""

import time
from importlib.util import find_spec
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

EPOCHS = 4  # the first one, which compiles, does not count
BATCH = 32

Arrays = tuple[NDArray[np.float32], NDArray[np.uint8]]  # images (N, 28, 28) from 0 to 1, labels


def installed() -> list[str]:
    """Which of them can be imported."""
    return [name for name in ("torch", "jax") if find_spec(name)]


def epoch_seconds(name: str, train: Arrays, test: Arrays, units: int) -> float:
    """The median of an epoch with validation of 784-`units`-10, with Adam, batch 32."""
    return {"torch": _torch, "jax": _jax}[name](train, test, units)


def _torch(train: Arrays, test: Arrays, units: int) -> float:
    """Eager, fused Adam."""
    import torch
    from torch import nn

    (images, labels), (test_images, test_labels) = (
        (torch.from_numpy(x).flatten(1), torch.from_numpy(y.astype(np.int64)))
        for x, y in (train, test)
    )
    model = nn.Sequential(nn.Linear(784, units), nn.ReLU(), nn.Linear(units, 10))
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    loss = nn.CrossEntropyLoss()
    seconds = []
    for _ in range(EPOCHS):
        started = time.perf_counter()
        for batch in torch.randperm(len(labels)).split(BATCH):
            optimizer.zero_grad()
            loss(model(images[batch]), labels[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            float((model(test_images).argmax(1) == test_labels).float().mean())
        seconds.append(time.perf_counter() - started)
    return median(seconds[1:])


def _jax(train: Arrays, test: Arrays, units: int) -> float:
    """The epoch as one `lax.scan`; Adam as by Kingma and Ba, ICLR 2015."""
    import jax
    import jax.numpy as jnp

    (images, labels), (test_images, test_labels) = (
        (jnp.asarray(x.reshape(len(x), 784)), jnp.asarray(y)) for x, y in (train, test)
    )
    generator = np.random.default_rng()

    def dense(fan_in: int, fan_out: int) -> tuple[Any, Any]:
        limit = np.sqrt(6 / (fan_in + fan_out))
        return jnp.asarray(generator.uniform(-limit, limit, (fan_in, fan_out)), jnp.float32), (
            jnp.zeros(fan_out)
        )

    def logits(weights: Any, x: Any) -> Any:  # noqa: ANN401
        (w1, b1), (w2, b2) = weights
        return jax.nn.relu(x @ w1 + b1) @ w2 + b2

    def loss(weights: Any, x: Any, y: Any) -> Any:  # noqa: ANN401
        return -jnp.take_along_axis(jax.nn.log_softmax(logits(weights, x)), y[:, None], 1).mean()

    def step(state: Any, batch: Any) -> tuple[Any, None]:  # noqa: ANN401
        weights, mean, square, count = state
        gradient = jax.grad(loss)(weights, images[batch], labels[batch])
        count += 1
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, gradient)
        square = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, square, gradient)
        rate = 0.001 * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        weights = jax.tree.map(
            lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-7), weights, mean, square
        )
        return (weights, mean, square, count), None

    def visit(state: Any, order: Any) -> tuple[Any, Any]:  # noqa: ANN401
        state, _ = jax.lax.scan(step, state, order)
        return state, (logits(state[0], test_images).argmax(1) == test_labels).mean()

    epoch = jax.jit(visit)
    weights = [dense(784, units), dense(units, 10)]
    zeros = jax.tree.map(jnp.zeros_like, weights)
    state = (weights, zeros, zeros, jnp.zeros(()))
    seconds = []
    for _ in range(EPOCHS):
        started = time.perf_counter()
        order = generator.permutation(len(labels))[: len(labels) // BATCH * BATCH]
        state, accuracy = epoch(state, order.reshape(-1, BATCH))
        float(accuracy)
        seconds.append(time.perf_counter() - started)
    return median(seconds[1:])
