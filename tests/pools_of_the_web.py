"""Small made pools in the layouts of well-known ones, and sources of metadata, for the tutorials.

Makes, in the current folder, what the page of that name works on:

    python tests/pools_of_the_web.py laion | datacomp | cc12m | webdataset | metadata | archives

All of it is drawn from one seed by Python's own generator: the same bytes of text on any machine.
"""

import bz2
import gzip
import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SEED = 7

# From the most frequent to the rarest.
KINDS = """photo|picture|vintage poster|drawing|painting|oil painting|black and white photo|map|
engraving|etching|mosaic|daguerreotype""".replace("\n", "").split("|")
THINGS = """house|dog|woman|car|man|beach|wedding|cat|kitchen|city|flowers|garden|mountain|dress|
shoes|horse|lake|bridge|coffee|bicycle|sunset|church|boat|tree|river|phone|chair|cake|lamp|train|
street|guitar|forest|bird|castle|waterfall|owl|lighthouse|red fox|tractor|windmill|violin|squirrel|
teapot|hot air balloon|penguin|hedgehog|canoe|typewriter|barn owl|accordion|puffin|sundial|
otter|gramophone|chess board|kingfisher|telescope|arctic fox|weather vane|dulcimer|axolotl|sextant|
wombat|astrolabe|harpsichord|narwhal|quetzal|orrery|pangolin|theremin|aardvark|zoetrope|
saiga antelope|okapi|glockenspiel""".replace("\n", "").split("|")
PLACES = """paris|new york|london|italy|the snow|tokyo|norway|the desert|lisbon|kyoto|patagonia|
iceland|zanzibar|samoa|svalbard|tuvalu""".replace("\n", "").split("|")
NEVER = ["coelacanth", "planchette", "pitcairn islands"]
CONCEPTS = [*KINDS, *THINGS, *PLACES, *NEVER]
UNTITLED = ["IMG_{0:04d}", "untitled", "Click to enlarge", "DSC{0:05d}.JPG"]


def make_caption(random: Random) -> str:
    """A caption: a long tail of kinds, things and places; some tell nothing."""
    if random.random() < 0.12:
        return random.choice(UNTITLED).format(random.randrange(10_000))
    text = f"{_pick(random, KINDS)} of the {_pick(random, THINGS)}"
    if random.random() < 0.5:
        text += f" in {_pick(random, PLACES)}"
    return text


def _pick(random: Random, words: Sequence[str]) -> str:
    weights = [1 / rank**1.4 for rank in range(1, len(words) + 1)]
    return random.choices(words, weights)[0]


def make_url(random: Random) -> str:
    """The address of an image."""
    return f"https://img.example/{random.getrandbits(40):010x}.jpg"


def laion(folder: Path) -> None:
    """Parquet parts as of LAION-400M's metadata, in laion/."""
    random = Random(SEED)
    rows = [
        {
            "SAMPLE_ID": random.getrandbits(42),
            "URL": make_url(random),
            "TEXT": make_caption(random),
            "HEIGHT": random.randrange(100, 1600),
            "WIDTH": random.randrange(100, 1600),
            "LICENSE": random.choice(["?", "?", "?", "cc-by-2.0"]),
            "NSFW": random.choices(["UNLIKELY", "UNSURE", "NSFW"], [90, 7, 3])[0],
            "similarity": 0.25 + random.random() ** 2 * 0.2,
        }
        for _ in range(8000)
    ]
    kinds = [pa.int64(), pa.string(), pa.string(), pa.int32(), pa.int32(), pa.string(), pa.string(),
             pa.float64()]  # fmt: skip
    table = pa.Table.from_pylist(rows, pa.schema(list(zip(rows[0], kinds, strict=True))))
    _write_parts(table, folder / "laion", 4, "part-{:05d}.parquet")


