import shutil

import pytest

from hinged.lab.study.answer import answer
from hinged.lab.study.record import StudyRecord
from hinged.lab.study.study_folder import StudyFolder
from hinged.lab.study.study_report import write_study_report


@pytest.fixture(scope="module")
def reported(finished, tmp_path_factory):
    """A copy of the small study's folder, with its page."""
    path = shutil.copytree(finished.path, tmp_path_factory.mktemp("report") / "run")
    folder = StudyFolder(path)
    return folder, write_study_report(folder).record


@pytest.mark.slow
def test_the_page_has_the_answer_before_the_picture_before_the_table(reported):
    folder, record = reported
    page = (folder.path / "report.html").read_text()
    said = answer(record)
    places = [page.index(text) for text in (record.question, said.verdict, "<img", "<table>")]
    assert places == sorted(places) and said.lead in page
    assert "Two blocks are not tried." in page


@pytest.mark.slow
def test_the_page_needs_no_other_file(reported):
    folder, _ = reported
    page = (folder.path / "report.html").read_text()
    assert "<script" not in page and "<link" not in page and 'src="data:image/svg+xml' in page


@pytest.mark.slow
def test_the_page_links_to_the_page_of_each_cell(reported):
    folder, _ = reported
    page = (folder.path / "report.html").read_text()
    for name, words in (("hinges-3", "3 hinges"), ("hinges-9", "9 hinges")):
        assert f'<a href="cells/{name}/report.html">{words}</a>' in page
        linked = folder.path / "cells" / name / "report.html"
        assert 'src="../plotly.min.js"' in linked.read_text()
    assert (folder.path / "cells" / "plotly.min.js").stat().st_size > 1_000_000


@pytest.mark.slow
def test_the_record_and_the_pictures_are_written_too(reported):
    folder, record = reported
    written = (folder.path / "record.json").read_text()
    assert StudyRecord.model_validate_json(written) == record
    assert (folder.path / "tiny-smoke.svg").exists()


@pytest.mark.slow
def test_only_pages_of_cells_with_new_results_are_written_again(reported):
    folder, _ = reported
    pages = {
        name: folder.path / "cells" / name / "report.html" for name in ("hinges-3", "hinges-9")
    }
    before = {name: page.stat().st_mtime_ns for name, page in pages.items()}
    next((folder.path / "cells" / "hinges-9" / "trials").glob("*.json")).touch()
    write_study_report(folder)
    assert pages["hinges-3"].stat().st_mtime_ns == before["hinges-3"]
    assert pages["hinges-9"].stat().st_mtime_ns > before["hinges-9"]


@pytest.mark.slow
def test_warnings_about_scores_name_their_cell(reported, monkeypatch):
    folder, _ = reported

    def warn(experiment, _):
        yield "Nothing varies."
        if experiment.curves.hinges == 9:
            yield "No network learned."

    monkeypatch.setattr("hinged.lab.study.study_report.warn_of_scores", warn)
    found = write_study_report(folder).warnings
    assert found[-2:] == ["Nothing varies.", "9 hinges: No network learned."]
    page = (folder.path / "report.html").read_text()
    assert page.index("9 hinges: No network learned.") < page.index("<img")
