import os

import pytest

from hinged.lab.runs.worker_processes import call_in_processes


def variable(name):
    return os.environ.get(name)


@pytest.mark.slow
def test_workers_have_the_present_environment_of_their_parent(monkeypatch):
    for value in ("first", "second"):  # The fork server starts with the first one.
        monkeypatch.setenv("HINGED_TEST", value)
        assert list(call_in_processes(variable, [("HINGED_TEST",)] * 2, 2, 1)) == [value] * 2
