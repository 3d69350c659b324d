"""Safetensors files with a header: which format they have, and a checksum against later changes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from safetensors import safe_open

from hinged import errors
from hinged.model.adaptation.file_paths import path_to_read


@dataclass(frozen=True)
class TensorFileFormat:
    """A format of safetensors files, and the errors about such files.

    The metadata of a file have the entries `format`, `version` and `checksum`.

    Attributes:
        name: the entry `format`.
        version: the entry `version`.
        writer: the public function that writes these files.
        contents: what the files contain, as the object of `save`: `the curves`, for example.
        error: the class of errors about these files.
    """

    name: str
    version: str
    writer: str
    contents: str
    error: type[errors.HingedError]

    def fault(self, call: str, got: str, hint: str) -> errors.HingedError:
        """Return the error for a file; see `errors.message`."""
        return self.error(errors.message(call, got, hint))

    def read(
        self, path: str | os.PathLike[str], call: str, *, framework: str = "pt"
    ) -> tuple[dict[str, str], dict[str, Any]]:
        """Return the metadata and the tensors of a safetensors file. Its header is not checked.

        Args:
            path: the file to read.
            call: the name of the public function for error messages.
            framework: what the tensors are: `pt` for torch, `numpy` for arrays.

        Raises:
            HingedError: of the class `error`, if the file is truncated or is not a safetensors
                file.
            ArgumentError: if `path` is not a path, or is a folder.
            OSError: if the file does not exist or cannot be opened.
        """
        path = path_to_read(path, call)
        with (
            self.explain_read_errors(call, f"{os.fspath(path)!r}"),
            safe_open(path, framework=framework) as file,
        ):
            metadata = file.metadata() or {}
            return metadata, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

    def check_header(
        self,
        path: str | os.PathLike[str],
        call: str,
        metadata: Mapping[str, str],
        compute_checksum: Callable[[], str],
    ) -> None:
        """Raise an error of the class `error` unless a file has this format and checksum.

        Args:
            path: the file.
            call: the name of the public function for error messages.
            metadata: the metadata of the file.
            compute_checksum: returns the checksum of what was read. It is called only for a file of
                this format.
        """
        shown = repr(os.fspath(path))
        if metadata.get("format") != self.name:
            hint = f"expected a file that {self.writer} has written"
            raise self.fault(call, f"{shown}, a file from another program", hint)
        if metadata.get("version") != self.version:
            hint = f"this release of hinged reads only format version {self.version}: update hinged"
            got = f"{shown}, a file of format version {metadata.get('version')!r}"
            raise self.fault(call, got, hint)
        if metadata.get("checksum") != compute_checksum():
            hint = f"the file was changed or damaged after it was saved: save {self.contents} again"
            raise self.fault(call, f"{shown} with contents that differ from its checksum", hint)

    @contextmanager
    def explain_read_errors(self, call: str, got: str) -> Iterator[None]:
        """Convert every error in the `with` block into an error of the class `error`.

        A file may be damaged in any way, and the libraries that read it raise errors of many
        classes. `OSError` and errors of the class `error` are not changed.

        Args:
            call: the call of the user, for the error message.
            got: what is damaged: the file or a part of it.
        """
        try:
            yield
        except (OSError, self.error):
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            hint = "the file is truncated, or not a safetensors file of hinged: "
            hint += f"save {self.contents} again"
            raise self.fault(call, f"{got} ({type(error).__name__}: {reason})", hint) from None
