"""How figures are written for people: three decimals, a true minus sign, intervals in words."""

_SMALLEST_SHOWN = 0.0005


def plain(value: float) -> str:
    """A measure, like 0.618; a figure that would round to nothing keeps a fourth decimal."""
    digits = 4 if 0 < abs(value) < _SMALLEST_SHOWN else 3
    return f"{value:.{digits}f}".replace("-", "−")


def signed(value: float) -> str:
    """A difference, like +0.215 or −0.014."""
    return f"+{plain(value)}" if value > 0 else plain(value)


def interval(bounds: tuple[float, float]) -> str:
    """An interval of differences, like "+0.190 to +0.240"."""
    return f"{signed(bounds[0])} to {signed(bounds[1])}"


def p_value(p: float) -> str:
    """A p-value, like 0.032; below a thousandth only that is said."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def p_phrase(p: float) -> str:
    """A p-value in a sentence, like "p = 0.032" or "p < 0.001"."""
    return f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"


def count(number: int, noun: str = "") -> str:
    """A number with thousands separators and its noun, in the plural but for one: "1 query", "18,400 passages"."""
    plural = noun if number == 1 else f"{noun.removesuffix('y')}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {plural}" if noun else f"{number:,}"
