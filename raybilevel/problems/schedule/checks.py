"""What the schedule problems refuse, and what they remark upon, once their parts are loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from raybilevel import data
from raybilevel.errors import InputError
from raybilevel.metrics.fid_kid import few_samples_warning
from raybilevel.problems.schedule.components import Components
from raybilevel.problems.schedule.export import check_divides


def check_steps(components: Components, sampling: int, compared: Sequence[int]) -> None:
    """Refuse numbers of sampling steps that the network, or a stock DDIM pipeline, cannot take.

    Parameters
    ----------
    sampling : `sampling_steps`.
    compared : `comparison.steps`.
    """
    most = len(components.info.logsnr)
    given = [("sampling_steps", sampling), *(("comparison.steps", steps) for steps in compared)]
    for name, steps in given:
        if not 1 <= steps <= most:
            raise InputError(
                f"{name} is {steps}, but {components.network} takes from 1 to {most} of them"
            )
    if components.solver == "ddim":
        check_divides(sampling, most)


def remarks_on(components: Components, counts: Mapping[str, int]) -> list[str]:
    """What was done to the data, where FID is taken of few images, and what there is to judge by.

    Parameters
    ----------
    counts : images that FID is taken of, by the setting that says how many.
    """
    features = components.real.features
    changed = data.remark(components.real.dataset) if components.real.statistics is None else None
    warnings = {name: few_samples_warning(count, features) for name, count in counts.items()}
    said = [f"{name}: {warning}" for name, warning in warnings.items() if warning is not None]
    on_data = [] if changed is None else [f"data: {changed}"]
    return [*on_data, *said, *_on_judges(components)]


def _on_judges(components: Components) -> list[str]:
    """Which extractors "auto" took where there are no labels; what is not known without images."""
    if components.real.statistics is not None:
        return [
            "data: reference statistics have no images, so there is no KID, no second extractor "
            "and no FID of real against real; nor do they say of how many images they are, so that "
            "what this number adds to FID stays in it"
        ]
    first, second = components.real.chosen
    given = (components.real.extractor_spec, components.real.second_spec)
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
