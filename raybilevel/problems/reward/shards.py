"""What workers do for the reward problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from raybilevel.lower.sampling.annealing import Lineage
from raybilevel.problems.base import Shard


@dataclass(frozen=True)
class DrawRewards(Shard):
    """Draws the samples of `seeds`, and returns their rewards as rows of the pool.

    Attributes
    ----------
    prompts : the place of each sample's prompt in the problem's list; None without prompts.
    """

    seeds: tuple[int, ...]
    prompts: tuple[int, ...] | None = None


@dataclass(frozen=True)
class MoveParticles(Shard):
    """Moves particles in the noise of p0's sampler, and returns all their states as rows.

    Rows come in the order (move, particle): `pool/seed` of the move, `pool/accepted`, and the
    rewards of where the particle is then, as `DrawRewards` has them.

    Attributes
    ----------
    lineages : where each of the N particles is.
    rewards : by column of the pool, those of each particle where it is.
    scales : s of each particle, a number for each lower reward in the order of its columns: it is
        moved under p0 exp(s.r2).
    rhos : of each particle, in (0, 1].
    seeds : (moves, N).
    prompts : as for `DrawRewards`.
    """

    lineages: tuple[Lineage, ...]
    rewards: Mapping[str, tuple[float, ...]]
    scales: tuple[tuple[float, ...], ...]
    rhos: tuple[float, ...]
    seeds: tuple[tuple[int, ...], ...]
    prompts: tuple[int, ...] | None = None


@dataclass(frozen=True)
class GuidePaths(Shard):
    """Draws samples of `seeds` whose noise is pushed along the lower rewards' gradients.

    Attributes
    ----------
    scales : s of each sample, a number for each lower reward; zero is p0.
    taus : of each step, or one for all; None where no schedule is known, and nothing is pushed:
        rows then have what `PathTerms` has of each step.
    prompts : as for `DrawRewards`.
    """

    seeds: tuple[int, ...]
    scales: tuple[tuple[float, ...], ...]
    taus: tuple[float, ...] | float | None = None
    prompts: tuple[int, ...] | None = None


@dataclass(frozen=True)
class GuideIslands(Shard):
    """Draws guided paths that are resampled within islands, and returns what those deliver as rows.

    A row has the rewards of the path that took its place, `pool/path`, counted in its island, and
    where the noise of that began, `pool/ancestor`; `pool/seed` is of the place itself. `log_z` is
    what the row's island says of log Z; `without_gradient_together` counts, in sums, samples where
    the gradient of s.r is not finite.

    Attributes
    ----------
    paths : with a schedule; the first seed of an island decides how it is resampled.
    each : paths of an island, side by side, of one prompt and one s.
    """

    paths: GuidePaths
    each: int


@dataclass(frozen=True)
class GuidePairs(Shard):
    """Draws guided paths of p_x, and from the same seeds some of p_{x,gamma}, along one gradient.

    Rows are those of the former, and beside them `penalised/...`: the latters' rewards, and their
    `kl`, as `PathsAlone` has them.

    Attributes
    ----------
    paths : of p_x.
    upper : 1 / (gamma lambda), by which p_{x,gamma} goes along the upper reward too.
    """

    paths: GuidePaths
    upper: float


@dataclass(frozen=True)
class TryGuiding(Shard):
    """Says, in sums, whether samples can be guided, and what a sample's parts cost.

    `guidable` is 1 or 0, and then `too_large` says whether it was the memory; `operations` are
    floating-point ones of an evaluation of the network, of decoding an image, and of asking the
    lower rewards for it.

    Attributes
    ----------
    paths : that are tried, as many as are drawn at once.
    """

    paths: GuidePaths


@dataclass(frozen=True)
class SteerParticles(Shard):
    """Steers particles in groups, and returns the rewards of one of each group as rows.

    Attributes
    ----------
    seeds : of the particles, group by group; the first of a group decides what is random about
        resampling it.
    each : particles of a group.
    scales : s of each particle.
    prompts : as for `DrawRewards`, the same within a group.
    """

    seeds: tuple[int, ...]
    each: int
    scales: tuple[tuple[float, ...], ...]
    prompts: tuple[int, ...] | None = None


@dataclass(frozen=True)
class DrawSamples(Shard):
    """Draws the samples of `seeds`, and returns them.

    Attributes
    ----------
    prompts : as for `DrawRewards`.
    lineages : of each sample, which is drawn where it leads; None where none was ever moved.
    guided : the same samples where they are guided paths; None where they are not.
    islands : that delivered them, of whose paths they are `picked`; None where none did.
    """

    seeds: tuple[int, ...]
    prompts: tuple[int, ...] | None = None
    lineages: tuple[Lineage, ...] | None = None
    guided: GuidePaths | None = None
    islands: GuideIslands | None = None
    picked: tuple[int, ...] = ()
