"""JAX with the epoch as one `lax.scan`; Adam as by Kingma and Ba, ICLR 2015."""

import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.archives import load
from benchmarks.ways import Training


def train(folder: Path, units: list[int], batch_size: int, epochs: int) -> Training:
    """Trains a new network with one hidden layer."""
    (images, labels), (test_images, test_labels) = (
        (jnp.asarray(x.reshape(len(x), -1) / np.float32(255)), jnp.asarray(y))
        for x, y in (load(folder, name) for name in ("train", "t10k"))
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
    weights = [dense(784, units[0]), dense(units[0], 10)]
    zeros = jax.tree.map(jnp.zeros_like, weights)
    state = (weights, zeros, zeros, jnp.zeros(()))
    seen, created = Training([], [], []), time.perf_counter()
    for _ in range(epochs):
        started = time.perf_counter()
        order = generator.permutation(len(labels))[: len(labels) // batch_size * batch_size]
        state, accuracy = epoch(state, order.reshape(-1, batch_size))
        seen.accuracy.append(float(accuracy))
        seen.seconds.append(time.perf_counter() - started)
        seen.elapsed.append(time.perf_counter() - created)
    return seen
