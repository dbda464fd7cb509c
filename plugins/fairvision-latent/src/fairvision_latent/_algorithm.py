"""Equations of latent-space de-biasing (Ramaswamy et al. 2021, section 3).

Notation: z is a latent of d numbers; a hyperplane has a unit normal w and an intercept b,
and w.z + b is a latent's signed distance to it. h_t is the hyperplane of the target, h_g that
of a protected attribute. Constraints on a moved latent z' are the rows of B z' = c.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairvision.exceptions import InputError

__all__ = ["Hyperplane", "Variant", "f1_cut", "flips", "moved", "smallest_move"]

Variant = Literal["pair", "protected-only", "on-hyperplane"]
Floats = NDArray[np.floating[Any]]

_ROWS = 4096  # latents at a time, so that they fit into the processor's cache
# Normals whose independent part is shorter than this are parallel: |cos| above 1 - 5e-7.
_PARALLEL = 1e-3


@dataclass(frozen=True, eq=False)
class Hyperplane:
    """w.z + b = 0 in latent space.

    Attributes
    ----------
    normal : ndarray of shape (latent_dim,), float64
        Of unit length, towards the side where the label holds.
    intercept : float
        Divided by the length that the normal had.
    accuracy : float
        Share of held-out generated images on the side of their label.
    name : str
    """

    normal: NDArray[np.float64]
    intercept: float
    accuracy: float = float("nan")
    name: str = ""

    @classmethod
    def of(cls, coef: ArrayLike, intercept: float, **more: Any) -> Self:
        """From a linear classifier's coefficients of any length."""
        normal = np.asarray(coef, dtype=np.float64).ravel()
        length = float(np.linalg.norm(normal))
        if not np.isfinite(length) or length == 0:
            raise InputError(
                f"The hyperplane {more.get('name', '')!r} has a normal of length {length}; it "
                "does not separate the labels. Use more latents (n_hyperplane), or another C."
            )
        return cls(normal / length, float(intercept) / length, **more)

    def padded(self, latent_dim: int) -> Self:
        """The same in longer latents, whose further values do not count."""
        zeros = np.zeros(latent_dim - len(self.normal))
        return replace(self, normal=np.concatenate([self.normal, zeros]))

    def distance(self, z: Floats) -> Floats:
        """Signed distances of latents, shape (n,)."""
        return z @ self.normal.astype(z.dtype) + z.dtype.type(self.intercept)

    def cosine(self, other: Hyperplane) -> float:
        """Cosine of the angle between the normals."""
        return float(self.normal @ other.normal)


def _triangle(B: NDArray[np.float64], names: Sequence[str]) -> tuple[Floats, Floats]:
    """L and Q of B = L Q with orthonormal rows in Q; refuses dependent rows."""
    Q, R = np.linalg.qr(B.T)
    independent = np.abs(np.diag(R)) / np.linalg.norm(B, axis=1)
    for row in np.flatnonzero(independent < _PARALLEL).tolist():
        earlier = " and ".join(repr(name) for name in names[:row])
        raise InputError(
            f"The hyperplane of {names[row]!r} is parallel to that of {earlier} (cosine "
            f"{_cosines(B, row)}): one score cannot change without the other. The "
            "generator, or the classifiers that label its images, do not tell them apart: train "
            "them on data with more counter-examples."
        )
    return R.T, Q.T


def _cosines(B: NDArray[np.float64], row: int) -> str:
    unit = B / np.linalg.norm(B, axis=1, keepdims=True)
    return ", ".join(f"{c:.6f}" for c in unit[:row] @ unit[row])


def smallest_move(
    z: Floats,
    B: ArrayLike,
    c: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    out: Floats | None = None,
) -> Floats:
    """The latents nearest to `z` with B z' = c: z' = z + B^T (B B^T)^-1 (c - B z).

    With B = L Q, L triangular and Q orthonormal, that is z + Q^T L^-1 (c - B z), which does
    not square the condition of B, and so holds for hyperplanes that are nearly parallel.

    Parameters
    ----------
    z : ndarray of shape (n, latent_dim), floating
    B : array-like of shape (n_constraints, latent_dim)
        Linearly independent rows.
    c : array-like of shape (n, n_constraints) or (n_constraints,)
    names : sequence of str or None
        Names of the rows in errors.
    out : ndarray of shape (n, latent_dim) or None
        Receives the result; may be `z` itself.

    Returns
    -------
    ndarray of shape (n, latent_dim), of the type of `z`

    Raises
    ------
    InputError
        If rows of B are parallel, or depend on each other.
    """
    rows = np.atleast_2d(np.asarray(B, dtype=np.float64))
    names = [f"row {i}" for i in range(len(rows))] if names is None else names
    lower, basis = _triangle(rows, names)
    # In two factors, so that the large product is with orthonormal rows.
    solve = np.linalg.inv(lower).T
    wanted = np.broadcast_to(np.asarray(c), (len(z), len(rows)))
    out = np.empty_like(z) if out is None else out
    across, back = rows.T.astype(z.dtype), basis.astype(z.dtype)
    for start in range(0, len(z), _ROWS):
        batch = slice(start, start + _ROWS)
        missing = (wanted[batch] - z[batch] @ across) @ solve
        np.add(z[batch], missing.astype(z.dtype) @ back, out=out[batch])
    return out


