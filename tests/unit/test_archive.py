"""Read model files without skops, and refuse every file that ``sentiment.store.save`` cannot write.

``test_earlier_models`` says which commit wrote the recorded model.
"""

import io
import os
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.pipeline import Pipeline

import sentiment.model
import sentiment.store
from sentiment import model_file
from sentiment.model_file import MODEL_FILE
from sentiment.parameters import Parameters
from tests.conftest import REPO

RECORDED = REPO / "tests/recordings/models/tokens-1"
TEXTS = ["a fine film", "a dull film", "very fine", "very dull indeed", "fine", "dull"] * 3
TWO = [1, 0] * 9
THREE = [1, 0, 2] * 6
MODELS = {
    "two classes": lambda: sentiment.model.build(min_df=1).fit(TEXTS, TWO),
    "three classes": lambda: sentiment.model.build(min_df=1).fit(TEXTS, THREE),
    "stems": lambda: sentiment.model.build(min_df=1, stemmer="finnish").fit(TEXTS, TWO),
    "recorded": lambda: sentiment.store.load(RECORDED),
}
Entries = dict[str, bytes]


def assert_same(found: Parameters, expected: Parameters) -> None:
    assert found[:2] == expected[:2]
    assert found.names == expected.names
    for mine, theirs in zip(
        (found.tokens, found.keys, *found.linear),
        (expected.tokens, expected.keys, *expected.linear),
        strict=True,
    ):
        assert np.asarray(mine).dtype == np.asarray(theirs).dtype
        assert np.shape(mine) == np.shape(theirs)
        assert np.asarray(mine).tobytes() == np.asarray(theirs).tobytes()


@pytest.mark.parametrize("name", MODELS)
def test_parameters_are_those_of_the_pipeline(name, tmp_path):
    digest = sentiment.store.save(MODELS[name](), tmp_path)
    found, digest_read = model_file.read(tmp_path / MODEL_FILE, digest)
    assert digest_read == digest == model_file.digest(tmp_path / MODEL_FILE)
    assert_same(found, sentiment.model.parameters(sentiment.store.load(tmp_path)))


def test_the_recorded_file_is_read():
    found, _ = model_file.read(RECORDED / MODEL_FILE)
    assert_same(found, sentiment.model.parameters(sentiment.store.load(RECORDED)))


@pytest.fixture(scope="module")
def fitted() -> Pipeline:
    return MODELS["two classes"]()


@pytest.fixture
def path(fitted, tmp_path) -> Path:
    sentiment.store.save(fitted, tmp_path)
    return tmp_path / MODEL_FILE


def entries(path: Path) -> Entries:
    with zipfile.ZipFile(path) as file:
        return {info.filename: file.read(info) for info in file.infolist()}


