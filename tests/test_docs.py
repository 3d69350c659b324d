"""Tests that the documentation agrees with the records and the code, and that its code runs."""

import inspect
import re
import runpy
from pathlib import Path

import huggingface_hub
import pytest
import torch

import hinged
from hinged import errors
from tests.test_hub import Api

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_results_of_the_demo_agree_with_the_record():
    record = runpy.run_path(str(ROOT / "docs" / "record.py"))
    page = record["PAGE"].read_text()
    assert record["with_results"](page, record["figures"]()) == page
    assert record["with_results"](README, record["sentence"]()) == README


def test_edited_results_of_the_demo_are_found():
    record = runpy.run_path(str(ROOT / "docs" / "record.py"))
    page = record["PAGE"].read_text()
    edited = re.sub(r"(\| hinged \| )\d+", r"\g<1>99", page)
    assert edited != page
    assert record["with_results"](edited, record["figures"]()) == page


def test_code_of_the_readme_runs():
    (block,) = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    names = {}
    exec(block, names)
    assert [group["name"] for group in names["optimizer"].param_groups] == ["weights", "curves"]


VERBS = re.findall(
    r"^\| \[`(\w+)`\]\[hinged\.\w+\] \| .*? \| (?:`(\w+)`|the model)",
    (ROOT / "docs" / "reference" / "index.md").read_text(),
    flags=re.M,
)


def test_the_table_of_functions_is_complete_and_names_what_each_returns():
    functions = {n for n in hinged.__all__ if inspect.isfunction(getattr(hinged, n))}
    assert {verb for verb, _ in VERBS} == functions - {"piecewise_linear"}
    for verb, returned in VERBS:
        annotation = inspect.signature(getattr(hinged, verb)).return_annotation
        assert annotation.partition("[")[0] == (returned or "nn.Module"), verb


def blocks_of(page, folder):
    """Run the Python blocks of a page, and yield the names that each block defines.

    Each block is written to a file first, because some functions read their source code.
    """
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), flags=re.S)
    for number, block in enumerate(blocks):
        file = folder / f"block_{number}.py"
        file.write_text(block)
        yield runpy.run_path(str(file))


def test_code_of_the_page_on_converting_runs(tmp_path):
    names, waves = blocks_of("reference/convert.md", tmp_path)
    assert isinstance(names["model"].relu, torch.nn.ReLU)
    assert len(waves["model"].hinged) == 2


@pytest.mark.slow
def test_code_of_the_page_on_training_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.warns(errors.OutsideRangeWarning) as said:
        (names,) = blocks_of("reference/train.md", tmp_path)
    assert len(said) == 1 and (tmp_path / "history.safetensors").exists()
    assert "input" in names["page"]


def test_code_of_the_page_on_lighter_models_runs(tmp_path):
    (names,) = blocks_of("reference/lighten.md", tmp_path)
    assert isinstance(names["model"][1], torch.nn.ReLU)


@pytest.mark.slow
def test_code_of_the_page_on_second_order_training_runs(tmp_path):
    through, streamed = blocks_of("reference/optim.md", tmp_path)
    assert min(through["result"].validation_error) < 0.1
    errors_of_stream = streamed["result"].error
    assert errors_of_stream[-1] < 0.5 * errors_of_stream[0]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_code_of_the_page_on_deploying_runs(tmp_path, monkeypatch):
    """The Hub is replaced by a local folder."""
    monkeypatch.chdir(tmp_path)
    api = Api(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "HfApi", api)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", api.download)
    page = (ROOT / "docs" / "deploy.md").read_text()
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.S):
        exec(block, names)
    assert names["url"].startswith("https://huggingface.co/me/network-curves/")
    files = {"network.onnx", "network.pt2", "curves", "hub"}
    assert files <= {path.name for path in tmp_path.iterdir()}


