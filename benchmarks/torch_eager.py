"""PyTorch's training loop as in its documentation, eager, with the fused Adam."""

import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.archives import load
from benchmarks.ways import Training


def train(folder: Path, units: list[int], batch_size: int, epochs: int) -> Training:
    """Trains a new network with one hidden layer."""
    (images, labels), (test_images, test_labels) = (
        (torch.from_numpy(x.reshape(len(x), -1) / np.float32(255)), torch.from_numpy(np.int64(y)))
        for x, y in (load(folder, name) for name in ("train", "t10k"))
    )
    model = nn.Sequential(nn.Linear(784, units[0]), nn.ReLU(), nn.Linear(units[0], 10))
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    loss = nn.CrossEntropyLoss()
    seen, created = Training([], [], []), time.perf_counter()
    for _ in range(epochs):
        started = time.perf_counter()
        for batch in torch.randperm(len(labels)).split(batch_size):
            optimizer.zero_grad()
            loss(model(images[batch]), labels[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            right = model(test_images).argmax(1) == test_labels
            seen.accuracy.append(float(right.float().mean()))
        seen.seconds.append(time.perf_counter() - started)
        seen.elapsed.append(time.perf_counter() - created)
    return seen
