"""What machines are told of a curated set: croissant.json, in MLCommons' form."""

import re
from typing import Any

import pyarrow as pa

from metacurate.pool.files import COUNTS_FILE, CURATED_FOLDER
from metacurate.pool.reader import without_views
from metacurate.pool.tables import URL_NAMES, Pool
from metacurate.schema import COUNTS, CURATED, KEPT

CROISSANT_FILE = "croissant.json"
CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
VERSION = "1.0.0"  # of each set: what is drawn otherwise is another set
PARQUET = "application/x-parquet"
PAIRS_FILES = "curated-files"

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The specification's own: readers warn of any other."""

CITATION = (
    "@inproceedings{xu2024demystifying, title={Demystifying {CLIP} Data}, author={Xu, Hu and "
    "Xie, Saining and Tan, Xiaoqing Ellen and Huang, Po-Yao and Howes, Russell and Sharma, Vasu "
    "and Li, Shang-Wen and Ghosh, Gargi and Zettlemoyer, Luke and Feichtenhofer, Christoph}, "
    "booktitle={International Conference on Learning Representations}, year={2024}, "
    "url={https://arxiv.org/abs/2309.16671}}"
)
DESCRIPTIONS = {
    "entries": "Ids of the metadata entries that the caption matches, ascending; entries.entry_id.",
    "probability": "The probability with which the pair was kept.",
    "min_threshold": "The smallest threshold at which the pair is kept.",
}
ENTRY_DESCRIPTIONS = {
    "entry_id": "Position of the entry in the metadata.",
    "entry": "What is looked for in captions.",
    "source": "Where the entry comes from.",
    "count": "Pairs of the whole pool whose captions match the entry.",
    "kept": "Kept pairs whose captions match the entry.",
}

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")  # names that are ids as they are
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")  # which pandas takes out of the columns

_NUMBERS = {
    pa.int8(): "cr:Int8", pa.int16(): "cr:Int16", pa.int32(): "cr:Int32", pa.int64(): "cr:Int64",
    pa.uint8(): "cr:UInt8", pa.uint16(): "cr:UInt16", pa.uint32(): "cr:UInt32",
    pa.uint64(): "cr:UInt64", pa.float16(): "cr:Float16", pa.float32(): "cr:Float32",
    pa.float64(): "cr:Float64", pa.bool_(): "sc:Boolean",
}  # fmt: skip
_OTHERS = (
    (pa.types.is_string, "sc:Text"),
    (pa.types.is_large_string, "sc:Text"),
    (pa.types.is_binary, "sc:Text"),  # Croissant has no type for bytes, and readers give them so
    (pa.types.is_large_binary, "sc:Text"),
    (pa.types.is_fixed_size_binary, "sc:Text"),
    (pa.types.is_date, "sc:Date"),
    (pa.types.is_timestamp, "sc:DateTime"),
    (pa.types.is_time, "sc:Time"),
    (pa.types.is_decimal, "sc:Float"),
)


def curated_schema(pool: Pool) -> pa.Schema:
    """The columns of the files of kept pairs, whether or not any pair is kept.

    Args:
        pool: what pairs are drawn from.

    Returns:
        Those of the pool that all its files have, of one type, as they are written; then those
        that curation adds.
    """
    known = {id(file.columns): file.columns for file in pool.files if file.problem is None}
    first, *others = (schema for schema in known.values() if schema is not None)
    fields = [
        field
        for field in _written(first)
        if field.name not in CURATED.names and all(_has(_written(other), field) for other in others)
    ]
    return pa.schema([*fields, *CURATED])


def _written(schema: pa.Schema) -> pa.Schema:
    batch = pa.RecordBatch.from_arrays(
        [pa.nulls(0, field.type) for field in schema], schema=schema.remove_metadata()
    )
    return without_views(batch).schema


def _has(schema: pa.Schema, field: pa.Field) -> bool:
    index = schema.get_field_index(field.name)
    return index >= 0 and bool(schema.field(index).type == field.type)


