"""metacurate downloads a list of images."""

import resource
import time
from ipaddress import ip_network

from benchmarks.fresh import Figures, answer, peak_memory
from metacurate.images.download import download
from metacurate.images.fetching.limits import FetchLimits


def run(pool: str, out: str, images: int, resize: int | None, workers: int) -> Figures:
    limits = FetchLimits(per_host=64 * workers, allow=(ip_network("127.0.0.0/8"),))
    start = time.perf_counter()
    found = download(
        pool, out, contact="bench@example.org", images_per_shard=images, resize=resize,
        limits=limits, workers=workers,
    )  # fmt: skip
    took = time.perf_counter() - start
    workers_peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
    return {
        "seconds": took,
        "images": found["images_downloaded"],
        "memory": max(peak_memory(), workers_peak),
    }


if __name__ == "__main__":
    answer(run)
