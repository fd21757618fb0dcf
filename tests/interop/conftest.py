"""A balanced set for other tools to read."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import metacurate as mc


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,500 pairs in three files, their first words frequent and their last ones rare."""
    folder = tmp_path_factory.mktemp("interop") / "pool"
    folder.mkdir()
    words = np.random.default_rng(5).geometric(0.05, (1500, 3)) - 1
    texts = [" ".join(f"w{word}" for word in row) for row in words.tolist()]
    texts[::50] = [f'w{50 + i} "quoted", äöü 日本\nand 🦊 {i}' for i in range(len(texts[::50]))]
    table = pa.table({"url": [f"https://example.org/{i}.jpg" for i in range(1500)], "text": texts})
    for i in range(3):
        pq.write_table(table.slice(500 * i, 500), folder / f"part-{i}.parquet")
    return folder


@pytest.fixture(scope="session")
def metadata() -> mc.Metadata:
    return mc.Metadata.from_entries([*(f"w{i}" for i in range(100)), "w0 w1", "nowhere"])


@pytest.fixture(scope="session")
def out(pool: Path, metadata: mc.Metadata) -> Path:
    folder = pool.parent / "out"
    mc.curate(pool, metadata, threshold=20, out=folder, seed=0)
    assert len([*(folder / "curated").iterdir()]) == 3
    return folder
