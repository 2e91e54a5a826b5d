"""What the product writes into logs, without secrets."""

import logging
import traceback

from domain_embed.contracts.secrets import redact, redacted_error

LOGGER = "domain_embed"


def redact_record(record: logging.LogRecord) -> logging.LogRecord:
    """The same record, its message and its traceback without secrets, whatever then formats it."""
    record.msg, record.args = redact(_message(record)), None
    if record.exc_info and record.exc_info[1] is not None:
        error = redacted_error(record.exc_info[1])
        record.exc_text = redact("".join(traceback.format_exception(error)).rstrip())
        record.exc_info = (type(error), error, error.__traceback__)
    return record


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):  # more or fewer values than places: logging would print them as they are
        return f"{record.msg} {record.args}"


class RedactingHandler(logging.Handler):
    """The first handler of the product's logger: whatever handler comes after it, also of the program, sees no secret.

    Where a program has configured no logging, warnings go to standard error as without this.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Takes the secrets out of the record itself."""
        redact_record(record)
        product = logging.getLogger(LOGGER)
        last = logging.lastResort
        if last and record.levelno >= last.level and product.handlers == [self] and not logging.root.handlers:
            last.handle(record)


def protect_logger() -> None:
    """Puts the handler before all others of the product's logger."""
    logger = logging.getLogger(LOGGER)
    others = [handler for handler in logger.handlers if not isinstance(handler, RedactingHandler)]
    logger.handlers = [RedactingHandler(), *others]
