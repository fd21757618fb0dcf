"""Captions as web pages give them: some tell what an image shows, many do not.

All wording is our own. Words are drawn with long tails, as classes are: the first of each list is
the most frequent one.
"""

import random
from collections.abc import Callable, Sequence
from itertools import accumulate

SHARES = {"plain": 0.50, "buried": 0.12, "file name": 0.20, "page talk": 0.12, "wrong": 0.06}
"""How often captions are of which kind: see `caption`."""


def _words(listed: str, mark: str | None = None) -> tuple[str, ...]:
    return tuple(word.strip() for word in listed.split(mark))


ADJECTIVES = _words("""
    beautiful old new little big red black white cute vintage small blue green great lovely large
    young wild tiny pretty yellow amazing brown happy dark wooden fresh bright antique grey cool
    perfect giant rare golden classic huge strange fancy modern colorful dusty simple sleepy shiny
    soft silver warm broken purple quiet rusty funny elegant rustic curious sunny striped heavy
    gentle forgotten homemade cheerful crooked snowy stubborn weathered faded
""")
PLACES = _words(
    """
    london|new york|paris|california|texas|india|tokyo|china|italy|australia|chicago|canada|
    germany|florida|rome|spain|berlin|scotland|mexico|boston|seattle|sydney|ireland|brazil|toronto|kenya|
    barcelona|thailand|norway|vienna|oregon|egypt|amsterdam|peru|iceland|prague|montreal|turkey|
    lisbon|hawaii|denver|vietnam|dublin|morocco|sweden|budapest|nepal|alaska|oslo|cuba|vermont|
    warsaw|chile|naples|edinburgh|portland|bali|utah|helsinki|bristol|lima|krakow|tasmania|ghent|
    leeds|zagreb|nashville|havana|porto|riga|galway|cusco|bergen|hobart|tucson|ljubljana|antwerp|
    sarajevo|bologna|reykjavik|tallinn|zanzibar
""",
    "|",
)
THINGS = _words("""
    table garden house street kitchen water beach wall tree grass floor window park car road box
    door river bed shop lake museum chair roof market bridge fence forest snow shelf station farm
    field porch boat harbor sofa basket meadow attic balcony cellar veranda orchard courtyard
""")
PEOPLE = _words("""
    john maria david anna michael sarah james laura peter emma thomas julia paul lucy robert sofia
    daniel nina martin clara george alice simon helen oscar ingrid felix margot hugo yusuf priya
    tomasz akiko leila mateo
""")
MONTHS = _words("""
    july june august may december october april september march november january february
""")

PLAIN = (
    "{c}", "a {c}", "photo of a {c}", "{a} {c}", "{c} in {p}", "the {c}", "a {a} {c}",
    "picture of a {c} on the {o}", "{c} by {w}", "{a} {c}, {p}", "{c} for sale", "my {c}",
    "the {a} {c} in the {o}", "image of {c}", "{c} - {p}", "{c}, {m} {y}", "a {c} near the {o}",
    "this {c} is so {a}", "close up of a {c}", "we saw a {c} in {p} last {m}", "{w} and the {c}",
    "a {a} {c} and a {a} {o}", "{c} ({y})", "how about this {a} {c} from {p}",
    "{w} found a {c} behind the {o}", "{a} and {a}: the {c} of {p}", '"{c}"', "{c}/{o}",
)  # fmt: skip
BURIED = (
    "buy {a} {c} online | best price | free shipping on all orders over {n}",
    "home > shop > {o} > {c} - add to cart",
    "image {n} of {k}: {c} photo gallery, click to see the next image",
    "{p} {m} {y} travel blog, day {n}, {c} and many more photos of the trip by {w}",
    "{a} {c} {a} gift for {w} {m} sale new {y} {o} decor print poster",
    "read more about the {c} and {n} other things to see in {p}",
    "{c} stock photo, picture and royalty free image. image {n}",
    "share this photo of a {c} with your friends, {w} likes it and {n} others",
)
PAGE_TALK = (
    "photo", "image", "click here", "image {n} of {k}", "home", "free shipping", "logo",
    "read more", "add to cart", "picture", "click to enlarge the image", "buy now", "next",
    "view larger image", "thumbnail", "the best price in {p}", "photo by {w}", "share on facebook",
    "sale", "profile picture of {w}", "new", "placeholder image", "previous", "menu", "loading",
    "image may contain: text", "search", "user avatar", "download the app", "photo {n}",
    "free shipping on all orders over {n}", "advertisement", "sign up for the newsletter",
    "{n} comments", "rated {k} out of 5 by {w}", "cover of the {m} {y} issue",
)  # fmt: skip
ENDS = ("", "", "", "", "", "", ".", ".", "!", " ...", " !!", " :)")
CASES: tuple[tuple[Callable[[str], str], float], ...] = (
    (str.lower, 0.75), (lambda text: text[:1].upper() + text[1:], 0.15),
    (str.title, 0.07), (str.upper, 0.03),
)  # fmt: skip

