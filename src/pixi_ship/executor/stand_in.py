"""Stands for pixi-ship in an image that lacks it, so that scripts that submit jobs can be loaded.

A copy of this file travels with the job as ``stand-in/pixi_ship/__init__.py``, so it is written
for Python 3.8 and the standard library alone.
"""

from __future__ import annotations

import sys
import types


class _NotHere(Exception):
    """Stands for what pixi-ship has, where only a name of it is needed."""

    def __new__(cls, *_: object, **__: object) -> _NotHere:
        raise ImportError(
            "pixi_ship is not in the image: use it below  if __name__ == '__main__':  only"
        )

    def __class_getitem__(cls, _: object) -> type[_NotHere]:
        return cls


class _Module(types.ModuleType):
    """A public module of pixi-ship."""

    def __getattr__(self, name: str) -> type[_NotHere]:
        if name.startswith("__"):
            raise AttributeError(name)
        return _NotHere


if __name__ == "pixi_ship":
    sys.modules[__name__].__class__ = _Module
    for _name in ("errors", "executor"):
        _module = _Module(f"pixi_ship.{_name}")
        sys.modules[_module.__name__] = globals()[_name] = _module
