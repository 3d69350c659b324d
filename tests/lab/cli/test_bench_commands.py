import json

import pytest

from hinged.lab.bench.record import read_benchmark_record
from tests.cli.run_command import error_of, run

QUICK = ("--quick", "--rounds", "2", "--threads", "1")


def test_kernels_prints_a_table_and_writes_the_record(tmp_path):
    out = tmp_path / "record.json"
    result = run("bench", "kernels", *QUICK, "--case", "small features", "--out", str(out))
    assert result.exit_code == 0
    assert "small features: (2, 64) float32" in result.stdout and "hinged K=9" in result.stdout
    assert "Kernel: " in result.stdout
    assert read_benchmark_record(out).settings["cases"] == ["small features"]


def test_models_prints_the_record_as_json():
    result = run(
        "bench", "models", *QUICK, "--model", "mlp", "--activations", "relu,silu", "--json"
    )
    plain = json.loads(result.stdout)
    assert plain["kind"] == "models" and plain["settings"]["threads"] == 1
    assert [row["name"] for row in plain["cases"][0]["rows"]] == ["relu", "silu"]


def test_without_a_subcommand_one_table_is_made(monkeypatch):
    limits = {}

    def stop(options, _progress, *, cases):
        limits.update(rounds=options.rounds, cases=cases)
        raise KeyboardInterrupt

    monkeypatch.setattr("hinged.lab.cli.bench_commands.benchmark_single_activations", stop)
    assert run("bench").exit_code == 130
    assert limits == {"rounds": 10, "cases": ["maps"]}


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["kernels", "--case", "map"], "did you mean 'maps'"),
        (["kernels", "--kernels", "no-such-kernel"], "no-such-kernel"),
        (["kernels", "--device", "gpu"], "did you mean 'cpu'"),
        (["kernels", "--peers", "nowhere.py"], "nowhere.py, which is not an existing file"),
        (["models", "--model", "resnet"], "did you mean 'resnet18'"),
        (["models", "--activations", ","], "expected at least one name"),
    ],
)
def test_an_error_is_one_sentence(capsys, arguments, message):
    error = error_of(capsys, "bench", *arguments)
    assert error.startswith("hinged: ") and message in error and error.count("\n") == 1
