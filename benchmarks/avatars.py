"""Drawn avatars, as De Coninck et al. used beside photographs. Not of this package: they need

``pip install python-avatars resvg-py pillow``.

Glasses, skin, beard and hat are independent of each other; everything else is drawn at random.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd

# A hat may hide hair, and glasses eyes, but no part hides one of the four attributes.
HATS = ("HAT", "TURBAN", "WINTER_HAT_1", "WINTER_HAT_2", "WINTER_HAT_3", "WINTER_HAT_4")
NO_HAIR = ("HAT", "NONE", "ASTRONAUT", "BRIDE")
NO_GLASSES = ("NONE", "EYEPATCH")
BEARDS = ("BEARD_LIGHT", "BEARD_MAGESTIC", "BEARD_MEDIUM")
SKINS = (("TANNED", "YELLOW", "PALE", "LIGHT"), ("BROWN", "DARK_BROWN", "BLACK"))
NO_CLOTHES = ("NONE", "ASTRONAUT_SUIT", "GLADIATOR", "JEDI_ROBE", "GRAPHIC_SHIRT")


def load(n_samples: int, image_size: int, seed: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Pictures of shape (n_samples, 3, image_size, image_size), uint8, and their attributes."""
    try:
        import python_avatars as pa
    except ImportError as error:
        raise SystemExit("Avatars need: pip install python-avatars resvg-py pillow") from error

    rng = np.random.default_rng(seed)
    attributes = ["glasses", "dark_skin", "beard", "hat"]
    table = pd.DataFrame(rng.integers(0, 2, (n_samples, 4)), columns=attributes)

    def one(kind: Any, names: Any = None, without: Any = ()) -> Any:
        kept = [e for e in kind if e.name not in without and (names is None or e.name in names)]
        return kept[rng.integers(len(kept))]

    images = []
    for row in table.itertuples():
        avatar = pa.Avatar(
            style=pa.AvatarStyle.TRANSPARENT,
            top=one(pa.HatType, HATS) if row.hat else one(pa.HairType, without=NO_HAIR),
            hat_color=one(pa.ClothingColor),
            eyebrows=one(pa.EyebrowType),
            eyes=one(pa.EyeType),
            nose=one(pa.NoseType),
            mouth=one(pa.MouthType),
            facial_hair=one(pa.FacialHairType, BEARDS) if row.beard else pa.FacialHairType.NONE,
            facial_hair_color=one(pa.HairColor),
            skin_color=one(pa.SkinColor, SKINS[row.dark_skin]),
            hair_color=one(pa.HairColor),
            accessory=(
                one(pa.AccessoryType, without=NO_GLASSES) if row.glasses else pa.AccessoryType.NONE
            ),
            clothing=one(pa.ClothingType, without=NO_CLOTHES),
            clothing_color=one(pa.ClothingColor),
        )
        images.append(_picture(avatar.render(), image_size))
    return np.stack(images), table


def _picture(svg: str, size: int) -> np.ndarray:
    """On white, in the middle of a square."""
    import resvg_py
    from PIL import Image

    png = resvg_py.svg_to_bytes(svg_string=svg, background="#ffffff", width=2 * size)
    drawn = Image.open(io.BytesIO(bytes(png))).convert("RGB")
    side = max(drawn.size)
    square = Image.new("RGB", (side, side), "white")
    square.paste(drawn, ((side - drawn.width) // 2, (side - drawn.height) // 2))
    small = square.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(small).transpose(2, 0, 1)
