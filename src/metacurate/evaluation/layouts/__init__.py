"""The layouts of datasets: which one it is, and a reader for each."""

from metacurate.evaluation.layouts.opening import open_dataset

__all__ = ["open_dataset"]
