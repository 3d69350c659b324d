from pathlib import Path

import pytest

from hinged import errors
from hinged.lab.bench.peers import load_peers
from hinged.lab.bench.suites import single_activations

SHIPPED = Path(__file__).parents[3] / "benchmarks" / "peers.py"

PEERS_FILE = """
from torch import nn
from hinged.lab.bench.timed_activations import OTHER, TimedActivation
PEERS = [TimedActivation("mine", lambda curve: nn.Tanh(), OTHER)]
"""


def test_activations_of_a_users_file_are_timed(tmp_path, quick):
    path = tmp_path / "own.py"
    path.write_text(PEERS_FILE)
    workload = single_activations.Workload("peers", (2, 3, 2, 2), hinges=5, peers=True)
    activations = single_activations.activations_to_time(workload, load_peers(path), ("auto",))
    case = single_activations.measure_workload(workload, activations, quick)
    assert [row.name for row in case.rows] == ["relu", "prelu", "hinged K=5", "mine"]
    assert case.timed_rows == case.rows


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "which is not an existing file"),
        ("x = 1", "defines no list PEERS"),
        ("PEERS = [1]", "defines no list PEERS"),
        ("raise RuntimeError('no')", "which raises RuntimeError: no"),
        (PEERS_FILE.replace("OTHER)", "'no family')"), "'mine', family="),
    ],
)
def test_a_bad_file_is_rejected(tmp_path, content, message):
    path = tmp_path / "peers.py"
    if content is not None:
        path.write_text(content)
    with pytest.raises(errors.ArgumentError, match=message):
        load_peers(path)


def test_every_shipped_peer_is_correct_or_not_installed(quick):
    workload = single_activations.Workload("peers", (4, 3, 4, 4), hinges=13, peers=True)
    case = single_activations.measure_workload(workload, load_peers(SHIPPED), quick)
    assert len(case.rows) == 8
    for row in case.rows:
        assert row.problem is None or row.problem.startswith("not installed"), row.problem


def test_the_requirements_file_lists_the_packages_of_the_peers():
    lines = SHIPPED.with_suffix(".txt").read_text().splitlines()
    pinned = {line.partition("==")[0] for line in lines if not line.startswith("#")}
    assert pinned == {peer.package for peer in load_peers(SHIPPED)}
