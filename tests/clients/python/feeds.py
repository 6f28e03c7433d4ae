"""Reads what programs read of a status page, out of a folder: feeds by the rules that the W3C's validator holds them to and
by a reader's library, documents by the schema of Statuspage's version 2, pictures as XML. Prints what is wrong, a line each.
"""

import email.utils
import json
import pathlib
import re
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree

import feedparser
import jsonschema

ATOM = "{http://www.w3.org/2005/Atom}"
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
TAG = re.compile(r"tag:[A-Za-z0-9][A-Za-z0-9.-]*,\d{4}(-\d\d(-\d\d)?)?:[A-Za-z0-9._/-]+")
CHILDREN = {
    "feed": {"id", "title", "updated", "link", "author", "generator", "entry"},
    "entry": {"id", "title", "published", "updated", "link", "category", "content"},
}
ITEM = {"title", "link", "guid", "pubDate", "category", "description"}


def is_absolute(url):
    parts = urllib.parse.urlsplit(url)
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def one(parent, name, problems):
    found = parent.findall(name)
    if len(found) != 1:
        problems.append(f"{parent.tag} has {len(found)} of {name}")
        return ""
    return found[0].text or ""


def atom(root, problems):
    """RFC 4287 §4.1."""
    for name, elements in (("feed", [root]), ("entry", root.findall(f"{ATOM}entry"))):
        ids = []
        for element in elements:
            kinds = {child.tag.removeprefix(ATOM) for child in element}
            if kinds - CHILDREN[name]:
                problems.append(f"{name} has {kinds - CHILDREN[name]}")
            ids.append(one(element, f"{ATOM}id", problems))
            if not TAG.fullmatch(ids[-1]):
                problems.append(f"{ids[-1]!r} is no tag")
            if not one(element, f"{ATOM}title", problems).strip():
                problems.append(f"{name} without a title")
            for date in element.findall(f"{ATOM}updated") + element.findall(f"{ATOM}published"):
                if not DATE.fullmatch(date.text):
                    problems.append(f"{date.text!r} is no date")
            one(element, f"{ATOM}updated", problems)
            relations = [link.get("rel") for link in element.findall(f"{ATOM}link")]
            if relations.count("alternate") != 1 or (name == "feed") != ("self" in relations):
                problems.append(f"{name} has the links {relations}")
            for link in element.findall(f"{ATOM}link"):
                if not is_absolute(link.get("href")):
                    problems.append(f"{link.get('href')!r} is not absolute")
        if len(set(ids)) != len(ids):
            problems.append(f"ids are used twice: {ids}")
    one(root.find(f"{ATOM}author"), f"{ATOM}name", problems)
    for content in root.iter(f"{ATOM}content"):
        if content.get("type") != "html" or len(content):
            problems.append("a content is no escaped HTML")


def rss(root, problems):
    """RSS 2.0, and what the W3C's validator wants besides."""
    channel = root.find("channel")
    for name in ("title", "link", "description", "lastBuildDate", f"{ATOM}link"):
        one(channel, name, problems)
    guids = []
    for item in channel.findall("item"):
        kinds = {child.tag for child in item}
        if kinds - ITEM:
            problems.append(f"an item has {kinds - ITEM}")
        guids.append(one(item, "guid", problems))
        if item.find("guid").get("isPermaLink") != "false":
            problems.append("a guid that is no link claims to be one")
        if not is_absolute(one(item, "link", problems)):
            problems.append("an item's link is not absolute")
    for date in [*root.iter("pubDate"), *root.iter("lastBuildDate")]:
        if email.utils.parsedate_to_datetime(date.text).utcoffset() is None:
            problems.append(f"{date.text!r} is no date")
    if len(set(guids)) != len(guids):
        problems.append(f"guids are used twice: {guids}")
    if not is_absolute(channel.findtext("link")) or not is_absolute(channel.find(f"{ATOM}link").get("href")):
        problems.append("the channel's links are not absolute")


def scripts(parsed, problems):
    """What a reader shows must have nothing left that runs. feedparser cleans it: so the raw text is looked at."""
    for entry in parsed.entries:
        for content in [*entry.get("content", []), {"value": entry.get("summary", "")}]:
            if re.search(r"<\s*(script|img|iframe|svg|style)", content["value"], re.I):
                problems.append(f"markup in {content['value'][:80]!r}")


def main():
    folder = pathlib.Path(sys.argv[1])
    schema = json.loads((pathlib.Path(__file__).parent / "statuspage.json").read_text())
    feedparser.sanitizer.SANITIZE_HTML = False
    count = 0
    for path in sorted(folder.rglob("*")):
        problems = []
        count += path.is_file()
        if path.suffix in (".atom", ".rss"):
            root = ElementTree.fromstring(path.read_bytes())
            (atom if path.suffix == ".atom" else rss)(root, problems)
            parsed = feedparser.parse(path.read_bytes(), sanitize_html=False)
            if parsed.bozo:
                problems.append(f"feedparser: {parsed.bozo_exception}")
            if parsed.version != ("atom10" if path.suffix == ".atom" else "rss20"):
                problems.append(f"feedparser takes it for {parsed.version!r}")
            scripts(parsed, problems)
        elif path.suffix == ".svg":
            ElementTree.fromstring(path.read_bytes())
        elif path.suffix == ".json":
            name = str(path.relative_to(folder / "api" / "v2"))
            wanted = {"$defs": schema["$defs"], **schema["documents"][name]}
            validator = jsonschema.Draft202012Validator(wanted)
            for error in validator.iter_errors(json.loads(path.read_text())):
                problems.append(f"{error.json_path}: {error.message[:200]}")
        for problem in problems:
            print(f"{path.relative_to(folder)}: {problem}")
    print(f"read {count}")


main()
