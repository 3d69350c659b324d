import torch

from hinged.lab.bench.plots import plot_scaling
from hinged.lab.bench.suites.scaling import benchmark_scaling
from hinged.lab.bench.tables import record_tables
from hinged.lab.reporting.plots import to_svg


def test_all_four_axes_are_measured_and_the_number_of_threads_is_restored(quick):
    before = torch.get_num_threads()
    record = benchmark_scaling(quick, lambda text: None)
    assert torch.get_num_threads() == before
    axes = [next(iter(case.place), "hinges") for case in record.cases]
    assert sorted(set(axes)) == ["batch", "channels", "hinges", "threads"]
    for case in record.cases:
        assert all(row.problem is None for row in case.rows)
        assert case.threads == case.place.get("threads", 1)
    titles = [table.title.partition(":")[0] for table in record_tables(record)]
    assert titles == ["channels", "batch", "threads", "hinges"]
    drawn = to_svg(plot_scaling(record))
    assert "forward + backward" in drawn and "time over ReLU" in drawn
