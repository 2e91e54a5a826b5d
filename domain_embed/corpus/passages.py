"""Documents to passages, the unit that is embedded, retrieved and judged."""

from collections.abc import Iterable, Iterator

import pyarrow as pa

from domain_embed.contracts.tables import PASSAGES


def whole_documents(documents: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yields PASSAGES batches in which every document is one passage with the document's id."""
    for batch in documents:
        columns = {name: batch.column(name) for name in batch.schema.names}
        yield pa.RecordBatch.from_pydict({"passage_id": columns["doc_id"], **columns}, schema=PASSAGES)