def flips(n_protected: int) -> NDArray[np.bool_]:
    """Sets of attributes to change: each alone, then every set of several; (2^k - 1, k)."""
    sets = [s for s in product((False, True), repeat=n_protected) if any(s)]
    return np.array(sorted(sets, key=lambda s: (sum(s), [not flag for flag in s])))


def moved(
    z: Floats,
    targets: Sequence[Hyperplane],
    protected: Sequence[Hyperplane],
    flip: ArrayLike,
    variant: Variant = "pair",
    *,
    out: Floats | None = None,
) -> Floats:
    """z', the partner of every latent.

    Parameters
    ----------
    z : ndarray of shape (n, latent_dim), floating
    targets : sequence of Hyperplane
        One, or one for each domain: a domain is a side of every protected
        hyperplane, and its number has a bit an attribute, the first the highest.
    protected : sequence of Hyperplane
    flip : array-like of shape (n_protected,), bool
        Attributes to change.
    variant : {"pair", "protected-only", "on-hyperplane"}
        ``"pair"``: the target's score is kept, that of the flipped attributes
        negated, of the other attributes kept. With several targets, the score
        kept is by the hyperplane of the domain that the latent is in, before and
        after. ``"protected-only"``: the same without the target.
        ``"on-hyperplane"``: the flipped attributes' score becomes 0.
    out : ndarray of shape (n, latent_dim) or None

    Returns
    -------
    ndarray of shape (n, latent_dim)
    """
    change = np.asarray(flip, dtype=bool)
    B = np.stack([h.normal for h in protected])
    offsets = np.array([h.intercept for h in protected])
    names = [h.name for h in protected]
    normals = np.stack([h.normal for h in protected], axis=1).astype(z.dtype)
    scores = z @ normals + offsets.astype(z.dtype)
    factor = np.where(change, 0.0 if variant == "on-hyperplane" else -1.0, 1.0)
    wanted = scores * factor - offsets
    if variant == "protected-only":
        return smallest_move(z, B, wanted, names=names, out=out)
    if len(targets) == 1:
        kept = z @ targets[0].normal.astype(z.dtype)
        B = np.vstack([targets[0].normal, B])
        wanted = np.column_stack([kept, wanted])
        return smallest_move(z, B, wanted, names=[targets[0].name, *names], out=out)
    bits = 1 << np.arange(len(names))[::-1]
    before = (scores > 0) @ bits
    # A latent on the hyperplane stays in its domain.
    after = before if variant == "on-hyperplane" else ((scores > 0) ^ change) @ bits
    out = np.empty_like(z) if out is None else out
    for domain in np.unique(before):
        rows = np.flatnonzero(before == domain)
        old, new = targets[domain], targets[after[rows[0]]]
        latents = z[rows]
        kept = old.distance(latents) - new.intercept
        values = np.column_stack([kept, wanted[rows]])
        constraints, all_names = np.vstack([new.normal, B]), [new.name, *names]
        out[rows] = smallest_move(latents, constraints, values, names=all_names, out=latents)
    return out


def f1_cut(label: ArrayLike, score: ArrayLike) -> float:
    """The cut on scores with the largest F1: predict true where ``score >= cut``.

    The cut is halfway to the next lower score, not on the score itself.
    """
    truth, values = np.asarray(label, dtype=bool), np.asarray(score, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    hits, values = np.cumsum(truth[order]), values[order]
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + truth.sum())
    f1[:-1][values[:-1] == values[1:]] = -1  # equal scores fall on one side of any cut
    best = int(f1.argmax())
    below = values[best + 1] if best + 1 < len(values) else values[best]
    return float((values[best] + below) / 2)
