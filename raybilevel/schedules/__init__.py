"""Noise schedules as differentiable functions of the numbers that are tuned."""

from raybilevel.schedules.base import LOGSNR_FLOOR, Schedule, logsnr_of
from raybilevel.schedules.cosine_sigmoid import cosine, sigmoid
from raybilevel.schedules.knots import knots
from raybilevel.schedules.named import ScheduleName, load_schedule

__all__ = [
    "LOGSNR_FLOOR",
    "Schedule",
    "ScheduleName",
    "cosine",
    "knots",
    "load_schedule",
    "logsnr_of",
    "sigmoid",
]