def datacomp(folder: Path) -> None:
    """Parquet files as of DataComp's metadata, each with its .npz beside it, in metadata/."""
    random = Random(SEED + 1)
    rows: list[dict[str, Any]] = []
    for _ in range(8000):
        url = make_url(random)
        faces = random.choices([0, 1, 2], [80, 15, 5])[0]
        rows.append(
            {
                "uid": f"{random.getrandbits(128):032x}",
                "url": url,
                "text": make_caption(random),
                "original_width": random.randrange(100, 1600),
                "original_height": random.randrange(100, 1600),
                "clip_b32_similarity_score": random.random() * 0.4,
                "clip_l14_similarity_score": random.random() * 0.4,
                "face_bboxes": [[random.random() for _ in range(4)] for _ in range(faces)],
                "sha256": hashlib.sha256(url.encode()).hexdigest(),
            }
        )
    kinds = [pa.string(), pa.string(), pa.string(), pa.int32(), pa.int32(), pa.float32(),
             pa.float32(), pa.list_(pa.list_(pa.float64())), pa.string()]  # fmt: skip
    table = pa.Table.from_pylist(rows, pa.schema(list(zip(rows[0], kinds, strict=True))))
    _write_parts(table, folder / "metadata", 2, "{:02d}.parquet")
    for part in range(2):
        (folder / "metadata" / f"{part:02d}.npz").write_bytes(b"no features")


def cc12m(folder: Path) -> None:
    """Conceptual Captions' two files; a tab in a caption breaks a line of the first."""
    random = Random(SEED + 2)
    lines = [f"{make_url(random)}\t{make_caption(random)}\n" for _ in range(6000)]
    lines[2718] = f"{make_url(random)}\tphoto of the puffin\tin iceland\n"
    (folder / "cc12m.tsv").write_text("".join(lines), "utf-8", newline="")
    lines = [f"{make_caption(random)}\t{make_url(random)}\n" for _ in range(3000)]
    (folder / "Train_GCC-training.tsv").write_text("".join(lines), "utf-8", newline="")


def webdataset(folder: Path) -> None:
    """Tars: as img2dataset leaves them, without its tables, with several captions, without urls."""
    random = Random(SEED + 3)
    for shard in range(3):
        _write_img2dataset(folder / "shards", shard, random)
    for shard in range(2):
        samples = [_sample(make_url(random), make_caption(random)) for _ in range(1000)]
        _write_tar(folder / "plain" / f"{shard:05d}.tar", samples)
        samples = [
            {
                "url": make_url(random),
                "captions": [make_caption(random) for _ in range(random.choice([1, 2, 3]))],
            }
            for _ in range(800)
        ]
        _write_tar(folder / "several" / f"{shard:05d}.tar", samples)
        samples = [{"txt": make_caption(random)} for _ in range(1000)]
        _write_tar(folder / "nourls" / f"{shard:05d}.tar", samples)


def _write_img2dataset(folder: Path, shard: int, random: Random) -> None:
    rows: list[dict[str, Any]] = []
    for i in range(2000):
        lost = random.random() < 0.25
        rows.append(
            {
                "caption": make_caption(random),
                "url": make_url(random),
                "key": f"{shard:05d}{i:04d}",
                "status": "failed_to_download" if lost else "success",
                "error_message": "HTTP Error 404: Not Found" if lost else None,
                "width": None if lost else 256,
                "height": None if lost else 256,
                "original_width": None if lost else random.randrange(100, 1600),
                "original_height": None if lost else random.randrange(100, 1600),
            }
        )
    found = [row for row in rows if row["status"] == "success"]
    samples = [_sample(row["url"], row["caption"]) for row in found]
    _write_tar(folder / f"{shard:05d}.tar", samples, [row["key"] for row in found])
    kinds = [pa.string()] * 5 + [pa.int64()] * 4
    schema = pa.schema(list(zip(rows[0], kinds, strict=True)))
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / f"{shard:05d}.parquet")
    stats = {"count": len(rows), "successes": len(found)}
    (folder / f"{shard:05d}_stats.json").write_text(json.dumps(stats), "utf-8")


def _sample(url: str, caption: str) -> dict[str, Any]:
    """As img2dataset writes it: the caption is in .txt, and in .json once more."""
    fields = {"caption": caption, "url": url, "width": 256, "height": 256}
    return {"txt": caption, **fields}