def make_croissant(
    card: dict[str, Any], schema: pa.Schema, counts_digest: str, counts_bytes: int
) -> dict[str, Any]:
    """Describe a curated set's files and columns.

    What is not known (a license, a date, a publisher) is not told: whoever publishes the set adds
    it.

    Args:
        card: from `make_datacard`.
        schema: of the files of kept pairs, from `curated_schema`.
        counts_digest: SHA-256 of counts.parquet, in hex. counts_bytes: its size.

    Returns:
        JSON-LD that conforms to Croissant 1.1, to be read beside the files.
    """
    fields, left = _fields(schema, "pairs", {"fileSet": {"@id": PAIRS_FILES}}, DESCRIPTIONS)
    described = "The kept pairs."
    if left:
        described += (
            f" Columns whose types Croissant has no name for are not listed: {', '.join(left)}."
        )
    counted = pa.schema([*COUNTS, KEPT])
    of_counts = {"fileObject": {"@id": COUNTS_FILE}}
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": f"Balanced image-text pairs, t = {card['threshold']:.6g}, seed {card['seed']}",
        "description": (
            f"{card['kept']:,} image-text pairs (addresses of images and their captions), drawn "
            f"from {card['rows_read']:,} by the method of Demystifying CLIP Data, with the "
            f"threshold {card['threshold']:.6g} over {card['entries']:,} metadata entries, by "
            f"metacurate {card['versions']['metacurate']}."
        ),
        "version": VERSION,
        "keywords": ["image-text pairs", "CLIP", "MetaCLIP", "metacurate"],
        "citeAs": CITATION,
        "distribution": [
            {
                "@type": "cr:FileSet",
                "@id": PAIRS_FILES,
                "name": PAIRS_FILES,
                "description": "Parquet files of the kept pairs; none where no pair is kept.",
                "encodingFormat": PARQUET,
                "includes": f"{CURATED_FOLDER}/*.parquet",
            },
            {
                "@type": "cr:FileObject",
                "@id": COUNTS_FILE,
                "name": COUNTS_FILE,
                "description": "All metadata entries, and how many pairs match each.",
                "contentUrl": COUNTS_FILE,
                "contentSize": f"{counts_bytes} B",
                "encodingFormat": PARQUET,
                "sha256": counts_digest,
            },
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "pairs",
                "name": "pairs",
                "description": described,
                "field": fields,
            },
            {
                "@type": "cr:RecordSet",
                "@id": "entries",
                "name": "entries",
                "description": "The metadata entries, in the order of their ids.",
                "key": {"@id": "entries/entry_id"},
                "field": _fields(counted, "entries", of_counts, ENTRY_DESCRIPTIONS)[0],
            },
        ],
    }


def _fields(
    schema: pa.Schema, records: str, source: dict[str, Any], descriptions: dict[str, str]
) -> tuple[list[dict[str, Any]], list[str]]:
    """The columns that can be described, and the names of the others."""
    told, left = [], []
    for name, field_id in zip(schema.names, _ids(schema.names), strict=True):
        kind = _data_type(schema.field(name).type)
        if kind is None or not name or _PANDAS_INDEX.fullmatch(name):
            left.append(name)
            continue
        data_type, shape = kind
        if data_type == "sc:Text" and name.lower() in URL_NAMES:
            data_type = "sc:URL"
        field: dict[str, Any] = {
            "@type": "cr:Field",
            "@id": f"{records}/{field_id}",
            "name": name,
            "dataType": data_type,
            "source": {**source, "extract": {"column": name}},
        }
        if name in descriptions:
            field["description"] = descriptions[name]
        if shape:
            field |= {"isArray": True, "arrayShape": ",".join(map(str, shape))}
        told.append(field)
    return told, left


def _ids(names: list[str]) -> list[str]:
    """Ids of columns: their names where these are plain, else their places."""
    plain = {name for name in names if _PLAIN.fullmatch(name)}
    ids = []
    for place, name in enumerate(names):
        one = name if name in plain else f"column-{place}"
        while name not in plain and one in plain:
            one += "-"
        ids.append(one)
    return ids


def _data_type(kind: pa.DataType) -> tuple[str, tuple[int, ...]] | None:
    """Croissant's name for a type, and the shape where it is one of lists; None without one."""
    if pa.types.is_dictionary(kind):
        return _data_type(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        inner = _data_type(kind.value_type)
        size = kind.list_size if pa.types.is_fixed_size_list(kind) else -1
        return None if inner is None else (inner[0], (size, *inner[1]))
    if kind in _NUMBERS:
        return _NUMBERS[kind], ()
    return next(((name, ()) for test, name in _OTHERS if test(kind)), None)
