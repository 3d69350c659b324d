"""The command `hinged`."""

import sys

from hinged import errors


def main() -> None:
    """Run the command line, and turn what this library raises into one line and exit code 2."""
    try:
        from hinged.lab.cli.app import app
    except errors.MissingExtraError as missing:
        sys.exit(_said(missing))
    try:
        app()
    except errors.HingedError as error:
        sys.exit(_said(error))


def _said(error: errors.HingedError) -> int:
    print(f"hinged: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