def _write_tar(path: Path, samples: list[dict[str, Any]], keys: list[str] | None = None) -> None:
    """An image, .txt where there is a caption in `txt`, and the rest of the sample as .json."""
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for i, sample in enumerate(samples):
            key = keys[i] if keys else f"{path.stem}{i:04d}"
            rest = {name: value for name, value in sample.items() if name != "txt"}
            parts = {"jpg": b"\xff\xd8\xff\xe0 no image"}
            if "txt" in sample:
                parts["txt"] = sample["txt"].encode()
            if rest:
                parts["json"] = json.dumps(rest).encode()
            for ending, content in parts.items():
                member = tarfile.TarInfo(f"{key}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def _write_parts(table: pa.Table, folder: Path, parts: int, name: str) -> None:
    folder.mkdir(exist_ok=True)
    size = -(-len(table) // parts)
    for part in range(parts):
        pq.write_table(table.slice(part * size, size), folder / name.format(part))


def metadata(folder: Path) -> None:
    """A WordNet, articles as Parquet and as a dump, page views and a list of titles."""
    random = Random(SEED)
    database = folder / "wordnet" / "dict"
    database.mkdir(parents=True)
    synsets = {"noun": [*THINGS, "st._john's_wort"], "verb": ["run", "sleep"],
        "adj": ["red", "asleep(p)"], "adv": ["fast"]}  # fmt: skip
    for place, (part, names) in enumerate(synsets.items()):
        lines = ["  1 This is a made database; WordNet 3.0 Copyright is only its form.  "]
        for i, name in enumerate(names):
            lemma = name.replace(" ", "_")
            lines.append(f"{i:08d} {place:02d} {part[0]} 01 {lemma} 0 000 | made  ")
        (database / f"data.{part}").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    articles = [_article(random) for _ in range(2_000)]
    (folder / "wikipedia").mkdir()
    for half in range(2):
        texts = articles[half::2]
        table = pa.table({"id": [str(i) for i in range(len(texts))], "text": texts})
        pq.write_table(table, folder / f"wikipedia/train-{half:05d}-of-00002.parquet")
    _write_dump(folder / "foxwiki-pages-articles-multistream.xml.bz2", articles[:300])
    for hour in range(2):
        views = [f"en {name.title().replace(' ', '_')} {900 // (i + 1)} 0" for i, name in
            enumerate(THINGS)]  # fmt: skip
        lines = ["de Fuchs 812 0", *views, "en Talk:Fox 99 0", "en.m Red_Fox 700 0", "en broken"]
        path = folder / f"pageviews-20240501-{hour:02d}0000.gz"
        path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))


def _article(random: Random) -> str:
    sentences = []
    for _ in range(random.randint(5, 20)):
        thing, place = _pick(random, THINGS), _pick(random, PLACES).title()
        sentences.append(f"The {thing} of {place} is a {_pick(random, KINDS)}, not a {thing}.")
    return " ".join(sentences)


def _write_dump(path: Path, articles: Sequence[str]) -> None:
    head = (
        '<mediawiki xml:lang="en"><siteinfo><namespaces><namespace key="6">File</namespace>'
        "</namespaces></siteinfo>\n"
    )
    streams = [bz2.compress(head.encode())]
    for start in range(0, len(articles), 100):
        pages = "".join(
            f"<page><title>Article {start + i}</title><ns>0</ns><revision><text>"
            f"{{{{Infobox}}}} '''{text}''' [[File:Fox.jpg|thumb|a fox]]&lt;ref&gt;x&lt;/ref&gt;"
            "</text></revision></page>\n"
            for i, text in enumerate(articles[start : start + 100])
        )
        streams.append(bz2.compress(pages.encode()))
    path.write_bytes(b"".join([*streams, bz2.compress(b"</mediawiki>\n")]))


