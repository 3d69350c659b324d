import html
import re
import shutil

import pytest

from hinged import errors
from hinged.lab.reporting import report, terminal
from hinged.lab.reporting.comparison_table import verdict
from hinged.lab.reporting.prediction_tables import class_tables, score_table
from hinged.lab.runs.run_folder import RunFolder
from tests.lab.reporting.invented import classes_run, numbers_run


@pytest.mark.slow
def test_page_stands_alone_and_holds_the_figures(finished):
    table = report.write_report(finished).table
    page = (finished.path / "report.html").read_text()
    for row in table.rows:
        for cell in terminal.row_texts(row, table.metric):
            assert cell.strip() in page
    assert verdict(table).replace("'", "&#39;") in page
    assert finished.results()[0].data_digest in page
    # Plotly is inside; nothing is loaded from elsewhere when the page opens.
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    assert not re.findall(r"(?:src|href)=", markup)
    assert page.count('class="plotly-graph-div"') == 5
    assert {path.stem for path in (finished.path / "plots").iterdir()} == {
        *("confusion", "curves", "differences", "histories", "scores"),
    }


def test_the_page_shows_scores_and_accuracies_of_classes(tmp_path):
    folder = classes_run(tmp_path / "run")
    data = report.write_report(folder)
    page = (folder.path / "report.html").read_text()
    shown = [score_table(data.table, data.predictions), *class_tables(data.predictions)]
    for table in shown:
        assert f"<h2>{table.title}</h2>" in page
        for row in table.rows:
            assert all(html.escape(cell) in page for cell in row)
    assert "<h2>True and predicted classes" in page
    # Without saved predictions, as in runs of earlier versions, the page has fewer parts.
    shutil.rmtree(folder.path / "predictions")
    report.write_report(folder)
    page = (folder.path / "report.html").read_text()
    assert "<h2>More scores</h2>" in page and "True and predicted" not in page
    assert "Accuracy of each class" not in page


def test_many_classes_are_listed_instead_of_drawn(tmp_path):
    folder = classes_run(tmp_path / "run", classes=30, samples=300)
    report.write_report(folder)
    page = (folder.path / "report.html").read_text()
    assert "<h2>Classes confused most" in page and "True and predicted" not in page
    assert "<summary>Accuracy of each class" in page
    assert not (folder.path / "plots" / "confusion.png").exists()


def test_the_page_shows_predicted_numbers(tmp_path):
    folder = numbers_run(tmp_path / "run")
    report.write_report(folder)
    page = (folder.path / "report.html").read_text()
    assert "<h2>True and predicted numbers" in page and "RMSE is the root of" in page


def test_a_run_without_finished_trials_is_refused(tmp_path, small):
    folder = RunFolder(tmp_path / "run")
    folder.open(small)
    with pytest.raises(errors.RunFolderError, match="holds no finished trial yet"):
        report.write_report(folder)
