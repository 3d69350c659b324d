import re

import pytest

from hinged import errors
from hinged.lab.reporting import report, terminal
from hinged.lab.reporting.comparison_table import verdict
from hinged.lab.runs.run_folder import RunFolder


@pytest.mark.slow
def test_page_stands_alone_and_holds_the_figures(finished):
    table = report.write_report(finished)
    page = (finished.path / "report.html").read_text()
    for row in table.rows:
        for cell in terminal.row_texts(row, table.metric):
            assert cell.strip() in page
    assert verdict(table).replace("'", "&#39;") in page
    assert finished.results()[0].data_digest in page
    # Plotly is inside; nothing is loaded from elsewhere when the page opens.
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    assert not re.findall(r"(?:src|href)=", markup)
    assert page.count('class="plotly-graph-div"') == 4
    assert {path.stem for path in (finished.path / "plots").iterdir()} == {
        *("curves", "differences", "histories", "scores"),
    }


def test_a_run_without_finished_trials_is_refused(tmp_path, small):
    folder = RunFolder(tmp_path / "run")
    folder.open(small)
    with pytest.raises(errors.RunFolderError, match="holds no finished trial yet"):
        report.write_report(folder)
