"""Damaged data files of every format: the readers raise only `DataError`, which names the file."""

import gzip
import hashlib
import io
import os
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from hinged import errors
from hinged.lab import data
from hinged.lab.data.readers import idx_files, image_packs, regression_tables, table_files
from hinged.lab.data.readers.cache import cache_folder, cached_arrays
from hinged.lab.data.readers.data_files import read_npz, read_unpacked
from hinged.lab.data.readers.image_decoding import decode_image
from hinged.lab.data.readers.image_folders import read_image_folder
from tests.damage import damaged
from tests.lab.data.encode_images import encode

PICTURE = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


def read_or_explain(read, path, content=None):
    """Read a file. An error of the reader is one line that names the file or the data."""
    if content is not None:
        path.write_bytes(content)
    said = f"{path.name}; "
    try:
        read(path)
    except errors.DataError as error:
        said = str(error)
    named = path.name in said or said.startswith("`data")
    assert named and "; " in said and "\n" not in said, said


def md5(content):
    return hashlib.md5(content).hexdigest()


def zipped(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


IMAGES = [encode(PICTURE, kind) for kind in ("PNG", "JPEG", "PPM", "TIFF", "BMP", "WEBP", "GIF")]
IMAGES += [b"P1\n2 2\n1 0 0 1\n", b"P3\n1 1\n255\n9 9 9\n", encode(PICTURE[:, :, 0], "TIFF")]


@given(damaged(IMAGES), st.none() | st.integers(1, 9))
def test_images(folder, content, size):
    read_or_explain(lambda path: decode_image(path, str(path), size), folder / "a.png", content)
    read_or_explain(lambda path: decode_image(content, str(path), size), folder / "b.png")


TABLE = b"a,colour,b,y\n" + b"".join(b"%d,red,1.5,%d\n%d,blue,-2,7\n" % (i, i, i) for i in range(9))


OTHER_TABLES = [b"a,b\n1,2\n", b"a,a\n1,2\n3,4\n", b'x,y\r\n"1",true\r\n2,false\r\n']
OTHER_TABLES += [TABLE.replace(b",", b";"), b"a\tb\n1,5\t2\n0,5\t3\n"]


@given(damaged([TABLE, *OTHER_TABLES]))
def test_csv(folder, content):
    pytest.importorskip("pyarrow")
    read_or_explain(table_files.read_csv_or_parquet, folder / "table.csv", content)


@given(st.text("ab\u00e91.-,;\t\"'\n\r\0e ", max_size=60))
def test_random_csv(folder, text):
    pytest.importorskip("pyarrow")
    read_or_explain(table_files.read_csv_or_parquet, folder / "random.csv", text.encode("latin-1"))


def test_line_breaks_in_classes_and_columns_do_not_break_the_message(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "breaks.csv"
    for content in (b'1\r"1\n1"\r1', b'"a\nb",y\n1,\n2,3\n', b'x,"y\x1b[2J"\n1,u\n2,v\n3,v\n'):
        read_or_explain(table_files.read_csv_or_parquet, path, content)


def parquet_files():
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"a": [0.5] * 9, "colour": ["red", "blue", "red"] * 3, "y": [True, False, True] * 3}
    for compression in ("none", "snappy"):
        file = io.BytesIO()
        parquet.write_table(pyarrow.table(columns), file, compression=compression)
        yield file.getvalue()


@given(st.data())
def test_parquet(folder, choices):
    content = choices.draw(damaged(list(parquet_files())))
    read_or_explain(table_files.read_csv_or_parquet, folder / "table.parquet", content)


IDX = struct.pack(">HBBII", 0, 8, 2, 3, 4) + bytes(range(12))


@given(damaged([IDX, IDX[:4], b""]))
def test_idx_files_with_their_checksum(folder, content):
    read_or_explain(lambda p: idx_files.parse_idx_file(p, md5(content)), folder / "idx", content)


@given(damaged([gzip.compress(IDX)]))
def test_gzipped_files(folder, content):
    read_or_explain(lambda path: read_unpacked(path, md5(IDX), 100), folder / "idx.gz", content)


JPEG = encode(PICTURE, "JPEG")
PACK = {
    "jpeg": np.frombuffer(2 * JPEG, np.uint8),
    "offset": len(JPEG) * np.arange(3),
    "label": np.array([0, 0]),
    "n_train": np.array(1),
    "classes": np.array(["a"]),
}
NUMBERS = {"X": np.ones((3, 2)), "y": np.ones((3, 1))}
ANY_ARRAY = arrays(
    st.sampled_from([np.int64, np.float32, np.bool_, "U2", "S2", np.complex64, "M8[s]"]),
    array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)


@given(damaged([zipped(**PACK), zipped(**NUMBERS), np.ones(3).tobytes(), b"\x93NUMPY"]))
def test_npz(folder, content):
    read_or_explain(read_npz, folder / "arrays.npz", content)


def read_pack(path, read):
    pack = image_packs.ImagePack(
        "pack", path.name, hashlib.sha256(path.read_bytes()).hexdigest(), ""
    )
    return read(pack, path.parent)


@given(
    st.dictionaries(st.sampled_from([*PACK]), ANY_ARRAY, max_size=2),
    st.sets(st.sampled_from([*PACK]), max_size=1),
)
def test_packs_with_odd_arrays(folder, odd, missing):
    content = zipped(**{name: each for name, each in (PACK | odd).items() if name not in missing})
    read = image_packs.read_encoded_pack
    read_or_explain(lambda path: read_pack(path, read), folder / "pack.npz", content)


@pytest.mark.parametrize("n_train", [0, 2, np.float32(1.8e19), np.nan])
def test_a_pack_with_an_impossible_number_of_training_images_names_the_file(tmp_path, n_train):
    """A number of more than 64 bits cannot be stored in the cache."""
    path = tmp_path / "impossible.npz"
    path.write_bytes(zipped(**PACK | {"n_train": np.array(n_train)}))
    with pytest.raises(errors.DataError, match=r"impossible\.npz`: got a file that cannot be read"):
        read_pack(path, image_packs.read_encoded_pack)
    path.write_bytes(zipped(**PACK))
    assert len(read_pack(path, image_packs.read_encoded_pack).x_test) == 1


PIXELS = {
    "x_train": np.ones((2, 3, 4, 4), np.uint8),
    "y_train": np.ones(2),
    "x_test": np.ones((1, 3, 4, 4)),
}
PIXELS |= {"y_test": np.ones(1), "classes": np.array(["a", "b"])}


@given(
    st.dictionaries(st.sampled_from([*PIXELS]), ANY_ARRAY, max_size=2),
    st.sets(st.sampled_from([*PIXELS]), max_size=1),
)
def test_pixel_packs_with_odd_arrays(folder, odd, missing):
    content = zipped(**{name: each for name, each in (PIXELS | odd).items() if name not in missing})
    read = image_packs.read_pixel_pack
    read_or_explain(lambda path: read_pack(path, read), folder / "pixels.npz", content)


@given(st.dictionaries(st.sampled_from(["X", "y", "z"]), ANY_ARRAY, max_size=3))
def test_tables_with_odd_arrays(folder, odd):
    path = folder / "yacht.npz"
    path.write_bytes(zipped(**odd))
    with pytest.MonkeyPatch.context() as patch:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        patch.setitem(regression_tables.CHECKSUMS, "yacht", digest)
        read_or_explain(lambda _: regression_tables.read_regression_table("yacht", folder), path)


BOX = "<a><object><name>RBC</name><bndbox><xmin>1</xmin><ymin>1</ymin>"
BOX += "<xmax>3</xmax><ymax>4</ymax></bndbox></object></a>"


@given(damaged([BOX.encode()]), damaged([encode(PICTURE, "JPEG")]), damaged([b"a\n"]))
def test_detection_archives(folder, boxes, picture, names):
    path = folder / "bccd.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("BCCD/Annotations/a.xml", boxes)
        file.writestr("BCCD/JPEGImages/a.jpg", picture)
        for split in ("train", "val", "test"):
            file.writestr(f"BCCD/ImageSets/Main/{split}.txt", names)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    read_or_explain(lambda _: data.read_bccd(folder, digest), path)


def gzip_bomb(path, size):
    path.write_bytes(gzip.compress(bytes(size)))


def test_gzipped_files_are_not_unpacked_beyond_the_bound(tmp_path):

    gzip_bomb(tmp_path / "bomb.gz", 2**27)
    tracemalloc.start()
    with pytest.raises(errors.DataError, match="more than 1,000,000 bytes"):
        read_unpacked(tmp_path / "bomb.gz", md5(b""), 10**6)
    assert tracemalloc.get_traced_memory()[1] < 4 * 10**6
    tracemalloc.stop()


def test_arrays_are_not_allocated_from_a_false_header(tmp_path):
    header = (
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999,), }".ljust(117) + b"\n"
    )
    with zipfile.ZipFile(tmp_path / "false.npz", "w") as file:
        file.writestr("X.npy", b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header)
    with pytest.raises(errors.DataError, match="does not fit its header"):
        read_npz(tmp_path / "false.npz")


