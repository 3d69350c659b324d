"""Tests that the code and the figures of the guides in docs are right."""

import itertools
import json
import re
import runpy
import shlex
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import hinged
from hinged.cli.app import app
from hinged.lab.cli import run_commands
from hinged.lab.data import DATA_SETS
from hinged.lab.study.cells import read_study, study_cells, study_tuning
from hinged.lab.study.definition import Study
from hinged.lab.study.outcome_measures import MEASURES
from hinged.lab.study.scales import Scale
from hinged.lab.study.tune import Tune
from hinged.model.observation.advice import SIGNS
from hinged.nn.parameter_groups import (
    ASSUMED_SAMPLES,
    CURVE_LR_FACTOR,
    DECAYED_SAMPLES,
    MOST_CURVE_DECAY,
    MOST_CURVE_LR,
    SMOOTHING,
    default_curve_decay,
)

DOCS = Path(__file__).parents[1] / "docs"


def blocks(page, language="python"):
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), flags=re.S)


def run_page(page, folder, monkeypatch):
    """Run the Python blocks of a page one after the other, in a folder. Return their names."""
    monkeypatch.chdir(folder)
    names = {"__name__": "page"}
    for block in blocks(page):
        exec(compile(block, page, "exec"), names)
    return names


def test_the_home_page_and_the_readme_have_the_same_example():
    readme = (DOCS.parent / "README.md").read_text()
    (block,) = blocks("index.md")
    assert block in readme


def test_code_of_the_page_on_the_own_loop_runs(tmp_path, monkeypatch, capsys):
    names = run_page("train.md", tmp_path, monkeypatch)
    weights, curves = names["optimizer"].param_groups
    expected = min(CURVE_LR_FACTOR * weights["max_lr"], MOST_CURVE_LR)
    assert curves["max_lr"] == pytest.approx(expected)
    assert curves["weight_decay"] == 0 < weights["weight_decay"]
    assert capsys.readouterr().out.count("accuracy") == names["epochs"]


def test_code_of_the_page_on_fine_tuning_trains_head_curves_and_normalisation(
    tmp_path, monkeypatch
):
    names = run_page("fine-tuning.md", tmp_path, monkeypatch)
    trained = {name for name, p in names["model"].named_parameters() if p.requires_grad}
    assert trained == {"1.weight", "1.bias", "2.values", "5.weight", "5.bias"}
    curves = names["model"][2]
    assert (curves.values - curves.hinges.relu()).abs().amax(1).min() > 0


def rows_of_fine_tuning(study):
    """Return the rows of the record of a study, and those of its table on the page, by variant."""
    section = (DOCS / "fine-tuning.md").read_text().split(f"/{study}.md)", 1)[1]
    record = json.loads((DOCS.parent / f"studies/records/{study}-small.json").read_text())
    table = section.split("\n\n|", 1)[1].split("\n\n", 1)[0]
    shown = {}
    for name, numbers in re.findall(r"^\| (.*?) \| (\d\d\.\d .*) \|$", table, flags=re.M):
        variant = re.sub(r" \(.*\)| of rank 1|,", "", name).replace(" ", "-")
        shown[variant] = numbers.split(" | ")
    return record["rows"], shown


def test_the_table_of_the_page_on_fine_tuning_has_the_means_of_the_study():
    rows, shown = rows_of_fine_tuning("fine-tuning")
    settings = list(itertools.product(("tiny-imagenet-20", "fashion-mnist"), (100, 300, 1000)))
    assert {row["cell"]: f"{100 * row['mean']:.1f}" for row in rows} == {
        f"{variant}_data-{data}_train-size-{n}": number
        for variant, numbers in shown.items()
        for (data, n), number in zip(settings, numbers, strict=True)
    }


def test_the_page_on_fine_tuning_has_the_means_of_the_study_of_imagenet_networks():
    rows, shown = rows_of_fine_tuning("fine-tuning-imagenet")
    data = ("tiny-imagenet-20", "cifar10-jpeg")
    settings = itertools.product(("mobilenet_v2", "squeezenet1_0"), data)
    settings = [f"network-{network}-imagenet-64_data-{name}" for network, name in settings]
    means = {}
    for row in rows:
        count = f" ({row['parameters']:,})" if data[0] in row["cell"] else ""
        means[row["cell"]] = f"{100 * row['mean']:.1f}{count}"
    assert means == {
        f"{variant}_{setting}": number
        for variant, numbers in shown.items()
        for setting, number in zip(settings, numbers, strict=True)
    }


def test_the_recipe_runs_and_its_second_table_says_what_convert_sets(tmp_path, monkeypatch):
    names = run_page("recipe.md", tmp_path, monkeypatch)
    _, curves = names["optimizer"].param_groups
    assert curves["curve_decay"] == default_curve_decay(names["samples"])
    (site,) = hinged.sites(names["model"]).converted
    assert "| 9, and one curve for each channel |" in (DOCS / "recipe.md").read_text()
    assert (site.hinges, site.channels) == (9, 8)