def write(path: Path, contents: Entries, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in contents.items():
            file.writestr(name, data)


def edit_schema(path: Path, old: str, new: str) -> None:
    contents = entries(path)
    schema = contents["schema.json"].decode()
    assert old in schema
    write(path, contents | {"schema.json": schema.replace(old, new).encode()})


def test_vocabulary_was_named_tokens_before(path, fitted):
    """Versions of the tokens are older than the other name."""
    edit_schema(path, "vocabulary_", "tokens_")
    assert_same(model_file.read(path)[0], sentiment.model.parameters(fitted))


def set_of(step: str, name: str, change: Callable[[Any], Any]) -> Callable[[Pipeline], None]:
    def damage(model: Pipeline) -> None:
        setattr(model[step], name, change(getattr(model[step], name)))

    return damage


def weights(change: Callable[[Any], Any]) -> Callable[[Pipeline], None]:
    return set_of("classifier", "weights_", change)


def with_first(value: float) -> Callable[[Any], Any]:
    return lambda array: np.append(value, array[1:]).astype(array.dtype)


def tokens(data: bytes) -> Callable[[Pipeline], None]:
    return set_of("ngrams", "tokens_", lambda _: np.frombuffer(data, np.uint8))


def keys(change: Callable[[Any], Any]) -> Callable[[Pipeline], None]:
    return set_of("ngrams", "keys_", change)


def names(*given: str) -> Callable[[Pipeline], None]:
    return set_of("classifier", "names_", lambda _: np.array(given))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (weights(with_first(np.nan)), "weights_: not all are finite"),
        (weights(with_first(np.inf)), "weights_: not all are finite"),
        (weights(with_first(1e300)), "weights_: not all are finite"),
        (weights(lambda array: array[:-1]), "weights_: of type <f8 and shape"),
        (weights(lambda array: array.astype(np.float32)), "not an array of a type"),
        (weights(lambda array: array.astype(">f8")), "not an array of a type"),
        (weights(lambda array: array.astype(np.int64)), "weights_: of type <i8"),
        (weights(lambda array: array[:, np.newaxis]), "weights_: of type <f8 and shape"),
        (weights(lambda array: [*array.tolist()]), "schema.json: a 'ListNode'"),
        (set_of("classifier", "squares_", with_first(-1.0)), "squares_: not all are 0"),
        (set_of("classifier", "squares_", with_first(1e-310)), "squares_: not all are 0"),
        (set_of("classifier", "squares_", with_first(np.nan)), "squares_: not all are 0"),
        (set_of("classifier", "squares_", lambda array: array[1:]), "squares_: of type"),
        (set_of("classifier", "intercept_", lambda _: float("nan")), "intercept_: not all"),
        (set_of("classifier", "intercept_", lambda _: float("inf")), "intercept_: not all"),
        (set_of("classifier", "intercept_", lambda _: "0"), "intercept_: not a number"),
        (set_of("classifier", "intercept_", lambda _: np.zeros(2)), "intercept_: not a number"),
        (set_of("classifier", "classes_", lambda _: np.arange(3)), "classes_: of type"),
        (names("positive"), "intercept_: of type|weights_: of type"),
        (names("a", "a"), "names_: a class there twice"),
        (names("a", ""), "names_: '' is no name"),
        (names("a", "b\nc"), "no name of a class"),
        (names("a", "\ud800"), "no name of a class"),
        (names("a", "x" * 300), "no name of a class"),
        (keys(lambda array: array[::-1].copy()), "keys_: not positive and ascending"),
        (keys(with_first(0)), "keys_: not positive"),
        (keys(with_first(-5)), "keys_: not positive"),
        (keys(with_first(1)), "keys_: an n-gram lacks a token"),
        (keys(with_first((1 << 42) - 1)), "keys_: an n-gram lacks a token"),
        (keys(lambda array: np.append(array[:-1], array[-1] + (1 << 50))), "keys_: a token above"),
        (keys(lambda array: array[:0]), "keys_: of length 0"),
        (set_of("ngrams", "max_n", lambda _: 0), "max_n: 0"),
        (set_of("ngrams", "max_n", lambda _: 4), "max_n: 4"),
        (set_of("ngrams", "max_n", lambda _: 10**9), "max_n: 1000000000"),
        (set_of("ngrams", "max_n", lambda _: "3"), "max_n: '3'"),
        (set_of("ngrams", "max_n", lambda _: True), "max_n: True"),
        (set_of("ngrams", "max_n", lambda _: 2), "keys_: an n-gram of 3 tokens, and max_n is 2"),
        (tokens(b""), "tokens_: of length 0"),
        (tokens(b"\xff" * 40), "tokens: 'utf-8' codec"),
        (tokens(b"b\na"), "tokens: an empty one, one there twice, or not sorted"),
        (tokens(b"a\na\nb"), "tokens: an empty one"),
        (tokens(b"\na\nb"), "tokens: an empty one"),
        (tokens(b"\n" * 2**21), "tokens: 2097153, and 2097151 are possible"),
        (set_of("ngrams", "tokens", lambda _: 99), "a newer release made it, with tokens .* 99"),
    ],
)
def test_values_that_training_never_gives_are_refused(damage, reason, tmp_path):
    model = MODELS["two classes"]()
    damage(model)
    sentiment.store.save(model, tmp_path)
    with pytest.raises(ValueError, match=rf"^{tmp_path}/model\.skops: .*({reason})"):
        model_file.read(tmp_path / MODEL_FILE)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"protocol": 2', '"protocol": 99', "a newer release made it, with protocol 99"),
        ('"sklearn.pipeline"', '"os"', r"a 'os\.Pipeline', not a sklearn"),
        ('"NgramVectorizer"', '"system"', r"a 'sentiment\.vectorizer\.system'"),
        ('"keys_"', '"keyz_"', "keys_: not an array"),
        ('"max_n"', '"max_m"', "max_n is absent"),
        ('"0.npy"', '"../0.npy"', "not in the archive"),
        ('"0.npy"', '"1.npy"', "0.npy: no attribute|of type"),
        ('"numpy"', '"json"', "for a number or an array|NdArrayNode"),
        ('"steps"', '"stepz"', "not that of a sentiment model"),
    ],
)
def test_another_schema_is_refused(path, old, new, reason):
    edit_schema(path, old, new)
    with pytest.raises(ValueError, match=rf"model\.skops: .*({reason})"):
        model_file.read(path)


@pytest.mark.parametrize(
    "schema",
    [
        *("", "[]", "{}", "null", "1", "[" * 60_000, '{"a":' * 10_000, " " * 70_000),
        '{"protocol": 2, "__loader__": "FunctionNode", "__module__": "os", "__class__": "system"}',
        '{"protocol": ' + "9" * 5_000 + "}",
    ],
    ids=range(10),
)
def test_what_is_no_schema_is_refused(path, schema):
    write(path, entries(path) | {"schema.json": schema.encode()})
    with pytest.raises(ValueError, match=r"model\.skops: schema\.json: "):
        model_file.read(path)


