"""The parts of a drawn face, back to front.

Face coordinates: x to the right, y down, the eyes near y = 0, the unit half a picture.
Left and right are drawn at once where a part is symmetric, on ``abs(x)``.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairvision.datasets._canvas import Canvas, Floats, Patch, cover

__all__ = ["paint_portrait"]

# Fitzpatrick I to VI, and hair: red, green, blue in 0..1.
_SKIN = np.array(
    [
        (0.99, 0.85, 0.77),
        (0.94, 0.75, 0.61),
        (0.83, 0.64, 0.48),
        (0.69, 0.49, 0.34),
        (0.50, 0.33, 0.21),
        (0.31, 0.20, 0.14),
    ],
    dtype=np.float32,
)
_HAIR = np.array(
    [
        (0.07, 0.06, 0.07),
        (0.34, 0.20, 0.10),
        (0.90, 0.74, 0.36),
        (0.70, 0.26, 0.09),
        (0.68, 0.68, 0.70),
    ],
    dtype=np.float32,
)

Colour = tuple[Any, ...]  # red, green, blue


def _hue(hue: Floats, saturation: Any, value: Any) -> Colour:
    """Red, green and blue of a hue in 0..1."""
    wheel = [np.clip(np.abs((hue * 6 + shift) % 6 - 3) - 1, 0, 1) for shift in (0, 4, 2)]
    return tuple((1 - saturation + saturation * w) * value for w in wheel)


def _scaled(colour: Colour, factor: Any) -> Colour:
    return tuple(channel * factor for channel in colour)


def _mixed(a: Colour, b: Colour, share: Any) -> Colour:
    return tuple(x + share * (y - x) for x, y in zip(a, b, strict=True))


def _wave(t: Floats) -> Floats:
    """A triangle wave in 0..1 of period 1."""
    return np.abs((t % 1) * 2 - 1)


def _palette(table: NDArray[np.float32], codes: Floats, shade: Floats) -> Colour:
    rgb = table[codes[:, 0, 0].astype(np.intp)]
    return tuple(rgb[:, i, None, None] * shade for i in range(3))


def paint_portrait(canvas: Canvas, p: SimpleNamespace) -> None:
    """Paint one face in every picture of the canvas.

    Parameters
    ----------
    canvas : Canvas
        Of n pictures.
    p : namespace of ndarray of shape (n, 1, 1)
        One entry per attribute (its level) and per nuisance.
    """
    p.skin = _palette(_SKIN, p.skin_tone, p.skin_shade)
    p.skin = (p.skin[0] + p.skin_red, p.skin[1], p.skin[2])
    p.hair = _palette(_HAIR, p.hair_colour, p.hair_shade)
    p.eye_x, p.eye_y = p.eye_gap * p.face_width, 0.03 + 0 * p.scale
    p.cy = 0.1 + 0 * p.scale  # centre of the face
    p.nose_y = p.cy + 0.24 * p.face_height
    p.lip_y = p.cy + p.mouth_y * p.face_height
    _background(canvas, p)
    _back_hair(canvas, p)
    _body(canvas, p)
    _head(canvas, p)
    _age_lines(canvas, p)
    _eyes(canvas, p)
    _nose(canvas, p)
    _beard(canvas, p)
    _mouth(canvas, p)
    _front_hair(canvas, p)
    _eyeglasses(canvas, p)
    _hat(canvas, p)
    _light(canvas, p)


def _background(canvas: Canvas, p: SimpleNamespace) -> None:
    whole = canvas.whole()
    stripes = _wave(canvas.columns * p.pattern / 2 + p.hat_hue)
    wall = _hue(p.wall_hue * 0.17 + 0.02, 0.3, p.wall_light * (0.86 + 0.14 * stripes))
    solid = np.ones_like(canvas.x)
    canvas.paint(whole, solid, wall, "background")
    ground = cover(p.horizon - canvas.rows + 0 * canvas.columns, canvas.edge)
    height = (canvas.rows + 1) / 2
    sky = _mixed((0.36, 0.60, 0.93), (0.80, 0.90, 1.0), 0.8 * height + 0.2 * p.sky_light)
    grass_light = 0.75 + 0.25 * _wave(canvas.rows * p.pattern + canvas.columns * 2)
    grass = _scaled((0.30, 0.55, 0.20), grass_light * (0.8 + 0.4 * p.wall_hue))
    scene = _mixed(sky, grass, ground)
    canvas.paint(whole, solid * p.background, scene, "background")


def _body(canvas: Canvas, p: SimpleNamespace) -> None:
    patch = canvas.patch(-0.95, 0.95, 0.5, 1.4)
    neck = np.maximum(np.abs(patch.x) - 0.22, np.abs(patch.y - 0.85) - 0.4)
    shadow = _scaled(p.skin, 0.78)
    canvas.paint(patch, cover(neck, patch.edge), shadow, "skin_tone")
    cloth = _hue(p.cloth_hue, 0.55, p.cloth_light)
    canvas.paint(patch, patch.ellipse(0, 1.5, 0.9, 0.58 + 0 * p.scale), cloth)


def _back_hair(canvas: Canvas, p: SimpleNamespace) -> None:
    """What hangs behind the neck: to the ears at length 0, to the shoulders at 1."""
    width = p.face_width + 0.05 + 0.1 * p.hair_volume
    end = 0.1 + 0.85 * p.hair_length
    patch = canvas.patch(-width, width, -0.75, 1.0)
    centre = p.cy + 0.3 * p.hair_length
    level = (patch.x * (1 / width)) ** 2
    level += ((patch.y - centre) * (1 / (p.face_height + 0.02 + 0.3 * p.hair_length))) ** 2
    level = (level - 1) * (width / 2)
    alpha = cover(np.maximum(level, patch.y - end), patch.edge)
    strands = 0.72 + 0.16 * _wave(patch.x * 5)
    canvas.paint(patch, alpha, _scaled(p.hair, strands), "hair_colour")


def _squared_face(patch: Patch, p: SimpleNamespace, grow: Any = 0.0, drop: Any = 0.0) -> Floats:
    """Level of the outline: 0 in the middle, 1 on it; narrower towards the chin."""
    down = (patch.y - p.cy) * (1 / (p.face_height + grow + drop))
    width = (p.face_width + grow) * (1 - p.chin * np.maximum(down, 0))
    return (patch.x / width) ** 2 + down**2


def _head(canvas: Canvas, p: SimpleNamespace) -> None:
    ears = canvas.patch(-p.face_width - 0.08, p.face_width + 0.08, -0.1, 0.3)
    alpha = ears.ellipse(p.face_width, 0.1, 0.075, 0.13 + 0 * p.scale, mirrored=True)
    canvas.paint(ears, alpha, _scaled(p.skin, 0.86), "skin_tone")
    bottom = p.cy + p.face_height
    patch = canvas.patch(-p.face_width, p.face_width, p.cy - p.face_height, bottom)
    level = _squared_face(patch, p)
    round_shade = 1.04 - 0.2 * np.minimum(level, 1.2)
    alpha = cover((level - 1) * (p.face_width / 2), patch.edge)
    canvas.paint(patch, alpha, _scaled(p.skin, round_shade), "skin_tone")


def _age_lines(canvas: Canvas, p: SimpleNamespace) -> None:
    """Forehead, crow's feet, under the eyes, from the nose to the mouth."""
    patch = canvas.patch(-0.42, 0.42, p.cy - 0.45, p.lip_y)
    x, y = np.abs(patch.x), patch.y
    half = np.float32(0.02)
    brow = p.eye_y - 0.2
    lines = np.full_like(x, np.inf)
    for row, width in ((0.0, 0.24), (0.085, 0.22), (0.17, 0.17)):
        curve = brow - row + 0.25 * x**2
        lines = np.minimum(lines, np.maximum(np.abs(y - curve) - half, x - width))
    t = (y - p.nose_y - 0.02) / (p.lip_y - p.nose_y)  # nose to mouth, bowed outwards
    fold = np.abs(x - (0.11 + 0.13 * t)) - half * 1.3
    lines = np.minimum(lines, np.maximum(fold, np.abs(t - 0.5) * 0.16 - 0.08))
    under = np.abs(y - (p.eye_y + 0.125 - 3 * (x - p.eye_x) ** 2)) - half
    lines = np.minimum(lines, np.maximum(under, np.abs(x - p.eye_x) - 0.085))
    side = x - p.eye_x - 0.12
    feet = np.abs(np.abs(y - p.eye_y - 0.01) - 0.5 * side) - half * 0.8
    lines = np.minimum(lines, np.maximum(feet, np.abs(side - 0.045) - 0.045))
    alpha = cover(lines, patch.edge) * p.age_lines
    canvas.paint(patch, alpha, _scaled(p.skin, p.line_depth), "age_lines", "skin_tone")


