"""Hypothesis strategies that damage valid files, for the tests of readers."""

from hypothesis import strategies as st

_NUMBERS = [b"\0", b"\x01", b"\x7f", b"\x80", b"\xff", b"\0\0\0\0", b"\xff\xff\xff\xff"]
_NUMBERS += [
    b"\xff\xff\xff\x7f",
    b"\x7f\xff\xff\xff",
    b"\xff" * 8,
    b"999999999",
    b"-1",
    b"\xc3\x28",
]


@st.composite
def damaged(draw, valid):
    """Bytes of one of the valid files, after one to four edits at random places."""
    content = bytearray(draw(st.sampled_from(valid)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = start + draw(st.integers(0, 16))
        piece = draw(st.sampled_from(_NUMBERS) | st.binary(max_size=8))
        match draw(st.sampled_from(["overwrite", "insert", "delete", "cut", "repeat"])):
            case "overwrite":
                content[start : start + len(piece)] = piece
            case "insert":
                content[start:start] = piece
            case "delete":
                del content[start:end]
            case "cut":
                del content[start:]
            case "repeat":
                content[start:start] = content[start:end] * draw(st.integers(1, 50))
    return bytes(content)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
"""Values of JSON."""
