from pathlib import Path

import pytest
import torch

from hinged import errors
from hinged.lab.bench.peers import load_peers
from hinged.lab.bench.suites import kernels

SHIPPED = Path(__file__).parents[3] / "benchmarks" / "peers.py"

OWN = """
from torch import nn
from hinged.lab.bench.contestants import OTHER, Contestant
PEERS = [Contestant("mine", lambda curve: nn.Tanh(), OTHER)]
"""


def test_a_file_of_ones_own_takes_part(tmp_path, quick):
    path = tmp_path / "own.py"
    path.write_text(OWN)
    workload = kernels.Workload("peers", (2, 3, 2, 2), hinges=5, peers=True)
    rows = kernels.line_up(workload, load_peers(path), ("auto",))
    case = kernels.measure_workload(workload, rows, quick)
    assert [row.name for row in case.rows] == ["relu", "prelu", "hinged K=5", "mine"]
    assert all(row.problem is None for row in case.rows)


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "which is no file"),
        ("x = 1", "without one"),
        ("PEERS = [1]", "without one"),
        ("raise RuntimeError('no')", "fails with RuntimeError: no"),
        (OWN.replace("OTHER)", "'no family')"), "family of mine"),
    ],
)
def test_a_file_that_cannot_serve_is_refused(tmp_path, content, message):
    path = tmp_path / "peers.py"
    if content is not None:
        path.write_text(content)
    with pytest.raises(errors.ArgumentError, match=message):
        load_peers(path)


def test_every_shipped_peer_is_right_or_says_why_not(quick):
    workload = kernels.Workload("peers", (4, 3, 4, 4), hinges=13, peers=True)
    case = kernels.measure_workload(workload, load_peers(SHIPPED), quick)
    assert len(case.rows) == 8
    for row in case.rows:
        assert row.problem is None or row.problem.startswith("not installed"), row.problem


def test_requirements_name_the_packages_of_the_peers():
    lines = SHIPPED.with_suffix(".txt").read_text().splitlines()
    pinned = {line.partition("==")[0] for line in lines if not line.startswith("#")}
    assert pinned == {peer.package for peer in load_peers(SHIPPED)}
    assert torch.__version__  # The peers' environment has torch from hinged itself.