def _eyes(canvas: Canvas, p: SimpleNamespace) -> None:
    reach = p.eye_x + 0.16
    patch = canvas.patch(-reach, reach, p.eye_y - 0.2, p.eye_y + 0.08)
    x = np.abs(patch.x) - p.eye_x
    lid = patch.ellipse(p.eye_x, p.eye_y - 0.012, 0.115, 0.075 * p.eye_open, mirrored=True)
    canvas.paint(patch, lid, _scaled(p.skin, 0.5), "skin_tone")
    white = patch.ellipse(p.eye_x, p.eye_y, 0.1, 0.06 * p.eye_open, mirrored=True)
    canvas.paint(patch, white, (0.96, 0.96, 0.95))
    iris = _hue(0.08 + 0.5 * p.eye_hue, 0.6, 0.45)
    canvas.paint(
        patch,
        white * patch.ellipse(p.eye_x, p.eye_y, 0.052, 0.052 + 0 * p.scale, mirrored=True),
        iris,
    )
    pupil = patch.ellipse(p.eye_x, p.eye_y, 0.026, 0.026 + 0 * p.scale, mirrored=True)
    canvas.paint(patch, white * pupil, (0.03, 0.03, 0.03))
    arch = p.eye_y - 0.12 - p.brow_lift + 2.2 * x**2
    brow = np.maximum(np.abs(patch.y - arch) - 0.022, np.abs(x) - 0.125)
    canvas.paint(patch, cover(brow, patch.edge), _scaled(p.hair, 0.75), "hair_colour")


