import torch

from hinged.lab.bench import plots, tables
from hinged.lab.bench.suites import growth
from hinged.lab.reporting.plots import svg


def test_all_four_axes_are_measured_and_threads_put_back(quick):
    before = torch.get_num_threads()
    record = growth.run(quick, lambda text: None)
    assert torch.get_num_threads() == before
    axes = [next(iter(case.place), "hinges") for case in record.cases]
    assert sorted(set(axes)) == ["batch", "channels", "hinges", "threads"]
    for case in record.cases:
        assert all(row.problem is None for row in case.rows)
        assert case.threads == case.place.get("threads", 1)
    titles = [sheet.title for sheet in tables.sheets(record)]
    assert [title.partition(":")[0] for title in titles] == [
        "channels",
        "batch",
        "threads",
        "hinges",
    ]
    drawn = svg(plots.growth(record))
    assert "forward + backward" in drawn and "time over ReLU" in drawn
