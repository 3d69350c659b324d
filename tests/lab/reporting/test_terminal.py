import pytest

from hinged.lab.reporting.comparison_table import build_comparison_table
from hinged.lab.reporting.terminal import terminal_table
from tests.lab.helpers import make_result
from tests.lab.tables import WIDTHS, printed, whole_cells


@pytest.mark.parametrize("width", WIDTHS)
def test_the_table_of_a_large_network_fits_the_terminal(width, small):
    results = [
        make_result(name, seed, 0.5 + 0.1 * seed).model_copy(
            update={"parameters": 11_178_058, "activation_parameters": 34_560, "step_ms": 1234.5}
        )
        for name in ("relu", "hinged", "my.py:make")
        for seed in range(3)
    ]
    names = ("relu", "hinged", "my.py:make")
    experiment = small.model_copy(update={"activations": names})
    table = terminal_table(build_comparison_table(experiment, results))
    text, shown = printed(table, width), table.columns_for(width)
    assert max(map(len, text.splitlines())) <= width
    assert all(whole_cells(text, row, shown) for row in table.rows)
    assert {0, 1, 2} <= set(shown) and ("11,178,058 (34,560)" in text) == (4 in shown)
