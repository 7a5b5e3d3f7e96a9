"""TF_CONFIG, as launchers set it."""

import json

import pytest

from pipeline.cluster import Cluster, cluster_of
from pipeline.errors import InputError


def config(cluster: dict[str, list[str]], job: str, index: int) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": job, "index": index}})}


def test_without_it_a_process_is_alone() -> None:
    assert cluster_of({}) == cluster_of({"TF_CONFIG": ""}) == cluster_of({"TF_CONFIG": "{}"})
    assert cluster_of({}).count == 1


def test_workers_have_the_ranks_of_their_places() -> None:
    addresses = ["a:1", "[::1]:2", "c:3"]
    cluster = cluster_of(config({"worker": addresses}, "worker", 2))
    assert cluster == Cluster(tuple(addresses), 2)
    assert cluster.name(0) == "worker 0 (a:1)"


def test_the_chief_comes_first() -> None:
    jobs = {"worker": ["b:1", "c:1"], "chief": ["a:1"], "evaluator": ["e:1"]}
    assert cluster_of(config(jobs, "chief", 0)) == Cluster(("a:1", "b:1", "c:1"), 0)
    assert cluster_of(config(jobs, "worker", 1)).rank == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("worker", "found 'worker', expected JSON such as"),
        ('{"cluster": {"worker": "a:1"}}', "expected JSON such as"),
        ('{"cluster": {"worker": ["a"]}}', "found the address 'a', expected host:port"),
        ('{"cluster": {"worker": ["a:b"]}}', "found the address 'a:b', expected host:port"),
        ('{"cluster": {"worker": ["a:1", "a:1"]}}', "two workers have the same address"),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
            "found the task worker 1, expected one of worker 0",
        ),
        (
            '{"cluster": {"chief": ["a:1"], "ps": ["b:1"]}, "task": {"type": "ps", "index": 0}}',
            "found the task ps 0, expected one of chief 0",
        ),
        ("[" * 100, f"found '{'[' * 60}...', expected JSON such as"),
    ],
)
def test_what_it_may_not_say(text: str, said: str) -> None:
    with pytest.raises(InputError, match=r"^TF_CONFIG: ") as caught:
        cluster_of({"TF_CONFIG": text})
    assert said in str(caught.value)
