"""Reward-guided sampling through a pipeline's own call, with what it costs in weight.

An ancestral sampler steps x_{t-1} = m_t(x_t) + s_t eps. Guidance adds s_t^2 g_t to the mean, with

    g_t = tau_t sum_k s_k grad_{x_t} r_k(x0_hat(x_t))     s = w / lambda

(Xiao et al. 2025, arXiv 2502.08808, algorithms 2 and 5), which is to give the step the noise
eps' = eps + s_t g_t in place of eps. So a guided path is one of the sampler itself, and its density
under any s is known from what its noise did along the gradients: log q_s / p0 is

    sum_t tau_t s.u_t - tau_t^2 s.v_t.s / 2

with u_tk = s_t grad_k . eps' and v_tkl = s_t^2 grad_k . grad_l.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from raybilevel.errors import UnguidableError
from raybilevel.lower.sampling.guidance.islands import PathWeights
from raybilevel.lower.sampling.guidance.path_groups import PathGroups
from raybilevel.lower.sampling.guidance.step_noise import NotedNormal, noise_scale

ANCESTRAL = ("DDIMScheduler", "DDPMScheduler")
"""Schedulers whose steps are m_t + s_t eps and depend on no step before; DDIM with eta above 0."""

Scores = Callable[[Tensor, range], Tensor]
"""Maps predicted clean images (N, C, H, W) in [0, 1], and which of a shard's samples they are, to
rewards (N, K) with a gradient."""


@dataclass(frozen=True)
class Guide:
    """How strongly a shard's samples are guided.

    Attributes
    ----------
    scores : the rewards.
    scales : s (N, K) of each sample; zero is p0.
    taus : (T,) of each step; one for all; None for zeros.
    first : of the shard's samples that these are.
    islands : in which they are resampled on their way, each of one prompt and one s; None where
        every path goes to its end.
    """

    scores: Scores
    scales: Tensor
    taus: Sequence[float] | float | None = None
    first: int = 0
    islands: PathGroups | None = None

    def at(self, part: slice) -> Guide:
        """For some of the samples alone, which are whole islands."""
        islands = None if self.islands is None else self.islands.at(part)
        first = self.first + part.start
        return replace(self, scales=self.scales[part], first=first, islands=islands)

    @property
    def each(self) -> int:
        """Samples that have to be drawn together."""
        return 1 if self.islands is None else self.islands.each

    def tau(self, step: int) -> float:
        """Of a step."""
        if self.taus is None or isinstance(self.taus, float):
            return self.taus or 0.0
        return self.taus[step]

    def asked(self, images: Tensor) -> Tensor:
        """The rewards (N, K) of the samples' images."""
        return self.scores(images, range(self.first, self.first + len(images)))


