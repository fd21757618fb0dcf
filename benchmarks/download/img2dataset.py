"""img2dataset downloads a list of images, in its own environment and as its command does."""

import json
import os
import resource
import subprocess
import time
from pathlib import Path

from benchmarks.fresh import Figures, answer


def run(
    environment: str, pool: str, out: str, images: int, resize: int | None, workers: int
) -> Figures:
    size = ["--disable_all_reencoding", "True"] if resize is None else [
        "--resize_mode", "keep_ratio", "--image_size", str(resize), "--resize_only_if_bigger",
        "True",
    ]  # fmt: skip
    command = [
        f"{environment}/bin/python", f"{environment}/bin/img2dataset", "--url_list", pool,
        "--input_format", "parquet", "--url_col", "url", "--caption_col", "text",
        "--output_format", "webdataset", "--output_folder", out, "--processes_count", str(workers),
        "--thread_count", "64", "--number_sample_per_shard", str(images), "--retries", "2", *size,
    ]  # fmt: skip
    start = time.perf_counter()
    subprocess.run(
        command, check=True, cwd=Path(out).parent, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env={**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"},
    )  # fmt: skip
    took = time.perf_counter() - start
    stats = [json.loads(path.read_text()) for path in Path(out).glob("*_stats.json")]
    return {
        "seconds": took,
        "images": sum(one["successes"] for one in stats),
        "memory": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6,
    }


if __name__ == "__main__":
    answer(run)
