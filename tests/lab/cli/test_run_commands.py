import json
import shutil

import pytest

from tests.cli.run_command import error_of, run

SMALL = ["--width", "2", "--depth", "1", "--epochs", "1", "--batch-size", "128"]
COMPARE = [*SMALL, "--seeds", "2", "--activations", "relu,hinged", "--jobs", "1"]


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A finished `hinged compare`: its folder and its result."""
    folder = tmp_path_factory.mktemp("compared") / "run"
    return folder, run("compare", *COMPARE, "--out", str(folder))


def test_compare_prints_table_verdict_and_page(compared):
    folder, result = compared
    assert result.exit_code == 0
    assert "minus relu's" in result.output and "(corrected)" in result.output
    assert f"Page: {folder / 'report.html'}" in result.output
    assert "4/4" in result.output and "hinged is " in result.output
    assert (folder / "report.html").exists() and (folder / "results.jsonl").exists()


@pytest.mark.slow
def test_report_prints_json_and_writes_the_page_again(compared):
    folder = compared[0]
    (folder / "report.html").unlink()
    figures = json.loads(run("report", str(folder), "--json").stdout)
    assert (folder / "report.html").exists()
    assert figures["metric"] == "accuracy" and figures["finished"] == 4
    relu, hinged = figures["rows"]
    assert relu["versus"] is None and {"difference", "p"} <= hinged["versus"].keys()
    assert hinged["activation_parameters"] == 2 * 2 * 9


@pytest.mark.slow
def test_report_prints_the_results_of_a_folder_that_cannot_be_written(compared, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(compared[0], folder)
    (folder / "report.html").unlink()
    (folder / "report.html").mkdir()  # As root, a test can write a folder that is read-only.
    result = run("report", str(folder))
    assert result.exit_code == 0 and "minus relu's" in result.output
    assert "Warning: There is no new page." in result.output and "Page:" not in result.output


@pytest.mark.slow
def test_report_executes_no_file_that_the_settings_name(compared, tmp_path):
    folder, code = tmp_path / "run", tmp_path / "code.py"
    shutil.copytree(compared[0], folder)
    code.write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\ndef make(): pass\n")
    for path in (folder / "config.json", *(folder / "trials").glob("*.json")):
        settings = json.loads(path.read_text())
        found = settings if path.name == "config.json" else settings["experiment"]
        found["network"]["kind"] = found["data"] = f"{code}:make"
        path.write_text(json.dumps(settings))
    config = json.loads((folder / "config.json").read_text())
    config["activations"].append(f"{code}:make")
    (folder / "config.json").write_text(json.dumps(config))
    result = run("report", str(folder))
    assert result.exit_code == 0 and "minus relu's" in result.output
    assert not (tmp_path / "executed").exists()


@pytest.mark.slow
def test_report_writes_files_for_other_programs_and_prints_their_paths(compared, tmp_path):
    options = ("--csv", "--latex", "--figures", "svg", "--to", str(tmp_path))
    result = run("report", str(compared[0]), *options)
    paths = [line.removeprefix("File: ") for line in result.stdout.splitlines() if "File: " in line]
    assert {str(p) for p in tmp_path.rglob("*.*")} == set(paths)
    assert {"results.csv", "table.csv", "table.tex", "scores.svg"} <= {
        path.rpartition("/")[2] for path in paths
    }
    figures = json.loads(run("report", str(compared[0]), "--csv", "--json").stdout)
    assert [path.rpartition("/")[2] for path in figures["files"]][:2] == [
        "results.csv",
        "table.csv",
    ]
    assert figures["files"][0].startswith(str(compared[0]))
    assert 0 < figures["other_scores"]["hinged"]["macro F1"]["mean"] < 1
    assert figures["class_accuracy"]["relu"].keys() == set("0123456789")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["{folder}", "--figures", "gif"],
            "`--figures`: got 'gif'; expected one of: pdf, png, svg.",
        ),
        (["{folder}", "--to", "x"], "`--to`: got no format; give --csv, --latex or --figures too"),
        (
            ["{folder}", "{folder}", "--csv", "--to", "x"],
            "`--to`: got several folders with the name",
        ),
        (
            ["{folder}/plots"],
            "plots holds neither a run nor a study: config.json and study.json are",
        ),
    ],
)
def test_report_refuses_in_words(capsys, compared, options, message):
    given = [option.format(folder=compared[0]) for option in options]
    assert message in error_of(capsys, "report", *given)


def test_what_proves_nothing_is_said_above_the_table_and_in_the_page(tmp_path):
    folder = tmp_path / "run"
    too_large = ("--lr", "1000", "--set", "training.curve_metric=false")
    lines = run("compare", *COMPARE, *too_large, "--out", str(folder)).stdout
    assert "seeds: too few for a verdict" in lines or "no test is possible" in lines
    figures = json.loads(run("report", str(folder), "--json").stdout)
    page = (folder / "report.html").read_text()
    words = " ".join(lines.split())
    assert len(figures["warnings"]) >= 2
    # After one epoch, an activation can be above chance by luck, and only the other is named.
    for start in ("No network ", "Too few seeds for a verdict: 2; give at least 5."):
        [text] = [each for each in figures["warnings"] if each.startswith(start)]
        assert text in page
        assert words.index(f"Warning: {text}") < words.index("minus relu's")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("torch.zeros(40).long()", "got a train split with one class only; give samples of at"),
        ("torch.full((40, 1), 2.5)", "target 0 (always 2.5) is constant"),
        ("torch.full((40, 1), torch.nan)", "NaN or infinite values in target 0 of sample 0, 1"),
    ],
)
def test_data_without_anything_to_learn_are_refused(tmp_path, capsys, labels, message):
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\n"
        "def load():\n"
        f"    x, y = torch.randn(40, 3), {labels}\n"
        "    return (x, y), (x[:10], y[:10])\n"
    )
    data, out = f"{file}:load", tmp_path / "run"
    error = error_of(
        capsys, "compare", *COMPARE, "--model", "mlp", "--data", data, "--out", str(out)
    )
    assert message in error and not out.exists()


def test_a_run_folder_with_another_experiment_is_refused(capsys, compared):
    error = error_of(capsys, "compare", *COMPARE, "--lr", "0.5", "--out", str(compared[0]))
    assert "holds another experiment: there training.lr is 0.006, not 0.5" in error


def test_train_saves_checkpoint_and_settings(tmp_path):
    folder = tmp_path / "run"
    options = [
        "--activation",
        "silu",
        "--seed",
        "3",
        "--augment",
        "crop,flip",
        "--test-size",
        "100",
    ]
    assert run("train", *SMALL, *options, "--out", str(folder)).exit_code == 0
    assert (folder / "checkpoints" / "silu-seed3" / "last.ckpt").exists()
    settings = json.loads((folder / "config.json").read_text())
    assert settings["training"]["augment"] == ["crop", "flip"] and settings["test_size"] == 100


def test_the_default_folder_is_named_after_the_settings_in_use(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wine = ("--set", "data=wine", "--set", "network.kind=mlp", "--set", "folds=3")
    assert run("train", *SMALL, *wine, "--activation", "relu").exit_code == 0
    [record] = (tmp_path / "runs").glob("*/results.jsonl")
    assert record.parent.name == "wine-mlp-relu-seed0"
    assert json.loads(record.read_text())["experiment"]["folds"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "--data", "digit"], "`--data`: got 'digit'; did you mean 'digits'"),
        (["compare", "--augment", "crop,flop"], "`--augment`: got 'flop'; did you mean 'flip'"),
        (["compare", "--train-size", "5"], "choose a number from 10 to 898, the size of the split"),
        (["compare", "--data", "wine", "--augment", "flip"], "only images in uint8 of shape"),
        (["compare", "--data", "my.py:make"], "got my.py, which is not an existing file"),
        (["compare", "--model", "my.py:make"], "got my.py, which is not an existing file"),
        (["compare", "--data-dir", "nowhere"], "got nowhere, which is not an existing folder"),
        (
            ["compare", "--data", "t.csv"],
            "`--data t.csv`: got a file that does not exist; give a path",
        ),
        (
            ["compare", "--data", "a/b"],
            "`--data`: got a/b, which is not an existing folder; give a",
        ),
        *(
            (["compare", "--data", f"./nodir/{end}"], "got nodir, which is not an existing folder")
            for end in ("", ":64")
        ),
        (["compare", "--epochs", "0"], "`--epochs`: got 0; expected at least 1."),
        (["compare", "--lr", "-1"], "`--lr`: got -1.0; expected more than 0."),
        (["compare", "--range", "3,-3"], "'--range' takes two numbers: --range -3 3."),
        (["compare", "--activations", "relu,hnged"], "did you mean 'hinged'"),
        (["compare", "--seeds", "1"], "a comparison needs at least 2"),
        (["compare", "--data", "wine", "--out", "x"], "a cnn needs images: use `--model mlp`"),
        (["compare", "--hinges", "2", "--out", "x"], "a kink at 0 needs at least 3"),
        (
            ["compare", "--range", "3", "-3", "--out", "x"],
            "got 3 for the first hinge and -3 for the last; ",
        ),
        (["report", "nowhere"], "nowhere holds neither a run nor a study: config.json and"),
        (["convert-check", "my.py:make"], "got my.py, which is not an existing file"),
        (
            ["convert-check", "resnet18"],
            "give a file and a function in it, for example my.py:make_net",
        ),
    ],
)
def test_an_error_is_one_sentence(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    error = error_of(capsys, *arguments)
    assert error.startswith("hinged: ") and message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_data_and_network_of_a_users_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.py").write_text(
        "import torch\n"
        "def make_loaders():\n"
        "    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))\n"
        "    y = (x[:, 0] > 0).long()\n"
        "    return (x[:30], y[:30]), (x[30:], y[30:])\n"
        "def make_net(activation):\n"
        "    from torch import nn\n"
        "    return nn.Sequential(nn.Linear(3, 4), activation(4), nn.Linear(4, 2))\n"
    )
    mine = ["--data", "my.py:make_loaders", "--model", "my.py:make_net", "--train-size", "20"]
    done = run("train", *mine, "--activation", "hinged", "--epochs", "1", "--json")
    assert done.exit_code == 0
    (record,) = (tmp_path / "runs").glob("*/results.jsonl")
    assert record.parent.name == "my.py-make_loaders-my.py-make_net-hinged-seed0"
    result = json.loads(record.read_text())
    assert result["experiment"]["train_size"] == 20
    assert "20 to train on and 10 to test on" in result["data_about"]


def test_an_unknown_logger_is_one_sentence(tmp_path, capsys):
    out = ("--epochs", "1", "--out", str(tmp_path / "run"))
    message = error_of(capsys, "train", "--logger", "tensorbord", *out)
    assert "tensorboard" in message and message.count("\n") == 1


def test_a_comparison_can_be_tuned_and_says_what_was_chosen(tmp_path, capsys):
    options = ("--epochs", "1", "--train-size", "60", "--activations", "relu,hinged", "--jobs", "1")
    command = ("compare", "--seeds", "2", *options, "--out", str(tmp_path / "run"))
    tune = ("--tune", "training.lr=0.003,0.02")
    shown = " ".join(run(*command, *tune).stdout.split())
    assert "tuning 1 of 2" in shown and "Tuned: relu with lr " in shown
    figures = json.loads(run(*command, *tune, "--json").stdout)
    assert [each["activation"] for each in figures["tuning"]] == ["relu", "hinged"]
    assert all(len(each["tried"]) == 2 for each in figures["tuning"])
    page = (tmp_path / "run" / "report.html").read_text()
    assert "tried, with mean validation accuracy, %" in page
    run("report", str(tmp_path / "run"), "--csv")
    assert (tmp_path / "run" / "tuning.csv").read_text().startswith("activation,training.lr,metric")
    assert "with the same --tune options" in error_of(capsys, *command)
    other = ("train", "--activation", "silu", "--epochs", "1", "--train-size", "60")
    folder = ("--out", str(tmp_path / "run"))
    assert "with the same --tune options" in error_of(capsys, *other, *folder)
    uneven = ("--tune", "training.curve_lr_factor=1,2")
    assert "`--tune`: got these numbers of comb" in error_of(capsys, *command, *uneven)
