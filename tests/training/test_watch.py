"""Watches that really talk to each other, all in this process."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pipeline.cluster import Cluster
from pipeline.errors import NetworkError
from pipeline.training import watch
from pipeline.training.watch import Watch

ADDRESSES = ("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")


@contextmanager
def watching() -> Iterator[tuple[list[Watch], list[threading.Event]]]:
    """The watches of three workers, and what each is told when one is lost."""
    told = [threading.Event() for _ in ADDRESSES]
    watches = [
        Watch(Cluster(ADDRESSES, rank), lambda _loss, rank=rank: told[rank].set())  # type: ignore[misc]
        for rank in range(len(ADDRESSES))
    ]
    port = watches[0].listen()
    starts = [threading.Thread(target=one.start, args=(port,)) for one in watches]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    yield watches, told
    for one in watches:
        one.finish()
        one.thread.join(10)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "BEAT", 0.05)
    monkeypatch.setattr(watch, "SILENCE", 0.5)


@pytest.mark.parametrize(("lost", "others"), [(0, (1, 2)), (2, (0, 1))])
def test_the_others_learn_who_ended(lost: int, others: tuple[int, ...]) -> None:
    with watching() as (watches, told):
        for link in watches[lost].ranks:
            link.shutdown(2)
        for rank in others:
            assert told[rank].wait(10)
            assert watches[rank].loss.startswith(f"worker {lost} ({ADDRESSES[lost]}) ")


@pytest.mark.parametrize(("lost", "others"), [(0, (1, 2)), (1, (0, 2))])
def test_the_others_learn_who_is_silent(lost: int, others: tuple[int, ...]) -> None:
    with watching() as (watches, told):
        watches[lost].over.set()  # as if it was stopped: its connections stay
        for rank in others:
            assert told[rank].wait(10)
            assert watches[rank].loss.startswith(f"worker {lost} ({ADDRESSES[lost]}) was ")


def test_a_worker_may_end_when_all_is_over() -> None:
    with watching() as (watches, told):
        time.sleep(0.2)  # some signs of life
        for one in watches:
            one.finish()
            time.sleep(0.2)
        assert not any(event.is_set() for event in told)
        assert {one.loss for one in watches} == {""}


def test_one_that_cannot_connect() -> None:
    with pytest.raises(NetworkError, match="cannot connect to worker 0") as caught:
        Watch(Cluster(ADDRESSES, 1), lambda _loss: None).start(9)
    assert "open all ports between the workers" in str(caught.value)