FIRST_NAME = 0.6  # how often an image is called by the first of its names
TELLING = 0.3  # file names that tell what the image shows


def caption(kind: str, names: Sequence[str], chance: random.Random) -> str:
    """Make a caption.

    Args:
        kind: `plain`, a caption that tells what the image shows; `buried`, one where that stands
            among much else; `file name`; `page talk`, which tells of the page; `wrong`, a plain
            one, for which the caller gives names of something else.
        names: of what the image shows, the usual one first.
        chance: where all choices come from.

    Returns:
        Text of one line.
    """
    name = names[0]
    if len(names) > 1 and chance.random() >= FIRST_NAME:
        name = chance.choice(names[1:])
    if kind == "file name":
        return _file_name(name, chance)
    if kind == "buried":
        form = chance.choice(BURIED)
    elif kind == "page talk":
        form = _often(PAGE_TALK, chance)
    else:
        form = _often(PLAIN, chance) + chance.choice(ENDS)
    case = chance.choices([one for one, _ in CASES], [share for _, share in CASES])[0]
    return case(_filled(form, name, chance))


def _filled(form: str, name: str, chance: random.Random) -> str:
    """A form with words in its gaps; a gap that comes twice is filled twice."""
    words: dict[str, Callable[[], str]] = {
        "{c}": lambda: name,
        "{a}": lambda: _often(ADJECTIVES, chance),
        "{p}": lambda: _often(PLACES, chance),
        "{o}": lambda: _often(THINGS, chance),
        "{w}": lambda: _often(PEOPLE, chance),
        "{m}": lambda: _often(MONTHS, chance),
        "{y}": lambda: str(2024 - min(int(chance.expovariate(0.25)), 60)),
        "{n}": lambda: str(min(int(chance.paretovariate(0.7)), 9999)),
        "{k}": lambda: str(chance.randint(4, 24)),
    }
    for gap, word in words.items():
        while gap in form:
            form = form.replace(gap, word(), 1)
    for vowel in "aeiouAEIOU":
        form = form.replace(f" a {vowel}", f" an {vowel}")
        if form.startswith(f"a {vowel}"):
            form = f"an {form[2:]}"
    return form


def _file_name(name: str, chance: random.Random) -> str:
    number = chance.randint(1, 9999)
    if chance.random() < TELLING:
        mark = chance.choice("-_")
        slug = name.replace(" ", mark).replace("'", "")
        return chance.choice((f"{slug}{mark}{number}.jpg", f"{slug}{mark}{number % 10}", slug))
    return chance.choice((
        f"IMG_{number:04d}.jpg",
        f"DSC{number:05d}.JPG",
        f"DSC_{number:04d}",
        f"image{number % 100}.png",
        f"{chance.getrandbits(64):016x}.jpg",
        f"{chance.getrandbits(40):010x}",
        f"2{chance.randint(0, 23):03d}{chance.randint(1, 12):02d}{chance.randint(1, 28):02d}"
        f"_{number * 7:06d}",
        f"{chance.choice((640, 800, 1024))}x{chance.choice((480, 600, 768))}",
        f"untitled-{number % 50}",
    ))  # fmt: skip


def _often(words: Sequence[str], chance: random.Random) -> str:
    """One of some words, the first most often: the n-th as often as 1 / n."""
    shares = list(accumulate(1 / (place + 1) for place in range(len(words))))
    return chance.choices(words, cum_weights=shares)[0]