def test_every_linked_file_exists():
    docs = ROOT / "docs"
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *docs.glob("*.md")]
    for page in (*pages, *docs.glob("design/*.md")):
        for target in re.findall(r'(?:\]\(|src=")([^)#:"]+)(?:#[^)]*)?[)"]', page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_source_file_named_in_the_design_exists():
    patterns = ("src/hinged/**/*.*", "tests/**/*.py", "docs/*.py", "benchmarks/*.py")
    paths = [path for pattern in patterns for path in ROOT.glob(pattern)]
    files = [f"/{path.relative_to(ROOT)}" for path in paths]
    named = {
        (page.name, name)
        for page in (ROOT / "docs" / "design").glob("*.md")
        for name in re.findall(r"`([\w/]+\.(?:py|hpp|cpp))`", page.read_text())
    }
    assert len(named) > 10
    missing = [each for each in named if not any(f.endswith("/" + each[1]) for f in files)]
    assert missing == []


def test_the_tables_of_the_benchmarks_agree_with_the_records():
    script = runpy.run_path(str(ROOT / "docs" / "benchmarks.py"))
    page = script["PAGE"].read_text()
    assert script["fill_page"](page) == page


def test_the_page_shows_every_benchmark_record():
    script = runpy.run_path(str(ROOT / "docs" / "benchmarks.py"))
    shown = script["records_on"](script["PAGE"].read_text())
    assert len(shown) == 6
    # These have own pages.
    others = {
        "zoo",
        "estimators",
        "estimators-tuned",
        "estimator-times",
        "estimator-memory",
        "feedforward",
        "damaged-files",
        "mutations",
    }
    assert {path.stem for path in script["RECORDS"].glob("*.json")} - others <= set(shown)


def test_the_first_lines_of_the_benchmarks_and_the_design_have_figures_of_the_tables():
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    lead, _, tables = page.partition("## How it is measured")
    design = (ROOT / "docs" / "design" / "algorithms.md").read_text()
    figures = re.findall(r"\d+\.\d+", lead + design)
    assert len(figures) > 9
    assert [each for each in figures if not re.search(rf"\s{re.escape(each)}\s", tables)] == []


@pytest.mark.parametrize("name", ["zoo.py", "strength_of_tests.py"])
def test_the_tables_of_a_page_agree_with_its_records(name):
    script = runpy.run_path(str(ROOT / "docs" / name))
    page = script["PAGE"].read_text()
    assert script["fill_page"](page) == page


@pytest.mark.slow
def test_a_record_is_written_into_its_section_of_the_page(tmp_path):
    from hinged.lab.bench.measurement import BenchmarkOptions
    from hinged.lab.bench.suites import single_activations

    options = BenchmarkOptions(rounds=2, threads=1, quick=True)
    record = single_activations.benchmark_single_activations(
        options, lambda text: None, cases=["small features"]
    )
    record.save(tmp_path / "kernels.json")
    script = runpy.run_path(str(ROOT / "docs" / "benchmarks.py"))
    page = script["fill_page"](script["PAGE"].read_text(), tmp_path)
    assert "**small features: (2, 64) float32; 2 rounds, 1 thread" in page
    assert "](benchmarks/kernels-small-features.svg)" in page and "| hinged K=9 |" in page
    assert page.count("Not measured yet") == 5
    assert script["fill_page"](page, tmp_path) == page


@pytest.mark.slow
def test_the_pages_of_the_studies_agree_with_the_studies_and_their_records():
    script = runpy.run_path(str(ROOT / "docs" / "studies.py"))
    pages = {path.name: path.read_text() for path in script["PAGES"].glob("*.md")}
    assert pages == script["pages"]()


def test_the_measured_times_in_the_package_agree_with_the_records():
    script = runpy.run_path(str(ROOT / "docs" / "studies.py"))
    assert script["TIMES"].read_text() == script["measured_times"]()


@pytest.mark.slow
def test_the_results_of_the_studies_in_the_readme_agree_with_their_records():
    script = runpy.run_path(str(ROOT / "docs" / "studies.py"))
    assert script["with_summary"](README) == README


def test_the_page_of_a_study_shows_every_record_with_its_picture():
    script = runpy.run_path(str(ROOT / "docs" / "studies.py"))
    for path in script["RECORDS"].glob("*.json"):
        name, _, scale = path.stem.rpartition("-")
        page = (script["PAGES"] / f"{name}.md").read_text()
        assert f"## At scale {scale}" in page and f"({path.stem}.svg)" in page
        assert (script["PAGES"] / f"{path.stem}.svg").exists()


@pytest.mark.slow
def test_edited_numbers_in_a_record_change_the_page(tmp_path):
    script = runpy.run_path(str(ROOT / "docs" / "studies.py"))
    texts = script["pages"](tmp_path)
    assert all("No record yet" in text for name, text in texts.items() if name != "index.md")
    records = list(script["RECORDS"].glob("*.json"))
    for path in records:
        edited = re.sub(r'"mean":\s*0\.\d', '"mean": 0.1', path.read_text())
        (tmp_path / path.name).write_text(edited)
    texts = script["pages"](tmp_path)
    for page in {f"{path.stem.rpartition('-')[0]}.md" for path in records}:
        assert texts[page] != (script["PAGES"] / page).read_text()


def block_of(page, word):
    """Run the one Python block of a page that contains a word, and return its names."""
    text = (ROOT / "docs" / page).read_text()
    (block,) = [
        each for each in re.findall(r"```python\n(.*?)```", text, flags=re.S) if word in each
    ]
    names = {}
    exec(block, names)
    return names


@pytest.mark.slow
def test_code_of_the_pages_on_the_laboratory_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    comparison = block_of("reference/lab.md", "write_report")
    assert {row.activation for row in comparison["table"].rows} == {"relu", "hinged"}
    assert (tmp_path / "runs" / "small" / "report.html").exists()
    block_of("reference/lab-data.md", ".problem")
    assert block_of("reference/lab-studies.md", "study")["record"].scale == "smoke"
    model = block_of("reference/lab.md", "timm:")["model"]
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {n.rpartition(".")[2] for n in trained if not n.startswith("fc.")} == {"values"}


def test_the_tables_of_the_estimators_agree_with_their_records():
    script = runpy.run_path(str(ROOT / "docs" / "estimators.py"))
    page = script["PAGE"].read_text()
    assert script["fill_page"](page) == page


def test_the_table_of_monotone_estimators_agrees_with_its_record(monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    script = runpy.run_path(str(ROOT / "benchmarks" / "monotone.py"))
    script["show"](script["read_lines"](ROOT / "benchmarks" / "records" / "monotone.jsonl"))
    page = (ROOT / "docs" / "tables.md").read_text()
    shown = page.partition("<!-- monotone: begin")[2].partition("<!-- monotone: end")[0]
    assert capsys.readouterr().out in shown


@pytest.fixture(scope="module")
def two_tables():
    """A record of two contenders on two tables, one of which was used to choose defaults."""
    scores = {"hinged": {"old": 0.9, "new": 0.4}, "realmlp": {"old": 0.5, "new": 0.6}}
    results = [
        {"table": table, "contender": name, "fold": fold, "score": score + fold / 100}
        for name, tables in scores.items()
        for table, score in tables.items()
        for fold in range(3)
    ]
    tables = {name: {"seen": name == "old"} for name in ("old", "new")}
    return {"contenders": {n: n for n in scores}, "tables": tables, "folds": 3, "results": results}


def test_estimators_are_also_counted_on_tables_without_a_part_in_the_defaults(two_tables):
    script = runpy.run_path(str(ROOT / "docs" / "estimators.py"))
    counts = re.findall(r"On .*:|\d of \d", script["versus_tables"](two_tables))
    assert counts == ["On all 2 tables:", "1 of 2", "On tables without `*` (1):", "0 of 1"]


def test_the_page_explains_realmlp_only_if_the_record_has_scores_of_it(two_tables):
    script = runpy.run_path(str(ROOT / "docs" / "estimators.py"))
    found = script["_has_scores"](script["read_record"]("estimators"), "realmlp")
    assert ("RealMLP" in script["PAGE"].read_text()) == found
    failed = [{"table": "old", "contender": "realmlp", "fold": 0, "problem": "memory"}]
    assert script["_has_scores"](two_tables, "realmlp")
    assert not script["_has_scores"]({**two_tables, "results": failed}, "realmlp")
