"""Who sent which photo: `python tools/measure/senders.py images.csv` (chapters 2, 8 and 9).

`images.csv` is the list of the full clothing dataset, CC0, where each person has a number:
github.com/alexeygrigorev/clothing-dataset, commit 7ed86a9. Writes `pages/results/senders.json`. Of
the seven classes: how many training photos each person sent; the sender of each validation and
test photo; how many photos show clothes for children. And "photos", the sender of every photo of
our manifest, in the order of its sorted names.
"""

import csv
import sys
from collections import Counter
from pathlib import Path, PurePosixPath

from recording import about_this_run, write_results

from fashionlib.catalog import load_catalog
from fashionlib.catalog.photos import read_manifest

COMMIT = "7ed86a9cc56763b6acb35e41cb35184e43a5d218"
LIST = f"https://raw.githubusercontent.com/alexeygrigorev/clothing-dataset/{COMMIT}/images.csv"


def read_list(listing: Path) -> dict[str, dict[str, str]]:
    """The row of each photo of the manifest, by its name there."""
    with listing.open(newline="", encoding="utf-8") as lines:
        rows = {row["image"]: row for row in csv.DictReader(lines)}
    return {name: rows[PurePosixPath(name).stem] for name in sorted(read_manifest())}


def main() -> None:
    """Read the list, and write what the chapters need of it."""
    rows, catalog = read_list(Path(sys.argv[1])), load_catalog("photos")
    sent = {
        split: {name: rows[name]["sender_id"] for name in pictures.names}
        for split, pictures in catalog.splits.items()
    }
    sent["train"] = dict(Counter(sent["train"].values()).most_common())
    children = {
        split: sum(rows[name]["kids"] == "True" for name in pictures.names)
        for split, pictures in catalog.splits.items()
    }
    photos = [int(row["sender_id"]) for row in rows.values()]
    found = {"list": LIST, **sent, "for children": children, "photos": photos}
    write_results("senders", about_this_run(__file__, catalog) | found)


if __name__ == "__main__":
    main()
