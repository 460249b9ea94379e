"""Every format, read from files that the tests write themselves."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from precond_gm.data import ReadOptions, read
from precond_gm.errors import DataError

ROWS = np.array([[1.5, 2.0, 0.0], [3.0, -4.5, 1.0], [5.0, 6.0, 1.0], [7.0, 8.25, 0.0]])


def write_idx(path: Path, values: np.ndarray) -> None:
    head = struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    content = head + values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.mark.parametrize(
    ("separator", "header", "suffix"),
    [(",", "a,b,class", ".csv"), (";", "", ".csv"), ("\t", "", ".tsv"), (" ", "", ".txt")],
)
def test_tables_of_every_layout(tmp_path: Path, separator: str, header: str, suffix: str) -> None:
    """Separator and header are found. Oracle: the array that was written."""
    lines = [separator.join(str(v) for v in row) for row in ROWS]
    path = tmp_path / f"t{suffix}"
    path.write_text("\n".join(([header] if header else []) + lines) + "\n")
    raw = read(path, ReadOptions(label="auto" if header else "-1"))
    np.testing.assert_array_equal(raw.x, ROWS[:, :2])
    assert raw.label is not None
    np.testing.assert_array_equal(raw.label, [0, 1, 1, 0])
    assert raw.label_names == ("0", "1")


def test_folder_of_tables_is_one_table(tmp_path: Path) -> None:
    """Files with equal columns are joined; the file may be the class."""
    for name in ("red", "white"):
        np.savetxt(tmp_path / f"{name}.csv", ROWS, delimiter=",")
    raw = read(tmp_path, ReadOptions(label="file"))
    assert raw.x.shape == (8, 3)
    assert raw.label_names == ("red", "white")
    (tmp_path / "more.csv").write_text("1,2\n")
    with pytest.raises(DataError, match=r"red.csv has 3 columns, more.csv has 2"):
        read(tmp_path)


def test_words_and_gaps_become_classes(tmp_path: Path) -> None:
    """Labels 3, 5, 9 and words are numbered from 0, in the order of numbers."""
    (tmp_path / "t.csv").write_text("x,y\n1.0,9\n2.0,3\n3.0,10\n")
    raw = read(tmp_path / "t.csv")
    assert raw.label_names == ("3", "9", "10")
    (tmp_path / "w.csv").write_text("x,y\n1.0,g\n2.0,h\n3.0,g\n")
    assert read(tmp_path / "w.csv").label_names == ("g", "h")


def test_npz_and_npy(tmp_path: Path) -> None:
    """Named arrays are found; an .npy is mapped, with labels from the file beside it."""
    x, y = np.random.default_rng(0).random((6, 2)), np.arange(6) % 2
    np.savez(tmp_path / "a.npz", x=x, y=y)
    raw = read(tmp_path / "a.npz")
    np.testing.assert_array_equal(raw.x, x)
    np.save(tmp_path / "b.npy", x)
    np.save(tmp_path / "b_labels.npy", y)
    mapped = read(tmp_path / "b.npy")
    assert isinstance(mapped.x, np.memmap)
    np.testing.assert_array_equal(mapped.label, y)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_keeps_its_own_test_rows(tmp_path: Path, ending: str) -> None:
    """Oracle: the bytes that were packed by hand, after the format's definition."""
    images = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
    for part in ("train", "t10k"):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte{ending}", images)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte{ending}", np.array([7, 3]))
    raw = read(tmp_path)
    assert raw.x.shape == (4, 1, 4, 3)
    assert raw.num_test == 2
    assert raw.label_names == ("3", "7")
    np.testing.assert_array_equal(raw.x[2:, 0], images)


def test_truncated_idx_is_named(tmp_path: Path) -> None:
    """A cut file is refused, with both byte counts."""
    path = tmp_path / "train-images-idx3-ubyte"
    write_idx(path, np.zeros((2, 4, 3)))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match=r"promises 40 bytes .* holds 35"):
        read(tmp_path, ReadOptions(label="none"))


