from rich.console import Console

from hinged.lab.bench import plots, tables
from hinged.lab.bench.record import Case, Row
from hinged.lab.reporting.plots import svg


def row(name, scale, **more):
    seconds = {"forward": [scale * 1e-3 * (1 + k / 10) for k in range(5)]}
    return Row(name=name, family="curve", seconds=seconds, **more)


def case(**more):
    rows = [
        row("relu", 1.0, kept_bytes=2**20),
        row("hinged K=9", 1.25, kept_bytes=2**10),
        Row(name="broken", family="other", problem="refused: wrong"),
    ]
    return Case(name="maps", about="x", baseline="relu", quantities=["forward"], rows=rows, **more)


def test_a_sheet_has_times_ratios_and_memory_and_problems_apart():
    sheet = tables.case_sheet(case())
    assert sheet.headings == (
        "activation",
        "forward",
        "over relu's (quartiles)",
        "kept for backward",
    )
    assert sheet.rows == [
        ("relu", "1.20 ms", "1", "1.0 MiB"),
        ("hinged K=9", "1.50 ms", "1.25 (1.25 to 1.25)", "1.0 KiB"),
    ]
    assert sheet.problems == [("broken", "refused: wrong")]
    assert sheet.title == "maps: x; 5 rounds, 1 thread"


def test_a_sheet_says_when_the_machine_was_not_ours():
    assert "DISTURBED" not in tables.case_sheet(case(others=0.1)).title
    assert tables.case_sheet(case(others=0.9)).title.endswith(
        "DISTURBED: other processes kept 0.9 cores busy"
    )


def test_quantities_with_unequal_rounds_are_told():
    unequal = case()
    unequal.rows[0].seconds["forward"] = [1e-3, 1e-3]
    assert "; 2 to 5 rounds, " in tables.case_sheet(unequal).title


def test_the_share_of_a_copy_counts_every_byte_once():
    sheet = tables.case_sheet(
        case(elements=1000, element_bytes=4, bandwidth=1.6e7), with_bandwidth=True
    )
    place = sheet.headings.index("forward, share of a copy's B/s")
    # 8,000 bytes in 1.2 ms are 6.67 MB/s of 16.
    assert [row[place] for row in sheet.rows] == ["42%", "33%"]


def test_a_record_is_shown_with_every_row(record):
    console = Console(record=True, width=160, quiet=False, file=None)
    with console.capture() as shown:
        for sheet in tables.sheets(record):
            console.print(tables.as_rich(sheet))
    for name in ("relu", "gelu", "hinged K=33"):
        assert name in shown.get()


def test_pictures_are_the_same_text_for_the_same_record(record):
    first, second = (svg(plots.ratios(record.cases[0])) for _ in range(2))
    assert first == second and "hinged K=9" in first and "<svg" in first