def test_code_of_the_page_on_training_sets_the_keys_that_it_names(tmp_path, monkeypatch):
    _, curves = run_page("curve-training.md", tmp_path, monkeypatch)["optimizer"].param_groups
    assert [curves[key] for key in ("lr", "smoothing", "curve_decay")] == [0.02, 0.1, 1.0]


def test_recipe_and_page_on_training_have_the_default_numbers_of_the_library():
    page = " ".join((DOCS / "recipe.md").read_text().split())
    assumed = f"{ASSUMED_SAMPLES:,} are assumed, which makes {default_curve_decay():.2f}"
    for cell in (
        f"| {CURVE_LR_FACTOR:g} times that of the weights, but at most {MOST_CURVE_LR:g} |",
        f"| {SMOOTHING:g} |",
        f"| {MOST_CURVE_DECAY:g} for up to {DECAYED_SAMPLES:,} training samples, and",
        f"Without `samples`, {assumed} |",
    ):
        assert cell in page
    settings = (DOCS / "curve-training.md").read_text()
    for part in (
        f"{CURVE_LR_FACTOR:g} times `lr`, but at most {MOST_CURVE_LR:g},",
        f"{SMOOTHING:g} by default",
        f"{MOST_CURVE_DECAY:g} for up to {DECAYED_SAMPLES:,} samples",
        f"Without it, {ASSUMED_SAMPLES:,} are assumed.",
    ):
        assert part in settings
    exponent = float(re.search(rf"\({DECAYED_SAMPLES} / samples\)\^([\d.]+)", page)[1])
    decay = default_curve_decay(2 * DECAYED_SAMPLES)
    assert decay == pytest.approx(MOST_CURVE_DECAY / 2**exponent)


def test_the_picture_of_the_page_on_training_is_as_its_script_draws_it():
    script = runpy.run_path(str(DOCS / "curve_training.py"))
    shown = script["PICTURE"].read_text()
    for hinges in script["HINGES"]:
        errors = [
            script["error"](script["trained_curve"](hinges, smoothing))
            for smoothing in script["WAYS"].values()
        ]
        heading = re.search(rf">({hinges} hinges.*?)<", shown)[1]
        *_, adam, metric = map(float, re.findall(r"\d\.\d+", heading))
        assert script["heading"](hinges, [adam, metric]) == heading
        assert [adam, metric] == pytest.approx(errors, abs=0.01), "run `make curve-training`"
    assert metric < 0.7 * adam  # As the page says of 33 hinges, the last of the numbers.


@pytest.mark.slow
def test_code_of_the_page_on_tables_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("pandas")
    names = run_page("tables.md", tmp_path, monkeypatch)
    shown = capsys.readouterr().out
    assert float(re.search(r"R2 on new patients: (.*)", shown)[1]) > 0.2
    assert (tmp_path / "curves.png").exists() and (tmp_path / "columns.png").exists()
    assert "never falls with bmi: True" in shown
    assert (
        names["same"].predict(names["X_test"]) == names["classifier"].predict(names["X_test"])
    ).all()
    assert names["stream"].n_iter_ == 3
    assert names["second_order"].score(names["X"], names["y"]) > 0.4


def test_a_resumed_training_continues_with_the_saved_curves(tmp_path, monkeypatch):
    """The checkpoint of the page, loaded into a model that was converted with another batch."""
    names = run_page("train.md", tmp_path, monkeypatch)
    model = hinged.convert(names["network"](), 100 * torch.randn(4, 3, 8, 8))
    model.load_state_dict(torch.load("checkpoint.pt")["model"])
    x = torch.randn(4, 3, 8, 8)
    fresh = hinged.convert(names["network"](), names["train_loader"][0])
    fresh.load_state_dict(torch.load("checkpoint.pt")["model"])
    assert torch.equal(model.eval()(x), fresh.eval()(x))


def test_code_of_the_page_on_missing_gains_runs(tmp_path, monkeypatch):
    names = run_page("no-gain.md", tmp_path, monkeypatch)
    (advice,) = hinged.diagnose(names["model"], names["data"]).advice
    assert advice.sign == "inputs outside"


def test_the_table_of_advice_has_a_row_for_each_sign():
    (table,) = re.findall(r"\| advice .*?\n\n", (DOCS / "no-gain.md").read_text(), flags=re.S)
    assert len(table.strip().splitlines()) - 2 == len(SIGNS)


