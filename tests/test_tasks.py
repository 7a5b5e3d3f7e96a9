"""What a node of a cluster checks, and what is said without one; the rest is in tests/cluster."""

import re

import pytest

from pipeline import tasks
from pipeline.errors import InputError, NetworkError


def test_a_node_with_another_version() -> None:
    tasks.check_versions(tasks.versions())
    with pytest.raises(InputError, match=r"^node .*: found pillow .*, expected 1.0, as on "):
        tasks.check_versions(tasks.versions() | {"pillow": "1.0"})


@pytest.mark.parametrize(
    ("address", "kind", "message"),
    [
        ("head", InputError, "RAY_ADDRESS=head: expected HOST:PORT, such as head:6379"),
        ("127.0.0.1:9", NetworkError, "RAY_ADDRESS=127.0.0.1:9: does not answer ("),
    ],
)
def test_no_cluster(
    address: str, kind: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="ray is in requirements-cluster.lock only")
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(kind, match=f"^{re.escape(message)}"):
        next(tasks.in_order(len, ["a"]))