def test_image_folder(tmp_path: Path) -> None:
    """Folders are classes; sizes are made equal; grey stays grey."""
    from PIL import Image

    for name, value in (("cat", 10), ("dog", 200)):
        (tmp_path / name).mkdir()
        for i in range(2):
            Image.new("L", (20 + i, 30), value).save(tmp_path / name / f"{i}.png")
    raw = read(tmp_path, ReadOptions(image_size=16))
    assert raw.x.shape == (4, 1, 16, 16)
    assert raw.label_names == ("cat", "dog")
    assert set(raw.x[:2].ravel().tolist()) == {10}
    assert read(tmp_path, ReadOptions(image_size=16, colour=True)).x.shape == (4, 3, 16, 16)
    with pytest.raises(DataError, match="image_size=32"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", "", "is empty"),
        ("cell.csv", "a,b\n1,2\n3,x\n", r"line 3, column 'b' is 'x', not a number"),
        ("gap.csv", "a,b\n1,2\n3,\n", r"line 3, column 'b' is empty"),
        ("ragged.csv", "1,2\n3,4\n5\n", "line 3 has 1 cells"),
        ("lost.csv", "x,label\n1.0,a\n2.0,\n", "label of .* is missing at row 1"),
        ("half.csv", "x,label\n1.0,0.5\n2.0,1\n", "whole numbers or words"),
        ("a.npz", "not a zip", "cannot be read"),
        ("a.npy", "not numpy", "cannot be read"),
        ("a.xyz", "1 2", "ends in '.xyz'"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    """What is wrong, and where, is in the message."""
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        read(tmp_path / name)


def test_unknown_source_names_the_nearest() -> None:
    """A typing error in a bundled name is answered with that name."""
    with pytest.raises(DataError, match="Did you mean 'digits'"):
        read("digit")


def test_object_arrays_are_refused(tmp_path: Path) -> None:
    """Pickled arrays would run code: numpy refuses them and we say which file."""
    np.savez(tmp_path / "o.npz", x=np.array([{"a": 1}, [2]], dtype=object))
    with pytest.raises(DataError, match=r"o\.npz cannot be read"):
        read(tmp_path / "o.npz")


def test_columns_keep_their_names(tmp_path: Path) -> None:
    """Names in the header are those of the features, without the label's; quotes are taken off."""
    (tmp_path / "t.csv").write_text('"fixed acid",class,pH\n1.5,a,3.1\n2.5,b,3.2\n')
    assert read(tmp_path / "t.csv").feature_names == ("fixed acid", "pH")
    assert read("iris").feature_names[0] == "sepal length (cm)"


def test_tables_of_whole_numbers_need_dequantisation(tmp_path: Path) -> None:
    """Text has no dtype: counts are found by their values, and one fraction ends it."""
    (tmp_path / "t.csv").write_text("1,0\n0,3\n1,1\n")
    assert read(tmp_path / "t.csv").is_integer
    (tmp_path / "t.csv").write_text("1,0\n0,3.5\n1,1\n")
    assert not read(tmp_path / "t.csv").is_integer


@pytest.mark.parametrize("by_path", [True, False])
def test_a_label_file_serves_every_format(tmp_path: Path, by_path: bool) -> None:
    """Images in one flat folder, a table and an array, with labels from a text file beside them."""
    from PIL import Image

    data = tmp_path / "data"
    data.mkdir()
    for i in range(3):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(data / f"{i}.png")
    (data / "kinds.txt").write_text("b\na\nb\n")
    (tmp_path / "kinds.txt").write_text("b\na\nb\n")
    np.savetxt(tmp_path / "t.csv", ROWS[:3], delimiter=",")
    np.save(tmp_path / "x.npy", ROWS[:3])
    for name in ("data", "t.csv", "x.npy"):
        label = str(tmp_path / "kinds.txt") if by_path else "kinds.txt"
        raw = read(tmp_path / name, ReadOptions(label=label))
        assert raw.label_names == ("a", "b")
        assert raw.label is not None
        assert raw.label.tolist() == [1, 0, 1]
    with pytest.raises(DataError, match=r"label file .*lost\.txt does not exist"):
        read(tmp_path / "x.npy", ReadOptions(label="lost.txt"))


def test_missing_idx_labels_are_named(tmp_path: Path) -> None:
    """Images without their label file: the name that is missing, and what to do."""
    write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros((2, 4, 3)))
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte are missing .*label=none"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("subset", "rows", "num_test"), [("train", 2, 0), ("t10k", 3, 0), ("both", 5, 3)]
)
def test_idx_subsets(tmp_path: Path, subset: str, rows: int, num_test: int) -> None:
    """Train, t10k or both; only with both are the t10k rows a test part."""
    for part, count in (("train", 2), ("t10k", 3)):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", np.zeros((count, 4, 3)))
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", np.arange(count))
    raw = read(tmp_path, ReadOptions(subset=subset))
    assert (len(raw.x), raw.num_test) == (rows, num_test)
