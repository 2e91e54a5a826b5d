"""The demo domain `aws`: every example title of the AWS CLI is a query, the operation it demonstrates its answer.

The text is read at run time from the installed awscli 1.x package and none of it is part of this project:
`examples/<service>/<operation>.rst` holds the titles, the bundled botocore's service models the documentation.
"""

import gzip
import importlib.util
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from domain_embed.contracts.errors import InputError, NotReadyError

# A title that fits more operations than this ("To list tags") says too little to judge a ranking by.
MAX_OPERATIONS_PER_TITLE = 3

# Where the CLI's name of a service is not the name of its model folder; awscli has no table of these three.
MODEL_OF_COMMAND = {"configservice": "config", "deploy": "codedeploy", "s3api": "s3"}

# A domain for a quick look: some 900 judgments over 1,100 passages. Services most readers know, small and large, and
# some alike (rds and elasticache both have clusters, snapshots, subnet groups); ec2 alone would nearly double it.
FAST_SERVICES = (
    "cloudformation",
    "cloudfront",
    "cloudwatch",
    "dynamodb",
    "ecs",
    "elasticache",
    "iam",
    "lambda",
    "rds",
    "s3",
    "sns",
    "sqs",
)

# Titles that start so announce a part of an example, not a task.
NOT_A_TASK = frozenset({"command", "example", "examples", "for", "important", "note", "output", "see", "warning"})

TOO_BROAD, NO_TASK, NO_OPERATION = "too broad", "not a task", "no documented operation"

_BOLD_LINE = re.compile(r"\*\*([^*\s].*?)\*{2,3}\s*:?\s*")
_UNDERLINE = re.compile(r"([=\-~^\"'`#*+])\1{2,}\s*")
_NUMBERING = re.compile(r"^(?:example\s*\d*\s*[:.]\s*|\d+\.\s+)", re.IGNORECASE)
_VERSION = re.compile(r"""^__version__ = ['"](.+?)['"]""", re.MULTILINE)
# Between the words of CamelCase; the `s` of a plural stays with its acronym: ListWebACLs → List Web ACLs.
_WORD_BREAK = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-rt-z]|[A-Z]s[a-z])")


@dataclass(frozen=True)
class ExtractedDomain:
    """What an extraction wrote and what it left out.

    Attributes:
        passages: Lines of corpus.jsonl, one per documented API operation.
        queries: Distinct example titles in judgments.jsonl.
        judgments: Lines of judgments.jsonl; a query has at most `MAX_OPERATIONS_PER_TITLE`.
        services: Services with at least one passage.
        dropped: Number of titles left out, by reason; `TOO_BROAD` counts distinct titles, the others occurrences.
        awscli_version: The version the text was taken from.
    """

    passages: int
    queries: int
    judgments: int
    services: int
    dropped: Mapping[str, int]
    awscli_version: str


def extract_aws(
    target: Path, *, services: Collection[str] | None = None, awscli_root: Path | None = None
) -> ExtractedDomain:
    """Write `target/corpus.jsonl` and `target/judgments.jsonl`; the same awscli always gives the same bytes.

    Each file is replaced whole, so a reader never sees half of one. Every judged passage is in the corpus.

    Args:
        target: Folder to write to; created when missing.
        services: Names of botocore service models ("ec2", "codedeploy"); None takes all.
        awscli_root: Folder of the awscli package; None takes the installed one.

    Raises:
        NotReadyError: awscli is not installed, or holds no examples or service models.
        InputError: A name in `services` is not the name of a model.
    """
    root = awscli_root or find_awscli()
    models = _find_models(root)
    if services is not None:
        if unknown := sorted(set(services) - models.keys()):
            raise InputError.of_culprits("awscli has no service model named", unknown)
        models = {service: models[service] for service in services}
    passages = {row["_id"]: row for service in sorted(models) for row in _passages(service, models[service])}
    judgments, dropped = _judge(_titles(root / "examples", models), passages)
    target.mkdir(parents=True, exist_ok=True)
    _replace_lines(target / "corpus.jsonl", passages.values())
    _replace_lines(target / "judgments.jsonl", judgments)
    return ExtractedDomain(
        passages=len(passages),
        queries=len({row["query"] for row in judgments}),
        judgments=len(judgments),
        services=len({row["metadata"]["service"] for row in passages.values()}),
        dropped=dropped,
        awscli_version=_version(root),
    )


def find_awscli() -> Path:
    """The folder of the installed awscli package, found without importing it.

    Raises:
        NotReadyError: awscli is not installed.
    """
    spec = importlib.util.find_spec("awscli")
    if spec is None or not spec.submodule_search_locations:
        raise _not_ready("the demo domain is extracted from the awscli package, which is not installed")
    return Path(spec.submodule_search_locations[0])


def _not_ready(problem: str) -> NotReadyError:
    return NotReadyError(problem, 'pip install "domain-embed[demo]"')


def _version(root: Path) -> str:
    found = _VERSION.search((root / "__init__.py").read_text(encoding="utf-8"))
    return found[1] if found else "unknown"


