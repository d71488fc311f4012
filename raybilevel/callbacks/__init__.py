"""What hears of a run, a row a round: TensorBoard, MLflow, any callable."""

from raybilevel.callbacks.base import Listener, Row
from raybilevel.callbacks.named import prepare

__all__ = ["Listener", "Row", "prepare"]
