"""Samples held against real images: FID and KID by both extractors, and who is nearer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from raybilevel.metrics.fid_kid import FrechetTo, Moments, jackknife, kid, kid_difference
from raybilevel.problems.base import Arrays
from raybilevel.problems.schedule.real_images.reference import EXTRACTORS, Reference

_CHUNKS = 32  # of the jackknife
FEWEST_JUDGED = 4 * _CHUNKS
"""Samples: chunks hold four."""

JUDGED = tuple(
    f"{metric}{column}{judge}"
    for judge in ("", "_second")
    for metric in ("fid", "kid")
    for column in ("", "_se", "_gap", "_gap_se")
)
"""Of each subject: FID to the training data and unbiased KID to the held-out data, their standard
errors, and the gap: the learned levels' minus the subject's, on the same noises; by the objective's
extractor and by the second, which was never optimised. FID is without its bias of order 1/n. Where
there are reference statistics alone, what needs images or another extractor is nan."""


def judge(state: Arrays, features: Mapping[str, np.ndarray]) -> np.ndarray:
    """The table (subjects, columns); the first subject is the learned one.

    Parameters
    ----------
    state : what is known of real images.
    features : (subjects, n, F) by the extractor; not finite of a subject that overflowed.
    """
    subjects = len(features[EXTRACTORS[0]])
    judged = []
    for name in EXTRACTORS:
        reference = Reference.of(state, name)
        if reference is None:
            judged.append(np.full((subjects, len(JUDGED) // len(EXTRACTORS)), np.nan))
            continue
        found = features[name]
        judged.append(np.array([_judge(reference, found[0], each) for each in found]))
    return np.concatenate(judged, axis=1)


def _judge(reference: Reference, learned: np.ndarray, subject: np.ndarray) -> list[float]:
    """One subject by one extractor: `JUDGED` up to the second."""
    if not np.isfinite(subject).all():
        return [np.nan] * (len(JUDGED) // len(EXTRACTORS))
    to = FrechetTo(reference.train)
    sets = [[Moments.of(c) for c in np.array_split(f, _CHUNKS)] for f in (subject, learned)]

    def both(of_subject: Moments, of_learned: Moments) -> np.ndarray:
        alone = to(of_subject)
        return np.array([alone, to(of_learned) - alone])

    values, errors = jackknife(both, *sets, corrected=True)
    by_fid = [values[0], errors[0], values[1], errors[1]]
    if reference.held_out is None:
        return [*by_fid, *4 * [np.nan]]
    alone = kid(subject, reference.held_out)
    gap = kid_difference(learned, subject, reference.held_out)
    return [*by_fid, *alone, *gap]
