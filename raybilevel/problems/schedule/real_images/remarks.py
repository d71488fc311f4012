"""What a user should know of the data, and of what there is to judge by."""

from __future__ import annotations

from collections.abc import Mapping

from raybilevel import data
from raybilevel.metrics.fid_kid import few_samples_warning
from raybilevel.problems.schedule.real_images.images import RealImages


def remarks_on(real: RealImages, counts: Mapping[str, int]) -> list[str]:
    """What was done to the data, where FID is taken of few images, and what there is to judge by.

    Parameters
    ----------
    counts : images that FID is taken of, by the setting that says how many.
    """
    features = real.features
    changed = data.remark(real.dataset) if real.statistics is None else None
    warnings = {name: few_samples_warning(count, features) for name, count in counts.items()}
    said = [f"{name}: {warning}" for name, warning in warnings.items() if warning is not None]
    on_data = [] if changed is None else [f"data: {changed}"]
    return [*on_data, *said, *_on_judges(real)]


def _on_judges(real: RealImages) -> list[str]:
    """Which extractors "auto" took where there are no labels; what is not known without images."""
    if real.statistics is not None:
        return [
            "data: reference statistics have no images, so there is no KID, no second extractor "
            "and no FID of real against real; nor do they say of how many images they are, so that "
            "what this number adds to FID stays in it"
        ]
    first, second = real.chosen
    given = (real.extractor_spec, real.second_spec)
    if "auto" not in given or "trained" in (first, second) or "second" in (first, second):
        return []
    taken = [
        f"{name} is '{spec}'"
        for name, spec, asked in zip(
            ("extractor", "second_extractor"), (first, second), given, strict=True
        )
        if asked == "auto"
    ]
    return [f"the data have no labels of two classes or more, so {' and '.join(taken)}"]
