import pytest

from hinged.lab.bench.plots import plot_case_ratios
from hinged.lab.bench.record import Case, Row
from hinged.lab.bench.tables import case_table, record_tables, to_fitted_table
from hinged.lab.reporting.plots import to_svg
from tests.lab.tables import WIDTHS, printed, whole_cells


def row(name, scale, **more):
    seconds = {"forward": [scale * 1e-3 * (1 + k / 10) for k in range(5)]}
    return Row(name=name, family="curve", seconds=seconds, **more)


def case(**more):
    rows = [
        row("relu", 1.0, kept_bytes=2**20),
        row("hinged K=9", 1.25, kept_bytes=2**10),
        Row(name="broken", family="other", problem="wrong result"),
    ]
    return Case(name="maps", about="x", baseline="relu", quantities=["forward"], rows=rows, **more)


def test_a_table_has_times_ratios_and_memory_and_lists_problems_separately():
    table = case_table(case())
    assert table.headings == (
        "activation",
        "forward",
        "over relu's (quartiles)",
        "saved for backward",
    )
    assert table.rows == [
        ("relu", "1.20 ms", "1", "1.0 MiB"),
        ("hinged K=9", "1.50 ms", "1.25 (1.25 to 1.25)", "1.0 KiB"),
    ]
    assert table.problems == [("broken", "wrong result")]
    assert table.title == "maps: x; 5 rounds, 1 thread"


def test_the_title_says_if_other_processes_disturbed_the_measurement():
    assert "DISTURBED" not in case_table(case(others=0.1)).title
    assert case_table(case(others=0.9)).title.endswith(
        "DISTURBED: other processes kept 0.9 cores busy"
    )


def test_the_title_gives_the_range_of_unequal_numbers_of_rounds():
    unequal = case()
    unequal.rows[0].seconds["forward"] = [1e-3, 1e-3]
    assert "; 2 to 5 rounds, " in case_table(unequal).title


def test_the_share_of_a_copys_bandwidth_counts_every_byte_once():
    table = case_table(case(elements=1000, element_bytes=4, bandwidth=1.6e7), with_bandwidth=True)
    column = table.headings.index("forward, share of a copy's B/s")
    # 8,000 bytes in 1.2 ms are 6.67 MB/s of 16 MB/s.
    assert [row[column] for row in table.rows] == ["42%", "33%"]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_terminal_shows_every_row_of_a_record_and_cuts_no_number(record, width):
    for table in map(to_fitted_table, record_tables(record)):
        text, shown = printed(table, width), table.columns_for(width)
        assert all(whole_cells(text, row, shown) for row in table.rows)
        quantities = [i for i, heading in enumerate(table.headings) if "quartiles" in heading]
        assert set(quantities) <= set(shown) and len({table.headings[i] for i in shown}) > 1


def test_headings_name_the_quantity_if_its_times_are_left_out():
    headings = to_fitted_table(case_table(case())).headings
    assert headings[2] == "forward over relu's (quartiles)"


def test_a_record_always_gives_the_same_plot(record):
    first, second = (to_svg(plot_case_ratios(record.cases[0])) for _ in range(2))
    assert first == second and "hinged K=9" in first and "<svg" in first