def _nose(canvas: Canvas, p: SimpleNamespace) -> None:
    patch = canvas.patch(-0.15, 0.15, p.eye_y, p.nose_y + 0.1)
    side = np.where(p.light_x > 0, np.float32(-1), np.float32(1))  # the shadow is off the light
    ridge = np.abs(patch.x - side * 0.045) - 0.016
    ridge = np.maximum(ridge, np.abs(patch.y - (p.eye_y + p.nose_y) / 2) - 0.09)
    canvas.paint(patch, cover(ridge, patch.edge) * 0.6, _scaled(p.skin, 0.78), "skin_tone")
    tip = patch.ellipse(0, p.nose_y, 0.085 * p.nose_size, 0.05 * p.nose_size)
    canvas.paint(patch, tip * 0.8, _scaled(p.skin, 0.78), "skin_tone")
    holes = patch.ellipse(
        0.04 * p.nose_size, p.nose_y + 0.03, 0.02, 0.015 + 0 * p.scale, mirrored=True
    )
    canvas.paint(patch, holes, _scaled(p.skin, 0.4), "skin_tone")


def _beard(canvas: Canvas, p: SimpleNamespace) -> None:
    bottom = p.cy + p.face_height + 0.2
    patch = canvas.patch(-p.face_width - 0.03, p.face_width + 0.03, 0.0, bottom)
    level = (_squared_face(patch, p, 0.025, p.beard_length) - 1) * (p.face_width / 2)
    top = p.nose_y + p.beard_top - 0.75 * np.maximum(np.abs(patch.x) - 0.2, 0)
    alpha = cover(np.maximum(level, top - patch.y), patch.edge) * p.beard
    strands = 0.68 + 0.16 * _wave(patch.x * 8 + patch.y * 3)
    canvas.paint(patch, alpha, _scaled(p.hair, strands), "beard", "hair_colour")


def _mouth(canvas: Canvas, p: SimpleNamespace) -> None:
    """Lips around a gap; a smile is wider, bent up at the corners, and mostly shows teeth."""
    half = p.mouth_width + 0.06 * p.smiling
    bend = np.where(p.smiling > 0, p.smile_bend, p.mouth_bend)
    smile_gap = 0.005 + 0.06 * p.mouth_open
    gap = np.where(p.smiling > 0, smile_gap, 0.05 * np.maximum(p.mouth_open - 0.7, 0))
    patch = canvas.patch(-half, half, p.lip_y - 0.12, p.lip_y + 0.2)
    arc = 1 - (patch.x / half) ** 2
    middle = p.lip_y + bend * (arc - 0.5)
    away = np.abs(patch.y - middle)
    lips = _mixed(_scaled(p.skin, 0.75), (0.80, 0.24, 0.27), 0.5)
    outer = cover(away - (gap + p.lip) * arc, patch.edge)
    canvas.paint(patch, outer, lips, "smiling", "skin_tone")
    inner = cover(away - np.maximum(gap, 0.007) * arc, patch.edge) * (outer > 0)
    seen = (gap > 0.007) & ((p.smiling > 0) | (p.mouth_teeth > 0.85))
    teeth = np.where(seen, np.float32(0.95), np.float32(0.16))
    canvas.paint(patch, inner, (teeth, teeth * 0.95, teeth * 0.92), "smiling")


