"""ImageFiles: an array to scikit-learn, decoded only where it is used."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import KFold, cross_validate, train_test_split
from sklearn.utils.validation import check_consistent_length

from fairvision.base.images import check_images, take
from fairvision.datasets import ImageFiles
from fairvision.exceptions import BadImageError, DatasetError, InputError


def test_it_is_the_array_of_its_images(photo_paths):
    images = ImageFiles(photo_paths, image_size=16)
    pixels = np.asarray(images)
    assert images.shape == pixels.shape == (12, 3, 16, 16)
    assert images.dtype == pixels.dtype == np.uint8
    assert images.ndim == pixels.ndim
    assert len(images) == len(pixels)
    # JPEG keeps a flat grey to within a level or two.
    expected = 20 * np.arange(12)[:, None, None, None] * np.ones((1, 3, 16, 16))
    np.testing.assert_allclose(pixels, expected, atol=2)


@pytest.mark.parametrize(
    "key",
    [
        slice(2, 7),
        slice(None, None, -2),
        np.array([3, 3, -1]),
        [0, 5],
        np.arange(12) % 3 == 0,
        (np.array([4, 1]), Ellipsis),
        (slice(1, 3), slice(None), slice(None)),
        Ellipsis,
        [],
        np.array([], dtype=int),
    ],
    ids=str,
)
def test_rows_are_chosen_as_numpy_chooses_them_and_nothing_is_decoded(photo_paths, key):
    images = ImageFiles(photo_paths, image_size=8)
    part = images[key]
    assert images.n_decoded == 0
    pixels = np.asarray(ImageFiles(photo_paths, image_size=8))
    chosen = pixels[np.asarray(key, dtype=int)] if isinstance(key, list) else pixels[key]
    assert part.shape == chosen.shape
    assert_array_equal(np.asarray(part), chosen)
    assert images.n_decoded == len(chosen)


def test_an_integer_decodes_one(photo_paths):
    images = ImageFiles(photo_paths, image_size=8)
    assert_array_equal(images[-1], np.asarray(images[11:])[0])
    assert images.n_decoded == 2
    with pytest.raises(IndexError):
        images[12]


@pytest.mark.parametrize("key", [(slice(None), 0), None, np.zeros((2, 2), int), (Ellipsis, 0)])
def test_other_indexing_says_to_decode(photo_paths, key):
    with pytest.raises(IndexError, match="ImageFiles"):
        ImageFiles(photo_paths)[key]


def test_a_subset_of_a_subset(photo_paths):
    images = ImageFiles(photo_paths, image_size=8)
    part = images[4:][[1, 0]]
    assert part.paths == [photo_paths[5], photo_paths[4]]
    assert_array_equal(take(part, slice(1)), np.asarray(images)[5:6])


class _Grey(ClassifierMixin, BaseEstimator):
    """Predicts from the mean grey of a photograph, reading it as estimators do."""

    def fit(self, X, y):
        check_images(X)
        grey = take(X, np.arange(len(X))).mean(axis=(1, 2, 3))
        self.cut_ = (grey[y == 0].max() + grey[y == 1].min()) / 2
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return (take(X, slice(None)).mean(axis=(1, 2, 3)) > self.cut_).astype(int)


def test_scikit_learn_splits_without_decoding_and_validates(photo_paths):
    images, y = ImageFiles(photo_paths, image_size=8), np.repeat([0, 1], 6)
    check_consistent_length(images, y)
    train, test, y_train, _ = train_test_split(images, y, random_state=0)
    assert (len(train), len(test), len(y_train)) == (9, 3, 9)
    assert images.n_decoded == 0
    result = cross_validate(_Grey(), images, y, cv=KFold(3, shuffle=True, random_state=0))
    assert result["test_score"].min() >= 0.75


def test_threads_do_not_change_the_images(photo_paths):
    one, many = (ImageFiles(photo_paths, n_threads=n) for n in (1, 5))
    assert_array_equal(np.asarray(one), np.asarray(many))


def test_it_can_be_pickled(photo_paths, tmp_path):
    images = ImageFiles(photo_paths, image_size=8, cache=tmp_path)
    pixels = np.asarray(images)
    copy = pickle.loads(pickle.dumps(images[3:5]))
    assert_array_equal(np.asarray(copy), pixels[3:5])
    assert len(pickle.dumps(images)) < pixels.nbytes  # the cache stays on disk


def test_converting_as_numpy_asks(photo_paths):
    images = ImageFiles(photo_paths, image_size=8)
    assert np.asarray(images, dtype=np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="copy=False"):
        images.__array__(copy=False)  # as np.array(images, copy=False) asks from NumPy 2 on
    assert sum(1 for _ in images) == 12


def test_crop_keeps_the_middle_and_squash_everything(tmp_path):
    picture = np.zeros((10, 30, 3), dtype=np.uint8)
    picture[:, 10:20] = 255
    path = tmp_path / "stripe.png"
    Image.fromarray(picture).save(path)
    assert np.asarray(ImageFiles([path], image_size=10)).min() == 255
    squashed = np.asarray(ImageFiles([path], image_size=(10, 30), resize="squash"))[0]
    assert_array_equal(squashed, picture.transpose(2, 0, 1))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "I;16"])
def test_any_kind_of_pixels_becomes_the_mode_asked_for(tmp_path, mode):
    path = tmp_path / "image.tif"
    if mode == "I;16":
        Image.fromarray(np.full((9, 9), 200 * 256, dtype=np.uint16)).save(path)
    else:
        grey = 255 if mode == "1" else 200
        Image.new("L", (9, 9), grey).convert("RGB" if mode == "CMYK" else "L").convert(mode).save(
            path if mode not in ("LA", "RGBA") else (path := tmp_path / "image.png")
        )
    for wanted, channels in (("RGB", 3), ("L", 1)):
        pixels = np.asarray(ImageFiles([path], image_size=4, mode=wanted))
        assert pixels.shape == (1, channels, 4, 4)
        assert abs(int(pixels.mean()) - (255 if mode == "1" else 200)) <= 2


def test_photographs_are_turned_upright(tmp_path):
    picture = np.zeros((20, 20, 3), dtype=np.uint8)
    picture[:10] = 255  # the upper half is white
    exif = Image.Exif()
    exif[0x0112] = 3  # shown upside down
    path = tmp_path / "turned.png"
    Image.fromarray(picture).save(path, exif=exif)
    pixels = np.asarray(ImageFiles([path], image_size=20))[0]
    assert pixels[:, 15].min() == 255
    assert pixels[:, 5].max() == 0


def test_a_truncated_image_is_named_and_can_be_left_out(photo_paths, broken):
    images = ImageFiles(photo_paths, image_size=8)
    with pytest.raises(BadImageError, match=r"05\.jpg.*truncated"):
        np.asarray(images)
    assert len(np.asarray(images[:5])) == 5  # the others stand
    good, errors = images.without_bad()
    assert list(errors) == [5]
    assert str(broken) not in good.paths
    assert len(np.asarray(good)) == 11


@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff\xe0", b"GIF89a" + b"\0" * 9])
def test_rubbish_is_named(tmp_path, content):
    path = tmp_path / "rubbish.jpg"
    path.write_bytes(content)
    with pytest.raises(BadImageError, match=r"rubbish\.jpg"):
        ImageFiles([path])[0]


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "gone.png", tmp_path):
        with pytest.raises(BadImageError, match=path.name):
            ImageFiles([path])[0]


def test_a_name_with_a_newline_is_read_and_shown_on_one_line(tmp_path):
    path = tmp_path / "a\nb.png"
    Image.new("RGB", (8, 8), "red").save(path)
    assert ImageFiles([path], image_size=8)[0][0].min() == 255
    path.write_bytes(b"")
    with pytest.raises(BadImageError) as caught:
        ImageFiles([path])[0]
    assert "\n" not in str(caught.value)


def test_a_large_image_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "large.png"
    Image.new("L", (300, 200)).save(path)
    with pytest.raises(BadImageError, match=r"large\.png.*300 x 200 = 60000.*59999"):
        ImageFiles([path], max_pixels=59_999)[0]
    assert ImageFiles([path], max_pixels=60_000)[0].shape == (3, 64, 64)


def test_a_bomb_by_header_is_refused(tmp_path):
    """A few bytes that state 60,000 x 60,000 pixels."""
    path = tmp_path / "bomb.ppm"
    path.write_bytes(b"P6\n60000 60000\n255\n")
    with pytest.raises(BadImageError, match=r"bomb\.ppm"):
        ImageFiles([path])[0]


def test_the_cache_is_read_in_place_of_the_files(photo_paths, tmp_path):
    first = ImageFiles(photo_paths, image_size=8, cache=tmp_path / "cache")
    pixels = np.asarray(first[2:4])
    assert first.n_decoded == 12
    again = ImageFiles(photo_paths, image_size=8, cache=tmp_path / "cache")
    assert_array_equal(np.asarray(again[2:4]), pixels)
    assert_array_equal(again[3], pixels[1])
    assert again.n_decoded == 0
    assert_array_equal(np.asarray(again), np.asarray(ImageFiles(photo_paths, image_size=8)))


def test_a_changed_file_or_setting_makes_another_cache(photo_paths, tmp_path):
    cache = tmp_path / "cache"
    np.asarray(ImageFiles(photo_paths, image_size=8, cache=cache))
    other = ImageFiles(photo_paths, image_size=8, mode="L", cache=cache)
    assert np.asarray(other).shape == (12, 1, 8, 8)
    Image.new("RGB", (50, 50), "white").save(photo_paths[0])
    changed = ImageFiles(photo_paths, image_size=8, cache=cache)
    assert changed[0].min() == 255


def test_a_cache_remembers_what_is_bad(photo_paths, broken, tmp_path):
    cache = tmp_path / "cache"
    for decoded in (12, 0):
        images = ImageFiles(photo_paths, image_size=8, cache=cache)
        good, errors = images.without_bad()
        assert (len(good), list(errors), images.n_decoded) == (11, [5], decoded)
        with pytest.raises(BadImageError, match=r"05\.jpg"):
            images[5]


def test_a_half_written_cache_is_not_believed(photo_paths, tmp_path):
    cache = tmp_path / "cache"
    pixels = np.asarray(ImageFiles(photo_paths, image_size=8, cache=cache))
    (complete,) = cache.glob("*.npy")
    # What a process that was killed in the middle leaves: part of the bytes, not yet in place.
    content = complete.read_bytes()
    complete.unlink()
    (cache / f".{complete.name}.xyz.partial").write_bytes(content[:200])
    again = ImageFiles(photo_paths, image_size=8, cache=cache)
    assert_array_equal(np.asarray(again), pixels)
    assert again.n_decoded == 12


@pytest.mark.parametrize("ending", ["npy", "json"])
def test_a_damaged_cache_is_written_anew(photo_paths, tmp_path, ending):
    pixels = np.asarray(ImageFiles(photo_paths, image_size=8, cache=tmp_path / "cache"))
    (damaged,) = (tmp_path / "cache").glob(f"*.{ending}")
    damaged.write_bytes(b"{")
    again = ImageFiles(photo_paths, image_size=8, cache=tmp_path / "cache")
    assert_array_equal(np.asarray(again), pixels)
    assert again.n_decoded == 12


def test_an_interrupted_write_leaves_no_cache(photo_paths, tmp_path):
    from fairvision.base.decoded_cache import Cache
    from fairvision.base.image_decoder import Decoder

    cache = Cache(tmp_path / "cache", photo_paths, Decoder(8, 8))

    def stops():
        yield np.zeros((4, 3, 8, 8), np.uint8), {}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.write(stops())
    assert cache.open() is None
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_full_disk_is_an_error_that_leaves_nothing(photo_paths, tmp_path):
    resource = pytest.importorskip("resource")
    import signal

    cache = tmp_path / "cache"
    images = ImageFiles(photo_paths, image_size=64, cache=cache)
    # A limit on the size of files is the part of a full disk that a test can have.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
        with pytest.raises(DatasetError, match="cannot be written"):
            np.asarray(images)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(cache.iterdir()) == []
    assert len(np.asarray(images)) == 12  # and with room again it goes on


def test_a_cache_that_cannot_be_a_folder(photo_paths, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="cannot be written"):
        ImageFiles(photo_paths, cache=tmp_path / "file")[0]


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"image_size": 0}, "image_size"), ({"mode": "HSV"}, "mode"), ({"resize": "fit"}, "resize")],
)
def test_settings_that_do_not_exist(settings, said):
    with pytest.raises(InputError, match=said):
        ImageFiles(["a.png"], **settings)


def test_one_path_is_not_a_list():
    with pytest.raises(InputError, match="single"):
        ImageFiles("a.png")


def test_real_photographs(utkface: Path, tmp_path):
    paths = sorted(utkface.iterdir())[:40]
    images = ImageFiles(paths, image_size=48, cache=tmp_path)
    pixels = np.asarray(images)
    assert pixels.shape == (40, 3, 48, 48)
    assert pixels.std(axis=(1, 2, 3)).min() > 5
    # The JPEG reader's short cut agrees with decoding in full.
    full = Image.open(paths[0]).convert("RGB").resize((48, 48), Image.Resampling.BILINEAR)
    assert np.abs(np.asarray(full).transpose(2, 0, 1).astype(int) - pixels[0]).mean() < 3
