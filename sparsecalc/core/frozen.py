"""The base of the nouns: immutable dataclasses that cost almost nothing to define.

`dataclasses` writes and compiles six methods for every class, and pydantic a validator; with some forty classes that is
a third of the start-up that sparsecalc promises. Here the methods are written once. The classes stay dataclasses:
`fields`, `replace`, `asdict` and pydantic's `TypeAdapter` work on them.
"""

from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import Any, Self, dataclass_transform


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Frozen:
    """Keyword-only, immutable, compared by value; an unknown or missing field is a TypeError."""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        dataclass(init=False, repr=False, eq=False, kw_only=True)(cls)

    def __init__(self, **given: Any) -> None:
        own = self.__dict__
        for field in fields(self):  # type: ignore[arg-type]
            if field.name in given:
                own[field.name] = given.pop(field.name)
            elif field.default is not MISSING:
                own[field.name] = field.default
            elif field.default_factory is not MISSING:
                own[field.name] = field.default_factory()
            else:
                raise TypeError(f"{type(self).__name__} needs {field.name}")
        if given:
            raise TypeError(f"{type(self).__name__} has no field {', '.join(given)}")
        self.check()

    def check(self) -> None:
        """Raise ValueError where the fields contradict each other."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({inner})"

    def but(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return replace(self, **changes)  # type: ignore[type-var]

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain dictionaries, lists and numbers, ready for JSON."""
        return asdict(self)  # type: ignore[call-overload,no-any-return]
