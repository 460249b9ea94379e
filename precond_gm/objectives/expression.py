"""Products and sums of schedules as text, each with its values at some times."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from torch import Tensor

__all__ = ["Expression", "add", "is_constant", "product", "read"]


def product(factor: float, powers: Mapping[str, float]) -> str:
    """Write a product of powers as one fraction.

    Example:
        >>> product(1.0, {"t": 2.0, "(1-t)": -2.0}), product(2.0, {"t": -1.0})
        ('t^2/(1-t)^2', '2/t')
    """

    def raised(base: str, power: float) -> str:
        return base if power == 1 else f"{base}^{power:g}"

    above = [raised(base, power) for base, power in powers.items() if power > 0]
    below = [raised(base, -power) for base, power in powers.items() if power < 0]
    if abs(factor - 1) > 1e-9 or not above:
        above.insert(0, f"{factor:.4g}")
    if not below:
        return " ".join(above)
    return f"{' '.join(above)}/{below[0] if len(below) == 1 else '(' + ' '.join(below) + ')'}"


@final
@dataclass(frozen=True, eq=False)
class Expression:
    """A number times powers of texts.

    Attributes:
        number: The number.
        powers: Power of each text; a text is a symbol, a function of t or a sum in brackets.
        value: Values at some times.
    """

    number: float
    powers: Mapping[str, float]
    value: Tensor

    def times(self, other: Expression) -> Expression:
        """Return the product."""
        powers = {
            base: self.powers.get(base, 0.0) + other.powers.get(base, 0.0)
            for base in (*self.powers, *other.powers)
        }
        powers = {base: power for base, power in powers.items() if power}
        return Expression(self.number * other.number, powers, self.value * other.value)

    def to(self, power: float) -> Expression:
        """Return a power; the sign of an odd one is not needed here, and lost under a root."""
        number = abs(self.number) ** power if power != 1 else self.number
        raised = {base: power * own for base, own in self.powers.items()}
        return Expression(number, raised, self.value.abs() ** power)

    def over(self, other: Expression) -> Expression:
        """Return the quotient."""
        inverse = {base: -power for base, power in other.powers.items()}
        return self.times(Expression(1 / other.number, inverse, 1 / other.value))

    def scaled(self, factor: float) -> Expression:
        """Return a multiple."""
        return Expression(factor * self.number, self.powers, factor * self.value)

    def text(self) -> str:
        """Write it, pi first."""
        names = sorted(self.powers, key=lambda base: base != "pi")
        sign = "-" if self.number < 0 else ""
        return sign + product(abs(self.number), {base: self.powers[base] for base in names})


def add(*terms: tuple[float, Expression]) -> Expression:
    """Return ``sum_k factor_k term_k``: a number where it is one, else a sum in brackets.

    Example:
        >>> import torch
        >>> t = torch.tensor([0.2, 0.7])
        >>> add((1, read("t^2", t**2)), (-0.5, read("1-t", 1 - t))).text()
        '(t^2-0.5 (1-t))'
    """
    scaled = [term.scaled(factor) for factor, term in terms if factor and term.number]
    value = sum((term.value for term in scaled), 0 * terms[0][1].value)
    if is_constant(value):
        return _number(float(value[0]), value)
    if len(scaled) == 1:
        return scaled[0]
    texts = [term.text() for term in scaled]
    joined = "".join(text if text.startswith("-") else f"+{text}" for text in texts)
    return Expression(1.0, {f"({joined.removeprefix('+')})": 1.0}, value)


def read(text: str, value: Tensor) -> Expression:
    """Read a product of numbers, pi and powers, such as ``-6 t (1-t)`` or ``pi/2 sin(pi t)^2``.

    Args:
        text: The text; a space is a product, and only a whole number stands below a stroke. A sum
            at the top is taken as one factor.
        value: Its values.
    """
    body = text.removeprefix("-")
    if len(_split(body, "+")) > 1 or len(_split(body, "-")) > 1:
        return Expression(1.0, {f"({text})": 1.0}, value)
    number, powers = -1.0 if body != text else 1.0, dict[str, float]()
    for token in _split(body, " "):
        upper, *lower = _split(token, "/")
        number /= math.prod(map(float, lower))
        base, *power = _split(upper, "^")
        try:
            number *= float(base) ** float(power[0] if power else 1)
        except ValueError:
            powers[base] = powers.get(base, 0.0) + float(power[0] if power else 1)
    return Expression(number, powers, value)


def is_constant(value: Tensor) -> bool:
    """Whether values agree to nine digits."""
    return float(value.max() - value.min()) <= 1e-9 * float(value.abs().max())


def _number(number: float, value: Tensor) -> Expression:
    """Write a constant, with pi where it is a multiple of a quarter of it."""
    quarters = 4 * number / math.pi
    if round(quarters) and abs(quarters - round(quarters)) < 1e-9:
        return Expression(round(quarters) / 4, {"pi": 1.0}, value)
    return Expression(number, {}, value)


def _split(text: str, at: str) -> list[str]:
    """Split at a character outside brackets.

    Example:
        >>> _split("2 sin(pi t) t", " ")
        ['2', 'sin(pi t)', 't']
    """
    parts, depth = [""], 0
    for sign in text:
        depth += (sign == "(") - (sign == ")")
        if sign == at and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return parts
