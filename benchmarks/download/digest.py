"""What a download left: a digest of its images by their captions."""

import hashlib
import tarfile
from pathlib import Path

from benchmarks.fresh import Figures, answer


def run(out: str) -> Figures:
    """Images are told apart by their captions, since keys differ from tool to tool."""
    found = []
    for path in Path(out).glob("*.tar"):
        with tarfile.open(path) as tar:
            members: dict[str, bytes] = {}
            for member in tar:
                file = tar.extractfile(member)
                assert file is not None
                members[member.name] = file.read()
            for name, content in members.items():
                key, _, ending = name.partition(".")
                if ending not in ("txt", "json"):
                    found.append((members[f"{key}.txt"], hashlib.sha256(content).digest()))
    digest = hashlib.sha256(b"".join(part for pair in sorted(found) for part in pair))
    return {"answer": digest.hexdigest(), "images": len(found)}


if __name__ == "__main__":
    answer(run)
