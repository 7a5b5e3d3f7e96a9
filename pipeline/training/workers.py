"""The workers of a training: what they exchange, and how it ends if one of them is lost."""

import hashlib
import json
import os
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.tensorflow_server_pb2 import ServerDef
from tensorflow.python.eager import context

from pipeline.cluster import Cluster
from pipeline.errors import InputError, TrainingError
from pipeline.training.checkpoint import State
from pipeline.training.watch import Watch

PATIENCE = 300.0  # seconds for all workers to start
NOTICE = 15.0  # seconds in which the watch says which worker was lost
ALL = 1  # the key of the group of all workers; those of pairs come after it
RESUME = "run it again; it resumes after the last finished epoch"
Tensors = list[tf.Tensor]


class Workers:
    """This process and the others that share a training with it."""

    def __init__(self, cluster: Cluster, patience: float = PATIENCE) -> None:
        """Before TensorFlow does anything else: it then listens for the others.

        Args:
            cluster: who they are.
            patience: seconds for all of them to start.

        Raises:
            InputError: this one's port is taken.
        """
        self.cluster = cluster
        self.count, self.rank = cluster.count, cluster.rank
        self.patience = patience
        self.exchanges = count(1)  # numbers them; all workers make the same ones in the same order
        self.watch = Watch(cluster, self._abort)
        self.noticed = threading.Event()  # that a worker is lost
        if self.count > 1:
            _serve(cluster)

    def part(self, count: int) -> range:
        """Which of `count` parts, a multiple of the number of workers, are this one's."""
        share = count // self.count
        return range(self.rank * share, (self.rank + 1) * share)

    def meet(self, identity: Mapping[str, Any]) -> None:
        """Waits for the others, and watches over them from now on.

        Args:
            identity: what must be the same on all of them, JSON values by what they are called.

        Raises:
            InputError: a worker did not start, or something is not the same on it.
            NetworkError: they cannot connect.
        """
        if self.count == 1:
            return
        port = self.watch.listen() if self.rank == 0 else 0
        port = self._first_of_all(port)
        with self.watched():
            self._compare(identity)
        self.watch.start(port)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Says which worker was lost if the exchange with the others fails in the block.

        Raises:
            TrainingError: one was lost.
        """
        try:
            yield
        except tf.errors.OpError as error:
            if self.count == 1:
                raise
            self.noticed.wait(NOTICE)
            raise TrainingError(f"{self.watch.loss or error.message}; {RESUME}") from error

    def part_company(self) -> None:
        """Waits until the others come to the same point, the end, and stops watching over them.

        Raises:
            TrainingError: one was lost.
        """
        if self.count > 1:
            with self.watched():
                self.gather(tf.zeros(1))
            self.watch.finish()

    def gather(self, vector: tf.Tensor) -> tf.Tensor:
        """The `vector`, (n,), of each worker: (workers, n)."""
        if self.count == 1:
            return vector[tf.newaxis]
        return self._gather(vector, range(self.count), ALL)

    def add_up(self, parts: Tensors) -> Tensors:
        """The sum over all workers of each part, float32 of any shape, along a binary tree.

        First of the ranks 2n and 2n + 1, then of the results, and so on. Two workers exchange
        halves of what they have, so that each adds up its own half alone; in the end all gather
        those pieces. That sends as little as possible, 2 (N-1)/N of the parts' size, like an
        all-reduce. (Recursive halving: Thakur, Rabenseifner and Gropp, IJHPCA 19, 2005.)
        """
        if self.count == 1:
            return parts
        flat = packed(parts)
        piece = tf.pad(flat, [(0, -flat.shape[0] % self.count)])
        for level in range(self.count.bit_length() - 1):
            low = self.rank & ~(1 << level)  # the lower rank of the pair
            pair = (low, low | 1 << level)
            upper = self.rank >> level & 1
            halves = tf.split(piece, 2)
            key = ALL + 1 + level * self.count + low
            received = self._gather(halves[1 - upper], pair, key)[1 - upper]
            piece = halves[upper] + received
        pieces = self.gather(piece)
        order = [_reversed_bits(place, self.count) for place in range(self.count)]
        return unpacked(tf.reshape(tf.gather(pieces, order), [-1])[: flat.shape[0]], parts)

    def share_state(
        self, variables: Sequence[keras.Variable], history: dict[str, list[float]]
    ) -> dict[str, list[float]]:
        """Assigns the first worker's values of `variables` on all others; returns its `history`."""
        if self.count == 1:
            return history
        if self.rank == 0:
            state = State([variable.numpy() for variable in variables], history)
            self._broadcast(state.to_bytes())
            return history
        state = State.from_bytes(self._broadcast(b""))
        for variable, value in zip(variables, state.variables, strict=True):
            variable.assign(value)
        return state.history

    def compare_state(self, variables: Sequence[keras.Variable], epoch: int) -> None:
        """Checks that `variables` have the same values on all workers.

        Raises:
            TrainingError: they have not, because two processors compute differently.
        """
        if self.count == 1:
            return
        digest = hashlib.sha256()
        for variable in variables:
            digest.update(variable.numpy().tobytes())
        for rank, other in enumerate(self._gather_digests([digest.hexdigest()])):
            if other != [digest.hexdigest()]:
                raise TrainingError(
                    f"{self.cluster.name(rank)} has other weights than "
                    f"{self.cluster.name(self.rank)} after epoch {epoch + 1}, from the same data: "
                    f"their processors compute differently; use workers of one kind"
                )

    def _first_of_all(self, port: int) -> int:
        """Waits until all workers are there; returns the first one's `port`."""
        try:
            ports = self._gather(tf.constant([port]), range(self.count), ALL, self.patience)
        except tf.errors.OpError as error:
            raise InputError(
                f"not all of the {self.count} workers started within {self.patience:.0f} s; "
                f"{self._absent()}"
            ) from error
        return int(ports[0, 0])

    def _compare(self, identity: Mapping[str, Any]) -> None:
        """Checks that all workers have the same `identity`."""
        own = [
            hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
            for value in identity.values()
        ]
        first, *others = self._gather_digests(own)
        for rank, digests in enumerate(others, start=1):
            if differing := [
                name
                for name, digest, firsts in zip(identity, digests, first, strict=True)
                if digest != firsts
            ]:
                raise InputError(
                    f"{self.cluster.name(rank)} has other {' and '.join(differing)} than "
                    f"{self.cluster.name(0)}; all need the same commit, params.yaml, "
                    f"data/processed and .venv"
                )

    def _absent(self) -> str:
        """Which workers do not listen, in words."""
        absent = []
        for rank in range(self.count):
            try:
                socket.create_connection(self.cluster.address(rank), timeout=1).close()
            except OSError as error:
                absent.append(f"{self.cluster.name(rank)} does not answer ({error})")
        return "; ".join(absent) or "all answer, but not to each other"

    def _gather_digests(self, digests: Sequence[str]) -> list[list[str]]:
        """The SHA-256 `digests` of each worker."""
        own = np.frombuffer(bytes.fromhex("".join(digests)), np.int32)
        size = len(own) * own.itemsize // len(digests)
        return [
            [row.tobytes()[start:][:size].hex() for start in range(0, len(row) * 4, size)]
            for row in self.gather(tf.constant(own)).numpy()
        ]

    def _gather(
        self, vector: tf.Tensor, ranks: Sequence[int], key: int, timeout: float = 0
    ) -> tf.Tensor:
        """The `vector`, (n,), of each of `ranks`, in their order: (len(ranks), n)."""
        gathered = tf.raw_ops.CollectiveGatherV2(
            input=vector[tf.newaxis],
            group_size=len(ranks),
            group_key=key,
            instance_key=next(self.exchanges),
            ordering_token=[],
            communication_hint="ring",
            timeout_seconds=timeout,
        )
        return tf.ensure_shape(gathered, (len(ranks), *vector.shape))

    def _broadcast(self, content: bytes) -> bytes:
        """The first worker's `content`, on all of them."""
        (size, *_) = self.gather(tf.constant([len(content)]))[:, 0].numpy()
        padded = np.zeros(-(-size // 4), np.int32)
        shape = padded.shape
        key = {
            "group_size": self.count,
            "group_key": ALL,
            "instance_key": next(self.exchanges),
        }
        if self.rank == 0:
            padded.view(np.uint8)[:size] = np.frombuffer(content, np.uint8)
            received = tf.raw_ops.CollectiveBcastSendV2(input=padded, **key)
        else:
            received = tf.raw_ops.CollectiveBcastRecvV2(T=tf.int32, shape=shape, **key)
        return bytes(received.numpy().tobytes()[:size])

    def _abort(self, _loss: str) -> None:
        """Ends all exchange, in which another thread may wait."""
        self.noticed.set()
        context.context().abort_collective_ops(tf.errors.UNAVAILABLE, "a worker was lost")


def packed(parts: Tensors) -> tf.Tensor:
    """All values of `parts`, of any shapes, one after the other: (n,)."""
    return tf.concat([tf.reshape(part, [-1]) for part in parts], axis=0)


def unpacked(flat: tf.Tensor, parts: Tensors) -> Tensors:
    """The reverse of `packed`: the values of `flat`, (n,), in the shapes of `parts`."""
    values = tf.split(flat, [part.shape.num_elements() for part in parts])
    return [tf.reshape(some, part.shape) for some, part in zip(values, parts, strict=True)]


def _serve(cluster: Cluster) -> None:
    """Makes TensorFlow listen for the other workers.

    `tf.distribute.MultiWorkerMirroredStrategy` does the same, but would end this process itself if
    a worker is lost, and Keras 3 cannot train under it (https://github.com/keras-team/keras/issues/20585).
    """
    # It would go through a proxy for HTTP, which does not know the workers.
    hosts = {cluster.address(rank)[0] for rank in range(cluster.count)}
    os.environ["no_grpc_proxy"] = ",".join(hosts)  # noqa: SIM112, gRPC reads it in small letters
    workers = tf.train.ClusterSpec({"worker": cluster.addresses})
    here = context.context()
    here.configure_collective_ops(
        collective_leader="/job:worker/replica:0/task:0",
        device_filters=(f"/job:worker/task:{cluster.rank}",),
    )
    config = here.config
    config.isolate_session_state = False
    server = ServerDef(
        cluster=workers.as_cluster_def(),
        default_session_config=config,
        job_name="worker",
        task_index=cluster.rank,
        protocol="grpc",
    )
    try:
        here.enable_collective_ops(server)
        here.ensure_initialized()
    except tf.errors.OpError as error:
        raise InputError(
            f"{cluster.name(cluster.rank)}: cannot listen there ({error.message}); another process "
            f"may use the port, choose another one"
        ) from error


def _reversed_bits(number: int, count: int) -> int:
    """The bits of `number`, below `count`, in reverse order; `count` is a power of two."""
    bits = count.bit_length() - 1
    return int(f"{number:0{bits}b}"[::-1], 2)
