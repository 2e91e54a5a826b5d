"""What the benchmarks stand on: the demo domain as they set it up."""

import pytest

from benchmarks import aws
from domain_embed.retrieval.searcher import Searcher


def test_the_domain_of_the_benchmarks_can_be_embedded_and_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws, "FAST_SERVICES", ("sns", "sqs", "sts"))
    with aws.aws_domain("fast") as domain:
        encoder = domain.encoder()
        collection = domain.collection(encoder, domain.settings.model.base)
        searcher = Searcher(collection, encoder, domain.settings.retrieval)
        found = [hit.passage_id for hit in searcher.search("create a queue", 5)]
    assert {passage_id.split("/")[0] for passage_id in domain.texts} == {"sns", "sqs", "sts"}
    assert collection.info.count == len(domain.texts)
    assert "sqs/CreateQueue" in found
