"""The JavaScript that draws plots: vl-convert makes it of its own copies, and it is kept for later.

Making it takes seconds and no network.
"""

import hashlib
import logging
import os
import re
from importlib.metadata import version
from pathlib import Path

from metacurate.engine.storage import write_atomically
from metacurate.errors import MetacurateError
from metacurate.matching.cache import cache_folder

log = logging.getLogger(__name__)

FORMAT = 2
SNIPPET = "window.vegaEmbed = vegaEmbed;"
PACKAGE = "vl-convert-python"
ENDING = re.compile("<(?=/?script|!--)", re.IGNORECASE)  # ends a script, or hides its end


def vega_bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, which sets `window.vegaEmbed`.

    Returns:
        JavaScript, which can stand between <script> and </script>.

    Raises:
        MetacurateError: when vl-convert, of the extra `report`, is missing.
    """
    try:
        import vl_convert
    except ImportError as error:
        raise MetacurateError(
            'plots are drawn by vl-convert: pip install "metacurate[report]"'
        ) from error
    folder = cache_folder()
    path = None if folder is None else folder / f"vega-{version(PACKAGE)}-v{FORMAT}.js"
    known = None if path is None else _load(path)
    if known is not None:
        return known
    script = ENDING.sub(r"\\x3c", vl_convert.javascript_bundle(SNIPPET))
    script = script.replace("\r\n", "\n").replace("\r", "\n")  # as HTML's parser hashes it
    if path is not None:
        _save(path, script)
    return script


def _load(path: Path) -> str | None:
    """What `_save` wrote; None where there is none that can be trusted: it will be run."""
    try:
        if path.stat().st_uid not in (0, os.getuid()):
            log.warning("%s belongs to another user and is not trusted", path)
            return None
        checksum, _, script = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("%s can't be read and is made again: %s", path, error)
        return None
    if hashlib.sha256(script).hexdigest().encode() != checksum:
        log.warning("%s is damaged and is made again", path)
        return None
    return script.decode()


def _save(path: Path, script: str) -> None:
    content = script.encode()
    checksum = hashlib.sha256(content).hexdigest().encode()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, lambda place: place.write_bytes(checksum + b"\n" + content))
    except (OSError, MetacurateError) as error:
        log.warning("the script of plots could not be kept for later runs: %s", error)