def array_entry(array: np.ndarray, **changes: Any) -> bytes:
    """Return a .npy file whose header tells other things than are true."""
    file = io.BytesIO()
    header = np.lib.format.header_data_from_array_1_0(array) | changes
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + array.tobytes()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"shape": (10**9,)}, "its shape needs 80000"),
        ({"shape": (10**30,)}, "not an array of a type"),
        ({"shape": (1,)}, "its shape needs"),
        ({"descr": "|O"}, "not an array of a type"),
        ({"descr": [("a", "<f8")]}, "not an array of a type"),
        ({"descr": "<U99999"}, "not an array of a type"),
    ],
)
def test_the_header_of_an_array_is_checked(path, changes, reason):
    write(path, entries(path) | {"0.npy": array_entry(np.zeros(18, np.int64), **changes)})
    with pytest.raises(ValueError, match=rf"model\.skops: 0\.npy: .*{reason}"):
        model_file.read(path)


def test_a_compressed_archive_is_refused_without_its_memory(path):
    contents = entries(path)
    contents["0.npy"] = array_entry(np.zeros(10**8, np.uint8))
    write(path, contents, zipfile.ZIP_DEFLATED)
    del contents
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"0\.npy is compressed or encrypted"):
            model_file.read(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_arrays_of_other_lengths_are_refused_without_their_memory(path):
    write(path, entries(path) | {"0.npy": array_entry(np.zeros(10**7, np.int64))})
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"weights_: of type <f8 and shape"):
            model_file.read(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_an_entry_of_no_attribute_is_refused(path):
    write(path, entries(path) | {"9.npy": array_entry(np.zeros(10))})
    with pytest.raises(ValueError, match=r"9\.npy: no attribute that this release knows"):
        model_file.read(path)
    write(path, entries(path) | {"../evil.py": b""})
    with pytest.raises(ValueError, match="a foreign name, or there twice"):
        model_file.read(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_is_there_twice_is_refused(path):
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("schema.json", "{}")
    with pytest.raises(ValueError, match="a foreign name, or there twice"):
        model_file.read(path)


def test_overlapping_entries_are_refused(path):
    """The directory says that the second array lies where the first does."""
    data = bytearray(path.read_bytes())
    begin = struct.unpack("<L", data[-6:-2])[0]
    second = data.index(b"PK\1\2", begin + 4)
    data[second + 42 : second + 46] = bytes(4)
    path.write_bytes(data)
    with pytest.raises(ValueError, match="overlaps another entry, or leaves a gap"):
        model_file.read(path)


def test_bytes_beside_the_entries_are_refused(path):
    whole = path.read_bytes()
    for damaged in (whole + b"x", b"x" + whole, whole[:-1], whole[:10], b""):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="not a whole model file"):
            model_file.read(path)


def test_a_second_directory_is_refused(path):
    data = path.read_bytes()
    end = data[-22:-10] + struct.pack("<LL", *np.add(struct.unpack("<LL", data[-10:-2]), (20, 0)))
    path.write_bytes(data[:-22] + struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1) + end + b"\0\0")
    with pytest.raises(ValueError, match="a second directory"):
        model_file.read(path)


def test_another_digest_is_refused(path):
    with pytest.raises(ValueError, match=r"not the model that was registered, .* abc"):
        model_file.read(path, "abc")


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    path = tmp_path / MODEL_FILE
    os.mkfifo(tmp_path / "fifo")
    for other in (tmp_path / "fifo", tmp_path, Path("/dev/zero")):
        path.unlink(missing_ok=True)
        path.symlink_to(other)
        for read in (model_file.read, model_file.digest):
            with pytest.raises(ValueError, match=r"model\.skops: not a regular file"):
                read(path)


def test_a_file_that_is_too_large_is_refused(tmp_path):
    path = tmp_path / MODEL_FILE
    with path.open("wb") as file:
        file.truncate(2**40)  # without its blocks
    with pytest.raises(ValueError, match=r"model\.skops: 1099511627776 bytes"):
        model_file.read(path)


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_changed_bytes_are_refused_or_change_nothing(data):
    """Such as those of a date, which no parameter comes from."""
    whole = (RECORDED / MODEL_FILE).read_bytes()
    length = len(whole)
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        # the records at both ends are short, and have all lengths and places
        position = data.draw(st.integers(0, length - 1) | st.integers(length - 600, length - 1))
        changed[position] = data.draw(st.integers(0, 255))
    expected = model_file.read(RECORDED / MODEL_FILE)[0]
    descriptor = os.memfd_create("model")
    try:
        os.write(descriptor, changed)
        found = model_file.read(Path(f"/proc/self/fd/{descriptor}"))[0]
    except ValueError:
        pass
    else:
        assert_same(found, expected)
    finally:
        os.close(descriptor)
