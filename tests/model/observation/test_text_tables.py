import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import nn

import hinged
from hinged.model.observation.text_tables import format_table

HEADINGS = ("site", "was", "channels", "range before", "outside", "")
FIGURES = ("ReLU()", "1,024", "-12.34 to 56.78", "12.34%")
ROWS = [
    ("stem.relu", *FIGURES, ""),
    ("blocks.11.attention.output.activation", *FIGURES, "not converted: it is a gate, so " * 4),
    ("head", *FIGURES, "closest fit"),
]


def words(rows):
    """The words of all texts in a table, in the order of the alphabet."""
    return sorted(word for row in rows for text in row for word in text.split())


@pytest.mark.parametrize("width", [30, 60, 80, 120, 300])
def test_every_text_is_whole_at_every_width(width):
    text = format_table([HEADINGS, *ROWS], width)
    lines = text.splitlines()
    assert all(len(line) <= max(width, len(ROWS[1][0])) for line in lines)
    if width >= 60:
        assert words([lines]) == words([HEADINGS, *ROWS])
    for figure in FIGURES:
        assert text.count(figure) == 3


def test_a_table_that_fits_has_one_line_for_each_row():
    assert len(format_table([HEADINGS, *ROWS], 300).splitlines()) == 4


def test_texts_without_a_heading_stand_below_their_rows():
    lines = format_table([HEADINGS, *ROWS], 100).splitlines()
    name = next(i for i, line in enumerate(lines) if line.startswith(ROWS[1][0]))
    assert lines[name].endswith("12.34%")
    assert lines[name + 1].startswith("    not converted: it is a gate")


def test_broken_headings_end_above_their_columns():
    rows = [("layer", "outside before", "largest"), ("relu_1", "1%", "3")]
    assert format_table(rows, 25).splitlines() == [
        "        outside",
        "layer    before  largest",
        "relu_1       1%        3",
    ]


def test_columns_that_do_not_fit_stand_in_a_second_table():
    rows = [("layer", *"abcd"), ("relu", *(["1234567"] * 4))]
    assert format_table(rows, 25).splitlines() == [
        "layer        a        b",
        "relu   1234567  1234567",
        "",
        "layer        c        d",
        "relu   1234567  1234567",
    ]


@given(
    st.integers(2, 7).flatmap(
        lambda columns: st.lists(
            st.lists(st.text("ab1", min_size=1, max_size=12), min_size=columns, max_size=columns),
            min_size=2,
            max_size=4,
        )
    ),
    st.integers(20, 100),
)
def test_any_table_fits_without_losing_a_text(rows, width):
    lines = format_table(rows, width).splitlines()
    found = words([lines])
    for word in words(rows):
        found.remove(word)
    # What is left are names and headings that a second table repeats.
    assert set(found) <= {row[0] for row in rows}
    assert max(map(len, lines)) <= max(width, 26)


class Encoder(nn.Module):
    """A model with a long name of a site, a site that stays, and channels in the thousands."""

    def __init__(self):
        super().__init__()
        self.intermediate_feed_forward_of_the_block = nn.Sequential(nn.Linear(4, 2048), nn.ReLU())
        self.gate = nn.Linear(2048, 2048)

    def forward(self, x):
        x = self.intermediate_feed_forward_of_the_block(x)
        return torch.sigmoid(self.gate(x)) * x


def test_the_tables_of_sites_and_diagnose_fit_80_columns():
    torch.manual_seed(0)
    model, x = Encoder(), torch.randn(16, 4)
    found = hinged.sites(model, x)
    text = str(found)
    hinged.convert(model, x)
    diagnosis = hinged.diagnose(model, x)
    table = str(diagnosis).partition("\nintermediate_feed_forward_of_the_block.1: ")[0]
    assert max(map(len, [*text.splitlines(), *table.splitlines()])) <= 80
    [site] = found.converted
    for figure in (site.name, "2048", f"{site.outside:.2%}", f"{site.range[0]:.3g} to "):
        assert figure in text
    for figure in (site.name, "2048", f"{diagnosis.figures()[site.name]['lines_hit']:.1%}"):
        assert figure in table