def test_archives_that_unpack_to_more_than_the_bound(tmp_path, monkeypatch):
    monkeypatch.setattr("hinged.lab.data.readers.data_files.MOST_BYTES", 10**6)
    (tmp_path / "bomb.npz").write_bytes(zipped(X=np.zeros(10**6)))
    with pytest.raises(errors.DataError, match="unpacks to 8,000,1"):
        read_npz(tmp_path / "bomb.npz")


@pytest.mark.parametrize("header", [b"P6\n60000 60000\n255\n", b"P6\n9000 8000\n255\n"])
def test_huge_images_are_refused_by_their_header(header):
    with pytest.raises(errors.DataError, match=r"an image of|exceeds limit"):
        decode_image(header, "huge.ppm")


def test_long_images_are_not_scaled_to_huge_ones():
    with pytest.raises(errors.DataError, match=r"an image of 400000 x 400 pixels"):
        decode_image(encode(np.zeros((1, 1000), np.uint8)), "long.png", 400)


def test_tables_that_need_more_than_the_bound(tmp_path, monkeypatch):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    monkeypatch.setattr(table_files, "MOST_BYTES", 10**5)
    path = tmp_path / "repeated.parquet"
    parquet.write_table(pyarrow.table({"a": [1.0] * 10**5, "y": [2.0] * 10**5}), path)
    assert path.stat().st_size < 10**4
    with pytest.raises(errors.DataError, match=r"repeated\.parquet.*take fewer rows"):
        table_files.read_csv_or_parquet(path)
    texts = "".join(f"name{i % 100},{i}\n" for i in range(500))
    (tmp_path / "texts.csv").write_text(f"a,y\n{texts}")
    with pytest.raises(errors.DataError, match=r"texts\.csv.*take fewer rows"):
        table_files.read_csv_or_parquet(tmp_path / "texts.csv")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"a,a,y\n1,2,3\n4,5,6\n", "several columns of one name: a; give each column another name"),
        (b"a;a;y\nx;2;3\ny;5;6\n", "several columns of one name: a; give each column another name"),
        (b"a,y\n1,2\n", "a table with 1 row; add at least 2 rows"),
        (b"a,gr\xf6\xdfe\n1,2\n3,4\n", "save it again with the encoding UTF-8"),
    ],
)
def test_odd_tables_get_one_sentence(tmp_path, content, fault):
    pytest.importorskip("pyarrow")
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(errors.DataError, match=f"table.csv.*{fault}"):
        table_files.read_csv_or_parquet(tmp_path / "table.csv")


