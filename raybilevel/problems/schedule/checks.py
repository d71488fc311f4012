"""What the schedule problems refuse, and what they remark upon, once their parts are loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    """Warnings where FID is taken of fewer images than features, and on a missing extractor.

    Parameters
    ----------
    counts : images that FID is taken of, by the setting that says how many.
    """
    images = components.folds[0].images[:2]
    features = components.extractor("cpu")(images).shape[1]
    warnings = {name: few_samples_warning(count, features) for name, count in counts.items()}
    said = [f"{name}: {warning}" for name, warning in warnings.items() if warning is not None]
    if components.has_second:
        return said
    return [*said, "second_extractor: data without labels have no second one, so its columns "
            "repeat the objective's; give one"]  # fmt: skip