def _front_hair(canvas: Canvas, p: SimpleNamespace) -> None:
    grow = 0.04 + 0.06 * p.hair_volume
    top, sides = p.cy - p.face_height - grow, p.face_width + grow
    patch = canvas.patch(-sides, sides, top, 0.45)
    level = (_squared_face(patch, p, grow) - 1) * (p.face_width / 2)
    line = p.cy - p.hair_line * p.face_height + p.hair_curve * (patch.x - p.hair_part) ** 2
    line = np.minimum(line, 0.05 + 0.4 * p.hair_length)
    alpha = cover(np.maximum(level, patch.y - line), patch.edge)
    shine = 0.9 + 0.3 * _wave(patch.x * 2.5 - patch.y + p.hair_part)
    canvas.paint(patch, alpha, _scaled(p.hair, shine), "hair_colour")


def _eyeglasses(canvas: Canvas, p: SimpleNamespace) -> None:
    rim = p.glasses_frame
    reach = np.maximum(p.face_width, p.eye_x + p.glasses_width + rim)
    tall = p.glasses_height + rim
    patch = canvas.patch(-reach, reach, p.eye_y - tall, p.eye_y + tall + 0.02)
    x, y = np.abs(patch.x), patch.y - p.eye_y - 0.01
    across, down = ((x - p.eye_x) / p.glasses_width) ** 2, (y / p.glasses_height) ** 2
    level = across + down - p.glasses_box * np.minimum(across * down, 1)
    lens = (level - 1) * (p.glasses_height / 2)
    bar = np.maximum(np.abs(y + 0.02) - rim * 0.8, -lens)
    bar = np.maximum(bar, x - p.face_width)
    glass = cover(lens, patch.edge) * p.eyeglasses
    tint = 0.06 + 0.5 * p.glasses_tint**3
    canvas.paint(patch, glass * tint, (0.16, 0.18, 0.24), "eyeglasses")
    glint = cover(np.abs(x - p.eye_x + y - 0.03) - 0.016, patch.edge) * glass
    canvas.paint(patch, glint * 0.45, (1.0, 1.0, 1.0), "eyeglasses")
    frame = cover(np.minimum(np.abs(lens) - rim, bar), patch.edge) * p.eyeglasses
    colour = _hue(p.glasses_hue, 0.7 * p.glasses_light, 0.08 + 0.4 * p.glasses_light)
    canvas.paint(patch, frame, colour, "eyeglasses")


def _hat(canvas: Canvas, p: SimpleNamespace) -> None:
    brim_y = p.cy - 0.62 * p.face_height
    crown = p.face_width + 0.11
    patch = canvas.patch(-p.hat_brim, p.hat_brim, brim_y - p.hat_height, brim_y + 0.09)
    across, up = (patch.x / crown) ** 2, ((patch.y - brim_y) / p.hat_height) ** 2
    level = (across + up - p.hat_box * np.minimum(across * up, 1) - 1) * (p.hat_height / 2)
    top = cover(np.maximum(level, patch.y - brim_y), patch.edge) * p.hat
    felt = _hue(p.hat_hue, 0.75 * p.hat_grey, p.hat_light)
    canvas.paint(patch, top, felt, "hat")
    band = cover(np.abs(patch.y - brim_y + 0.08) - 0.05, patch.edge) * top
    canvas.paint(patch, band, _scaled(felt, 0.5), "hat")
    beyond = np.maximum(np.abs(patch.x) - p.hat_brim + 0.06, 0)
    brim = cover(np.sqrt(beyond**2 + (patch.y - brim_y) ** 2) - 0.06, patch.edge) * p.hat
    canvas.paint(patch, brim, _scaled(felt, 0.8), "hat")


def _light(canvas: Canvas, p: SimpleNamespace) -> None:
    fall = p.light * (1 + p.light_x * canvas.columns + p.light_y * canvas.rows)
    for channel, cast in enumerate((p.cast_red, 0.0, p.cast_blue)):
        canvas.image[:, channel] *= fall * (1 + cast)