def test_links_in_a_circle(tmp_path):
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "a.png").symlink_to("a.png")
    with pytest.raises(errors.DataError, match=r"a\.png.*cannot be read"):
        read_image_folder(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(errors.DataError, match="not an existing folder"):
        data.load_data_set("mnist", tmp_path / "loop")


def test_class_folders_that_are_not_unicode(tmp_path):
    try:
        os.mkdir(os.fsencode(tmp_path) + b"/gr\xfcn")
    except OSError:
        pytest.skip("the file system allows only Unicode")
    (tmp_path / os.fsdecode(b"gr\xfcn") / "a.png").write_bytes(encode(PICTURE))
    with pytest.raises(errors.DataError, match="name is not UTF-8; rename this folder"):
        read_image_folder(tmp_path)


@pytest.mark.parametrize("size", ["0", "999999", "\u00b2"])
def test_odd_sizes_of_images(tmp_path, size):
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "a.png").write_bytes(encode(PICTURE))
    with pytest.raises((errors.DataError, errors.UnknownNameError)):
        data.load_data_set(f"{tmp_path}:{size}")


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\0v\0{}", b"PK"])
def test_a_damaged_cache_is_named_with_what_to_do(content):
    cached_arrays("key", lambda: {"a": np.ones(9)})
    (cache_folder() / "decoded" / "key" / "a.npy").write_bytes(content)
    with pytest.raises(errors.DataError, match=r"decoded/key.*delete this folder"):
        cached_arrays("key", dict)


def test_tiny_imagenet_with_a_list_that_is_not_unicode(tmp_path):
    (tmp_path / "val").mkdir()
    for content in (b"\xff\xfe", b"alone\n"):
        (tmp_path / "val" / "val_annotations.txt").write_bytes(content)
        with pytest.raises(errors.DataError, match=r"val_annotations\.txt.*cannot be read"):
            data.load_data_set("tiny-imagenet", tmp_path)


def test_numbers_of_a_table_are_those_of_the_file(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "table.csv").write_text("c,n,y\nred,1,1.5\nblue,2,2.5\nred,3,3.5\n")
    split = table_files.read_csv_or_parquet(tmp_path / "table.csv")
    rows = torch.cat([split.x_train, split.x_test]).tolist()
    assert sorted(rows) == [[0.0, 1.0, 1.0], [0.0, 1.0, 3.0], [1.0, 0.0, 2.0]]
