"""What is in a sample, decoded by an allow-list of endings: nothing in it can have anything run."""

from typing import Any

from metacurate.errors import InputError
from metacurate.images.decoding import MAX_PIXELS, ImageError, decode_rgb
from metacurate.images.shards import IMAGE_ENDINGS, PICKLES
from metacurate.pool.jsonlines import parse_object


def decode(sample: dict[str, Any]) -> dict[str, Any]:
    """Decode a WebDataset sample: images to Pillow's, in RGB; texts to strings; JSON to dicts.

    webdataset's own `decode` unpickles what ends in .pkl or .pyd; this refuses it, and leaves out
    what it does not know.

    Args:
        sample: members by their endings, as bytes or decoded; what begins with "__" stays as it is.

    Returns:
        `image` (the first image), `txt`, `json`, where they are there, and all that begins with
        "__".

    Raises:
        InputError: when a member is a pickle, or broken.
    """
    found: dict[str, Any] = {}
    name = f"{sample.get('__url__', '')}: sample {sample.get('__key__', '')!r}"
    for ending, content in sample.items():
        kind = ending.lower()
        try:
            if ending.startswith("__"):
                found[ending] = content
            elif kind.rpartition(".")[2] in PICKLES:
                raise InputError(name, f".{ending} is a pickle, which is refused")
            elif kind in IMAGE_ENDINGS and "image" not in found:
                is_bytes = isinstance(content, bytes)
                found["image"] = decode_rgb(content, MAX_PIXELS) if is_bytes else content
            elif kind == "txt":
                found["txt"] = content.decode() if isinstance(content, bytes) else content
            elif kind == "json":
                found["json"] = parse_object(content) if isinstance(content, bytes) else content
        except ImageError as error:
            raise InputError(name, f".{ending} can't be decoded: {error}") from error
        except UnicodeDecodeError as error:
            raise InputError(name, f".{ending} is no UTF-8") from error
        except ValueError as error:
            raise InputError(name, f".{ending} {error}") from error
    return found
