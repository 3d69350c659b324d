"""The command `hinged info`."""

from __future__ import annotations

from hinged.cli.declaration import CORE, implemented_in, new_app
from hinged.cli.options import AsJson

app = new_app()


@app.command()
@implemented_in(CORE)
def info(as_json: AsJson = False) -> None:
    """Show package versions, devices and the kernel that computes curves."""
