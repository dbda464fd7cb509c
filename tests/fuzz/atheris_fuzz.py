"""Coverage-guided fuzzing of what reads bytes: ``tox run -e fuzz``, or by hand

    python tests/fuzz/atheris_fuzz.py saved|image|table [-max_total_time=180]

atheris changes bytes and keeps those that reach new lines of ours; whatever is raised that is
none of our errors ends it with the bytes that did it (``crash-...``).
"""

from __future__ import annotations

import hashlib
import re
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["fairvision", "safetensors", "PIL"]):
    import numpy as np
    from hostile import pictures

    from fairvision.datasets import ImageFiles, load_folder
    from fairvision.exceptions import FairvisionError
    from fairvision.nn import TorchClassifier
    from fairvision.saving import load, save

FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-"))
TABLE = b"path,smiling,skin_tone\n" + b"".join(b"%02d.png,%d,a\n" % (i, i % 2) for i in range(4))


def image(path: Path) -> None:
    ImageFiles([path], image_size=8, n_threads=1)[0]


def table(path: Path) -> None:
    load_folder(FOLDER / "photos", path, target="smiling", sensitive="skin_tone", image_size=8)


def sealed(data: bytes) -> bytes:
    """A saved model with a right checksum, as a forger would leave it: else all ends there."""
    found = re.search(rb'sha256[\\": ]+([0-9a-f]{64})', data)
    if found is None:
        return data
    blank = data.replace(found[1], b"0" * 64, 1)
    return blank.replace(b"0" * 64, hashlib.sha256(blank).hexdigest().encode(), 1)


def seeds(what: str) -> list[bytes]:
    """What the first bytes are made from."""
    if what == "image":
        return list(pictures().values())
    if what == "table":
        photos = FOLDER / "photos"
        photos.mkdir()
        for i in range(4):
            (photos / f"{i:02d}.png").write_bytes(pictures()["PNG"])
        return [TABLE, b"\xef\xbb\xbf" + TABLE, TABLE.replace(b"\n", b"\r\n")]
    images, y = np.zeros((8, 1, 8, 8), np.uint8), np.arange(8) % 2
    model = TorchClassifier("mlp", max_epochs=1, random_state=0).fit(images, y)
    return [save(model, FOLDER / "seed").read_bytes()]


def main() -> None:
    warnings.simplefilter("ignore")
    what, *arguments = sys.argv[1:]
    read = {"image": image, "table": table, "saved": load}[what]
    corpus = FOLDER / "corpus"
    corpus.mkdir()
    begin = seeds(what)
    for i, content in enumerate(begin):
        (corpus / str(i)).write_bytes(content)
    path = FOLDER / "input"

    def attempt(data: bytes) -> None:
        path.write_bytes(sealed(data) if what == "saved" else data)
        try:
            read(path)
        except FairvisionError:
            return

    longest = 2 * max(map(len, begin))
    atheris.Setup([sys.argv[0], f"-max_len={longest}", *arguments, str(corpus)], attempt)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
