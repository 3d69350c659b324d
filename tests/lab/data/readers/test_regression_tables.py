import pytest
import torch

from hinged import errors
from hinged.lab import data
from hinged.lab.data.readers import regression_tables


@pytest.mark.parametrize("name", regression_tables.CHECKSUMS)
def test_real_regressions(real, name):
    x, y = regression_tables.read_table_arrays(name, real)
    assert x.dtype == y.dtype == torch.float64 and x.isfinite().all() and len(x) == len(y)
    loaded = data.load_data_set(name, real)
    assert len(loaded.x_train) + len(loaded.x_test) == len(x)
    assert loaded.outputs == {"oh7": 3, "twod": 7}.get(name, 1)


def test_a_table_with_another_checksum_is_rejected(tmp_path):
    (tmp_path / "yacht.npz").write_bytes(b"something else")
    with pytest.raises(errors.DataError, match="a file with SHA-256"):
        data.load_data_set("yacht", tmp_path)