@dataclass(frozen=True)
class PathTerms:
    """What log q / p0 of N paths of T steps is made of, float64 on the CPU.

    Attributes
    ----------
    u : (N, T, K), v : (N, T, K, K), as above.
    finite : (N, T, K) bool, where a gradient was; elsewhere nothing was pushed.
    alphas_cumprod : (T,) of the steps.
    weights : of paths that were resampled, whose u and v are those of the noise in their places.
    """

    u: Tensor
    v: Tensor
    finite: Tensor
    alphas_cumprod: np.ndarray
    weights: PathWeights | None = None

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Of several batches."""
        u, v, finite = (
            torch.cat([getattr(p, name) for p in parts]) for name in ("u", "v", "finite")
        )
        weights = [p.weights for p in parts if p.weights is not None]
        return cls(
            u, v, finite, parts[0].alphas_cumprod, PathWeights.joined(weights) if weights else None
        )


@contextmanager
def stepping(scheduler: Any, by: Callable[..., Any]) -> Iterator[None]:
    """Make a scheduler step by another function while this is entered.

    Parameters
    ----------
    by : is given the scheduler's own step, with its options, and the output, t and sample; returns
        what that would, as an object.
    """
    step = scheduler.step

    @functools.wraps(step)  # pipelines look at its signature
    def instead(output: Tensor, t: Any, sample: Tensor, **options: Any) -> Any:
        as_object = options.pop("return_dict", True)
        done = by(functools.partial(step, **options), output, t, sample)
        return done if as_object else tuple(done.values())

    scheduler.step = instead
    try:
        yield
    finally:
        del scheduler.step


class GuidedCall:
    """Guides calls of a pipeline that are made while it is entered.

    Nothing else of the call is changed: classifier-free guidance, prompts and decoder are its own,
    and unguided it draws what it draws anyway.

    Parameters
    ----------
    pipeline : loaded, with a scheduler of `ANCESTRAL`.
    network : its denoiser.
    decode : maps predicted clean samples, latents or pixels, to images (N, C, H, W) in [0, 1].
    """

    def __init__(
        self, pipeline: Any, network: torch.nn.Module, decode: Callable[[Tensor], Tensor]
    ) -> None:
        self._scheduler, self._network, self._decode = pipeline.scheduler, network, decode
        self._inputs: list[Tensor] = []
        self._terms: list[tuple[Tensor, Tensor, Tensor]] = []
        self._levels: list[float] = []
        self._weights: PathWeights | None = None
        self.end: Tensor | None = None
        """Where the last step led: what the pipeline decodes."""

    @contextmanager
    def by(self, guide: Guide) -> Iterator[None]:
        """Guide one call."""
        self._inputs, self._terms, self._levels = [], [], []
        self._weights = None if guide.islands is None else PathWeights.of(guide.islands)

        def guided(step: Callable[..., Any], output: Tensor, t: Any, sample: Tensor) -> Any:
            return self._pushed(step, output, t, sample, guide)

        hook = self._network.register_forward_pre_hook(self._before, with_kwargs=True)
        try:
            with stepping(self._scheduler, guided):
                yield
        finally:
            hook.remove()

    @property
    def terms(self) -> PathTerms:
        """Of the call that was guided last."""
        u, v, finite = (torch.stack(parts, 1) for parts in zip(*self._terms, strict=True))
        return PathTerms(u, v, finite, np.array(self._levels), self._weights)

    def _before(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Record all from here to the scheduler's step, back to what the network was given."""
        torch.set_grad_enabled(True)
        x, *others = args
        self._inputs.append(x.detach().requires_grad_())
        return (self._inputs[-1], *others), kwargs

    def _pushed(
        self, step: Callable[..., Any], output: Tensor, t: Any, sample: Tensor, guide: Guide
    ) -> Any:
        """What the scheduler's step gives, with its noise pushed along the gradient."""
        x, inputs, self._inputs = sample.detach().requires_grad_(), self._inputs, []
        with NotedNormal() as noise:
            done = step(output, t, x)
        asked, gradients = self._gradients(done.pred_original_sample, [x, *inputs], guide.asked)
        torch.set_grad_enabled(False)  # as it is in a pipeline's call
        s = noise_scale(step, output, t, sample)
        finite = gradients.isfinite().flatten(2).all(2)
        reach = s[:, None].double() * torch.where(_beside(finite, gradients), gradients, 0).double()
        end, drawn = done.prev_sample.detach(), noise.like(sample)
        if (taken := self._taken(asked, guide)) is not None:
            s, reach = s[taken], reach[taken]  # some networks say it of each sample
            end = end[taken] + s * (drawn - drawn[taken])
        push = guide.tau(len(self._terms)) * (_beside(guide.scales, reach) * reach).sum(1)
        self._weigh(push.flatten(1), drawn.double().flatten(1))
        self._note(reach.flatten(2), (drawn.double() + push).flatten(1), finite)
        self._levels.append(float(self._scheduler.alphas_cumprod[int(t)]))
        self.end = done.prev_sample = end + s * push.to(s)
        done.pred_original_sample = done.pred_original_sample.detach()
        return done

    def _taken(self, asked: Tensor, guide: Guide) -> Tensor | None:
        """Which paths (N,) go on in whose places, by rewards (N, K); None where none is asked."""
        if self._weights is None:
            return None
        assert guide.islands is not None, "paths weigh something where they are resampled"
        tilts = (asked.detach().double().cpu() * guide.scales).sum(1).numpy()
        taken, self._weights = self._weights.resampled(guide.islands, tilts, len(self._terms))
        return torch.from_numpy(taken).to(asked.device)

    def _weigh(self, push: Tensor, noise: Tensor) -> None:
        if self._weights is not None:
            log_ratio = (push * noise).sum(1) + (push**2).sum(1) / 2
            self._weights = self._weights.pushed(log_ratio.cpu().numpy())

    def _gradients(
        self, clean: Tensor, inputs: Sequence[Tensor], scores: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Rewards (N, K), and (N, K, ...) of each with respect to what is stepped from."""
        asked = scores(self._decode(clean))
        rows: list[Tensor] = []
        for k, column in enumerate(asked.T):
            parts = _gradient(column.sum(), inputs, retain_graph=k + 1 < asked.shape[1])
            rows.append(torch.stack([_of_samples(part, len(clean)) for part in parts]).sum(0))
        return asked, torch.stack(rows, 1)

    def _note(self, reach: Tensor, noise: Tensor, finite: Tensor) -> None:
        u = (reach @ noise[:, :, None])[..., 0]
        self._terms.append((u.cpu(), (reach @ reach.transpose(1, 2)).cpu(), finite.cpu()))


def _gradient(score: Tensor, inputs: Sequence[Tensor], *, retain_graph: bool) -> Sequence[Tensor]:
    """With respect to each of the inputs: `UnguidableError` where it does not lead there."""
    try:
        return torch.autograd.grad(score, inputs, retain_graph=retain_graph)
    except RuntimeError as error:
        if "been used in the graph" in str(error) or "inplace operation" in str(error):
            raise UnguidableError(
                "samples are to be guided, but the gradient of a lower reward does not reach the "
                "images that it was asked for: it detaches them, or changes what it has computed "
                "in place; annealed works without"
            ) from error
        raise


def _of_samples(gradient: Tensor, count: int) -> Tensor:
    """With classifier-free guidance a network is given all samples twice."""
    return gradient.reshape(-1, count, *gradient.shape[1:]).sum(0)


def _beside(of_rewards: Tensor, rows: Tensor) -> Tensor:
    """Numbers (N, K), to be held against rows (N, K, ...)."""
    return of_rewards.reshape(*of_rewards.shape, *[1] * (rows.dim() - 2)).to(rows.device)
