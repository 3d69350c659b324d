"""Damaged TOML files and plans of studies: the errors are documented and name the file."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hinged import errors
from hinged.lab.study import cells, definition
from hinged.lab.study.study_folder import StudyFolder
from tests.damage import damaged

TOML = [definition.find_study(name).read_bytes() for name in ("capacity", "ablation")]
TOML += [b'question = "?"\n[smoke]\n[small]\n[full]\n', b""]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("studies")


def parse_or_explain(read, path):
    said = path.name
    try:
        read(path)
    except errors.ArgumentError as error:
        said = str(error)
    assert path.name in said, said


@given(damaged(TOML))
def test_damaged_studies(folder, content):
    (folder / "mine.toml").write_bytes(content)
    parse_or_explain(definition.parse_study, folder / "mine.toml")


VALUES = ["1", "-1", "nan", "'x'", "[]", "[1]", "{}", "{ a = 1 }", "true", "2020-01-01", "1e400"]
KEYS = ["question", "measure", "seeds", "activations", "settings", "grid", "smoke", "small.data"]
KEYS += ["small.seeds", "small.settings", "small.grid", "variants", "pretrain", "tune", "other"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=4))
def test_odd_fields_of_studies(tiny, entries):
    lines = "".join(f"{name} = {value}\n" for name, value in entries.items())
    path = tiny.with_name("odd.toml")
    path.write_text(lines + tiny.read_text())
    parse_or_explain(cells.read_study, path)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("question = 'gr\xf6\xdfer?'".encode("latin-1"), "not UTF-8.*save the file .* as UTF-8"),
        (b"a = " + b"[" * 10**5, "not valid TOML"),
        (b"a = 2020-13-45", "not valid TOML"),
    ],
)
def test_files_that_are_no_toml(tmp_path, content, fault):
    (tmp_path / "mine.toml").write_bytes(content)
    with pytest.raises(errors.ArgumentError, match=f"mine.toml.*{fault}"):
        definition.parse_study(tmp_path / "mine.toml")


@given(st.data())
def test_damaged_plans(folder, choices):
    content = choices.draw(
        damaged([b'{"name": "a", "scale": "small", "study": {}}', b"\xff", b"["])
    )
    (folder / "study.json").write_bytes(content)
    with pytest.raises(errors.RunFolderError, match=r"study\.json.*Choose another folder"):
        _ = StudyFolder(folder).plan