def archives(folder: Path) -> None:
    """A crawl in Common Crawl's layout, as WAT and WARC files, and lists of what to leave out."""
    random = Random(SEED + 4)
    crawl = Path("crawl-data") / "CC-MAIN-2024-22"
    listings: dict[str, list[str]] = {"wat": [], "warc": []}
    popular = [(make_url(random), make_caption(random)) for _ in range(50)]
    for number in range(8):
        pages = [_page(random, number * 200 + i, popular) for i in range(200)]
        for kind, ending in (("wat", ".warc.wat.gz"), ("warc", ".warc.gz")):
            name = crawl / "segments" / "1" / kind / f"CC-MAIN-20240518-{number:05d}{ending}"
            write = _wat_record if kind == "wat" else _response
            path = folder / "crawl" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(gzip.compress(write(*page), mtime=0) for page in pages))
            listings[kind].append(name.as_posix())
    for kind, names in listings.items():
        listing = "".join(f"{name}\n" for name in names).encode()
        path = folder / "crawl" / crawl / f"{kind}.paths.gz"
        path.write_bytes(gzip.compress(listing, mtime=0))
    (folder / "domains.txt").write_text("# not ours to use\nsite7.example\n", "utf-8")
    (folder / "words.txt").write_text("untitled\nclick to enlarge\n", "utf-8")


def _page(
    random: Random, number: int, popular: Sequence[tuple[str, str]]
) -> tuple[str, list[dict[str, str]]]:
    """A page's URL, and its images as attributes; some are on many pages, some on all of a site."""
    url = f"https://site{number % 40}.example/articles/{number}.html"
    images = [{"src": "/logo.png", "alt": "logo"}]
    images += [{"src": f"{number}-{i}.jpg", "alt": make_caption(random)} for i in range(4)]
    images += [{"src": src, "alt": alt} for src, alt in random.sample(popular, 2)]
    images.append({"src": f"//cdn.example/{number}.jpg", "title": make_caption(random)})
    images.append({"src": "spacer.gif", "alt": "a pixel", "width": "1", "height": "1"})
    lazy = f"late/{number}.jpg"
    images.append({"src": "placeholder.gif", "data-src": lazy, "alt": make_caption(random)})
    return url, images


def _wat_record(url: str, images: list[dict[str, str]]) -> bytes:
    links: list[dict[str, str]] = []
    for image in images:
        texts: dict[str, str] = {k: image[k] for k in ("alt", "title") if k in image}
        links.append({"path": "IMG@/src", "url": image["src"], **texts})
    page = {"Head": {"Title": "a page"}, "Links": links}
    payload = {"HTTP-Response-Metadata": {"HTML-Metadata": page}}
    content = json.dumps({"Envelope": {"Payload-Metadata": payload}}).encode()
    return _record("metadata", "application/json", url, content)


def _response(url: str, images: list[dict[str, str]]) -> bytes:
    tags = ""
    for image in images:
        attributes = " ".join(f'{name}="{value}"' for name, value in image.items())
        tags += f"<img {attributes}>"
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    content = f"{head}<!doctype html><title>a page</title>{tags}".encode()
    return _record("response", "application/http; msgtype=response", url, content)


def _record(kind: str, content_type: str, url: str, content: bytes) -> bytes:
    lines = [
        "WARC/1.0", f"WARC-Type: {kind}", f"WARC-Target-URI: {url}",
        f"Content-Type: {content_type}", f"Content-Length: {len(content)}",
    ]  # fmt: skip
    head = "".join(f"{line}\r\n" for line in lines).encode()
    return head + b"\r\n" + content + b"\r\n\r\n"


POOLS: dict[str, Callable[[Path], None]] = {
    "laion": laion, "datacomp": datacomp, "cc12m": cc12m, "webdataset": webdataset,
    "metadata": metadata, "archives": archives,
}  # fmt: skip


def make(name: str, folder: Path) -> None:
    """Make what a page works on, and concepts.txt."""
    POOLS[name](folder)
    (folder / "concepts.txt").write_text("".join(f"{c}\n" for c in CONCEPTS), "utf-8", newline="")


if __name__ == "__main__":
    make(sys.argv[1], Path())
