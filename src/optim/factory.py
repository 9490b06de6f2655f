"""Make an optimiser and its schedule from an OptimizerConfig."""

from collections.abc import Callable, Sequence

from mindspore import Parameter

from src.config.training import OptimizerConfig
from src.log import logger
from src.optim.adam import AdamW, AdamWeightDecay
from src.optim.base import Optimizer, same_rate
from src.optim.lamb import Lamb
from src.optim.momentum import Momentum
from src.optim.schedule import Schedule

_FEW_STEPS = 0.01  # LAMB: updates times learning rate, below which no weight can move by a hundredth of its matrix's norm
_ADAPTIVE = {"AdamWeightDecay": AdamWeightDecay, "AdamW": AdamW, "Lamb": Lamb}


def make_schedule(config: OptimizerConfig, total_steps: int, first_step: int = 0) -> Schedule:
    """The learning-rate schedule of `total_steps` updates, of which the first has the number `first_step`."""
    warmup = config.warmup_steps
    if warmup is None:
        warmup = int(total_steps * config.warmup_proportion)
    if 0 < total_steps <= warmup:
        logger.warning(
            f"optimizer.warmup_steps={warmup}: the learning rate rises through all {total_steps} updates and never reaches its peak; "
            "--optimizer.warmup_proportion 0.1 takes a tenth of them"
        )
    if config.name == "Lamb" and 0 < total_steps * config.learning_rate < _FEW_STEPS:
        logger.warning(
            f"optimizer.name=Lamb moves a matrix by at most learning_rate={config.learning_rate:g} of its norm in an update: "
            f"{total_steps} updates hardly change it; give a larger rate, or another optimiser (docs/defaults.md)"
        )
    decay = config.decay_steps or total_steps
    return Schedule(config.schedule, config.learning_rate, config.end_learning_rate, warmup, decay, config.power, first_step)


def make_optimizer(
    config: OptimizerConfig,
    parameters: Sequence[Parameter],
    total_steps: int,
    grouped: bool = False,
    rate_factor: Callable[[str], float] = same_rate,
    native_library: str | None = None,
    first_step: int = 0,
) -> Optimizer:
    """The optimiser named by the config.

    Args:
        total_steps: updates of the whole run, on which warm-up and decay depend.
        grouped: whether parameters of one size are updated as one tensor.
        rate_factor: maps a parameter's name to its learning rate divided by that of the config.
        native_library: DeviceSettings.native_library.
        first_step: updates that the optimiser has counted before the first of them.
    """
    schedule = make_schedule(config, total_steps, first_step)
    if config.name == "Momentum":
        return Momentum(parameters, schedule, config.weight_decay, config.momentum, grouped, rate_factor)
    make = _ADAPTIVE[config.name]
    return make(parameters, schedule, config.weight_decay, config.beta1, config.beta2, config.eps, grouped, rate_factor, native_library)
