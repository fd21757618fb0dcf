"""The demo: what it makes, shows and says, and that it goes on from what is there."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from metacurate.demo import run_demo
from metacurate.engine.progress import Silent

pytest.importorskip("wordfreq")


def test_the_demo_balances_a_pool_that_it_makes(tmp_path: Path) -> None:
    result = run_demo(tmp_path, Silent())
    summary = result.summary
    assert summary["rows_read"] == 200_000
    assert 0 < summary["kept"] < summary["rows_read"]
    assert (
        pq.ParquetDataset(tmp_path / "balanced/curated").read(["url"]).num_rows == summary["kept"]
    )
    assert Path(summary["picture"]).read_text("utf-8").startswith("<svg")
    assert len({len(row) for row in result.rows} | {len(result.columns)}) == 1
    again = run_demo(tmp_path, Silent())
    assert again.summary["resumed_units"] == 2 * summary["units"]
    assert again.rows == result.rows
