"""What a training says and writes of itself when it begins."""

import json
import time
from typing import Any

import mindspore
import yaml
from mindspore import nn

from src.config.trainable import Stage
from src.files import write_text
from src.log import logger
from src.records.plan import TrainingPlan
from src.tasks.task import Prepared, Task
from src.train import model_card, model_files
from src.train.resume import SETTINGS, Start, describe_settings


def tell_start(start: Start, stage: Stage | None, epoch: float, step: int, updates: int) -> None:
    """Log the stage and the checkpoint that a training goes on from."""
    if stage:
        begins = f", from {start.path}" if start.path and not epoch else ""
        logger.info(f"stage {stage.number} of {stage.count}: steps {stage.first_update} to {stage.first_update + updates}{begins}")
    if start.path and (epoch or not stage):
        logger.info(f"resumed from {start.path} at epoch={epoch:.3f} step={step}")


def describe_start(config: Any, network: nn.Cell, plan: TrainingPlan) -> dict[str, Any]:
    """The event that tells what trains, and on what."""
    device = config.device
    return {
        "event": "start",
        "date": time.strftime("%Y-%m-%d"),
        "device": device.target,
        "chip": device.chip,
        "ranks": device.world_size,
        "compute_type": device.product_type,
        "mindspore": mindspore.__version__,
        "parameters": sum(parameter.size for parameter in network.get_parameters()),
        "batch_size": plan.batch_size * plan.accumulation_steps,
    }


def write_settings(task: Task, prepared: Prepared) -> None:
    """Describe the training in the output folder, and the model in the folder of checkpoints."""
    config = prepared.config
    settings = describe_settings(config)
    write_text(f"{config.output_dir}/{SETTINGS}", yaml.safe_dump(settings, allow_unicode=True, sort_keys=False))
    if "labels" in settings:
        ids = {label: number for number, label in enumerate(config.labels)}
        write_text(f"{config.output_dir}/label_map.json", json.dumps(ids, ensure_ascii=False, indent=2) + "\n")
    model_files.write_description(config.checkpoint_dir, config.model, task.training.describe(prepared))
    model_card.write_card(config.checkpoint_dir, task.name, config, config.load_pretrain_checkpoint_path)
