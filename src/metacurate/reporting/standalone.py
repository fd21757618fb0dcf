"""Pages of HTML that need nothing besides: styles and scripts are within them."""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from metacurate.errors import MetacurateError
from metacurate.reporting.visible import cut, shorten, visible

FOLDER = "pages"  # of this package: templates, styles, scripts


def page_file(name: str) -> str:
    """Read a style or a script.

    Args:
        name: of the file.
    """
    return (files("metacurate.reporting") / FOLDER / name).read_text("utf-8")


def make_standalone(
    template: str,
    style: str,
    scripts: Sequence[str],
    filters: Mapping[str, Callable[..., str]],
    *,
    pictures: bool = False,
    **values: Any,
) -> str:
    """Put a page together.

    Args:
        template: name of its file; it is given `policy`, `style` and `scripts`.
        style: CSS. scripts: JavaScript, in the order in which they run.
        filters: of the template, besides `short`, `visible` and `long`.
        pictures: whether scripts may show pictures that they have drawn.
        **values: what it shows; what is no `Markup` is shown as text.

    Returns:
        HTML. It asks for nothing, and runs no scripts but these.

    Raises:
        MetacurateError: when Jinja, of the extra `report`, is missing.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise MetacurateError(
            'pages are made by Jinja: pip install "metacurate[report]"'
        ) from error
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("metacurate.reporting", FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(short=shorten, visible=visible, long=_long, **filters)
    return environment.get_template(template).render(
        policy=_policy(style, scripts, pictures),
        style=Markup(style),  # noqa: S704
        scripts=[Markup(script) for script in scripts],  # noqa: S704
        **values,
    )


def _long(text: str) -> str:
    return visible(cut(text))


def _policy(style: str, scripts: Sequence[str], pictures: bool) -> str:
    """The page's Content-Security-Policy: its own style and scripts, and no connections."""
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(map(_hash, scripts))}",
            f"style-src {_hash(style)}",
            *(["img-src data: blob:"] if pictures else []),
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
