"""What a user says of a reward problem, and what follows from it before anything is drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from raybilevel.config.settings import Settings
from raybilevel.errors import InputError, UnguidableError
from raybilevel.lower.sampling.pipelines.settings import Dtype, PipelineSettings
from raybilevel.problems.model_options import ModelOptions
from raybilevel.problems.prompts.prompt_files import read_prompts
from raybilevel.problems.prompts.prompt_list import Condition, PromptList, groups_of
from raybilevel.problems.reward.annealing.plan import FEWEST_ISLANDS, LadderPlan
from raybilevel.problems.reward.coefficients import Coefficients
from raybilevel.problems.reward.column_rewards import check_kind, column_names
from raybilevel.problems.reward.groups.coefficients import GroupedCoefficients, GroupName
from raybilevel.problems.reward.guiding.island_ladder import IslandLadder
from raybilevel.problems.reward.models.base import Model
from raybilevel.problems.reward.models.choice import choose_model
from raybilevel.problems.reward.models.table import TableModel
from raybilevel.problems.reward.pool_files import read_pool
from raybilevel.problems.reward.pool_plan import PoolPlan, TablePlan
from raybilevel.problems.reward.pool_table import Half, PoolTable
from raybilevel.problems.reward.targets.target import Target
from raybilevel.upper.variables import Variable

_ROUNDS = 4  # to draw pool_size in
_ROUNDS_OF_PAIRS = 16  # each of which makes a step

EstimatorName = Literal["pool", "annealed", "guided", "guided_unweighted", "auto"]
_OF_MODELS = (
    "prompts", "max_prompts", "samples_per_prompt", "pool_size", "max_pool_size", "shard_size",
    "round_size", "batch_size", "halve_batches", "gradient_checkpointing", "guided_resampling",
    "sampling_steps", "call_options", "scheduler", "dtype", "model_options", "export_weights",
)  # fmt: skip


class RewardSettings(Settings):
    """The arguments of `RewardTuning`.

    Parameters
    ----------
    model
        A diffusers pipeline of text, of classes, or unconditional: a directory, "owner/name" on the
        Hugging Face hub, the name of a model that comes along ("digits", "mnist-sd"), or a callable
        without arguments that returns one, or its import path "package.module:name". Or a callable
        `sample(seeds: list[int]) -> Tensor (N, ...)` or `sample(seeds, prompts)` (rewards then get
        that tensor as it is; set its attribute `nfe_per_sample` for the ledger).
    pool
        In place of a model: a table (parquet, csv, jsonl) of samples of p0 that are there already,
        a row each. Rewards are its columns, "column:NAME"; `prompt` says what was drawn, `group`
        and `weight` what each prompt belongs to and counts. Without `weight` a prompt counts as
        often as it has rows.
    pool_half
        "first" or "second": of a table one random half of each prompt's rows, always the same: to
        tune on one, and score on the other.
    prompts
        What is drawn, where the model wants to know: a list, a text file with a prompt a line, or a
        table (parquet, csv, jsonl) with a column `prompt`, perhaps `weight` and `group`, and
        metadata for rewards in the others; or "owner/name", such a table on the Hugging Face hub,
        whose prompts may also be in `Prompt`, `caption` or `text`. Class labels or names for a
        model of classes. p_x is normalised within each; equal ones are merged, and count as often
        as they are given.
    max_prompts
        Of a longer list so many distinct prompts are drawn, evenly and by the run's seed, before
        the first sample; each counts as it does in the list.
    lower_reward
        What the model is tuned for: a callable images (N, C, H, W) in [0, 1] -> (N,), its import
        path, a built-in's name; or {name: reward} for several. It may read prompts and metadata
        too: `reward(images, prompts, metadata)`, and return (scores, info).
    upper_reward
        What is truly wanted; the same kinds.
    target
        In place of `upper_reward`: {"kl": nats}, or {"reward": NAME, "at_least": number}, NAME of a
        lower reward or "held_out"; the lambda is found at which p_x has it, from the high bound
        down the first. `lambda_` alone is then tuned.
    held_out_reward
        Reported beside the upper reward, never optimised.
    lambda_
        The KL strength, above 0: a `Variable`, or a number to hold it fixed; or {group: either} for
        each group of the prompts, whose table then has a column `group`.
    weights
        {name: `Variable` or number} for each lower reward, or {name: {group: either}}; None is 1
        for each. p_x depends on w / lambda alone, so lambda and all weights cannot be free
        together. A `Variable` that is not by group is shared by all groups.
    estimator
        "pool" reweights samples of p0. "annealed" moves them down a ladder of lambdas towards p_x,
        in islands, wherever the optimum lies. "guided" draws paths that are pushed along the lower
        rewards' gradients, with their exact weights: of Stable Diffusion, SDXL and unconditional
        pixel-space pipelines with a stochastic DDIM or DDPM scheduler. "guided_unweighted" is the
        paper's own: it takes such paths for samples of p_x, follows the gradient at a finite gamma
        until `max_pool_size` are drawn, and says how far off they are where that is known. "auto"
        is annealed where a
        pool of p0 says too little, and the samples can be moved.
    islands
        Groups of particles that never meet, by which estimates from moved samples know their
        error: of one prompt, 16 at least. Several prompts have as many each as there are chains,
        up to this; two at least, and 30 in all.
    gamma
        Penalty constant of the paper's method; inf, which is best, gives the exact gradient.
    pool_size, max_pool_size
        Samples to begin with, and how many samples of p0 the pool may grow to when the gates ask
        for more; None is four times `pool_size`. What is moved, or guided, after that comes on top:
        `run.max_nfe` bounds all. Prompts have as many samples each, at least two.
    samples_per_prompt
        In place of `pool_size`, where there are prompts.
    shard_size, round_size
        Samples that a worker draws at once, and samples a round (None: a quarter of `pool_size`,
        for "guided_unweighted" a sixteenth). A round ends in a checkpoint and an estimate. Of
        samples that are moved, chains at once; a rung has a 32nd of `pool_size`, so that a smaller
        shard_size lets more workers share it.
    batch_size
        Images that a pipeline draws at once within a shard, where not all of them fit into memory;
        with `guided_resampling` a whole island at least.
    halve_batches
        Whether a batch that does not fit is drawn in halves; images then depend on the memory, to
        rounding, and the run is marked inexact. Else the run ends, and says how many fit.
    gradient_checkpointing
        Whether guided samples recompute networks in place of keeping what gradients need: less
        memory, and an evaluation more for each reward's gradient.
    guided_resampling
        Whether guided paths are resampled in islands on their way, rung by rung down a ladder of
        lambdas as moved samples are: farther from p0 than single paths lead, with errors that
        islands tell, and one gradient a step for all lower rewards.
    sampling_steps
        Scheduler steps of a pipeline (`num_inference_steps`). None is its own default; of a
        pixel-space pipeline 50, or all where there are fewer.
    call_options
        What else its call is given, the same for all samples: guidance_scale, height, width, ...
    scheduler
        {class, options}: another scheduler, made from the config of the model's own.
    dtype
        "float32", "bfloat16", "float16"; "auto" is float32 on the CPU and for pixel-space
        pipelines, and on a GPU bfloat16, or what 16 bits the weights are stored in.
    model_options
        `ModelOptions`, or a mapping of its arguments: what of a pipeline's files is loaded.
    export_weights
        Whether the weights of a model of the hub go into the run's directory too, as those of
        pixel-space pipelines do. Else `pipeline/` there has its scheduler, and says in call.json
        which model it is, and how it is called.
    """

    model: str | Callable[..., Any] | None = None
    pool: str | None = None
    pool_half: Half | None = None
    prompts: str | tuple[Condition, ...] | None = None
    max_prompts: int | None = Field(default=None, ge=1)
    lower_reward: str | Callable[..., Any] | dict[str, str | Callable[..., Any]]
    upper_reward: str | Callable[..., Any] | None = None
    target: Target | None = None
    held_out_reward: str | Callable[..., Any] | None = None
    lambda_: Variable | float | dict[GroupName, Variable | float] = Variable(
        "lambda", 1.0, 0.05, 20.0, "log"
    )
    weights: dict[str, Variable | float | dict[GroupName, Variable | float]] | None = None
    estimator: EstimatorName = "auto"
    islands: int = Field(default=FEWEST_ISLANDS)
    gamma: float = Field(default=math.inf, gt=0)
    pool_size: int = Field(default=4096, ge=1)
    max_pool_size: int | None = Field(default=None, ge=1)
    samples_per_prompt: int | None = Field(default=None, ge=2)
    shard_size: int = Field(default=64, ge=1)
    round_size: int | None = Field(default=None, ge=1)
    batch_size: int | None = Field(default=None, ge=1)
    halve_batches: bool = False
    gradient_checkpointing: bool = False
    guided_resampling: bool = False
    sampling_steps: int | None = Field(default=None, ge=1)
    call_options: dict[str, Any] = Field(default_factory=dict)
    scheduler: dict[str, Any] | None = None
    dtype: Dtype = "auto"
    model_options: ModelOptions = ModelOptions()
    export_weights: bool = False

    @field_validator("model_options", mode="before")
    @classmethod
    def _by_names(cls, given: Any) -> Any:
        """YAML has keys that are no names; they are refused as unknown."""
        return {str(k): v for k, v in given.items()} if isinstance(given, Mapping) else given

    @field_validator("lambda_", "weights", mode="before")
    @classmethod
    def _groups_by_names(cls, given: Any) -> Any:
        """YAML has groups that are numbers; in tables they are read as texts."""
        if not isinstance(given, Mapping):
            return given
        return {str(k): cls._groups_by_names(v) for k, v in given.items()}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_source()
        self._check_rewards()
        self._check_groups()
        self._check_target()
        self._check_pool()
        self._check_annealing()
        self._check_pairs()
        self.coefficients.check()
        return self

    def _check_groups(self) -> None:
        if not isinstance(self.coefficients, GroupedCoefficients):
            return
        if self.target is not None:
            raise InputError(
                "target is given, and lambda_ or weights by group, but a target is for all "
                "prompts; give each once"
            )
        if self.max_prompts is not None:
            raise InputError(
                f"max_prompts is {self.max_prompts}, and lambda_ or weights are given by group, of "
                "which none may be left without prompts; leave max_prompts out"
            )
        named = f"prompts '{self.prompts}'" if isinstance(self.prompts, str) else "prompts"
        if self.table is not None:
            named = self.table.named
        self.coefficients.check_groups(groups_of(self.prompt_list, named))

    def _check_source(self) -> None:
        """Refuse what a table has no use for; and two sources of samples, or none."""
        if (self.model is None) == (self.pool is None):
            raise InputError(
                "RewardTuning needs either model, what samples are drawn from, or pool, a table of "
                "samples that are there already"
            )
        given = _OF_MODELS if self.pool else ("pool_half",)
        for name in given:
            field = type(self).model_fields[name]
            if getattr(self, name) != field.get_default(call_default_factory=True):
                why = f"pool '{self.pool}' is there already" if self.pool else "there is no pool"
                raise InputError(f"{name} is given, but {why}; leave it out")

    def _check_rewards(self) -> None:
        if not self.lower_rewards:
            raise InputError("lower_reward is empty; name at least one reward")
        check_kind(self.columns, self.pool)
        self._check_numbers()
        if self.weights is not None and self.weights.keys() != self.lower_rewards.keys():
            raise InputError(
                f"weights are given for {sorted(self.weights)}, but the lower rewards are "
                f"{sorted(self.lower_rewards)}; give each a Variable or a number"
            )

    def _check_numbers(self) -> None:
        """Refuse a lambda that is none, and numbers that are not finite."""
        for name, given in self._numbers.items():
            low = given.low if isinstance(given, Variable) else given
            if name.startswith("lambda_") and not low > 0:
                raise InputError(f"{name} reaches down to {low:g}, but a KL strength is above 0")
            if not math.isfinite(low):
                raise InputError(f"{name} is {low:g}, but it must be a finite number")

    def _check_target(self) -> None:
        if self.target is None:
            if self.upper_reward is None:
                name = type(self).__name__
                raise InputError(f"{name}.upper_reward is missing; give it, or a target")
            return
        if self.upper_reward is not None:
            raise InputError(
                "upper_reward and target are both given, but a target is in place of an upper "
                "reward; leave one out"
            )
        if not math.isinf(self.gamma):
            raise InputError(
                f"gamma is {self.gamma:g}, but it belongs to an upper reward; leave it out with a "
                "target"
            )
        held_out = self.held_out_reward is not None
        self.target.check_for(self.coefficients.given, self.lower_rewards, held_out=held_out)

    def _check_pool(self) -> None:
        if self.samples_per_prompt is not None and self.prompts is None:
            raise InputError(
                f"samples_per_prompt is {self.samples_per_prompt}, but there are no prompts; give "
                "pool_size, or prompts"
            )
        if self.max_prompts is not None and self.prompts is None:
            raise InputError(
                f"max_prompts is {self.max_prompts}, but there are no prompts; leave it out, or "
                "give prompts"
            )
        if self.max_pool_size is not None and self.max_pool_size < self.size:
            raise InputError(
                f"max_pool_size {self.max_pool_size} is below pool_size {self.size}; "
                "it must be at least that"
            )

    def _check_annealing(self) -> None:
        if self.islands < FEWEST_ISLANDS:
            raise InputError(
                f"islands is {self.islands}, but an estimate from moved samples knows its error by "
                f"{FEWEST_ISLANDS} islands at least"
            )
        if self.estimator not in ("pool", "auto") and self.table is not None:
            raise InputError(
                f"estimator is '{self.estimator}', but {self.table.named} holds samples, which "
                "cannot be drawn anew; give a model, or estimator: pool"
            )
        if self.guided_resampling and self.estimator != "guided":
            raise InputError(
                f"guided_resampling is true, but estimator is '{self.estimator}', whose paths are "
                "not resampled; give estimator: guided, or leave it out"
            )
        plan = self.ladder_plan if self.resamples else None
        if isinstance(plan, IslandLadder) and plan.each > (self.batch_size or plan.each):
            raise InputError(
                f"batch_size is {self.batch_size}, but an island of guided paths is drawn at once, "
                f"of {plan.each}; give that, more islands, or a smaller pool_size"
            )
        in_islands = self.estimator == "annealed" or self.resamples
        if in_islands and self.size < self._fewest_to_move:
            raise InputError(
                f"estimator is '{self.estimator}', but a pool of {self.size} samples is too "
                f"small for its islands, which need {self._fewest_to_move} at least; give more"
            )

    def _check_pairs(self) -> None:
        """Refuse what the paper's estimator does not know."""
        if not self.pairs:
            return
        for name, given in (
            ("target", self.target is not None),
            ("lambda_ or weights by group", isinstance(self.coefficients, GroupedCoefficients)),
        ):
            if given:
                raise InputError(
                    f"estimator is 'guided_unweighted', and {name} given, which it does not know; "
                    "give estimator: guided"
                )
        if math.isinf(self.gamma):
            raise InputError(
                "estimator is 'guided_unweighted', but gamma is inf, and its gradient is gamma "
                "times a difference of p_x and p_{x,gamma}; give a number, such as gamma: 10"
            )

    @property
    def lower_rewards(self) -> Mapping[str, Any]:
        """By name."""
        given = self.lower_reward
        return given if isinstance(given, dict) else {"lower": given}

    @property
    def columns(self) -> dict[str, Any]:
        """The rewards by their column in the pool."""
        lower = {f"lower.{name}": reward for name, reward in self.lower_rewards.items()}
        held_out = {} if self.held_out_reward is None else {"held_out": self.held_out_reward}
        upper = {} if self.upper_reward is None else {"upper": self.upper_reward}
        return {**upper, **lower, **held_out}

    @property
    def coefficients(self) -> Coefficients:
        """Lambda and the weights, in the order of the lower rewards; perhaps of every group."""
        weights = self.weights or dict.fromkeys(self.lower_rewards, 1.0)
        names = ["lambda_", *(f"weights.{name}" for name in self.lower_rewards)]
        given = [self.lambda_, *(weights[name] for name in self.lower_rewards)]
        alone = tuple(one for one in given if not isinstance(one, dict))
        if len(alone) < len(given):
            return GroupedCoefficients.of(given, names)
        return Coefficients(alone)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """What is tuned among lambda and the weights."""
        return self.coefficients.variables

    @property
    def tuned(self) -> dict[str, Variable]:
        """The variables by their keys: "lambda_", or "lambda_.GROUP", and "weights.NAME"."""
        return {name: one for name, one in self._numbers.items() if isinstance(one, Variable)}

    @property
    def _numbers(self) -> dict[str, Variable | float]:
        """Lambda and the weights, perhaps of every group, by their keys."""
        weights = {f"weights.{name}": given for name, given in (self.weights or {}).items()}
        found: dict[str, Variable | float] = {}
        for name, given in {"lambda_": self.lambda_, **weights}.items():
            if isinstance(given, dict):
                found |= {f"{name}.{group}": one for group, one in given.items()}
            else:
                found[name] = given
        return found

    @cached_property
    def table(self) -> PoolTable | None:
        """The pool that is there already, read once."""
        if self.pool is None:
            return None
        whole = read_pool(self.pool, column_names(self.columns))
        return whole if self.pool_half is None else whole.half(self.pool_half)

    @cached_property
    def prompt_list(self) -> PromptList | None:
        """The distinct prompts, read from their file once."""
        if self.table is not None:
            return self.table.prompts
        return None if self.prompts is None else read_prompts(self.prompts)

    @property
    def prompt_count(self) -> int | None:
        """How many of the prompts are drawn from; None where nothing says what is drawn."""
        if self.prompt_list is None:
            return None
        return min(len(self.prompt_list), self.max_prompts or len(self.prompt_list))

    @property
    def size(self) -> int:
        """Samples that the pool begins with."""
        if self.table is not None:
            return len(self.table)
        if self.samples_per_prompt is None or self.prompt_count is None:
            return max(self.pool_size, self.fewest if self.prompt_count else 1)
        return self.samples_per_prompt * self.prompt_count

    @property
    def fewest(self) -> int:
        """Samples that a pool must have: two of each prompt."""
        return 2 * (self.prompt_count or 1)

    @property
    def pool_plan(self) -> PoolPlan:
        """How the pool is drawn."""
        if self.table is not None:
            return TablePlan.of_table(len(self.table), self.prompt_count)
        limit = 4 * self.size if self.max_pool_size is None else self.max_pool_size
        rounds = _ROUNDS_OF_PAIRS if self.pairs else _ROUNDS
        return self.plan_of(self.size, limit, self.round_size or math.ceil(self.size / rounds))

    @property
    def ladder_plan(self) -> LadderPlan:
        """How samples are moved, or guided in islands, where they are."""
        given = self.islands, self.size, self.shard_size, self.prompt_count or 1
        if self.resamples:
            return IslandLadder.of_paths(*given, 1 + self.evaluations_a_gradient)
        return LadderPlan.of(*given)

    @property
    def evaluations_a_step(self) -> int:
        """Of a guided path: its own, and those of the lower rewards' gradients."""
        return 1 + self.evaluations_a_gradient * len(self.lower_rewards)

    @property
    def evaluations_a_gradient(self) -> int:
        """Forth and back; with checkpointing forth once more."""
        return 3 if self.gradient_checkpointing else 2

    @property
    def may_move(self) -> bool:
        """Whether samples are to be moved where p0 says too little, as far as can be told."""
        enough = self.size >= self._fewest_to_move
        moves = self.estimator in ("annealed", "auto")
        return moves and enough and self.source.why_fixed() is None

    @cached_property
    def may_guide(self) -> bool:
        """Whether samples may be guided in place of moved, as far as can be told."""
        if self.estimator != "auto" or not self.may_move:
            return False
        try:
            self.source.check_guided()
        except UnguidableError:
            return False
        return True

    @property
    def guides(self) -> bool:
        """Whether all samples are guided paths."""
        return self.estimator in ("guided", "guided_unweighted")

    @property
    def resamples(self) -> bool:
        """Whether they are resampled in islands."""
        return self.estimator == "guided" and self.guided_resampling

    @property
    def guides_alone(self) -> bool:
        """Whether they are, and every path goes to its end."""
        return self.guides and not self.resamples

    @property
    def pairs(self) -> bool:
        """Whether they are taken as they are, in pairs of p_x and p_{x,gamma}."""
        return self.estimator == "guided_unweighted"

    @property
    def _fewest_to_move(self) -> int:
        """Samples that a pool must have: two of each island."""
        return 2 * self.ladder_plan.islands * (self.prompt_count or 1)

    def plan_of(self, size: int, limit: int, round_size: int) -> PoolPlan:
        """How a pool of another size is drawn, over as many prompts."""
        return PoolPlan.of(size, limit, round_size, self.shard_size, self.prompt_count)

    @cached_property
    def source(self) -> Model:
        """The pretrained model."""
        if self.table is not None:
            return TableModel(self.table.named, self.prompt_list)
        assert self.model is not None, "there is a model or a table"
        return choose_model(
            self.model, self._pipeline_settings, self.prompt_list, batch_size=self.batch_size,
            may_halve=self.halve_batches, export_weights=self.export_weights,
            gradient_checkpointing=self.gradient_checkpointing, by_call=self.guides,
        )  # fmt: skip

    @property
    def _pipeline_settings(self) -> PipelineSettings:
        return PipelineSettings(
            self.sampling_steps, self.call_options, self.scheduler, self.dtype,
            self.model_options.given,
        )  # fmt: skip
