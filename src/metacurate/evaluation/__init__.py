"""Zero-shot scores of CLIP checkpoints, as the paper gives them for 26 tasks."""

from metacurate.evaluation.evaluate import UnfinishedError, evaluate
from metacurate.evaluation.tasks import TASKS

__all__ = ["TASKS", "UnfinishedError", "evaluate"]