def test_figures_in_the_page_on_missing_gains_are_in_the_linked_studies():
    """Each difference in a paragraph stands in a table of one of the studies that it links."""
    paragraphs = (DOCS / "no-gain.md").read_text().split("\n\n")
    checked = 0
    for paragraph in paragraphs:
        studies = re.findall(r"\]\((studies/[\w-]+\.md)", paragraph)
        tables = "".join((DOCS / study).read_text() for study in studies)
        for figure in re.findall(r"[+-]\d+\.\d+", paragraph):
            shown = re.search(rf"(?<![\d.]){re.escape(figure)}(?!\d)", tables)
            assert shown, f"{figure} of {paragraph}"
            checked += 1
    assert checked > 8


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_code_of_the_page_on_transformers_runs(tmp_path, monkeypatch):
    """Needs transformers and accelerate; the test says so if they are missing."""
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    names = run_page("transformers.md", tmp_path, monkeypatch)
    weights, curves = names["trainer"].optimizer.param_groups
    assert (curves["name"], curves["weight_decay"]) == ("curves", 0)
    assert weights["weight_decay"] == 0.01
    names["arguments"].weight_decay = 0.01
    model, arguments, data = (names[key] for key in ("model", "arguments", "data"))
    trainer = names["CurveTrainer"](model, arguments, train_dataset=data)
    decay = {
        p: g["weight_decay"] for g in trainer.create_optimizer().param_groups for p in g["params"]
    }
    trained = dict(names["model"].named_parameters())
    assert decay.keys() == set(trained.values())
    assert {name for name, p in trained.items() if decay[p]} == {
        name
        for name in names["Trainer"].get_decay_parameter_names(trainer, names["model"])
        if name in trained and not name.endswith((".values", ".tail_slopes"))
    }
    decayed = names["Trainer"].get_decay_parameter_names(trainer, names["model"])
    assert any(name.endswith(".values") for name in decayed)  # Why the page gives an optimizer.


def test_the_example_of_a_study_runs_and_has_the_stated_size(tmp_path, monkeypatch):
    (tmp_path / "mine.toml").write_text(blocks("own-study.md", "toml")[0])
    names = run_page("own-study.md", tmp_path, monkeypatch)
    cells = study_cells(names["study"], "small")
    assert len(cells) == 4
    assert sum(len(cell.experiment.trials) for cell in cells) == 120


def test_the_tuning_on_the_page_of_studies_gives_each_activation_four_attempts(tmp_path):
    study, tune = blocks("own-study.md", "toml")[0], blocks("own-study.md", "toml")[2]
    (tmp_path / "mine.toml").write_text(study + tune)
    tuning = study_tuning(read_study(tmp_path / "mine.toml"), "small")
    numbers = {name: len(each) for name, each in tuning.combinations.items()}
    assert numbers == {"relu": 4, "silu": 4, "hinged": 4}
    assert (tuning.seeds, tuning.validation) == (2, 0.2)


def test_every_key_of_a_study_is_on_its_page():
    text = (DOCS / "own-study.md").read_text()
    tables = [
        set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\|(.*?)\|", part, flags=re.M))))
        for part in text.split("\n#")
    ]
    keys, tune, scale, measures = [table for table in tables if table]
    assert keys == set(Study.model_fields)
    assert tune == set(Tune.model_fields)
    assert scale == set(Scale.model_fields)
    assert measures == set(MEASURES)


def test_activations_named_on_the_page_on_comparisons_are_replaced():
    """The page says that not only ReLU is replaced."""
    assert "would replace: ReLU, GELU, SiLU" in (DOCS / "comparisons.md").read_text()
    model = nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 4), nn.SiLU())
    assert len(hinged.sites(model, torch.randn(8, 4))) == 2


def test_the_network_on_the_page_on_comparisons_can_be_trained(tmp_path, monkeypatch):
    make_net = run_page("comparisons.md", tmp_path, monkeypatch)["make_net"]
    assert make_net(hinged.PiecewiseLinear)(torch.randn(2, 3, 8, 8)).shape == (2, 2)


def test_every_comparison_of_the_guides_can_start(tmp_path, monkeypatch):
    """The commands check all settings, as when a reader pastes them. Nothing is trained."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    started = []
    monkeypatch.setattr(run_commands, "run_comparison", lambda *args, **_: started.append(args))
    monkeypatch.setattr(run_commands, "tune_all", lambda runs, *_, **__: runs)
    monkeypatch.setattr(run_commands, "_print_report", lambda *_, **__: None)
    for page in [DOCS.parent / "README.md", *DOCS.glob("*.md")]:
        text = page.read_text().replace("\\\n", " ")
        for command in re.findall(r"^ *(?:\$ )?hinged ((?:compare|train) .*)$", text, flags=re.M):
            result = CliRunner().invoke(app, shlex.split(command, comments=True))
            assert result.exit_code == 0, f"{page.name}: hinged {command}: {result.exception}"
    assert len(started) > 10


def test_every_data_set_is_on_its_page():
    first_cells = re.findall(r"^\| (`.*?) \|", (DOCS / "data.md").read_text(), flags=re.M)
    named = set(re.findall(r"`([\w-]+)`", " ".join(first_cells)))
    assert set(DATA_SETS) <= named


def test_rows_of_tables_have_as_many_cells_as_their_heading():
    for page in [DOCS.parent / "README.md", *DOCS.glob("*.md")]:
        lines = page.read_text().splitlines()
        for above, line in itertools.pairwise(lines):
            if above.startswith("| ") and line.startswith("|"):
                assert cells(above) == cells(line), f"{page.name}: {line}"


def cells(row):
    return row.replace("\\|", "").count("|")
