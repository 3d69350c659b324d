"""The command-line program `hinged`."""

import sys

from hinged import errors


def main() -> None:
    """Run the command line. Print an error of this library as one line, and exit with code 2."""
    try:
        from hinged.lab.cli.app import app
        from hinged.lab.cli.option_names import name_options
    except errors.MissingExtraError as missing:
        sys.exit(_print_error(str(missing)))
    try:
        app()
    except errors.HingedError as error:
        sys.exit(_print_error(name_options(str(error))))


def _print_error(message: str) -> int:
    print(f"hinged: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