def _find_models(root: Path) -> dict[str, Path]:
    """The file of each service's latest model: awscli bundles botocore, older releases have it beside them."""
    for data in (root / "botocore" / "data", root.parent / "botocore" / "data"):
        # Version folders are dates, and sorted: the last one of a service wins.
        if models := {path.parts[-3]: path for path in sorted(data.glob("*/*/service-2.json*"))}:
            return models
    raise _not_ready(f"{root} holds no botocore service models")


def _passages(service: str, model: Path) -> Iterator[dict[str, Any]]:
    """One corpus row per documented operation of a model, by name; titles read like "EC2 describe instances"."""
    read = gzip.decompress if model.suffix == ".gz" else bytes
    content = json.loads(read(model.read_bytes()))
    spoken = content.get("metadata", {}).get("serviceId", service)
    for operation, described in sorted(content["operations"].items()):
        if text := plain_text(described.get("documentation", "")):
            yield {
                "_id": f"{service}/{operation}",
                "title": f"{spoken} {_WORD_BREAK.sub(' ', operation).lower()}",
                "text": text,
                "metadata": {"service": service},
            }


class _TextOfHtml(HTMLParser):
    """Collects text; every tag that is not inline ends a paragraph."""

    INLINE = frozenset({"a", "b", "code", "em", "i", "link", "strong"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.paragraphs = [""]

    def handle_data(self, data: str) -> None:
        self.paragraphs[-1] += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.INLINE:
            self.paragraphs.append("")

    def handle_endtag(self, tag: str) -> None:
        self.handle_starttag(tag, [])


def plain_text(html: str) -> str:
    """The text of an HTML fragment: entities decoded, single spaces, paragraphs and list items a blank line apart."""
    parser = _TextOfHtml()
    parser.feed(html)
    parser.close()
    return "\n\n".join(filter(None, (" ".join(paragraph.split()) for paragraph in parser.paragraphs)))


def _titles(examples: Path, services: Collection[str]) -> Iterator[tuple[str, str]]:
    """Every `(title, command)` of the services' examples, where command is `<service>/<operation>` in CLI spelling."""
    if not examples.is_dir():
        raise _not_ready(f"{examples} does not exist")
    for folder in sorted(path for path in examples.iterdir() if path.is_dir()):
        service = MODEL_OF_COMMAND.get(folder.name, folder.name)
        if service in services:
            for path in sorted(folder.rglob("*.rst")):
                command = path.relative_to(folder).with_suffix("").as_posix()
                for title in example_titles(path.read_text(encoding="utf-8")):
                    yield title, f"{service}/{command}"


def example_titles(rst: str) -> Iterator[str]:
    """The titles of an example file, in order: lines all in bold and underlined headings, without their numbering.

    Indented lines are literal blocks, text after the bold makes it prose, and `::` introduces code: no titles these.
    """
    lines = rst.splitlines()
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        bold = _BOLD_LINE.fullmatch(line)
        heading = _UNDERLINE.fullmatch(below) and line[:1].strip() and not _UNDERLINE.fullmatch(line)
        if bold or heading:
            title = bold[1] if bold else line
            title = _NUMBERING.sub("", " ".join(title.replace("`", "").split()), count=1)
            yield title.rstrip(" .:")


def is_task(title: str) -> bool:
    """Whether a title names something a user wants to do, as against a part of an example ("Output", "Note: …")."""
    words = re.findall(r"[a-z]+", title.casefold())
    return len(words) > 1 and words[0] not in NOT_A_TASK


def _judge(
    titles: Iterable[tuple[str, str]], passage_ids: Collection[str]
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The judgments of all usable titles, by query and passage, and how many titles were dropped for what reason."""
    # Compared without case and hyphens, CLI and API spellings agree, whatever rules and exceptions made the former.
    passage_of_command = {passage_id.casefold(): passage_id for passage_id in passage_ids}
    dropped = Counter({TOO_BROAD: 0, NO_TASK: 0, NO_OPERATION: 0})
    spelling: dict[str, str] = {}
    answers: defaultdict[str, set[str]] = defaultdict(set)
    for title, command in titles:
        service, operation = command.split("/", 1)
        passage_id = passage_of_command.get(f"{service}/{operation.replace('-', '')}")
        if not is_task(title):
            dropped[NO_TASK] += 1
        elif passage_id is None:
            dropped[NO_OPERATION] += 1
        else:
            answers[spelling.setdefault(title.casefold(), title)].add(passage_id)
    broad = {query for query, found in answers.items() if len(found) > MAX_OPERATIONS_PER_TITLE}
    dropped[TOO_BROAD] = len(broad)
    judgments = [
        {"query": query, "passage_id": passage_id, "grade": 1, "source": "awscli-examples"}
        for query in sorted(answers.keys() - broad)
        for passage_id in sorted(answers[query])
    ]
    return judgments, dict(dropped)


def _replace_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as JSON lines into a file of another name, then give it the name in one step."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    with unfinished.open("w", encoding="utf-8", newline="\n") as lines:
        lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    unfinished.replace(path)
